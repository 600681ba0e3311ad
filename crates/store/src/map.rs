//! The one read-only mapping of the data file, and the only unsafe code of this crate.
//!
//! The file is written through file writes, never through the mapping; it is never truncated and
//! never unmapped while a [`Mapping`] lives. A `&[u8]` must not exist over bytes that may change,
//! so there are two ways to one: [`Mapping::pinned`] demands a segment's pin and serves ranges
//! that were published or written before, and [`Mapping::unshared`] is for recovery, when no
//! writer exists yet. What no mapping can promise: that nobody else on the machine writes to or
//! truncates the file. The lock file tells other stores to stay away; the rest is the operator's.
#![expect(unsafe_code, reason = "slices over the mapping; each block states what makes it sound")]

use std::fs::File;
use std::io;
use std::ops::Range;

use memmap2::{MmapOptions, MmapRaw};

use crate::pin::SegmentPin;

/// The whole data file, mapped read-only and shared.
pub(crate) struct Mapping {
    raw: MmapRaw,
}

impl Mapping {
    /// Maps `bytes` of `file`, whose length the caller has compared before.
    pub(crate) fn new(file: &File, bytes: u64) -> io::Result<Self> {
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let raw = MmapOptions::new().len(len).map_raw_read_only(file)?;
        // Core dumps of a process that maps a terabyte help nobody; a refusal harms nobody.
        let _ = raw.advise(memmap2::Advice::DontDump);
        Ok(Self { raw })
    }

    /// Bytes of a record, or of an extent's written part, in the segment of `pin`.
    ///
    /// The caller (only `reader`) owes that `range` was either inside a record whose place it
    /// read from the index after it had taken the pin, or below the `written` mark of an extent
    /// of the pin's generation. Both are never written again while the pin is held (ST-5, ST-8).
    /// An empty slice stands for a range that leaves the segment.
    pub(crate) fn pinned<'p>(&self, pin: &'p SegmentPin, range: Range<u32>) -> &'p [u8] {
        let bounds = pin.segment_range();
        let start = bounds.start + u64::from(range.start);
        let end = bounds.start + u64::from(range.end);
        if start > end || end > bounds.end || end > self.raw.len() as u64 {
            return &[];
        }
        // SAFETY: the range lies inside the mapping (checked above), which lives as long as the
        // pin: the pin holds the reader, which holds the store, which holds the mapping. Nobody
        // in this process writes to the range until the pin falls: writes go only to free extents
        // of open segments and to parts above `written`, and a segment is written anew only after
        // all its pins were seen at zero (pin.rs).
        unsafe {
            let first = self.raw.as_ptr().add(start as usize);
            std::slice::from_raw_parts(first, (end - start) as usize)
        }
    }

    /// The whole file, while the store is being opened and no writer exists.
    pub(crate) fn unshared(&mut self) -> &[u8] {
        // SAFETY: `&mut self` shows that the mapping is not shared yet, so this process has no
        // writer and no reader of it; the lock file keeps other stores away.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr(), self.raw.len()) }
    }
}
