//! The edge's device: io_uring writes from registered buffers, on a tokio-uring runtime.
//!
//! Registered buffers save the kernel a page-table walk for each write, but count against
//! `RLIMIT_MEMLOCK`. Where the limit forbids them, the same pool serves unregistered writes;
//! [`UringDevice::is_registered`] tells which.

use std::io;
use std::ops::Range;
use std::rc::Rc;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::buf::fixed::{FixedBuf, FixedBufPool};
use tokio_uring::fs::File;

use super::{BLOCK_BYTES, BLOCK_BYTES_MIN, BLOCK_COUNT, Block, Device};
use crate::Store;

/// Writes a store's file through io_uring. Made and used inside `tokio_uring::start`.
pub struct UringDevice {
    file: Rc<File>,
    pool: FixedBufPool<Vec<u8>>,
    block_bytes: usize,
    registered: bool,
}

impl UringDevice {
    /// A device for `store` with the default pool: 16 blocks of 256 KiB.
    ///
    /// # Errors
    /// When the store's descriptor cannot be duplicated.
    ///
    /// # Panics
    /// Outside a tokio-uring runtime.
    pub fn new(store: &Store) -> io::Result<Self> {
        Self::with_pool(store, BLOCK_COUNT, BLOCK_BYTES)
    }

    /// A device with `blocks` (at least four) staging blocks of `block_bytes` (at least 8,192).
    ///
    /// # Errors
    /// When the store's descriptor cannot be duplicated.
    ///
    /// # Panics
    /// Outside a tokio-uring runtime.
    pub fn with_pool(store: &Store, blocks: usize, block_bytes: usize) -> io::Result<Self> {
        let block_bytes = block_bytes.max(BLOCK_BYTES_MIN);
        let pool = FixedBufPool::new((0..blocks.max(4)).map(|_| vec![0; block_bytes]));
        let registered = pool.register().is_ok();
        let file = Rc::new(File::from_std(store.duplicate_file()?));
        Ok(Self { file, pool, block_bytes, registered })
    }

    /// Whether writes go from registered buffers (`WRITE_FIXED`).
    pub fn is_registered(&self) -> bool {
        self.registered
    }
}

impl Device for UringDevice {
    type Block = UringBlock;

    fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    fn allocate_block(&self) -> Option<UringBlock> {
        self.pool.try_next(self.block_bytes).map(UringBlock)
    }

    fn write_at(
        &self,
        offset: u64,
        block: UringBlock,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, UringBlock)> + 'static {
        let (file, registered) = (Rc::clone(&self.file), self.registered);
        async move {
            let UringBlock(buffer) = block;
            let inside = range.start <= range.end && range.end <= buffer.len();
            if !inside {
                return (Err(io::ErrorKind::InvalidInput.into()), UringBlock(buffer));
            }
            if range.is_empty() {
                return (Ok(()), UringBlock(buffer));
            }
            let slice = buffer.slice(range);
            let (result, slice) = if registered {
                file.write_fixed_all_at(slice, offset).await
            } else {
                file.write_all_at(slice, offset).await
            };
            (result, UringBlock(slice.into_inner()))
        }
    }

    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + 'static {
        let file = Rc::clone(&self.file);
        async move { file.sync_data().await }
    }
}

/// A block of the registered pool.
pub struct UringBlock(FixedBuf);

impl Block for UringBlock {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
