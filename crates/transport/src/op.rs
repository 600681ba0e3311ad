//! Ops: what a ring has under way, how it is named in `user_data`, and the table of those that own
//! memory.
//!
//! ```text
//! user_data:  63      56 55                    32 31                                   0
//!            ┌──────────┬────────────────────────┬──────────────────────────────────────┐
//!            │ kind     │ generation of token    │ direct index, or op index            │
//!            └──────────┴────────────────────────┴──────────────────────────────────────┘
//! ```
//! Ops without memory (park, shutdown, close, cancel) are named by the slot's direct index: there
//! is one of each per slot at most. Ops with memory are named by their record in the table.

/// What an op does; the upper byte of `user_data`. Zero is never used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OpKind {
    Park = 1,
    Shutdown = 2,
    Close = 3,
    Cancel = 4,
    Receive = 5,
    Send = 6,
    Accept = 7,
    Install = 8,
    Connect = 9,
    Watch = 10,
}

impl OpKind {
    const ALL: [Self; 10] = [
        Self::Park,
        Self::Shutdown,
        Self::Close,
        Self::Cancel,
        Self::Receive,
        Self::Send,
        Self::Accept,
        Self::Install,
        Self::Connect,
        Self::Watch,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte.checked_sub(1)?)).copied()
    }
}

/// The name of an op, packed as the kernel carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserData {
    pub(crate) kind: OpKind,
    /// 24 bits.
    pub(crate) generation: u32,
    /// Direct index or op index.
    pub(crate) index: u32,
}

impl UserData {
    pub(crate) const fn new(kind: OpKind, generation: u32, index: u32) -> Self {
        Self { kind, generation, index }
    }

    pub(crate) const fn pack(self) -> u64 {
        (self.kind as u64) << 56 | (self.generation as u64 & 0xff_ffff) << 32 | self.index as u64
    }

    /// `None` for a number that no op of ours carries.
    pub(crate) fn unpack(packed: u64) -> Option<Self> {
        let [kind, ..] = packed.to_be_bytes();
        Some(Self {
            kind: OpKind::from_byte(kind)?,
            generation: (packed >> 32) as u32 & 0xff_ffff,
            index: packed as u32,
        })
    }
}

/// The plain part of an op with memory; its body lives beside it, at a fixed address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpHeader {
    /// `None` while the record is free.
    pub(crate) kind: Option<OpKind>,
    /// Generation in the op's `user_data`.
    pub(crate) generation: u32,
    /// Direct index of the slot, or number of the listener, or of what is watched.
    pub(crate) owner: u32,
    /// The slot's other op with memory, or the next free record.
    next: OpLink,
}

/// An optional op index in four bytes; zero is none, so that zeroed memory is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpLink(u32);

impl OpLink {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn to(op: u32) -> Self {
        Self(op + 1)
    }

    pub(crate) const fn get(self) -> Option<u32> {
        self.0.checked_sub(1)
    }

    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    pub(crate) const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

/// Records of ops with memory: a free list, and lists of at most two per slot.
#[derive(Debug, Default)]
pub(crate) struct OpTable {
    headers: Vec<OpHeader>,
    free: OpLink,
}

impl OpTable {
    /// A record for `kind`; grows the table when all are in use.
    pub(crate) fn allocate(&mut self, kind: OpKind, generation: u32, owner: u32) -> u32 {
        let header = OpHeader { kind: Some(kind), generation, owner, next: OpLink::NONE };
        if let Some((op, place)) = self.first_free() {
            let next = place.next;
            *place = header;
            self.free = next;
            return op;
        }
        self.headers.push(header);
        (self.headers.len() - 1) as u32
    }

    /// Frees a record; returns what it was. `None` when it was free already.
    pub(crate) fn release(&mut self, op: u32) -> Option<OpHeader> {
        let place = self.headers.get_mut(op as usize)?;
        let header = *place;
        header.kind?;
        place.kind = None;
        place.next = self.free;
        self.free = OpLink::to(op);
        Some(header)
    }

    /// What the record of `op` holds.
    pub(crate) fn header(&self, op: u32) -> Option<&OpHeader> {
        self.headers.get(op as usize).filter(|header| header.kind.is_some())
    }

    /// Changes what the record of `op` is for: the next step of one piece of work.
    pub(crate) fn retarget(&mut self, op: u32, kind: OpKind) {
        if let Some(header) = self.headers.get_mut(op as usize) {
            header.kind = Some(kind);
        }
    }

    /// Puts `op` in front of a slot's list `first`; returns the new front.
    pub(crate) fn link(&mut self, first: OpLink, op: u32) -> OpLink {
        if let Some(header) = self.headers.get_mut(op as usize) {
            header.next = first;
        }
        OpLink::to(op)
    }

    /// Takes the released `op`, whose record was `header`, out of the list `first`.
    pub(crate) fn unlink(&mut self, first: OpLink, op: u32, header: &OpHeader) -> OpLink {
        if first == OpLink::to(op) {
            return header.next;
        }
        // At most two ops per slot: `op` can only be the second one.
        if let Some(front) = first.get().and_then(|front| self.headers.get_mut(front as usize)) {
            front.next = OpLink::NONE;
        }
        first
    }

    /// The ops of a slot's list.
    pub(crate) fn list(&self, first: OpLink) -> impl Iterator<Item = u32> + '_ {
        let next = |op: &u32| self.header(*op).and_then(|header| header.next.get());
        std::iter::successors(first.get(), next)
    }

    /// Every op of `kind` that belongs to `owner`. O(table): for cold paths.
    pub(crate) fn find(&self, kind: OpKind, owner: u32) -> impl Iterator<Item = u32> + '_ {
        let wanted = move |header: &OpHeader| header.kind == Some(kind) && header.owner == owner;
        (0_u32..).zip(&self.headers).filter(move |(_, header)| wanted(header)).map(|(op, _)| op)
    }

    fn first_free(&mut self) -> Option<(u32, &mut OpHeader)> {
        let op = self.free.get()?;
        Some((op, self.headers.get_mut(op as usize)?))
    }
}
