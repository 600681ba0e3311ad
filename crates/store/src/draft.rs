//! An object on its way in: reserved, filled in order, then committed or abandoned.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::WriteError;
use crate::format::{Kind, Layout, RECORD_HEADER_BYTES};
use crate::index::Place;
use crate::keys::{ChunkSums, MacHasher};
use crate::reader::Extent;
use crate::root::BodyPlace;
use crate::slicing::Sliced;

/// What is to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Draft<'a> {
    /// Opaque; up to 64 KiB.
    pub key: &'a [u8],
    /// What the object can be purged by, beside its key: opaque, up to 64.
    pub tags: &'a [u64],
    /// Opaque; up to 64 KiB. Read back as [`Record::head`](crate::Record::head).
    pub head: &'a [u8],
    /// Exact length of the body in bytes; `None` when only its end will show it. Bodies above
    /// [`Config::slice_bytes`](crate::Config::slice_bytes) are stored in slices.
    pub body_len: Option<u64>,
    /// After how many milliseconds the record is of no use any more; `None` for never. Records that
    /// do not live long share segments, which are dropped whole; nothing is hidden from readers
    /// before.
    pub lifetime_ms: Option<u64>,
    /// What is lost of it while it is read can be fetched again, so that it may begin in memory,
    /// should it be large: see [`Config::large_on_probation`](crate::Config::large_on_probation).
    pub can_refetch: bool,
}

impl<'a> Draft<'a> {
    /// A record of `body_len` bytes behind `head`, without tags, of use until it is evicted, and
    /// which can be fetched again.
    pub const fn new(key: &'a [u8], head: &'a [u8], body_len: u64) -> Self {
        let body_len = Some(body_len);
        Self { body_len, ..Self::growing(key, head) }
    }

    /// As [`Draft::new`], of a length that is not known yet.
    pub const fn growing(key: &'a [u8], head: &'a [u8]) -> Self {
        Self { key, tags: &[], head, body_len: None, lifetime_ms: None, can_refetch: true }
    }
}

/// An open draft. Dropped, it is abandoned: its extents stay unused until their segments are
/// reclaimed.
pub struct Pending {
    pub(crate) filling: Filling,
    pub(crate) owner: Rc<dyn DraftOwner>,
}

/// What is being filled.
pub(crate) enum Filling {
    /// One record.
    Record(Rc<OpenDraft>),
    /// One slice after the other, or what may come to that.
    Slices(Box<Sliced>),
}

/// The writer, as a draft sees it.
pub(crate) trait DraftOwner {
    /// The draft takes no more bytes; its place among the open ones is free.
    fn end(&self, draft: &OpenDraft);
    /// The same for what is filled in slices.
    fn end_slices(&self, sliced: &Sliced);
    fn store(&self) -> u128;
}

impl Pending {
    /// Body bytes, counted from the front, that readers can see through the mapping.
    pub fn written(&self) -> u64 {
        match &self.filling {
            Filling::Record(draft) => draft.written_bytes(),
            Filling::Slices(sliced) => sliced.show_written(),
        }
    }

    /// A name by which readers on any thread find the written bytes.
    pub fn extent(&self) -> Extent {
        let store = self.owner.store();
        match &self.filling {
            Filling::Record(draft) => {
                let written = Arc::clone(&draft.written);
                Extent::of_record(store, draft.body_place(), draft.layout.body_bytes, written)
            }
            Filling::Slices(sliced) => Extent::of_slices(store, Arc::clone(&sliced.growth)),
        }
    }

    /// Body bytes that `append` still expects; of a body of unknown length, as many as it would
    /// take.
    pub fn remaining(&self) -> u64 {
        match &self.filling {
            Filling::Record(draft) => u64::from(draft.layout.body_bytes) - draft.received.get(),
            Filling::Slices(sliced) => sliced.remaining(),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        match &self.filling {
            Filling::Record(draft) => self.owner.end(draft),
            Filling::Slices(sliced) => self.owner.end_slices(sliced),
        }
    }
}

/// The state of a draft, shared by its [`Pending`] and the writes in flight for it.
pub(crate) struct OpenDraft {
    pub(crate) kind: Kind,
    /// The record that this is a copy of, and the frequency with which the copy starts.
    pub(crate) copy_of: Option<(Place, u8)>,
    pub(crate) segment: u32,
    pub(crate) generation: u64,
    pub(crate) sequence: u64,
    pub(crate) key_hash: u128,
    pub(crate) layout: Layout,
    pub(crate) header: [u8; RECORD_HEADER_BYTES],
    pub(crate) written: Arc<AtomicU64>,
    pub(crate) front: Cell<Front>,
    /// A staged block is on its way; one at a time.
    pub(crate) writing: Cell<bool>,
    /// A call on the draft is under way, or was dropped under way.
    pub(crate) busy: Cell<bool>,
    /// A newer draft of the key was committed, or the key was purged, after this draft began: it
    /// may complete, but is not published.
    pub(crate) outranked: Cell<bool>,
    /// The same for a soft purge: it is published as softly purged.
    pub(crate) softened: Cell<bool>,
    /// For purges of prefixes and tags; the tags as they lie in the record.
    pub(crate) key: Box<[u8]>,
    pub(crate) tags: Box<[u8]>,
    pub(crate) broken: Cell<Option<WriteError>>,
    /// Body bytes taken so far.
    pub(crate) received: Cell<u64>,
    /// Offsets in the segment: what has been staged, what has been written.
    pub(crate) staged_to: Cell<u32>,
    pub(crate) written_to: Cell<u32>,
    pub(crate) work: RefCell<Option<Work>>,
}

/// Whether the record header is on the device: the forward walk needs it even when the rest never
/// comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    Unwritten,
    Writing,
    Written,
}

/// The parts that only an unfinished draft needs.
pub(crate) struct Work {
    /// Header, key, tags, head and padding, until they are staged.
    pub(crate) prefix: Vec<u8>,
    pub(crate) mac: MacHasher,
    pub(crate) sums: ChunkSums,
}

impl OpenDraft {
    /// Where the record will lie.
    pub(crate) fn place(&self) -> Place {
        let (at, extent_bytes) = (self.layout.at, self.layout.extent_bytes);
        let place = Place::new(self.segment, at, self.generation, extent_bytes);
        if self.softened.get() { place.softened() } else { place }
    }

    /// Body bytes that readers can see.
    pub(crate) fn written_bytes(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Where its body will lie.
    pub(crate) fn body_place(&self) -> BodyPlace {
        let (segment, generation) = (self.segment, self.generation);
        BodyPlace { segment, generation, body_at: self.layout.body_at }
    }

    /// The block up to `to` has been written.
    pub(crate) fn advance(&self, to: u32) {
        self.written_to.set(to);
        let body_bytes = to.saturating_sub(self.layout.body_at).min(self.layout.body_bytes);
        self.written.store(u64::from(body_bytes), Ordering::Release);
    }

    /// Marks a call as under way. A mark that is found set was left by a call that was dropped.
    pub(crate) fn enter(&self) -> Result<(), WriteError> {
        if self.busy.replace(true) { Err(WriteError::Interrupted) } else { Ok(()) }
    }

    pub(crate) fn leave(&self) {
        self.busy.set(false);
    }
}
