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
    /// Only operations on this volume fail; counts go over all volumes all the same.
    pub volume: Option<usize>,
    /// Bytes that can still be written. The write that goes beyond is torn there; it and all after
    /// it fail for want of space.
    pub quota_bytes: Option<u64>,
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

    /// The number of bytes of this write that succeed and the error then; `None` when nothing
    /// fails.
    fn admit_write(&self, volume: usize, bytes: usize) -> Option<(usize, i32)> {
        let mut state = self.state.0.borrow_mut();
        let number = state.writes;
        state.writes += 1;
        if state.plan.volume.is_some_and(|only| only != volume) {
            return None;
        }
        if state.plan.failing_writes.contains(&number) {
            return Some((0, EIO));
        }
        if let Some(quota) = &mut state.plan.quota_bytes {
            let left = *quota;
            *quota = left.saturating_sub(bytes as u64);
            if left < bytes as u64 {
                return Some((left as usize, ENOSPC));
            }
        }
        let torn = state.plan.torn_writes.iter().find(|(write, _)| *write == number);
        torn.map(|&(_, bytes)| (bytes, EIO))
    }

    fn admit_sync(&self, volume: usize) -> bool {
        let mut state = self.state.0.borrow_mut();
        let number = state.syncs;
        state.syncs += 1;
        let spared = state.plan.volume.is_some_and(|only| only != volume);
        spared || !state.plan.failing_syncs.contains(&number)
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
        let fault = self.admit_write(volume, range.len());
        let end = fault.map_or(range.end, |(bytes, _)| range.end.min(range.start + bytes));
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
            match fault {
                None => (result, block),
                Some((_, errno)) => (Err(io::Error::from_raw_os_error(errno)), block),
            }
        }
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        let admitted = self.admit_sync(volume);
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
const ENOSPC: i32 = 28;
