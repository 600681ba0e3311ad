//! Which slots are secured, and where what is known of them lies: one bit per slot, which is all
//! that a plain connection costs, and four bytes that only secured ones touch.

/// What is known of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// Nothing: it is plain, or free.
    Plain,
    /// It was accepted and has said nothing yet.
    Greeting {
        /// Its token's, once that is known.
        generation: Option<u32>,
    },
    /// Its session lies in the table of the parked.
    Parked {
        /// Its token's.
        generation: u32,
        /// A park is in flight below, and its caller has parked.
        is_armed: bool,
    },
    /// It is in the list of the live, at this place.
    Live(u32),
}

/// The cells of all slots; zeroed memory, handed out page by page as it is first used.
pub(super) struct Cells {
    bits: Vec<u64>,
    words: Vec<u32>,
}

impl Cells {
    pub(super) fn new(slots: usize) -> Self {
        Self { bits: vec![0; slots.div_ceil(64)], words: vec![0; slots] }
    }

    /// Whether the slot is secured.
    #[inline]
    pub(super) fn is_secured(&self, slot: u32) -> bool {
        let word = self.bits.get(slot as usize / 64).copied().unwrap_or(0);
        word >> (slot % 64) & 1 != 0
    }

    pub(super) fn get(&self, slot: u32) -> Cell {
        let word = self.words.get(slot as usize).copied().unwrap_or(0);
        let value = word & VALUE;
        match word & TAG {
            GREETING if word & FLAG == 0 => Cell::Greeting { generation: None },
            GREETING => Cell::Greeting { generation: Some(value) },
            PARKED => Cell::Parked { generation: value, is_armed: word & FLAG != 0 },
            LIVE => Cell::Live(value),
            _ => Cell::Plain,
        }
    }

    pub(super) fn set(&mut self, slot: u32, cell: Cell) {
        let flag = |is_set: bool| if is_set { FLAG } else { 0 };
        let word = match cell {
            Cell::Plain => 0,
            Cell::Greeting { generation } => {
                GREETING | flag(generation.is_some()) | generation.unwrap_or(0) & VALUE
            }
            Cell::Parked { generation, is_armed } => PARKED | flag(is_armed) | generation & VALUE,
            Cell::Live(place) => LIVE | place & VALUE,
        };
        let (Some(place), Some(bits)) =
            (self.words.get_mut(slot as usize), self.bits.get_mut(slot as usize / 64))
        else {
            return;
        };
        *place = word;
        let bit = 1 << (slot % 64);
        if word == 0 { *bits &= !bit } else { *bits |= bit }
    }
}

const TAG: u32 = 3 << 30;
const GREETING: u32 = 1 << 30;
const PARKED: u32 = 2 << 30;
const LIVE: u32 = 3 << 30;
const FLAG: u32 = 1 << 29;
/// A generation has 24 bits, and there are fewer slots in one transport than this can count.
const VALUE: u32 = FLAG - 1;
