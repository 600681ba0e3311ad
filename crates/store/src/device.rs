//! The seam between planning and doing: the writer says which bytes go where, a device does it.
//!
//! A device has the files of all volumes of a store, counted as in its config, the memory tier
//! last, and owns a bounded pool of equal blocks. A write takes a block and gives it back with the
//! result, so that nobody can touch the bytes while the kernel reads them. Devices never retry.
//!
//! | device | for |
//! |---|---|
//! | [`FileDevice`] | embedders and tools: `pwrite`, futures that are ready at once |
//! | [`UringDevice`](uring::UringDevice) | the edge: registered buffers on a tokio-uring runtime |
//! | [`ThreadsDevice`] | the edge where io_uring is forbidden: `pwrite` on helper threads |
//! | [`FaultyDevice`] | tests: fails or tears the nth write, fails syncs, records everything |

mod faulty;
mod file;
mod threads;
#[cfg(not(loom))]
pub mod uring;

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::rc::Rc;

pub use faulty::{FaultPlan, FaultyDevice, Recorded, Recorder};
pub use file::FileDevice;
pub use threads::ThreadsDevice;

/// Carries out what a [`Writer`](crate::Writer) plans. One per writer, on one thread.
pub trait Device: 'static {
    /// Staging memory; it returns to the pool when dropped.
    type Block: Block;

    /// Length of every block, in bytes: at least 8,192.
    fn block_bytes(&self) -> usize;

    /// A block from the pool; `None` when all are out. A pool holds at least four.
    fn allocate_block(&self) -> Option<Self::Block>;

    /// Writes `block[range]` at `(volume, offset)`: a place in a volume's data file; all of it or
    /// an error. The future may outlive the call's borrow of the device.
    fn write_at(
        &self,
        place: (usize, u64),
        block: Self::Block,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, Self::Block)> + 'static;

    /// Makes every completed write to a volume durable.
    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static;
}

/// A block of a device's pool.
pub trait Block: 'static {
    /// All bytes.
    fn bytes(&self) -> &[u8];
    /// All bytes, to be filled.
    fn bytes_mut(&mut self) -> &mut [u8];
}

/// Size of a staging block unless a device is told otherwise.
pub const BLOCK_BYTES: usize = 256 << 10;
/// Smallest staging block: a block may begin anywhere in a page and ends at one, and must hold a
/// record header.
pub const BLOCK_BYTES_MIN: usize = 8 << 10;
/// Blocks in a device's pool unless it is told otherwise: 4 MiB.
pub const BLOCK_COUNT: usize = 16;

/// A bounded pool of heap blocks, allocated as they are first used.
#[derive(Clone)]
pub(crate) struct HeapPool(Rc<RefCell<PoolState>>);

struct PoolState {
    free: Vec<Box<[u8]>>,
    unborn: usize,
    block_bytes: usize,
}

/// A block of the heap; dropped, it is free again.
pub struct HeapBlock {
    bytes: Box<[u8]>,
    pool: HeapPool,
}

impl HeapPool {
    pub(crate) fn new(blocks: usize, block_bytes: usize) -> Self {
        let (unborn, block_bytes) = (blocks.max(4), block_bytes.max(BLOCK_BYTES_MIN));
        Self(Rc::new(RefCell::new(PoolState { free: Vec::new(), unborn, block_bytes })))
    }

    pub(crate) fn block_bytes(&self) -> usize {
        self.0.borrow().block_bytes
    }

    pub(crate) fn allocate(&self) -> Option<HeapBlock> {
        let mut state = self.0.borrow_mut();
        let bytes = match state.free.pop() {
            Some(bytes) => bytes,
            None => {
                state.unborn = state.unborn.checked_sub(1)?;
                vec![0; state.block_bytes].into_boxed_slice()
            }
        };
        Some(HeapBlock { bytes, pool: self.clone() })
    }
}

impl HeapBlock {
    /// Its bytes, for another thread, and the claim to them.
    fn send_away(mut self) -> (Box<[u8]>, AwayBlock) {
        let bytes = std::mem::take(&mut self.bytes);
        (bytes, AwayBlock { pool: Some(self.pool.clone()) })
    }
}

impl Drop for HeapBlock {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.pool.0.borrow_mut().free.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// A block whose bytes are on another thread. Dropped before they have come back, the pool makes
/// others in their place.
struct AwayBlock {
    pool: Option<HeapPool>,
}

impl AwayBlock {
    /// The block again, with its bytes.
    fn come_back(mut self, bytes: Box<[u8]>) -> HeapBlock {
        // Taken only here, where it ends.
        let pool = self.pool.take().unwrap_or_else(|| HeapPool::new(0, 0));
        HeapBlock { bytes, pool }
    }
}

impl Drop for AwayBlock {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.0.borrow_mut().unborn += 1;
        }
    }
}

impl Block for HeapBlock {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Polls a future until it is ready. For devices whose futures never wait
/// ([`FileDevice`]): with one of those, and one caller, no future of the writer waits either.
/// A future that waits for an event of this very thread would spin for ever.
pub fn block_on_ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::yield_now(),
        }
    }
}
