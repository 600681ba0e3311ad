//! The parked form of a TLS 1.3 session: 128 bytes of plain data, and the table that holds them.
//!
//! ```text
//!   0  secret that we send under    48   a zero tail where the hash has 32 bytes
//!  48  secret that we receive under 48
//!  96  sequence number, sending      8   little-endian, both
//! 104  sequence number, receiving    8
//! 112  version of this form          1   1
//! 113  suite                         1   1, 2, 3; 0 = no session
//! 114  flags                         1   1 client · 2 peer has closed · 4 we have closed
//! 115  key updates without data      1
//! 116  empty records in a row        1
//! 117  messages without data         1
//! 118  zero                         10
//! ```
//!
//! The form is canonical (TL-4): what decodes encodes to the same bytes. It holds no key: those
//! are derived at wake. It is to live in memory only, or to go to a successor of this process.

use zeroize::Zeroize as _;

#[cfg(doc)]
use crate::Session;
use crate::keys::{SECRET_BYTES_MAX, Secret};
use crate::limits::{EMPTY_RECORDS_MAX, KEY_UPDATES_MAX, MESSAGES_MAX};
use crate::suite::Suite;

/// Bytes of a parked session.
pub const PARKED_BYTES: usize = 128;

/// All that a resting TLS 1.3 session is. All zero = none. Wiped when it falls (TL-2).
#[repr(transparent)]
pub struct Parked([u64; WORDS]);

impl Drop for Parked {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Parked {
    /// The form in these words, whatever they say: [`Session::wake`] judges them.
    pub const fn from_words(words: [u64; WORDS]) -> Self {
        Self(words)
    }

    /// Whether there is no session in it.
    pub fn is_none(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    /// The plain data, for a table or for a successor of this process.
    pub const fn as_words(&self) -> &[u64; WORDS] {
        &self.0
    }

    pub(crate) fn encode(state: &State) -> Self {
        let mut parked = Self([0; WORDS]);
        let (tx, rest) = parked.0.split_at_mut(SECRET_WORDS);
        let (rx, rest) = rest.split_at_mut(SECRET_WORDS);
        words_of(state.tx_secret.padded(), tx);
        words_of(state.rx_secret.padded(), rx);
        let small = [
            VERSION,
            state.suite as u8,
            state.flags,
            state.key_updates,
            state.empty_records,
            state.messages,
            0,
            0,
        ];
        let values = [state.tx_sequence, state.rx_sequence, u64::from_le_bytes(small), 0];
        for (word, value) in rest.iter_mut().zip(values) {
            *word = value;
        }
        parked
    }

    /// # Errors
    /// [`WakeError`] if there is no session in it, or if it is none that this version made.
    pub(crate) fn decode(&self) -> Result<State, WakeError> {
        if self.is_none() {
            return Err(WakeError::None);
        }
        let [secrets @ .., tx_sequence, rx_sequence, small, zero] = &self.0;
        let (tx, rx) = secrets.split_at(SECRET_WORDS);
        let [version, suite, flags, key_updates, empty_records, messages, zero_a, zero_b] =
            small.to_le_bytes();
        let suite = Suite::from_byte(suite).ok_or(WakeError::Corrupt)?;
        let records_max = suite.records_max();
        let is_sound = version == VERSION
            && flags & !FLAGS_ALL == 0
            && key_updates <= KEY_UPDATES_MAX
            && empty_records <= EMPTY_RECORDS_MAX
            && messages <= MESSAGES_MAX
            && (zero_a, zero_b, *zero) == (0, 0, 0)
            && *tx_sequence <= records_max
            && *rx_sequence < u64::MAX;
        let state = State {
            suite,
            flags,
            key_updates,
            empty_records,
            messages,
            tx_secret: secret_of(tx),
            rx_secret: secret_of(rx),
            tx_sequence: *tx_sequence,
            rx_sequence: *rx_sequence,
        };
        let has_tail = |secret: &Secret| {
            secret.padded().iter().skip(suite.secret_bytes()).any(|&byte| byte != 0)
        };
        if !is_sound || has_tail(&state.tx_secret) || has_tail(&state.rx_secret) {
            return Err(WakeError::Corrupt);
        }
        Ok(state)
    }
}

/// What the form says, in fields.
pub(crate) struct State {
    pub(crate) suite: Suite,
    pub(crate) flags: u8,
    pub(crate) key_updates: u8,
    pub(crate) empty_records: u8,
    pub(crate) messages: u8,
    pub(crate) tx_secret: Secret,
    pub(crate) rx_secret: Secret,
    pub(crate) tx_sequence: u64,
    pub(crate) rx_sequence: u64,
}

/// Why a parked form cannot be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WakeError {
    /// There is no session in it.
    #[error("no session is parked here")]
    None,
    /// These bytes are no parked session.
    #[error("the parked session is damaged")]
    Corrupt,
}

/// The parked sessions of a transport's slots: 4 bytes for a slot that ever had one, and 128 for
/// each session that there was at once. Memory is zeroed and handed out by the system page by page,
/// so slots without TLS cost none: neither all of them, nor those that lie between others, as the
/// two halves of tunnels do.
pub struct ParkedTable {
    /// The place of each slot's session in `cells`, from 1 on; 0 = none.
    places: Vec<u32>,
    cells: Vec<[u64; WORDS]>,
    /// Cells below this one have been in use.
    used: u32,
    /// Those of them that are free again, and wiped.
    free: Vec<u32>,
}

impl ParkedTable {
    /// A table of `slots` slots without sessions.
    pub fn new(slots: usize) -> Self {
        let cells = vec![[0; WORDS]; slots];
        Self { places: vec![0; slots], cells, used: 0, free: Vec::new() }
    }

