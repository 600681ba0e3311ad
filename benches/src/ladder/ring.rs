//! Blocks by way of an io_uring, as many under way as the ladder is deep.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode};

use super::DEPTH;
use super::file::{BLOCK_BYTES, Buffers};
use super::order::{Latencies, Order};

/// A ring, and a buffer for each read under way.
pub(super) struct Ring<'f> {
    ring: IoUring,
    file: &'f File,
    lanes: Vec<Lane>,
    registered: bool,
    in_flight: usize,
}

/// A place for one read. Its memory is never given back: whatever fails, no read that is under way
/// then meets memory of somebody else.
struct Lane {
    buffer: &'static mut [u8],
    number: u64,
    begin: Instant,
}

impl<'f> Ring<'f> {
    /// A ring with the edge's flags.
    ///
    /// # Errors
    /// io_uring is not allowed here, or nothing can be registered.
    pub(super) fn new(file: &'f File, registered: bool) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .build(DEPTH as u32)?;
        let begin = Instant::now();
        let buffers = Box::leak(Box::new(Buffers::new(DEPTH)));
        let lane = |buffer| Lane { buffer, number: 0, begin };
        let lanes: Vec<Lane> = buffers.lanes().map(lane).collect();
        let mut made = Self { ring, file, lanes, registered, in_flight: 0 };
        if registered {
            made.register()?;
        }
        Ok(made)
    }

    #[expect(unsafe_code, reason = "the ring takes addresses that the caller vouches for")]
    fn register(&mut self) -> io::Result<()> {
        let vector = |lane: &mut Lane| libc::iovec {
            iov_base: lane.buffer.as_mut_ptr().cast(),
            iov_len: lane.buffer.len(),
        };
        let vectors: Vec<_> = self.lanes.iter_mut().map(vector).collect();
        let submitter = self.ring.submitter();
        // SAFETY: the vectors name the lanes' buffers, which are leaked and so valid for ever.
        unsafe { submitter.register_buffers(&vectors) }?;
        submitter.register_files(&[self.file.as_raw_fd()])
    }

    /// Reads block after block until the deadline, or until all were read, and gives each to
    /// `verify`.
    ///
    /// # Errors
    /// Those of the ring, of a read, or of `verify`.
    pub(super) fn read_all(
        &mut self,
        order: &Order,
        deadline: Instant,
        verify: impl Fn(u64, &[u8]) -> io::Result<()>,
    ) -> io::Result<Latencies> {
        let mut latencies = Latencies::new();
        let mut finished: Vec<cqueue::Entry> = Vec::with_capacity(DEPTH);
        for lane in 0..DEPTH {
            self.read_next(lane, order)?;
        }
        while self.in_flight > 0 {
            self.ring.submit_and_wait(1)?;
            finished.extend(self.ring.completion());
            let now = Instant::now();
            for entry in finished.drain(..) {
                self.in_flight -= 1;
                let at = entry.user_data() as usize;
                let read = usize::try_from(entry.result())
                    .map_err(|_| io::Error::from_raw_os_error(-entry.result()))?;
                if let Some(lane) = self.lanes.get(at) {
                    latencies.record(now - lane.begin);
                    verify(lane.number, lane.buffer.get(..read).unwrap_or_default())?;
                }
                if now < deadline {
                    self.read_next(at, order)?;
                }
            }
        }
        Ok(latencies)
    }

    /// Has the next block, if there is one, read into this lane.
    fn read_next(&mut self, at: usize, order: &Order) -> io::Result<()> {
        let (Some(number), Some(lane)) = (order.next(), self.lanes.get_mut(at)) else {
            return Ok(());
        };
        (lane.number, lane.begin) = (number, Instant::now());
        let (address, offset) = (lane.buffer.as_mut_ptr(), number * BLOCK_BYTES as u64);
        let length = BLOCK_BYTES as u32;
        let entry = if self.registered {
            opcode::ReadFixed::new(Fixed(0), address, length, at as u16).offset(offset).build()
        } else {
            opcode::Read::new(Fd(self.file.as_raw_fd()), address, length).offset(offset).build()
        };
        self.push(&entry.user_data(at as u64))?;
        self.in_flight += 1;
        Ok(())
    }

    #[expect(unsafe_code, reason = "the ring takes entries whose memory the caller vouches for")]
    fn push(&mut self, entry: &Entry) -> io::Result<()> {
        // SAFETY: the entry reads into the whole of one lane's buffer, which is leaked and so valid
        // for ever, and which nobody looks at between this and the entry's completion: a lane has
        // one read at a time, and is verified after its completion only. The file outlives `self`.
        let pushed = unsafe { self.ring.submission().push(entry) };
        // There are as many places as lanes.
        pushed.map_err(io::Error::other)
    }
}
