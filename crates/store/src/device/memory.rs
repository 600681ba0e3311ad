//! The device of stores that live in memory only: as the plain one, without anything to sync.

use std::fs::File;
use std::future::ready;
use std::io;
use std::ops::Range;

use super::file::write_range;
use super::{BLOCK_BYTES, BLOCK_COUNT, Device, HeapBlock, HeapPool};
use crate::Store;

/// Writes the memfd of a store made by [`Store::in_memory`].
pub struct MemoryDevice {
    file: File,
    pool: HeapPool,
}

impl MemoryDevice {
    /// A device for `store` with the default pool.
    ///
    /// # Errors
    /// When the store's descriptor cannot be duplicated.
    pub fn new(store: &Store) -> io::Result<Self> {
        let pool = HeapPool::new(BLOCK_COUNT, BLOCK_BYTES);
        Ok(Self { file: store.duplicate_file()?, pool })
    }
}

impl Device for MemoryDevice {
    type Block = HeapBlock;

    fn block_bytes(&self) -> usize {
        self.pool.block_bytes()
    }

    fn allocate_block(&self) -> Option<HeapBlock> {
        self.pool.allocate()
    }

    fn write_at(
        &self,
        offset: u64,
        block: HeapBlock,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, HeapBlock)> + 'static {
        ready((write_range(&self.file, offset, &block, range), block))
    }

    fn sync_data(&self) -> impl Future<Output = io::Result<()>> + 'static {
        ready(Ok(()))
    }
}
