//! What peers of each manner say and read. Pure: bytes by the number of the peer.

use std::rc::Rc;

use crate::content::Content;
use crate::target::Target;

use super::StormPlan;

/// How the peers of a storm behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// A request's head, a piece at a time, without end.
    SlowHead,
    /// A request's body, a piece at a time, far from its end.
    SlowBody,
    /// Ask, and take a piece of the answer at a time, or nothing of it.
    SlowReader,
    /// Connect and say nothing.
    Silent,
    /// The first bytes of a TLS ClientHello, then nothing.
    HalfHandshake,
    /// Half of a body that was announced, then away.
    AbortedUpload,
    /// Heads with too many fields, a field that is too long, a target that is too long.
    HeaderFlood,
    /// Many requests in one piece; every answer is verified, in order.
    Pipelining,
    /// Bytes that are no HTTP, or HTTP that contradicts itself.
    Garbage,
}

impl Manner {
    /// Every manner.
    pub const ALL: [Self; 9] = [
        Self::SlowHead,
        Self::SlowBody,
        Self::SlowReader,
        Self::Silent,
        Self::HalfHandshake,
        Self::AbortedUpload,
        Self::HeaderFlood,
        Self::Pipelining,
        Self::Garbage,
    ];

    /// The word for it on command lines and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowHead => "slow-head",
            Self::SlowBody => "slow-body",
            Self::SlowReader => "slow-reader",
            Self::Silent => "silent",
            Self::HalfHandshake => "half-handshake",
            Self::AbortedUpload => "aborted-upload",
            Self::HeaderFlood => "header-flood",
            Self::Pipelining => "pipelining",
            Self::Garbage => "garbage",
        }
    }
}

/// What peers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Whatever comes.
    All,
    /// So many bytes each time that a piece is due; none at all with 0.
    Pieces(u32),
}

/// What all peers of a storm do.
pub(super) struct Script {
    /// Peer number n begins with opening n modulo their number.
    openings: Vec<Rc<[u8]>>,
    /// What each then sends again and again.
    pub(super) piece: Option<Rc<[u8]>>,
    pub(super) reading: Reading,
    /// Away, once the opening is out.
    pub(super) leaves: bool,
    /// A longer answer cannot be an aborted one.
    pub(super) whole_bytes: Option<u64>,
    /// Answers that each awaits and verifies; then it leaves.
    pub(super) answers: Option<u32>,
}

impl Script {
    pub(super) fn of(plan: &StormPlan) -> Self {
        let target = &plan.aim.target;
        let piece = || Some(Rc::from(vec![b'a'; plan.piece_bytes as usize]));
        let plain = |openings: Vec<Vec<u8>>| Self {
            openings: openings.into_iter().map(Rc::from).collect(),
            piece: None,
            reading: Reading::All,
            leaves: false,
            whole_bytes: None,
            answers: None,
        };
        let get = head("GET", target, "\r\n");
        match plan.manner {
            Manner::SlowHead => {
                Self { piece: piece(), ..plain(vec![head("GET", target, "X-Slow: ")]) }
            }
            Manner::SlowBody => {
                let fields = format!("Content-Length: {ENDLESS_BYTES}\r\n\r\n");
                Self { piece: piece(), ..plain(vec![head("POST", target, &fields)]) }
            }
            Manner::SlowReader => Self {
                reading: Reading::Pieces(plan.piece_bytes),
                whole_bytes: Content::of_target(target.path()).map(|body| body.length_bytes()),
                ..plain(vec![get])
            },
            Manner::Silent => plain(vec![Vec::new()]),
            Manner::HalfHandshake => plain(vec![CLIENT_HELLO_PREFIX.to_vec()]),
            Manner::AbortedUpload => {
                let fields = format!("Content-Length: {UPLOAD_BYTES}\r\n\r\n");
                let half = vec![b'u'; UPLOAD_BYTES / 2];
                let opening = [head("POST", target, &fields), half].concat();
                Self { leaves: true, ..plain(vec![opening]) }
            }
            Manner::HeaderFlood => plain(header_floods(target)),
            Manner::Pipelining => {
                Self { answers: Some(plan.burst), ..plain(vec![get.repeat(plan.burst as usize)]) }
            }
            Manner::Garbage => plain(garbage(target)),
        }
    }

    /// What peer number `peer` says first.
    pub(super) fn opening(&self, peer: u32) -> Option<&Rc<[u8]>> {
        let index = peer as usize % self.openings.len().max(1);
        self.openings.get(index).filter(|opening| !opening.is_empty())
    }
}

/// A head up to where `rest` goes on.
fn head(method: &str, target: &Target, rest: &str) -> Vec<u8> {
    let (path, address) = (target.path(), target.address());
    let agent = "User-Agent: conn-bomb";
    format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{agent}\r\n{rest}").into_bytes()
}

fn header_floods(target: &Target) -> Vec<Vec<u8>> {
    let many: String = (0..MANY_FIELDS).map(|n| format!("X-Flood-{n}: {n}\r\n")).collect();
    let long = format!("X-Flood: {}\r\n", "f".repeat(LONG_BYTES));
    let address = target.address();
    let long_target =
        format!("GET /{} HTTP/1.1\r\nHost: {address}\r\n\r\n", "t".repeat(LONG_BYTES));
    vec![
        head("GET", target, &format!("{many}\r\n")),
        head("GET", target, &format!("{long}\r\n")),
        long_target.into_bytes(),
    ]
}

/// What no server may answer with success: noise, other protocols, contradictions
/// (RFC 9112 sections 2.2, 3.2, 5.1, 6.1, 6.3).
fn garbage(target: &Target) -> Vec<Vec<u8>> {
    let contradictory = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let twofold = "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef";
    vec![
        noise(512),
        vec![0; 512],
        CLIENT_HELLO_PREFIX.to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"SSH-2.0-bomb\r\n\r\n".to_vec(),
        format!("GET {} HTTP/1.1\r\n\r\n", target.path()).into_bytes(),
        head("GET", target, "X Bad: space\r\n\r\n"),
        head("GET", target, "X-Bad : space\r\n\r\n"),
        head("POST", target, contradictory),
        head("POST", target, twofold),
        head("POST", target, "Transfer-Encoding: gzip, chunked, gzip\r\n\r\n"),
    ]
}

/// Bytes without a line end, the same each time (xorshift).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // Above 0x80: no byte that a head could begin with.
        Some(state.to_be_bytes()[0] | 0x80)
    };
    let mut step = step;
    std::iter::from_fn(&mut step).take(len).collect()
}

/// A record of type handshake, a ClientHello of 508 bytes, of which only the version and half of
/// the random follow (RFC 8446 sections 4.1.2 and 5.1).
const CLIENT_HELLO_PREFIX: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03half of 32 bytes";
/// Longer than any peer lasts, and allowed by a server's usual bounds.
const ENDLESS_BYTES: u64 = 64 << 20;
const UPLOAD_BYTES: usize = 64 << 10;
const MANY_FIELDS: u32 = 500;
const LONG_BYTES: usize = 300 << 10;
