//! The file of blocks, and buffers that `O_DIRECT` takes.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use longhold_loadgen::content::Content;
use rustix::fs::{Advice, OFlags, fadvise};

/// A file whose every byte follows from its place.
#[derive(Debug)]
pub(super) struct BlockFile {
    path: PathBuf,
    content: Content,
    block_count: u64,
    knows_direct: bool,
}

/// Blocks of memory that begin where pages do.
pub(super) struct Buffers {
    bytes: Vec<u8>,
    count: usize,
}

impl BlockFile {
    /// Makes and fills the file in `folder`, which is made if it is not there. Its length is
    /// rounded down to whole blocks.
    pub(super) fn create(folder: &Path, file_bytes: u64) -> io::Result<Self> {
        let block_count = file_bytes / BLOCK_BYTES as u64;
        let target = format!("/bytes/{}/ladder", block_count * BLOCK_BYTES as u64);
        let content = Content::of_target(&target).filter(|_| block_count > 0);
        let Some(content) = content else {
            let message = "a ladder's file has from 4 KiB to 16 GiB";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        };
        std::fs::create_dir_all(folder)?;
        let path = folder.join(format!("ladder-{}.blocks", std::process::id()));
        let mut made = Self { path, content, block_count, knows_direct: false };
        if let Err(error) = made.fill() {
            // What is not whole helps nobody; that it went wrong is what matters.
            let _gone = std::fs::remove_file(&made.path);
            return Err(error);
        }
        made.knows_direct = made.try_direct();
        Ok(made)
    }

    fn fill(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        let mut piece = vec![0; PIECE_BYTES];
        let (mut offset, end) = (0, self.content.length_bytes());
        while offset < end {
            let take = usize::try_from(end - offset).map_or(PIECE_BYTES, |n| n.min(PIECE_BYTES));
            self.content.fill(offset, &mut piece[..take]);
            file.write_all(&piece[..take])?;
            offset += take as u64;
        }
        file.sync_all()
    }

    /// Whether a block can be read past the page cache.
    fn try_direct(&self) -> bool {
        let read = || -> io::Result<usize> {
            let file = self.open_direct()?;
            let mut buffers = Buffers::new(1);
            let mut lanes = buffers.lanes();
            let Some(block) = lanes.next() else { return Ok(0) };
            Ok(rustix::io::pread(&file, block, 0)?)
        };
        read().is_ok_and(|count| count == BLOCK_BYTES)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn block_count(&self) -> u64 {
        self.block_count
    }

    pub(super) fn knows_direct(&self) -> bool {
        self.knows_direct
    }

    /// The file by way of the page cache, without read-ahead.
    pub(super) fn open(&self) -> io::Result<File> {
        let file = File::open(&self.path)?;
        fadvise(&file, 0, None, Advice::Random)?;
        Ok(file)
    }

    /// The file past the page cache.
    pub(super) fn open_direct(&self) -> io::Result<File> {
        let flags = OFlags::DIRECT.bits().cast_signed();
        OpenOptions::new().read(true).custom_flags(flags).open(&self.path)
    }

    /// Takes the file out of the page cache, as far as nobody maps it.
    pub(super) fn drop_cache(&self) -> io::Result<()> {
        let file = File::open(&self.path)?;
        file.sync_all()?;
        fadvise(&file, 0, NonZeroU64::new(self.content.length_bytes()), Advice::DontNeed)?;
        Ok(())
    }

    /// Brings the file into the page cache.
    pub(super) fn warm(&self) -> io::Result<()> {
        let mut file = File::open(&self.path)?;
        let mut piece = vec![0; PIECE_BYTES];
        while file.read(&mut piece)? > 0 {}
        Ok(())
    }

    /// Whether this is that block: both its ends.
    ///
    /// # Errors
    /// It is not, or not whole.
    pub(super) fn verify(&self, number: u64, block: &[u8]) -> io::Result<()> {
        let mut expected = [0; 2 * WORD_BYTES];
        let begin = number * BLOCK_BYTES as u64;
        let (first, last) = expected.split_at_mut(WORD_BYTES);
        self.content.fill(begin, first);
        self.content.fill(begin + (BLOCK_BYTES - WORD_BYTES) as u64, last);
        if block.len() == BLOCK_BYTES && block.starts_with(first) && block.ends_with(last) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, format!("block {number} is not itself")))
    }
}

impl Buffers {
    /// So many blocks.
    pub(super) fn new(count: usize) -> Self {
        Self { bytes: vec![0; (count + 1) * BLOCK_BYTES], count }
    }

    /// Each block by itself.
    pub(super) fn lanes(&mut self) -> impl Iterator<Item = &mut [u8]> {
        let skip = self.bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        self.bytes[skip..].chunks_exact_mut(BLOCK_BYTES).take(self.count)
    }
}

/// Bytes of a block, and of a page.
pub const BLOCK_BYTES: usize = 4096;
const WORD_BYTES: usize = 8;
const PIECE_BYTES: usize = 1 << 20;
