//! Answers that the edge makes itself: errors with a body that says what happened, and `OPTIONS`.

use alloc::vec::Vec;

use longhold_http1::emit;
use longhold_policy::date;

use crate::{CACHE_NAME, websocket};

/// An answer of the edge's own.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// One sentence for the reader: cause and remedy. Plain text without line ends.
    pub cause: &'a str,
    /// Seconds for `Retry-After` (RFC 9110 section 10.2.3).
    pub retry_after_s: Option<u32>,
}

/// How the connection goes on, as the connection machine planned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// `Connection: close` must be said.
    pub close: bool,
    /// `Connection: keep-alive` must be said (HTTP/1.0).
    pub keep_alive: bool,
}

/// Writes head and body of `answer` into `out`; with `send_body` false the head alone (HEAD).
/// A 204 never has a body (RFC 9110 section 15.3.5).
pub fn write(
    out: &mut Vec<u8>,
    answer: &Answer<'_>,
    persistence: Persistence,
    send_body: bool,
    now_ms: u64,
) {
    let mut head = emit::HeadWriter::response(out, answer.status);
    head.field("Date", &date::format(now_ms / 1000));
    head.field("Server", CACHE_NAME.as_bytes());
    if answer.status == 204 || answer.status == 405 {
        head.field("Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    }
    // RFC 9110 section 15.5.22, RFC 6455 section 4.4.
    if answer.status == 426 {
        head.field("Upgrade", b"websocket");
        head.field("Connection", b"Upgrade");
        head.field("Sec-WebSocket-Version", websocket::VERSION);
    }
    if let Some(seconds) = answer.retry_after_s {
        head.field_u64("Retry-After", u64::from(seconds));
    }
    if answer.status != 204 {
        head.field("Content-Type", b"text/plain; charset=utf-8");
        head.field("Cache-Control", b"no-store");
        head.field_u64("Content-Length", body_len(answer));
    }
    write_persistence(&mut head, persistence);
    head.finish();
    if send_body && answer.status != 204 {
        write_body(out, answer);
    }
}

/// Bytes of the body of `answer`.
pub fn body_len(answer: &Answer<'_>) -> u64 {
    let mut body = Vec::new();
    write_body(&mut body, answer);
    body.len() as u64
}

/// Says `Connection` as planned.
pub(crate) fn write_persistence(head: &mut emit::HeadWriter<'_>, persistence: Persistence) {
    if persistence.close {
        head.field("Connection", b"close");
    } else if persistence.keep_alive {
        head.field("Connection", b"keep-alive");
    }
}

fn write_body(out: &mut Vec<u8>, answer: &Answer<'_>) {
    let mut digits = [b'0'; 3];
    let mut rest = answer.status;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
    out.push(b' ');
    out.extend_from_slice(emit::reason(answer.status).as_bytes());
    out.extend_from_slice(b"\n");
    out.extend_from_slice(answer.cause.as_bytes());
    out.extend_from_slice(b"\n");
}
