//! Names of things that completions speak about: tokens, listeners, instants.

/// Names one connection: the slot that holds it and the generation of its stay there.
///
/// The caller chooses the generation (24 bits; a counter per slot will do) when it first uses a
/// slot that `Accepted` or `Connected` gave out, and changes it before the slot is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// Slot number, below [`Transport::slot_count`](crate::Transport::slot_count).
    pub slot: u32,
    /// Generation of the slot's use, 24 bits.
    pub generation: u32,
}

impl Token {
    /// A token of `slot`; of `generation` the lower 24 bits count.
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation: generation & Self::GENERATION_MAX }
    }

    /// Largest generation: 24 bits. After it comes zero.
    pub const GENERATION_MAX: u32 = (1 << 24) - 1;
}

/// Names one listener of one transport, in the order of `listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u16);

/// By what a connection is secured, in the words of logs; empty ones for a plain connection, and
/// where nothing is known any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite by its name at IANA.
    pub suite: &'static str,
}

/// One instant on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Microseconds since the transport was made. Never goes back.
    pub monotonic_us: u64,
    /// Wall clock, milliseconds since 1970-01-01T00:00:00Z.
    pub unix_ms: u64,
}
