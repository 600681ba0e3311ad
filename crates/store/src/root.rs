//! Large objects: a body in slices, and a root that names them. Pure functions, and the list by
//! which readers of a growing object find its slices.
//!
//! ```text
//! root   key │ tags │ object 8 │ body bytes 8 │ slice bytes 4 │ zero 4 │ head     no body
//!                        └──────────┐
//!        slice 0          slice 1   ▼           slice n: key = object 8 │ n 8
//!        ├─ slice bytes ──┼─ slice bytes ─┼ … ──┼─ the rest ─┤
//! ```
//! Root and slices are ordinary records, each on its own in a segment: they are found through the
//! index, copied and evicted one by one. The object's number is a sequence, which is never given
//! out twice (ST-4), so a slice belongs to one body for ever. The root is written when all slices
//! are (ST-2), or before the first, of an outline. What is purged, replaced or outranked is the
//! root; slices without one are reached by nobody and go with their segments.

use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::{Kind, put, u32_at, u64_at};
use crate::record::Record;

/// Key of a slice.
pub(crate) fn slice_key(object: u64, number: u64) -> [u8; SLICE_KEY_BYTES] {
    let mut key = [0; SLICE_KEY_BYTES];
    put(&mut key, 0, &object.to_le_bytes());
    put(&mut key, 8, &number.to_le_bytes());
    key
}

/// What a root says in front of the object's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) object: u64,
    pub(crate) body_bytes: u64,
    /// Of every slice but the last.
    pub(crate) slice_bytes: u32,
}

impl Root {
    pub(crate) fn encode(self) -> [u8; ROOT_BYTES] {
        let mut bytes = [0; ROOT_BYTES];
        put(&mut bytes, 0, &self.object.to_le_bytes());
        put(&mut bytes, 8, &self.body_bytes.to_le_bytes());
        put(&mut bytes, 16, &self.slice_bytes.to_le_bytes());
        bytes
    }

    /// What a root's head begins with; `None` when it is not what this version writes.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let bytes = head.get(..ROOT_BYTES)?;
        if bytes[20..] != [0; 4] {
            return None;
        }
        let root = Self {
            object: u64_at(bytes, 0),
            body_bytes: u64_at(bytes, 8),
            slice_bytes: u32_at(bytes, 16),
        };
        (root.slice_bytes > 0).then_some(root)
    }

    /// How many slices there are.
    pub(crate) fn slice_count(self) -> u64 {
        self.body_bytes.div_ceil(u64::from(self.slice_bytes))
    }

    /// Number of the slice with a byte of the body.
    pub(crate) fn slice_of(self, offset: u64) -> u64 {
        offset / u64::from(self.slice_bytes)
    }

    /// The bytes of the body that a slice has.
    pub(crate) fn slice_range(self, number: u64) -> Range<u64> {
        let start = number.saturating_mul(u64::from(self.slice_bytes)).min(self.body_bytes);
        start..start.saturating_add(u64::from(self.slice_bytes)).min(self.body_bytes)
    }

    /// The slices that a range of the body lies in.
    pub(crate) fn slices_of(self, range: &Range<u64>) -> Range<u64> {
        if range.is_empty() {
            return 0..0;
        }
        self.slice_of(range.start)..self.slice_of(range.end - 1) + 1
    }
}

impl Record {
    /// Number of a body in slices, never given to another; a new head over it keeps the number, see
    /// [`Writer::rehead`](crate::Writer::rehead). `None` of what is not in slices.
    pub fn body_number(&self) -> Option<u64> {
        self.root().map(|root| root.object)
    }
}

/// What a slot is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sought<'a> {
    /// An object by its key.
    Key(&'a [u8]),
    /// A slice by its key, which is not compared with keys of objects: those are opaque.
    Slice(&'a [u8]),
    /// Whatever is there.
    Any,
}

impl Sought<'_> {
    pub(crate) fn is(self, kind: Kind, key: &[u8]) -> bool {
        match (self, kind) {
            (Self::Key(sought), Kind::Object | Kind::Root) | (Self::Slice(sought), Kind::Slice) => {
                sought == key
            }
            (Self::Key(_), Kind::Slice) | (Self::Slice(_), Kind::Object | Kind::Root) => false,
            (Self::Any, Kind::Object | Kind::Root | Kind::Slice) => true,
        }
    }
}

/// Where the body of a record that is being filled lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyPlace {
    pub(crate) segment: u32,
    pub(crate) generation: u64,
    pub(crate) body_at: u32,
}

/// A sliced body as its readers see it while it is filled.
#[derive(Debug)]
pub(crate) struct Growth {
    pub(crate) slice_bytes: u32,
    pub(crate) body_bytes: Option<u64>,
    places: Places,
    written: AtomicU64,
}

impl Growth {
    pub(crate) fn new(slice_bytes: u32, body_bytes: Option<u64>) -> Self {
        let (places, written) = (Places::default(), AtomicU64::new(0));
        Self { slice_bytes, body_bytes, places, written }
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Says where a slice is, before any of its bytes count as written.
    pub(crate) fn place(&self, number: u64, place: BodyPlace) {
        self.places.set(number, place);
    }

    /// The first `written` bytes can be read.
    pub(crate) fn show(&self, written: u64) {
        self.written.fetch_max(written, Ordering::Release);
    }

    /// The slice in which a range lies, if it is in one, and the bytes of it in there.
    pub(crate) fn find(&self, range: Range<u64>) -> Option<(BodyPlace, Range<u64>)> {
        let slice_bytes = u64::from(self.slice_bytes);
        let number = range.start / slice_bytes;
        let start = range.start - number * slice_bytes;
        let end = start.checked_add(range.end - range.start)?;
        let place = self.places.at(number).filter(|_| end <= slice_bytes)?;
        Some((place, start..end))
    }
}

/// A list that grows at its end while others read it, without a lock: shelf `n` has room for `2^n`.
#[derive(Debug, Default)]
struct Places([OnceLock<Box<[OnceLock<BodyPlace>]>>; SHELVES]);

impl Places {
    fn set(&self, number: u64, place: BodyPlace) {
        let (shelf, at) = locate(number);
        let Some(shelf_cell) = self.0.get(shelf) else { return };
        let places = shelf_cell.get_or_init(|| (0..1 << shelf).map(|_| OnceLock::new()).collect());
        if let Some(cell) = places.get(at) {
            // A slice is placed once.
            let _ = cell.set(place);
        }
    }

    fn at(&self, number: u64) -> Option<BodyPlace> {
        let (shelf, at) = locate(number);
        self.0.get(shelf)?.get()?.get(at)?.get().copied()
    }
}

fn locate(number: u64) -> (usize, usize) {
    let number = number.saturating_add(1);
    let shelf = number.ilog2();
    (shelf as usize, (number - (1 << shelf)) as usize)
}

/// Bytes of a slice's key.
pub(crate) const SLICE_KEY_BYTES: usize = 16;
/// Bytes of it in front of the object's head.
pub(crate) const ROOT_BYTES: usize = 24;
/// Two thousand million slices: more than any body has.
const SHELVES: usize = 31;
