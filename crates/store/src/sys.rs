//! System calls about pages that no safe crate wraps: what is cached, advice by ring, faults.
//!
//! Nothing here reads or writes memory of the process but the results named in each call.
#![expect(unsafe_code, reason = "system calls; each block states what it hands to the kernel")]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::squeue::Flags;
use io_uring::{IoUring, Probe, opcode, types};
use memmap2::{Advice, MmapRaw};

/// Pages of `range` of a file that are in the page cache, those still being read among them.
/// About 0.4 µs for 64 KiB (Linux 6.5).
pub(crate) fn cached_pages(file: &File, range: Range<u64>) -> io::Result<u64> {
    #[repr(C)]
    struct CachestatRange {
        offset: u64,
        len: u64,
    }
    /// `struct cachestat`: pages cached, dirty, in write-back, evicted, recently evicted.
    #[repr(C)]
    struct Cachestat {
        counts: [u64; 5],
    }
    let asked = CachestatRange { offset: range.start, len: range.end.saturating_sub(range.start) };
    let mut found = Cachestat { counts: [0; 5] };
    // SAFETY: the kernel reads one structure and fills the other, both of the layout that it
    // knows; both outlive the call.
    let result = unsafe {
        let (asked, found) = (&raw const asked, &raw mut found);
        libc::syscall(SYS_CACHESTAT, file.as_raw_fd(), asked, found, 0)
    };
    if result == 0 { Ok(found.counts[0]) } else { Err(io::Error::last_os_error()) }
}

/// Whether all pages of a page-aligned part of a mapping are in memory: the older way, which walks
/// page tables and takes about three times as long.
pub(crate) fn is_in_core(
    map: &MmapRaw,
    range: Range<usize>,
    page_bytes: usize,
) -> io::Result<bool> {
    let mut pages = [0u8; 256];
    let end = range.end.min(map.len().next_multiple_of(page_bytes));
    let mut at = range.start;
    while at < end {
        let len = (end - at).min(pages.len() * page_bytes);
        // SAFETY: `at..at + len` begins inside the mapping and ends with its last page at most;
        // the kernel writes one byte for each page of it, of which there is room for 256.
        let result = unsafe {
            let start = map.as_mut_ptr().add(at).cast::<c_void>();
            libc::mincore(start, len, pages.as_mut_ptr())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        if pages[..len.div_ceil(page_bytes)].iter().any(|page| page & 1 == 0) {
            return Ok(false);
        }
        at += len;
    }
    Ok(true)
}

/// Page faults of the calling thread that had to wait for a device, since it began.
///
/// What the kernel does on a thread's behalf inside a system call counts too. A worker reads this
/// now and then; it should stand still.
pub fn thread_major_faults() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel fills the structure, for which all-zero is valid too.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_majflt).unwrap_or(0)
}

/// Seconds of a clock that stands beside the process in memory and only goes forward: some 5 ns.
pub(crate) fn coarse_seconds() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the structure. It cannot fail: every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec.unsigned_abs()
}

/// A ring whose kernel threads page in parts of mappings.
pub(crate) struct AdviceRing {
    ring: IoUring,
}

/// What a ring has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RingEvent {
    /// A part is in memory, or the kernel's error number says why not.
    PagedIn {
        /// As given to [`AdviceRing::page_in`].
        token: u64,
        /// 0, or an errno.
        errno: i32,
    },
    /// The watched descriptor is readable; the watch has ended.
    Readable,
}

impl AdviceRing {
    /// A ring for `parts_max` parts at a time, on which at most `threads_max` kernel threads work.
    ///
    /// # Errors
    /// Where io_uring is forbidden, or the kernel does not know the operation or the advice.
    pub(crate) fn new(parts_max: u32, threads_max: u32) -> io::Result<Self> {
        let ring = IoUring::new(2 * parts_max + 2)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::Madvise::CODE) || !Advice::PopulateRead.is_supported() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        ring.submitter().register_iowq_max_workers(&mut [threads_max, threads_max])?;
        Ok(Self { ring })
    }

    /// Queues one part: read-ahead of the whole first, then its pages one by one, which find it
    /// read. The second alone would read page by page, since the mapping is advised as random.
    ///
    /// False when the queue is full; [`AdviceRing::wait`] empties it.
    pub(crate) fn page_in(&mut self, map: &MmapRaw, part: &Range<u64>, token: u64) -> bool {
        let (Ok(start), Ok(end)) = (usize::try_from(part.start), usize::try_from(part.end)) else {
            return false;
        };
        if start > end || end > map.len() {
            return false;
        }
        let address = map.as_ptr().wrapping_add(start).cast();
        let advise = |advice| opcode::Madvise::new(address, (end - start) as libc::off_t, advice);
        // Linked so that the second begins when the first has ended, however it has ended.
        let first = advise(libc::MADV_WILLNEED).build().flags(Flags::IO_HARDLINK);
        let second = advise(libc::MADV_POPULATE_READ).build();
        let pair = [first.user_data(IGNORED), second.user_data(token << 1)];
        // SAFETY: neither advice changes the content of any memory, whatever is mapped there by
        // the time it is carried out; the entries own nothing and point to nothing else.
        unsafe { self.ring.submission().push_multiple(&pair) }.is_ok()
    }

    /// Watches a descriptor until it is readable once.
    pub(crate) fn watch(&mut self, event: BorrowedFd<'_>) -> bool {
        let fd = types::Fd(event.as_raw_fd());
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32).build().user_data(READABLE);
        // SAFETY: the entry holds a number only. A descriptor that is closed before the kernel has
        // looked it up makes the watch fail or watch another; neither touches memory.
        unsafe { self.ring.submission().push(&entry) }.is_ok()
    }

    /// Submits what is queued and waits for one completion at least; then takes all there are.
    pub(crate) fn wait(&mut self, events: &mut Vec<RingEvent>) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Ok(_) | Err(_) => {}
        }
        for completion in self.ring.completion() {
            match completion.user_data() {
                IGNORED => {}
                READABLE => events.push(RingEvent::Readable),
                token => {
                    let errno = completion.result().min(0).saturating_neg();
                    events.push(RingEvent::PagedIn { token: token >> 1, errno });
                }
            }
        }
        Ok(())
    }
}

/// User data of entries whose completion says nothing; tokens are even.
const IGNORED: u64 = 1;
const READABLE: u64 = 3;
/// The number is the same on every architecture, as that of all newer calls.
const SYS_CACHESTAT: libc::c_long = 451;
