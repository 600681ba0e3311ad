//! The device of the edge's store: io_uring, or helper threads where there is none.

use std::convert::Infallible;
use std::io;
use std::ops::Range;

use longhold_store::device::uring::{UringBlock, UringDevice};
use longhold_store::device::{Block, HeapBlock, ThreadsDevice};
use longhold_store::{Device, Store};

use crate::carrier::Carrier;

/// Writes the store's files.
pub enum FillDevice {
    /// On the fill plane's ring.
    Uring(UringDevice),
    /// On threads.
    Threads(ThreadsDevice),
}

impl FillDevice {
    /// A device with `blocks` staging blocks of `block_bytes`, on the fill plane's thread.
    ///
    /// # Errors
    /// When the store's descriptors cannot be duplicated, or the system refuses threads.
    pub fn open(
        carrier: Carrier,
        store: &Store,
        (blocks, block_bytes): (usize, usize),
    ) -> io::Result<Self> {
        #[cfg(feature = "sabotage")]
        crate::sabotage::note_disks(store);
        match carrier {
            Carrier::Uring(_) => {
                UringDevice::with_pool(store, blocks, block_bytes).map(Self::Uring)
            }
            Carrier::Epoll(_) => {
                ThreadsDevice::with_pool(store, blocks, block_bytes).map(Self::Threads)
            }
        }
    }
}

/// A block of the pool of either.
pub enum FillBlock {
    /// Registered with the ring.
    Uring(UringBlock),
    /// Of the heap.
    Heap(HeapBlock),
}

impl Block for FillBlock {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Uring(block) => block.bytes(),
            Self::Heap(block) => block.bytes(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Uring(block) => block.bytes_mut(),
            Self::Heap(block) => block.bytes_mut(),
        }
    }
}

impl Device for FillDevice {
    type Block = FillBlock;

    fn block_bytes(&self) -> usize {
        match self {
            Self::Uring(device) => device.block_bytes(),
            Self::Threads(device) => device.block_bytes(),
        }
    }

    fn allocate_block(&self) -> Option<FillBlock> {
        match self {
            Self::Uring(device) => device.allocate_block().map(FillBlock::Uring),
            Self::Threads(device) => device.allocate_block().map(FillBlock::Heap),
        }
    }

    fn write_at(
        &self,
        place: (usize, u64),
        block: FillBlock,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, FillBlock)> + 'static {
        let begun = match (self, block) {
            (Self::Uring(device), FillBlock::Uring(block)) => {
                Begun::Uring(device.write_at(place, block, range))
            }
            (Self::Threads(device), FillBlock::Heap(block)) => {
                Begun::Threads(device.write_at(place, block, range))
            }
            (Self::Uring(_) | Self::Threads(_), block) => Begun::Nothing(block),
        };
        async move {
            let (result, block) = match begun {
                Begun::Uring(write) => {
                    let (result, block) = write.await;
                    (result, FillBlock::Uring(block))
                }
                Begun::Threads(write) => {
                    let (result, block) = write.await;
                    (result, FillBlock::Heap(block))
                }
                Begun::Nothing(stray) => (Err(io::ErrorKind::InvalidInput.into()), stray),
            };
            #[cfg(feature = "sabotage")]
            let result = crate::sabotage::disk(place.0, result).await;
            (result, block)
        }
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        let begun: Begun<_, _, Infallible> = match self {
            Self::Uring(device) => Begun::Uring(device.sync_data(volume)),
            Self::Threads(device) => Begun::Threads(device.sync_data(volume)),
        };
        async move {
            let result = match begun {
                Begun::Uring(sync) => sync.await,
                Begun::Threads(sync) => sync.await,
                Begun::Nothing(never) => match never {},
            };
            #[cfg(feature = "sabotage")]
            let result = crate::sabotage::disk(volume, result).await;
            result
        }
    }
}

/// What one of the devices has begun; `Nothing` for a block of the other one.
enum Begun<U, T, N> {
    Uring(U),
    Threads(T),
    Nothing(N),
}
