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

use super::file::write_range;
use super::{BLOCK_BYTES, BLOCK_BYTES_MIN, BLOCK_COUNT, Block, Device};
use crate::Store;

/// Writes a store's files through io_uring. Made and used inside `tokio_uring::start`.
pub struct UringDevice {
    files: Vec<Rc<File>>,
    /// Number of the memory tier, to which io_uring has nothing to add: it is written at once.
    memory: Option<(usize, std::fs::File)>,
    pool: FixedBufPool<Vec<u8>>,
    block_bytes: usize,
    registered: bool,
}

impl UringDevice {
    /// A device for `store` with the default pool: 16 blocks of 256 KiB.
    ///
    /// # Errors
    /// When the store's descriptors cannot be duplicated.
    ///
    /// # Panics
    /// Outside a tokio-uring runtime.
    pub fn new(store: &Store) -> io::Result<Self> {
        Self::with_pool(store, BLOCK_COUNT, BLOCK_BYTES)
    }

    /// A device with `blocks` (at least four) staging blocks of `block_bytes` (at least 8,192).
    ///
    /// # Errors
    /// When the store's descriptors cannot be duplicated.
    ///
    /// # Panics
    /// Outside a tokio-uring runtime.
    pub fn with_pool(store: &Store, blocks: usize, block_bytes: usize) -> io::Result<Self> {
        let block_bytes = block_bytes.max(BLOCK_BYTES_MIN);
        let pool = FixedBufPool::new((0..blocks.max(4)).map(|_| vec![0; block_bytes]));
        let registered = pool.register().is_ok();
        let duplicates = store.duplicate_files()?;
        let memory = store.memory_volume();
        let memory =
            memory.map(|number| Ok::<_, io::Error>((number, duplicates[number].try_clone()?)));
        let memory = memory.transpose()?;
        let files = duplicates.into_iter().map(|file| Rc::new(File::from_std(file))).collect();
        Ok(Self { files, memory, pool, block_bytes, registered })
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
        (volume, offset): (usize, u64),
        block: UringBlock,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, UringBlock)> + 'static {
        let memory = self.memory.as_ref().filter(|(number, _)| *number == volume);
        let at_once = memory.map(|(_, file)| write_range(file, offset, &block, range.clone()));
        let (file, registered) = (self.files.get(volume).cloned(), self.registered);
        async move {
            if let Some(written) = at_once {
                return (written, block);
            }
            let Some(file) = file else {
                return (Err(io::ErrorKind::NotFound.into()), block);
            };
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

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        let file = self.files.get(volume).cloned();
        async move {
            match file {
                Some(file) => file.sync_data().await,
                None => Err(io::ErrorKind::NotFound.into()),
            }
        }
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
