//! The reactor's own bookkeeping of one slot: eight bytes (TR-8).
//!
//! ```text
//! 63       56 55                   32 31                         0
//! ┌─────────┬────────────────────────┬────────────────────────────┐
//! │ flags   │ generation             │ first op with memory       │
//! └─────────┴────────────────────────┴────────────────────────────┘
//! ```
//! All zero = free. A table is zeroed pages that cost nothing until a slot is used.

use crate::op::OpLink;

/// One slot, unpacked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlotState {
    flags: u8,
    pub(super) generation: u32,
    pub(super) first_op: OpLink,
}

impl SlotState {
    /// A socket stands in the slot.
    pub(super) const OPEN: u8 = 1;
    /// The caller has named it by a token; `generation` is valid.
    pub(super) const NAMED: u8 = 1 << 1;
    /// A park is in flight.
    pub(super) const PARKED: u8 = 1 << 2;
    /// A receive is in flight.
    pub(super) const RECEIVING: u8 = 1 << 3;
    /// A send is in flight.
    pub(super) const SENDING: u8 = 1 << 4;
    /// A shutdown is in flight.
    pub(super) const SHUTTING: u8 = 1 << 5;
    /// To be closed once nothing is in flight.
    pub(super) const CLOSING: u8 = 1 << 6;
    /// The close itself is in flight.
    pub(super) const CLOSE_SENT: u8 = 1 << 7;

    const IN_FLIGHT: u8 = Self::PARKED | Self::RECEIVING | Self::SENDING | Self::SHUTTING;

    /// Whether all of `flags` are set.
    pub(super) const fn has(self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// With `flags` set.
    pub(super) const fn with(mut self, flags: u8) -> Self {
        self.flags |= flags;
        self
    }

    /// With `flags` cleared.
    pub(super) const fn without(mut self, flags: u8) -> Self {
        self.flags &= !flags;
        self
    }

    /// Whether the slot may be closed now: asked for, and nothing in flight (TR-2).
    pub(super) const fn may_close(self) -> bool {
        self.flags & (Self::IN_FLIGHT | Self::CLOSE_SENT) == 0 && self.has(Self::CLOSING)
    }
}

/// The slots of one shard by direct index.
#[derive(Debug)]
pub(super) struct Slots {
    words: Vec<u64>,
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self { words: vec![0; count as usize] }
    }

    /// The state of `index`; free for an index beyond the table.
    pub(super) fn get(&self, index: u32) -> SlotState {
        let word = self.words.get(index as usize).copied().unwrap_or(0);
        SlotState {
            flags: (word >> 56) as u8,
            generation: (word >> 32) as u32 & 0xff_ffff,
            first_op: OpLink::from_bits(word as u32),
        }
    }

    pub(super) fn set(&mut self, index: u32, state: SlotState) {
        let word = u64::from(state.flags) << 56
            | u64::from(state.generation & 0xff_ffff) << 32
            | u64::from(state.first_op.bits());
        if let Some(place) = self.words.get_mut(index as usize) {
            *place = word;
        }
    }
}
