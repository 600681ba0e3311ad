//! Whether a cache on the way says that an answer was a hit: `Cache-Status`, RFC 9211.
//!
//! Of several caches the last one in the list is the nearest to the client (section 2), and only
//! that one is asked.

/// Whether the last member of a `Cache-Status` value carries the parameter `hit` (section 2.1).
///
/// ```
/// use longhold_loadgen::cache_status::is_hit;
///
/// assert!(is_hit(b"OriginCache; fwd=miss, \"an, edge\"; hit; ttl=5"));
/// assert!(!is_hit(b"longhold; fwd=uri-miss; stored"));
/// ```
pub fn is_hit(value: &[u8]) -> bool {
    let Some(member) = split_outside_quotes(value, b',').last() else { return false };
    split_outside_quotes(member, b';').skip(1).any(|parameter| {
        let parameter = parameter.trim_ascii();
        parameter == b"hit" || parameter == b"hit=?1"
    })
}

/// The pieces between separators that stand in no quoted string (RFC 8941 section 3.3.3).
fn split_outside_quotes(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    value.split(move |&byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => return byte == separator && !quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests;
