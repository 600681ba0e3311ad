//! The client's side of a WebSocket load (RFC 6455): one upgrade, one message, its echo.
//!
//! Every connection of a load says the same: the same key in its request, the same masked message
//! at each turn. So a whole answer is known beforehand, and checking it is a comparison.

use longhold_http1::{Limits, ResponseHead};
use xxhash_rust::xxh3::xxh3_64;

use crate::answer::{Answer, Progress};
use crate::fault::Fault;
use crate::verify::Body;

/// Reads the answers of a WebSocket connection: first the server's 101, then one echo per message.
#[derive(Debug, Default)]
pub(crate) struct EchoReader {
    awaits_echo: bool,
}

impl EchoReader {
    /// Waits for the answer to the upgrade, or to a message.
    pub(crate) fn reset(&mut self, is_first: bool) {
        self.awaits_echo = !is_first;
    }

    /// Reads one answer from the front of `input`: how many bytes are used up, and what that led
    /// to. Nothing is used up before the answer is whole.
    ///
    /// # Errors
    /// Anything but the one right answer; the connection is of no further use.
    pub(crate) fn read(&self, input: &[u8]) -> Result<(usize, Progress), Fault> {
        if self.awaits_echo { read_echo(input) } else { read_upgrade(input) }
    }
}

fn read_upgrade(input: &[u8]) -> Result<(usize, Progress), Fault> {
    let parsed = longhold_http1::parse_response(input, &Limits::default());
    let Some(head) = parsed.map_err(Fault::BadSyntax)? else { return Ok((0, Progress::More)) };
    if head.status != SWITCHING || field(&head, "sec-websocket-accept") != Some(ACCEPT) {
        return Err(Fault::WrongStatus { found: head.status });
    }
    Ok((head.head_bytes, Progress::Complete(answer(&[]))))
}

fn read_echo(input: &[u8]) -> Result<(usize, Progress), Fault> {
    let len = input.len().min(ECHO.len());
    if input.get(..len) != ECHO.get(..len) {
        return Err(Fault::WrongBody { found_hash: xxh3_64(input) });
    }
    if len < ECHO.len() {
        return Ok((0, Progress::More));
    }
    Ok((len, Progress::Complete(answer(MESSAGE))))
}

fn answer(body: &[u8]) -> Answer {
    let body = Body { length_bytes: body.len() as u64, hash: xxh3_64(body) };
    Answer { status: SWITCHING, body, hit: None, reusable: true }
}

fn field<'h>(head: &'h ResponseHead<'_>, name: &str) -> Option<&'h [u8]> {
    let found = head.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| *value)
}

/// The request that opens a WebSocket.
pub(crate) fn upgrade_request(path: &str, authority: &str) -> Vec<u8> {
    let key = core::str::from_utf8(KEY).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: {authority}\r\n\
         User-Agent: conn-bomb\r\n\
         Connection: Upgrade\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {key}\r\n\r\n"
    )
    .into_bytes()
}

/// The message, masked as a client's must be (RFC 6455 section 5.3).
pub(crate) fn message() -> Vec<u8> {
    let mut frame = vec![FINAL_BINARY, MASKED | MESSAGE.len() as u8];
    frame.extend_from_slice(&MASK);
    frame.extend(MESSAGE.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The status that opens a WebSocket.
const SWITCHING: u16 = 101;
/// The key of RFC 6455 section 1.3, and what a server answers to it.
const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const MESSAGE: &[u8] = b"longhold, beat 1";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const FINAL_BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
/// The message as it comes back.
const ECHO: &[u8] = b"\x82\x10longhold, beat 1";

#[cfg(test)]
mod tests;
