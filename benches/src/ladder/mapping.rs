//! Blocks by way of a mapping of the file.

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap};

use super::file::{BLOCK_BYTES, BlockFile};

/// The whole file, mapped for reading.
pub(super) struct Mapping {
    map: Mmap,
}

impl Mapping {
    /// Maps the file without read-ahead; with every page touched, if it is to be warm.
    #[expect(unsafe_code, reason = "what is mapped may change under whoever reads it")]
    pub(super) fn new(file: &BlockFile, warm: bool) -> io::Result<Self> {
        let opened = File::open(file.path())?;
        // SAFETY: the file was made by this process under a name of its own, is written and cut by
        // nobody once it is whole, and is deleted only after the last mapping of it is gone.
        let map = unsafe { Mmap::map(&opened) }?;
        map.advise(Advice::Random)?;
        if warm {
            map.advise(Advice::PopulateRead)?;
        }
        Ok(Self { map })
    }

    /// Copies a block out of it; a page that is not there is waited for.
    pub(super) fn copy(&self, number: u64, block: &mut [u8]) {
        let begin = number as usize * BLOCK_BYTES;
        block.copy_from_slice(&self.map[begin..begin + BLOCK_BYTES]);
    }
}
