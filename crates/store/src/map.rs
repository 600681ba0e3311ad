//! The one read-only mapping of a data file.
//!
//! The file is written through file writes, never through the mapping; it is never truncated and
//! never unmapped while a [`Mapping`] lives. What no mapping can promise is that nobody else on
//! the machine writes to or truncates the file, nor that its device gives every page. So this
//! crate reads by [`Mapping::copy`], which meets a missing page as an error.
//!
//! A `&[u8]` must not exist over bytes that may change, so there is one way to one:
//! [`Mapping::pinned`] demands a segment's pin and serves ranges that were published or written
//! before.
#![expect(unsafe_code, reason = "slices over the mapping; each block states what makes it sound")]

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::fs::{Advice as FileAdvice, fadvise};

use crate::guard::{Fault, GuardedMap};
use crate::index::Line;
use crate::pin::Pinned;
use crate::sys;

/// The whole data file, mapped read-only and shared.
pub(crate) struct Mapping {
    map: GuardedMap,
    /// The kernel does not offer `cachestat`, or a sandbox forbids it.
    lacks_cachestat: AtomicBool,
}

impl Mapping {
    /// Maps `bytes` of `file`, whose length the caller has compared before.
    pub(crate) fn new(file: &File, bytes: u64) -> io::Result<Self> {
        let len = usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let map = GuardedMap::new(file, len)?;
        // Core dumps of a process that maps a terabyte help nobody; a refusal harms nobody.
        let _ = map.raw().advise(Advice::DontDump);
        Ok(Self { map, lacks_cachestat: AtomicBool::new(false) })
    }

    /// Tells the kernel to read nothing around a page that faults: what is wanted is asked for.
    pub(crate) fn advise_random(&self) {
        // It would cost some reading if the kernel refused.
        let _ = self.map.raw().advise(Advice::Random);
    }

    /// Bytes of a record, or of an extent's written part, in the segment of `pin`, which lies at
    /// `bounds`.
    ///
    /// The caller (only `Pinned::slice`, for `reader`) owes that `range` was either inside a record
    /// whose place it read from the index after it had taken the pin, or below the `written` mark
    /// of an extent of the pin's generation. Both are never written again while the pin is held
    /// (ST-5, ST-8). An empty slice stands for a range that leaves the segment.
    pub(crate) fn pinned<'p>(
        &self,
        bounds: Range<u64>,
        _pin: &'p (impl Pinned + ?Sized),
        range: Range<u32>,
    ) -> &'p [u8] {
        let start = bounds.start + u64::from(range.start);
        let end = bounds.start + u64::from(range.end);
        let raw = self.map.raw();
        if start > end || end > bounds.end || end > self.len() {
            return &[];
        }
        // SAFETY: the range lies inside the mapping (checked above), which lives as long as the
        // pin: the pin holds the store, which holds the mapping. Nobody in this process writes to
        // the range until the pin falls: writes go only to free extents of open segments and to
        // parts above `written`, and a segment is written anew only after all its pins were seen
        // at zero (pin.rs).
        unsafe {
            let first = raw.as_ptr().add(start as usize);
            std::slice::from_raw_parts(first, (end - start) as usize)
        }
    }

    /// Asks the processor for the first lines of the record at an offset, before anybody may read
    /// them. What lies there does not matter, and a page that is not in memory stays where it is.
    pub(crate) fn prefetch(&self, offset: u64) {
        if offset < self.len() {
            for line in 0..PREFETCH_LINES {
                prefetch(self.raw().as_ptr().wrapping_add(offset as usize + line * 64));
            }
        }
    }

    /// Copies what lies at `offset` of the file. A page that the file cannot give is an error.
    ///
    /// Whether the bytes are whole is for their checksum to say: nothing here keeps a writer away.
    pub(crate) fn copy(&self, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
        self.map.copy(offset, into)
    }

    /// Length of the mapping in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.map.raw().len() as u64
    }

    /// The mapping, for the ring that pages in.
    pub(crate) fn raw(&self) -> &MmapRaw {
        self.map.raw()
    }

    /// Whether a page-aligned range is in memory as a whole. When the kernel will not say: no.
    pub(crate) fn is_cached(&self, range: Range<u64>) -> bool {
        let page_bytes = rustix::param::page_size();
        if !self.lacks_cachestat.load(Ordering::Relaxed) {
            let pages = (range.end - range.start).div_ceil(page_bytes as u64);
            match sys::cached_pages(self.map.file(), range.clone()) {
                Ok(cached) => return cached >= pages,
                Err(_) => self.lacks_cachestat.store(true, Ordering::Relaxed),
            }
        }
        let range = range.start as usize..range.end as usize;
        sys::is_in_core(self.map.raw(), range, page_bytes).unwrap_or(false)
    }

    /// Reads a page-aligned range into memory and into the page tables; blocks for the device.
    pub(crate) fn page_in(&self, range: Range<u64>) -> Result<(), Fault> {
        let (start, len) = (range.start as usize, (range.end - range.start) as usize);
        // Reads the whole ahead. What it did not do the next step does page by page.
        let _ = self.map.raw().advise_range(Advice::WillNeed, start, len);
        match self.map.raw().advise_range(Advice::PopulateRead, start, len) {
            Ok(()) => Ok(()),
            // Kernels before 5.14 do not know it: a touch of each page does the same.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => self.touch(range),
            Err(_) => Err(Fault),
        }
    }

    /// Drops a page-aligned range from the page tables, and from memory where it is clean and
    /// nobody else maps it.
    pub(crate) fn drop_pages(&self, range: Range<u64>) -> io::Result<()> {
        let (start, len) = (range.start as usize, (range.end - range.start) as usize);
        // SAFETY: the mapping is shared and of a file, so the advice changes no byte of it: the
        // next touch finds the file's bytes again.
        unsafe { self.map.raw().unchecked_advise_range(UncheckedAdvice::DontNeed, start, len)? };
        let len = NonZeroU64::new(range.end - range.start);
        Ok(fadvise(self.map.file(), range.start, len, FileAdvice::DontNeed)?)
    }

    fn touch(&self, range: Range<u64>) -> Result<(), Fault> {
        let mut pages = range.step_by(rustix::param::page_size());
        pages.try_for_each(|page| self.copy(page, &mut [0]))
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
            let _ = raw.advise(Advice::HugePage);
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
