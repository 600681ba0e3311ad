//! Slices of the mapping, pinned: what the kernel sends from, and what others copy from.

use std::ops::{Deref, Range};

use bytes::Bytes;

use crate::error::ReadError;
use crate::pin::{Pinned, SegmentPin, SharedPin};

/// Bytes of the mapping under a pin of their own; the pin falls with the last clone.
///
/// As a `&[u8]` they are meant for the kernel: a system call that meets a page which the file
/// cannot give any more returns `EFAULT`. The same page kills a process that touches it by itself,
/// and one that is not in memory makes it wait. So programs that look at the bytes copy them first,
/// by [`PinnedSlice::copy_to`].
#[derive(Clone)]
pub struct PinnedSlice {
    pin: SegmentPin,
    range: Range<u32>,
}

impl PinnedSlice {
    /// Bytes that the pin's holder may read, see `Mapping::pinned`.
    pub(crate) fn new(pin: SegmentPin, range: Range<u32>) -> Self {
        Self { pin, range }
    }

    pub(crate) fn pin(&self) -> &SegmentPin {
        &self.pin
    }

    /// Within the segment.
    pub(crate) fn range(&self) -> Range<u32> {
        self.range.clone()
    }

    /// Length in bytes. Touches nothing.
    pub fn len(&self) -> usize {
        (self.range.end - self.range.start) as usize
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Copies the bytes from `offset` on that fill `into`; for encryption, compression, and
    /// whatever else looks at them.
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] when there are not as many; [`ReadError::Device`] when the file
    /// does not give them: its device is taken offline, and `into` holds nothing of use.
    pub fn copy_to(&self, offset: usize, into: &mut [u8]) -> Result<(), ReadError> {
        if offset.checked_add(into.len()).is_none_or(|end| end > self.len()) {
            return Err(ReadError::OutOfRange);
        }
        let start = self.range.start + offset as u32;
        let volume = self.pin.volume();
        let at = volume.base(self.pin.segment()) + u64::from(start);
        volume.copy(at, into).map_err(|_| ReadError::Device)
    }

    /// The same bytes for owners that move between threads: hyper's bodies, for one. The pin goes
    /// with the last clone, wherever that is dropped; the store stays open until then.
    ///
    /// What is said above of touching them holds for whoever gets them.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(SharedSlice { pin: self.pin.to_shared(), range: self.range.clone() })
    }

    /// Takes the device offline, whose file did not give these bytes: a system call that was to
    /// read them has returned `EFAULT`. Records on it are misses from here on.
    pub fn report_fault(&self) {
        self.pin.volume().fail_reads();
    }
}

impl AsRef<[u8]> for PinnedSlice {
    fn as_ref(&self) -> &[u8] {
        self.pin.slice(self.range.clone())
    }
}

impl Deref for PinnedSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_ref()
    }
}

impl std::fmt::Debug for PinnedSlice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PinnedSlice").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What owns the bytes of [`PinnedSlice::into_bytes`].
struct SharedSlice {
    pin: SharedPin,
    range: Range<u32>,
}

impl AsRef<[u8]> for SharedSlice {
    fn as_ref(&self) -> &[u8] {
        self.pin.slice(self.range.clone())
    }
}
