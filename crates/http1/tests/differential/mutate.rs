//! Messages made of those of the corpus: one or two of them, with a few small faults.

use crate::corpus::{Case, Side};

/// Makes messages, the same ones for the same seed.
pub(crate) struct Mutator {
    state: u64,
}

impl Mutator {
    pub(crate) fn new(seed: u64) -> Self {
        let mut mutator = Self { state: seed ^ 0x9E37_79B9_7F4A_7C15 };
        // Seeds lie close together.
        for _ in 0..4 {
            mutator.next();
        }
        mutator
    }

    /// One message, and the case that it is made from.
    pub(crate) fn message<'c>(&mut self, cases: &'c [Case]) -> (&'c Case, Vec<u8>) {
        let case = &cases[self.below(cases.len())];
        let mut bytes = case.bytes.clone();
        if self.below(4) == 0 {
            let other = &cases[self.below(cases.len())];
            if (other.side == Side::Client) == (case.side == Side::Client) {
                bytes.extend_from_slice(&other.bytes);
            }
        }
        for _ in 0..self.below(4) {
            self.change(&mut bytes, cases);
        }
        (case, bytes)
    }

    fn change(&mut self, bytes: &mut Vec<u8>, cases: &[Case]) {
        if bytes.is_empty() {
            return;
        }
        let at = self.below(bytes.len());
        match self.below(9) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, self.byte()),
            2 => bytes[at] = self.byte(),
            3 => bytes.truncate(at),
            4 => {
                let some = PIECES[self.below(PIECES.len())];
                bytes.splice(at..at, some.iter().copied());
            }
            // A line once more, or another case's line, or without one.
            5 => self.splice_line(bytes, at, None),
            6 => {
                let other = &cases[self.below(cases.len())].bytes;
                self.splice_line(bytes, at, Some(other));
            }
            7 => {
                let line = line_at(bytes, at);
                bytes.drain(line);
            }
            _ => {
                // The case of a letter, or another digit.
                bytes[at] = match bytes[at] {
                    letter if letter.is_ascii_alphabetic() => letter ^ 0x20,
                    digit if digit.is_ascii_digit() => b'0' + self.below(10) as u8,
                    other => other,
                };
            }
        }
    }

    fn splice_line(&mut self, bytes: &mut Vec<u8>, at: usize, other: Option<&[u8]>) {
        let start = line_at(bytes, at).start;
        let line = match other {
            None => bytes[line_at(bytes, at)].to_vec(),
            Some(other) => other[line_at(other, self.below(other.len()))].to_vec(),
        };
        bytes.splice(start..start, line);
    }

    fn byte(&mut self) -> u8 {
        match self.below(3) {
            0 => self.below(256) as u8,
            _ => SHARP[self.below(SHARP.len())],
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }
}

/// The line around `at`, its end included.
fn line_at(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |lf| lf + 1);
    let end =
        bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |lf| at + lf + 1);
    start..end
}

/// Bytes that mean something somewhere.
const SHARP: &[u8] = b"\r\n\t\0 :;,+-=\"'\\/?#@%*.[]0189afxX\x0b\x0c\x7f\x80\x85\xa0\xff";

const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Host: b\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"chunked",
    b", ",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"100000000000000000",
];
