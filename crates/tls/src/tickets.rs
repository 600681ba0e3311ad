//! Stateless tickets (RFC 8446, section 4.6.1; RFC 5077): what resumption needs travels with the
//! client, sealed under keys that live in memory only and are exchanged every so often.
//!
//! ```text
//!  key name 16 | nonce 12 | AES-256-GCM(ticket) | tag 16       associated data: the key name
//! ```
//!
//! A ticket is good under the current key or the one before, so between one and two rotations.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// Seals and opens tickets; one per acceptor, kept over reloads.
pub(crate) struct Ticketer {
    rotation: Duration,
    keys: Mutex<Ring>,
}

/// The key that seals, the one before it, and when to exchange them.
struct Ring {
    current: Option<Arc<TicketKey>>,
    previous: Option<Arc<TicketKey>>,
    since: Instant,
    sealed: u64,
}

struct TicketKey {
    name: [u8; NAME_BYTES],
    key: LessSafeKey,
}

impl TicketKey {
    /// None if the system has no random bytes.
    fn random() -> Option<Arc<Self>> {
        let random = SystemRandom::new();
        let mut name = [0; NAME_BYTES];
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut name).ok()?;
        random.fill(key.as_mut()).ok()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).ok()?);
        Some(Arc::new(Self { name, key }))
    }

    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut ticket = vec![0; NAME_BYTES + NONCE_LEN + plain.len() + TAG_BYTES];
        let (front, body) = ticket.split_at_mut_checked(NAME_BYTES + NONCE_LEN)?;
        front.get_mut(..NAME_BYTES)?.copy_from_slice(&self.name);
        front.get_mut(NAME_BYTES..)?.copy_from_slice(&nonce);
        let (cipher, tag) = body.split_at_mut_checked(plain.len())?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(self.name);
        self.key.seal_out_of_place_scatter(nonce, aad, plain, cipher, &[], tag).ok()?;
        Some(ticket)
    }

    fn open(&self, nonce: [u8; NONCE_LEN], body: &[u8]) -> Option<Vec<u8>> {
        let (cipher, tag) = body.split_at_checked(body.len().checked_sub(TAG_BYTES)?)?;
        let mut plain = vec![0; cipher.len()];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(self.name);
        self.key.open_separate_gather(nonce, aad, cipher, tag, &mut plain).ok()?;
        Some(plain)
    }
}

impl Ticketer {
    /// Tickets whose key changes every `rotation`. None if the system has no random bytes.
    pub(crate) fn new(rotation: Duration, now: Instant) -> Option<Self> {
        let current = Some(TicketKey::random()?);
        let keys = Mutex::new(Ring { current, previous: None, since: now, sealed: 0 });
        Some(Self { rotation, keys })
    }

    pub(crate) fn seal_at(&self, plain: &[u8], now: Instant) -> Option<Vec<u8>> {
        let mut ring = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        ring.rotate(self.rotation, now);
        ring.sealed += 1;
        let key = ring.current.clone()?;
        drop(ring);
        key.seal(plain)
    }

    pub(crate) fn open_at(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>()?;
        if body.len() > TICKET_BYTES_MAX {
            return None;
        }
        let mut ring = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        ring.rotate(self.rotation, now);
        let keys = [&ring.current, &ring.previous];
        // The names are no secret: they stand on every ticket.
        let key = Arc::clone(keys.into_iter().flatten().find(|key| key.name == *name)?);
        drop(ring);
        key.open(*nonce, body)
    }
}

impl Ring {
    /// Exchanges the keys when it is time, or when one has sealed as many tickets as random
    /// nonces allow. After two rotations without a call both keys are new.
    fn rotate(&mut self, rotation: Duration, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age < rotation && self.sealed < SEALED_MAX {
            return;
        }
        let last = self.current.take();
        let is_one_late = age < rotation.saturating_mul(2);
        self.previous = last.filter(|_| is_one_late);
        self.current = TicketKey::random();
        // From one exchange to the next by the clock, not by the calls: no key lives longer.
        self.since = if age >= rotation && is_one_late { self.since + rotation } else { now };
        self.sealed = 0;
    }
}

impl std::fmt::Debug for Ticketer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ticketer").field("rotation", &self.rotation).finish_non_exhaustive()
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        // RFC 8446, 4.6.1: seven days at most.
        let seconds = self.rotation.saturating_mul(2).as_secs().min(LIFETIME_MAX_SECONDS);
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal_at(plain, Instant::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open_at(cipher, Instant::now())
    }
}

const NAME_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
/// A ticket holds at most a client's certificates beside the secret.
const TICKET_BYTES_MAX: usize = 64 << 10;
/// Tickets under one key: random nonces of 96 bits bound it to 2^32 (SP 800-38D, 8.3).
const SEALED_MAX: u64 = 1 << 30;
const LIFETIME_MAX_SECONDS: u64 = 7 * 24 * 60 * 60;

#[cfg(test)]
mod tests;
