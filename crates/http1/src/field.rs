//! Field lines and the characters they are made of (RFC 9110 sections 5.1, 5.5 and 5.6.2).

use core::fmt;
use core::ops::Deref;

use alloc::vec::Vec;

/// A field line: the name as received, in any case, and the value without the whitespace around it.
/// Values are bytes: visible ASCII, space, tab and octets above 0x7F.
pub type Field<'a> = (&'a str, &'a [u8]);

/// The field lines of one head in the order received; dereferences to a slice of them.
///
/// As many as most clients send lie in place, so that a usual head allocates nothing. The table is
/// moved from the parser to whoever answers and stays small: more of them take one allocation.
#[derive(Clone)]
pub struct FieldTable<'a> {
    few: [Field<'a>; IN_PLACE],
    few_count: u8,
    /// All of them, once they are too many; empty otherwise.
    many: Vec<Field<'a>>,
}

impl<'a> FieldTable<'a> {
    /// The table of what `httparse` found. Inlined where the head is put together, so that it is
    /// built in place.
    #[inline(always)]
    pub(crate) fn new(headers: &[httparse::Header<'a>]) -> Self {
        let mut table = Self { few: [("", &[]); IN_PLACE], few_count: 0, many: Vec::new() };
        if headers.len() > IN_PLACE {
            table.many = headers.iter().map(|header| (header.name, header.value)).collect();
        } else {
            for (cell, header) in table.few.iter_mut().zip(headers) {
                *cell = (header.name, header.value);
            }
            table.few_count = headers.len() as u8;
        }
        table
    }

    /// The value of the first line called `name`, in any case. Looks at every line.
    pub fn first(&self, name: &str) -> Option<&'a [u8]> {
        let line = self.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        line.map(|(_, value)| *value)
    }
}

impl<'a> Deref for FieldTable<'a> {
    type Target = [Field<'a>];

    fn deref(&self) -> &Self::Target {
        if self.many.is_empty() {
            self.few.get(..usize::from(self.few_count)).unwrap_or(&[])
        } else {
            &self.many
        }
    }
}

impl fmt::Debug for FieldTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for FieldTable<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for FieldTable<'_> {}

/// Fields that a table holds in place. Browsers send 10 to 20; each costs 32 bytes in every move.
const IN_PLACE: usize = 24;

/// Whether `bytes` is a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(crate) fn is_token_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*'
            | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

/// What a field value may hold: visible characters, space, tab, obs-text (RFC 9110 section 5.5).
pub(crate) fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xFF)
}

/// The members of a comma separated list, whitespace taken off; empty ones are handed out too.
pub(crate) fn list_members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Takes optional whitespace off both ends (RFC 9110 section 5.6.3: space and tab only).
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The value of a hexadecimal digit, in either case.
pub(crate) fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}
