//! A peer that says what it likes: records of any type, padding and length, under known secrets.

use aws_lc_rs::aead::Aad;

use crate::Role;
use crate::frame::Header;
use crate::keys::{Keys, Secret};
use crate::limits::HEADER_BYTES;
use crate::record::{Direction, Records};
use crate::suite::Suite;

/// One direction of a connection under our pen.
pub(crate) struct Forge {
    suite: Suite,
    pub(crate) secret: Secret,
    pub(crate) sequence: u64,
}

impl Forge {
    pub(crate) fn new(suite: Suite, seed: u8) -> Self {
        Self { suite, secret: secret(suite, seed), sequence: 0 }
    }

    /// A record of this content type, with so many zeros behind it.
    pub(crate) fn record(&mut self, content_type: u8, content: &[u8], zeros: usize) -> Vec<u8> {
        let mut inner = content.to_vec();
        inner.push(content_type);
        inner.resize(inner.len() + zeros, 0);
        self.seal([3, 3], inner)
    }

    /// A record around these inner bytes, whatever they are.
    pub(crate) fn seal(&mut self, version: [u8; 2], mut inner: Vec<u8>) -> Vec<u8> {
        let header = Header { content_type: 23, version, body_bytes: inner.len() + 16 }.bytes();
        let keys = Keys::new(self.suite, &self.secret).expect("keys");
        let nonce = keys.nonce(self.sequence);
        self.sequence += 1;
        let tag = keys
            .aead
            .seal_in_place_separate_tag(nonce, Aad::from(header), &mut inner)
            .expect("sealed");
        [&header, inner.as_slice(), tag.as_ref()].concat()
    }

    /// Opens one record; its content with the type behind it, and what follows the record.
    pub(crate) fn open<'a>(&mut self, wire: &'a [u8]) -> Option<(Vec<u8>, &'a [u8])> {
        let header = Header::read(wire)?;
        let mut body = wire.get(HEADER_BYTES..header.record_bytes())?.to_vec();
        let keys = Keys::new(self.suite, &self.secret).expect("keys");
        let nonce = keys.nonce(self.sequence);
        let inner = keys.aead.open_in_place(nonce, Aad::from(header.bytes()), &mut body).ok()?;
        self.sequence += 1;
        Some((inner.to_vec(), wire.get(header.record_bytes()..)?))
    }

    /// The next generation of the secret.
    pub(crate) fn update(&mut self) {
        self.secret = self.secret.next(self.suite).expect("a secret");
        self.sequence = 0;
    }
}

/// A secret that the seed determines.
pub(crate) fn secret(suite: Suite, seed: u8) -> Secret {
    let bytes: Vec<u8> = (0..suite.secret_bytes()).map(|at| at as u8 ^ seed).collect();
    Secret::new(suite, &bytes).expect("a secret")
}

/// A session under known secrets, and both directions of its peer: what the peer says, and what
/// it hears.
pub(crate) fn session(role: Role, suite: Suite) -> (Records, Forge, Forge) {
    let tx = Direction::new(secret(suite, SAYS), 0);
    let rx = Direction::new(secret(suite, HEARS), 0);
    (Records::new(role, suite, tx, rx), Forge::new(suite, HEARS), Forge::new(suite, SAYS))
}

const SAYS: u8 = 0x55;
const HEARS: u8 = 0xaa;
