//! The WebSocket opening handshake, as an intermediary checks it (RFC 6455 sections 4.1 and 4.2).
//!
//! Frames are none of its business: behind the handshake a WebSocket is a tunnel like any other.

use alloc::vec::Vec;

use longhold_policy::fields::{self, Single};

use crate::Field;

/// Why a client's half of the handshake cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The method is not GET.
    Method,
    /// `Sec-WebSocket-Key` is missing, repeated, or not the base64 of 16 bytes.
    Key,
    /// `Sec-WebSocket-Version` is not 13, which is the only one that RFC 6455 defines.
    Version,
}

/// Checks the client's half (RFC 6455 section 4.2.1); `Upgrade` and `Connection` are the caller's.
///
/// # Errors
/// The first [`Flaw`].
pub fn check_request(method: &str, request: &[Field<'_>]) -> Result<(), Flaw> {
    if method != "GET" {
        return Err(Flaw::Method);
    }
    if fields::single(request, "sec-websocket-version") != Single::One(VERSION) {
        return Err(Flaw::Version);
    }
    key_of(request).map(|_| ()).ok_or(Flaw::Key)
}

/// Whether the origin's half answers the client's (RFC 6455 section 4.1, the list for responses):
/// it has read this very key, and agrees on nothing that was not offered.
pub fn is_accepted(request: &[Field<'_>], response: &[Field<'_>]) -> bool {
    let Some(key) = key_of(request) else { return false };
    let accept = lines(response, "sec-websocket-accept");
    let is_read = accept.len() == 1 && accept.first() == Some(&&accept_of(key)[..]);
    is_read && is_agreed(request, response) && is_extended(request, response)
}

/// At most one subprotocol, of those that were offered.
fn is_agreed(request: &[Field<'_>], response: &[Field<'_>]) -> bool {
    let chosen = lines(response, "sec-websocket-protocol");
    let offered = lines(request, "sec-websocket-protocol");
    let mut offered = offered.iter().flat_map(|line| fields::members(line));
    match chosen[..] {
        [] => true,
        [one] => offered.any(|known| known == one),
        [..] => false,
    }
}

/// No extension but such as were offered; their parameters are between the two ends.
fn is_extended(request: &[Field<'_>], response: &[Field<'_>]) -> bool {
    let name = |member: &[u8]| {
        let end = member.iter().position(|byte| *byte == b';').unwrap_or(member.len());
        Vec::from(member.get(..end).unwrap_or(member).trim_ascii())
    };
    let offered: Vec<Vec<u8>> = lines(request, "sec-websocket-extensions")
        .into_iter()
        .flat_map(|line| fields::members(line).map(name))
        .collect();
    let chosen = lines(response, "sec-websocket-extensions");
    let mut chosen = chosen.into_iter().flat_map(|line| fields::members(line).map(name));
    chosen.all(|extension| offered.contains(&extension))
}

/// The one key, if it is well-formed: 22 digits of base64, the last of which ends 16 bytes, and two
/// signs of padding.
fn key_of<'a>(request: &[Field<'a>]) -> Option<&'a [u8]> {
    let [key] = lines(request, "sec-websocket-key")[..] else { return None };
    let (digits, padding) = key.split_at_checked(KEY_DIGITS)?;
    let is_base64 = digits.iter().all(|digit| DIGITS.contains(digit));
    // Of the last digit's six bits the lower four are beyond the 16 bytes.
    let is_whole = matches!(digits.last(), Some(b'A' | b'Q' | b'g' | b'w'));
    (is_base64 && is_whole && padding == b"==").then_some(key)
}

fn lines<'a>(received: &[Field<'a>], name: &str) -> Vec<&'a [u8]> {
    let named = received.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    named.map(|(_, value)| *value).collect()
}

/// `Sec-WebSocket-Accept` for a key (RFC 6455 section 4.2.2, item 5.4).
pub fn accept_of(key: &[u8]) -> [u8; 28] {
    let mut text = Vec::from(key);
    text.extend_from_slice(GUID);
    let digest = sha1(&text);
    let mut accept = [b'='; 28];
    for (quad, three) in accept.chunks_mut(4).zip(digest.chunks(3)) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (place, digit) in quad.iter_mut().take(three.len() + 1).enumerate() {
            let index = bits >> (18 - 6 * place) & 63;
            *digit = DIGITS.get(index as usize).copied().unwrap_or(b'=');
        }
    }
    accept
}

/// FIPS 180-4's SHA-1: here it proves that a key was read, and protects nothing.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = Vec::from(message);
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let bits = (message.len() as u64 * 8).to_be_bytes();
    let end = padded.len() - bits.len();
    padded.splice(end.., bits);
    let mut state: [u32; 5] = [0x6745_2301, 0xEFCD_AB89, 0x98BA_DCFE, 0x1032_5476, 0xC3D2_E1F0];
    for block in padded.chunks(64) {
        let mut words = [0_u32; 16];
        for (word, bytes) in words.iter_mut().zip(block.chunks(4)) {
            *word = bytes.iter().fold(0, |sum, byte| sum << 8 | u32::from(*byte));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for round in 0..80_u32 {
            let (mix, constant) = match round / 20 {
                0 => ((b & c) | (!b & d), 0x5A82_7999),
                1 => (b ^ c ^ d, 0x6ED9_EBA1),
                2 => ((b & c) | (b & d) | (c & d), 0x8F1B_BCDC),
                _ => (b ^ c ^ d, 0xCA62_C1D6_u32),
            };
            let [word, ..] = words;
            let sum = a.rotate_left(5).wrapping_add(mix).wrapping_add(e);
            let next = sum.wrapping_add(constant).wrapping_add(word);
            (a, b, c, d, e) = (next, a, b.rotate_left(30), c, d);
            // The word of sixteen rounds later takes the place of this one.
            let [first, _, third, _, _, _, _, _, ninth, _, _, _, _, fourteenth, _, _] = words;
            words.rotate_left(1);
            if let Some(last) = words.last_mut() {
                *last = (first ^ third ^ ninth ^ fourteenth).rotate_left(1);
            }
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.chunks_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    digest
}

/// What is said to a client of another version (RFC 6455 section 4.2.2, item 4).
pub const VERSION: &[u8] = b"13";

const KEY_DIGITS: usize = 22;
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests;
