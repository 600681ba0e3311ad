//! A device that fails as told and remembers what it was asked: for fault and crash tests.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::rc::Rc;

use super::{Block, Device};

/// Which operations fail. Counts begin at 0; each kind of operation has its own.
#[derive(Debug, Clone, Default)]
pub struct FaultPlan {
    /// Writes that fail, nothing of them written.
    pub failing_writes: Range<u64>,
    /// Writes that fail after so many bytes: `(write, bytes)`.
    pub torn_writes: Vec<(u64, usize)>,
    /// Syncs that fail; what they should have made durable is in doubt.
    pub failing_syncs: Range<u64>,
}

/// One operation as a device was asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// These bytes were written at this offset of a volume's data file.
    Write {
        /// Number of the volume.
        volume: usize,
        /// Offset in the data file.
        offset: u64,
        /// What was written.
        bytes: Vec<u8>,
    },
    /// All writes to this volume before this were made durable.
    Sync(usize),
    /// A [`Recorder::mark`]: the test's own events between the operations.
    Mark(u64),
}

/// The test's end of a [`FaultyDevice`].
#[derive(Clone)]
pub struct Recorder(Rc<RefCell<State>>);

struct State {
    plan: FaultPlan,
    writes: u64,
    syncs: u64,
    record: bool,
    log: Vec<Recorded>,
}

impl Recorder {
    /// Takes what was recorded so far.
    pub fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut self.0.borrow_mut().log)
    }

    /// Puts an event of the test into the record.
    pub fn mark(&self, event: u64) {
        self.0.borrow_mut().log.push(Recorded::Mark(event));
    }

    /// Replaces the plan; the counts go on.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.0.borrow_mut().plan = plan;
    }

    /// Writes and syncs so far, failed ones among them.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.0.borrow();
        (state.writes, state.syncs)
    }
}

/// Wraps a device; see [`FaultPlan`].
pub struct FaultyDevice<D> {
    inner: D,
    state: Recorder,
}

impl<D: Device> FaultyDevice<D> {
    /// Wraps `inner`. With `record`, completed operations are kept until they are taken.
    pub fn new(inner: D, plan: FaultPlan, record: bool) -> (Self, Recorder) {
        let state = State { plan, writes: 0, syncs: 0, record, log: Vec::new() };
        let state = Recorder(Rc::new(RefCell::new(state)));
        (Self { inner, state: state.clone() }, state)
    }

    /// The number of bytes of this write that succeed, or all of them.
    fn admit_write(&self) -> Option<usize> {
        let mut state = self.state.0.borrow_mut();
        let number = state.writes;
        state.writes += 1;
        if state.plan.failing_writes.contains(&number) {
            return Some(0);
        }
        let torn = state.plan.torn_writes.iter().find(|(write, _)| *write == number);
        torn.map(|&(_, bytes)| bytes)
    }

    fn admit_sync(&self) -> bool {
        let mut state = self.state.0.borrow_mut();
        let number = state.syncs;
        state.syncs += 1;
        !state.plan.failing_syncs.contains(&number)
    }
}

impl<D: Device> Device for FaultyDevice<D> {
    type Block = D::Block;

    fn block_bytes(&self) -> usize {
        self.inner.block_bytes()
    }

    fn allocate_block(&self) -> Option<D::Block> {
        self.inner.allocate_block()
    }

    fn write_at(
        &self,
        (volume, offset): (usize, u64),
        block: D::Block,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, D::Block)> + 'static {
        let bytes_max = self.admit_write();
        let end = bytes_max.map_or(range.end, |bytes| range.end.min(range.start + bytes));
        let range = range.start..end;
        {
            let mut state = self.state.0.borrow_mut();
            if state.record && !range.is_empty() {
                let bytes = block.bytes()[range.clone()].to_vec();
                state.log.push(Recorded::Write { volume, offset, bytes });
            }
        }
        let write = self.inner.write_at((volume, offset), block, range);
        async move {
            let (result, block) = write.await;
            match bytes_max {
                None => (result, block),
                Some(_) => (Err(io::Error::from_raw_os_error(EIO)), block),
            }
        }
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        let admitted = self.admit_sync();
        let sync = admitted.then(|| self.inner.sync_data(volume));
        let state = self.state.clone();
        async move {
            let Some(sync) = sync else {
                return Err(io::Error::from_raw_os_error(EIO));
            };
            sync.await?;
            let mut state = state.0.borrow_mut();
            if state.record {
                state.log.push(Recorded::Sync(volume));
            }
            Ok(())
        }
    }
}

const EIO: i32 = 5;
