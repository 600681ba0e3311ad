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

use crate::index::Line;
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

    /// Asks the processor for the first lines of the record at an offset, before anybody may read
    /// them. What lies there does not matter, and a page that is not in memory stays where it is.
    pub(crate) fn prefetch(&self, offset: u64) {
        if offset < self.raw.len() as u64 {
            for line in 0..PREFETCH_LINES {
                prefetch(self.raw.as_ptr().wrapping_add(offset as usize + line * 64));
            }
        }
    }

    /// The whole file, while the store is being opened and no writer exists.
    pub(crate) fn unshared(&mut self) -> &[u8] {
        // SAFETY: `&mut self` shows that the mapping is not shared yet, so this process has no
        // writer and no reader of it; the lock file keeps other stores away.
        unsafe { std::slice::from_raw_parts(self.raw.as_ptr(), self.raw.len()) }
    }
}

/// The index's memory: zeroed by the kernel page by page as it is first written to, so that a
/// large index costs a start nothing; in huge pages where the kernel gives them.
pub(crate) struct IndexLines {
    raw: MmapRaw,
    skipped: usize,
    count: usize,
}

impl IndexLines {
    /// `count` lines of zeros.
    pub(crate) fn new(count: usize) -> io::Result<Self> {
        let bytes = count.checked_mul(size_of::<Line>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // The kernel aligns a mapping to its page, which is a line's multiple, too.
        let align = if bytes >= HUGE_PAGE_BYTES { HUGE_PAGE_BYTES } else { 1 };
        let len = bytes.checked_add(align - 1).ok_or(io::ErrorKind::OutOfMemory)?;
        let raw = MmapRaw::from(MmapOptions::new().len(len).map_anon()?);
        if align > 1 {
            // Without huge pages a lookup costs more; it is as right.
            let _ = raw.advise(memmap2::Advice::HugePage);
        }
        let skipped = raw.as_ptr().align_offset(align);
        Ok(Self { raw, skipped, count })
    }

    /// Asks the processor for a line.
    pub(crate) fn prefetch(&self, line: usize) {
        prefetch(&raw const self[line]);
    }
}

impl std::ops::Deref for IndexLines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        // SAFETY: `skipped` and `count` lines lie inside the mapping (`new`: at most `align - 1`
        // bytes are skipped), which is private, writable, and lives as long as this borrow. Its
        // start is a multiple of 4,096 and `skipped` leads to one of 4,096 or more, so lines are
        // aligned. A `Line` is eight atomics, for which zeros and any other bits are values, and
        // which may be written through shared references; nothing else points there.
        unsafe {
            std::slice::from_raw_parts(self.raw.as_ptr().add(self.skipped).cast(), self.count)
        }
    }
}

/// A hint, where the processor is known to take one.
fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address has no effect that a program can see.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Header, a key of usual length and the beginning of the head.
const PREFETCH_LINES: usize = 4;
const HUGE_PAGE_BYTES: usize = 2 << 20;
