//! Heads and chunk framing, written (RFC 9112 sections 4, 5 and 7.1).

use alloc::vec::Vec;

use crate::field::{is_token, is_value_byte};

/// Writes one head to the end of a buffer. What could end a line early is left out (H1-6); the
/// caller decides which fields there are, framing among them.
///
/// ```
/// use longhold_http1::emit::HeadWriter;
///
/// let mut out = Vec::new();
/// let mut head = HeadWriter::response(&mut out, 200);
/// head.field("Content-Type", b"text/plain");
/// head.field_u64("Content-Length", 5);
/// assert!(!head.field("X-Injected", b"a\r\nSet-Cookie: b"));
/// head.finish();
/// assert_eq!(out, b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n");
/// ```
#[derive(Debug)]
#[must_use = "a response's head ends with `finish`"]
pub struct HeadWriter<'o> {
    out: &'o mut Vec<u8>,
    has_first_line: bool,
}

impl<'o> HeadWriter<'o> {
    /// Begins a response with the status line of `status` (its last three decimal digits), always
    /// as HTTP/1.1 (RFC 9110 section 6.2: the server's own version).
    pub fn response(out: &'o mut Vec<u8>, status: u16) -> Self {
        let digit = |weight: u16| b'0' + (status / weight % 10) as u8;
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
        out.extend_from_slice(reason(status).as_bytes());
        out.extend_from_slice(CRLF);
        Self { out, has_first_line: true }
    }

    /// Writes field lines alone, to be kept and sent later through [`Self::raw_lines`].
    pub fn lines(out: &'o mut Vec<u8>) -> Self {
        Self { out, has_first_line: false }
    }

    /// Adds a field line. False, and nothing written, when `name` is not a token or `value` holds
    /// a control character other than tab.
    pub fn field(&mut self, name: &str, value: &[u8]) -> bool {
        self.line_with(name, |out| out.extend_from_slice(value))
    }

    /// Adds a field line with a decimal number. False as [`Self::field`].
    pub fn field_u64(&mut self, name: &str, value: u64) -> bool {
        let mut digits = [0; U64_DIGITS_MAX];
        self.field(name, decimal(value, &mut digits))
    }

    /// Adds a field line whose value `write` appends to the buffer that it is given; it must leave
    /// alone what is there already. False as [`Self::field`].
    pub fn line_with(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        if !is_token(name.as_bytes()) {
            return false;
        }
        let start = self.out.len();
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        let value_start = self.out.len();
        write(self.out);
        let value = self.out.get(value_start..);
        // No early exit: so the loop runs on vectors.
        let is_valid = |value: &[u8]| value.iter().fold(true, |ok, byte| ok & is_value_byte(*byte));
        if value.is_some_and(is_valid) {
            self.out.extend_from_slice(CRLF);
            true
        } else {
            self.out.truncate(start);
            false
        }
    }

    /// Adds lines that a writer of [`Self::lines`] made, as they are. False, and nothing written,
    /// when they do not end with a line end or would end the head.
    pub fn raw_lines(&mut self, lines: &[u8]) -> bool {
        let is_whole = lines.is_empty() || (lines.ends_with(CRLF) && !lines.starts_with(CRLF));
        let is_whole = is_whole && !lines.ends_with(b"\r\n\r\n");
        if is_whole {
            self.out.extend_from_slice(lines);
        }
        is_whole
    }

    /// Ends the head with its empty line. Field lines alone have no end to write.
    pub fn finish(self) {
        if self.has_first_line {
            self.out.extend_from_slice(CRLF);
        }
    }
}

/// Writes the line that opens a chunk of `len` bytes into `line` and returns it. `len` 0 would end
/// the body: send [`LAST_CHUNK`] for that. The chunk's data is followed by [`CRLF`].
pub fn chunk_header(len: u64, line: &mut [u8; CHUNK_HEADER_BYTES_MAX]) -> &[u8] {
    *line = *b"0000000000000000\r\n";
    let mut rest = len;
    let mut digits = 0;
    for cell in line.iter_mut().rev().skip(CRLF.len()) {
        *cell = b"0123456789abcdef".get((rest & 0xF) as usize).copied().unwrap_or(b'0');
        digits += 1;
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    line.get(CHUNK_HEADER_BYTES_MAX - CRLF.len() - digits..).unwrap_or_default()
}

/// The decimal digits of `value`, written to the end of `digits`.
pub(crate) fn decimal(value: u64, digits: &mut [u8; U64_DIGITS_MAX]) -> &[u8] {
    let mut rest = value;
    let mut count = 0;
    for cell in digits.iter_mut().rev() {
        *cell = b'0' + (rest % 10) as u8;
        count += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits.get(U64_DIGITS_MAX - count..).unwrap_or_default()
}

/// The reason phrase of `status` in the IANA registry; empty for others, which is as good
/// (RFC 9112 section 4: clients ignore it).
pub fn reason(status: u16) -> &'static str {
    match REASONS.binary_search_by_key(&status, |(code, _)| *code) {
        Ok(at) => REASONS.get(at).map_or("", |(_, phrase)| phrase),
        Err(_) => "",
    }
}

/// The end of a line, and of a chunk's data.
pub const CRLF: &[u8] = b"\r\n";

/// The last chunk with an empty trailer section (RFC 9112 section 7.1).
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// An interim response that lets the client send its body (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Bytes of the longest chunk header: 16 digits and a line end.
pub const CHUNK_HEADER_BYTES_MAX: usize = 18;

pub(crate) const U64_DIGITS_MAX: usize = 20;

/// Sorted by code.
const REASONS: &[(u16, &str)] = &[
    (100, "Continue"),
    (101, "Switching Protocols"),
    (102, "Processing"),
    (103, "Early Hints"),
    (200, "OK"),
    (201, "Created"),
    (202, "Accepted"),
    (203, "Non-Authoritative Information"),
    (204, "No Content"),
    (205, "Reset Content"),
    (206, "Partial Content"),
    (207, "Multi-Status"),
    (208, "Already Reported"),
    (226, "IM Used"),
    (300, "Multiple Choices"),
    (301, "Moved Permanently"),
    (302, "Found"),
    (303, "See Other"),
    (304, "Not Modified"),
    (305, "Use Proxy"),
    (307, "Temporary Redirect"),
    (308, "Permanent Redirect"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (407, "Proxy Authentication Required"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (412, "Precondition Failed"),
    (413, "Content Too Large"),
    (414, "URI Too Long"),
    (415, "Unsupported Media Type"),
    (416, "Range Not Satisfiable"),
    (417, "Expectation Failed"),
    (421, "Misdirected Request"),
    (422, "Unprocessable Content"),
    (423, "Locked"),
    (424, "Failed Dependency"),
    (425, "Too Early"),
    (426, "Upgrade Required"),
    (428, "Precondition Required"),
    (429, "Too Many Requests"),
    (431, "Request Header Fields Too Large"),
    (451, "Unavailable For Legal Reasons"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (505, "HTTP Version Not Supported"),
    (506, "Variant Also Negotiates"),
    (507, "Insufficient Storage"),
    (508, "Loop Detected"),
    (511, "Network Authentication Required"),
];
