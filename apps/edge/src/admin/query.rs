//! Pairs of names and values, as forms and queries carry them
//! (`application/x-www-form-urlencoded`).

/// The pairs in order; `None` when one is no text once decoded.
pub(super) fn pairs(form: &[u8]) -> Option<Vec<(String, String)>> {
    let parts = form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    parts
        .map(|pair| {
            let mut sides = pair.splitn(2, |byte| *byte == b'=');
            let text = |side: Option<&[u8]>| String::from_utf8(decode(side.unwrap_or(b""))?).ok();
            Some((text(sides.next())?, text(sides.next())?))
        })
        .collect()
}

/// Appends a pair to a query.
pub(super) fn push(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            query.push(char::from(byte));
        } else {
            query.push('%');
            for digit in [byte >> 4, byte & 15] {
                query.extend(char::from_digit(u32::from(digit), 16));
            }
        }
    }
}

fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                high << 4 | low
            }
            other => other,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