    /// Keeps a slot's session in the place of the one that is there. False if there is no such
    /// slot, in which case the session is lost.
    #[must_use]
    pub fn put(&mut self, slot: usize, parked: &Parked) -> bool {
        let Some(place) = self.places.get_mut(slot) else {
            return false;
        };
        if *place == 0 {
            *place = self.free.pop().unwrap_or_else(|| {
                self.used += 1;
                self.used
            });
        }
        let cell = cell_mut(&mut self.cells, *place);
        cell.into_iter().for_each(|cell| *cell = parked.0);
        true
    }

    /// Takes out a slot's session, which is wiped here. None where there is none.
    #[must_use]
    pub fn take(&mut self, slot: usize) -> Option<Parked> {
        let place = std::mem::take(self.places.get_mut(slot)?);
        let cell = cell_mut(&mut self.cells, place)?;
        let parked = Parked(*cell);
        cell.zeroize();
        self.free.push(place);
        (!parked.is_none()).then_some(parked)
    }

    /// The suite of a slot's session. None where there is none.
    pub fn suite(&self, slot: usize) -> Option<Suite> {
        let place = usize::try_from(*self.places.get(slot)?).ok()?;
        let [.., small, _zero] = self.cells.get(place.checked_sub(1)?)?;
        let [_version, suite, ..] = small.to_le_bytes();
        Suite::from_byte(suite)
    }

    /// Number of slots.
    pub fn slots(&self) -> usize {
        self.places.len()
    }
}

impl Drop for ParkedTable {
    fn drop(&mut self) {
        self.cells.iter_mut().take(self.used as usize).for_each(|cell| cell.zeroize());
    }
}

/// The cell of a place; there is one for each that was given.
fn cell_mut(cells: &mut [[u64; WORDS]], place: u32) -> Option<&mut [u64; WORDS]> {
    cells.get_mut((place as usize).checked_sub(1)?)
}

fn words_of(bytes: &[u8; SECRET_BYTES_MAX], words: &mut [u64]) {
    let (chunks, _) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter_mut().zip(chunks) {
        *word = u64::from_le_bytes(*chunk);
    }
}

fn secret_of(words: &[u64]) -> Secret {
    let mut bytes = [0; SECRET_BYTES_MAX];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    let secret = Secret::from_padded(bytes);
    bytes.zeroize();
    secret
}

/// The peer is the server: we are the client.
pub(crate) const FLAG_CLIENT: u8 = 1;
/// The peer has sent its close_notify.
pub(crate) const FLAG_PEER_CLOSED: u8 = 2;
/// We have sent ours.
pub(crate) const FLAG_CLOSED: u8 = 4;
const FLAGS_ALL: u8 = FLAG_CLIENT | FLAG_PEER_CLOSED | FLAG_CLOSED;

const VERSION: u8 = 1;
/// Words of a parked session.
pub const WORDS: usize = PARKED_BYTES / size_of::<u64>();
const SECRET_WORDS: usize = SECRET_BYTES_MAX / size_of::<u64>();

const _: () = assert!(size_of::<Parked>() == PARKED_BYTES);
const _: () = assert!(2 * SECRET_WORDS + 4 == WORDS);

#[cfg(test)]
mod tests;
