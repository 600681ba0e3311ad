//! The plain device: `pwrite` and `fdatasync`, done before the future is returned. For stores in
//! memory it costs a copy and no more.

use std::fs::File;
use std::future::ready;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use super::{BLOCK_BYTES, BLOCK_COUNT, Block, Device, HeapBlock, HeapPool};
use crate::Store;

/// Writes a store's files with `pwrite`. Blocks the calling thread; needs no runtime.
pub struct FileDevice {
    files: Vec<File>,
    pool: HeapPool,
}

impl FileDevice {
    /// A device for `store` with the default pool.
    ///
    /// # Errors
    /// When the store's descriptors cannot be duplicated.
    pub fn new(store: &Store) -> io::Result<Self> {
        Self::with_pool(store, BLOCK_COUNT, BLOCK_BYTES)
    }

    /// A device for `store` with `blocks` (at least four) staging blocks of `block_bytes`
    /// (at least 8,192).
    ///
    /// # Errors
    /// When the store's descriptors cannot be duplicated.
    pub fn with_pool(store: &Store, blocks: usize, block_bytes: usize) -> io::Result<Self> {
        Ok(Self { files: store.duplicate_files()?, pool: HeapPool::new(blocks, block_bytes) })
    }
}

impl Device for FileDevice {
    type Block = HeapBlock;

    fn block_bytes(&self) -> usize {
        self.pool.block_bytes()
    }

    fn allocate_block(&self) -> Option<HeapBlock> {
        self.pool.allocate()
    }

    fn write_at(
        &self,
        (volume, offset): (usize, u64),
        block: HeapBlock,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, HeapBlock)> + 'static {
        let file = self.files.get(volume).ok_or(io::ErrorKind::NotFound);
        let written = file.map_err(io::Error::from);
        ready((written.and_then(|file| write_range(file, offset, &block, range)), block))
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        let file = self.files.get(volume).ok_or(io::ErrorKind::NotFound);
        ready(file.map_err(io::Error::from).and_then(File::sync_data))
    }
}

/// `pwrite` of a part of a block; a range outside the block is an error, not a panic.
pub(super) fn write_range(
    file: &File,
    offset: u64,
    block: &impl Block,
    range: Range<usize>,
) -> io::Result<()> {
    let bytes = block.bytes().get(range).ok_or(io::ErrorKind::InvalidInput)?;
    file.write_all_at(bytes, offset)
}
