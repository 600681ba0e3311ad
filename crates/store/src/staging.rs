//! Between a draft and the device: staging blocks, writes in flight, and waiting.
//!
//! Every write is an owned operation that keeps its block and its bookkeeping until the device
//! answers. When the call that started it is dropped, the operation is kept as an orphan and
//! driven by whoever waits next; nothing is ever forgotten while the kernel still reads its bytes,
//! and no segment with a write in flight is written anew.
//!
//! A draft holds at most one block. When the pool is empty, whoever needs a block writes out the
//! partly filled block of another draft: slow bodies cannot keep the pool from the others. Two
//! blocks are kept back for headers and footers, so that these never wait for drafts.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::device::{Block, Device};
use crate::draft::{Front, OpenDraft};
use crate::error::WriteError;
use crate::format::RECORD_HEADER_BYTES;
use crate::writer::Inner;

/// A block that is being filled for a draft.
pub(crate) struct Staged<B> {
    pub(crate) block: B,
    /// Offset in the segment of the block's first byte.
    pub(crate) at: u32,
    pub(crate) len: usize,
}

/// What a write was for.
pub(crate) enum Purpose {
    /// A draft's staged bytes up to an offset; with the record header in front or without.
    Staged { draft: Rc<OpenDraft>, to: u32, with_front: bool },
    /// A record header on its own.
    Front(Rc<OpenDraft>),
    /// A segment header, a part of a footer, or bytes of an area in front of the segments.
    Plan,
}

/// Where a write goes.
#[derive(Debug, Clone, Copy)]
struct Target {
    volume: usize,
    /// `None` for an area in front of the segments.
    segment: Option<u32>,
}

type WriteFuture<B> = Pin<Box<dyn Future<Output = (io::Result<()>, B)>>>;

/// A write in flight.
pub(crate) struct Operation<B> {
    future: WriteFuture<B>,
    target: Target,
    purpose: Purpose,
    /// Its number among those of its volume, see [`Pace`](crate::pace::Pace).
    number: u64,
}

/// Awaits an operation; dropped, it leaves it to the writer.
struct Landing<'a, D: Device> {
    inner: &'a Inner<D>,
    operation: Option<Operation<D::Block>>,
}

impl<D: Device> Future for Landing<'_, D> {
    type Output = Result<(), WriteError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(operation) = self.operation.as_mut() else {
            return Poll::Ready(Err(WriteError::Interrupted));
        };
        let Poll::Ready((result, block)) = operation.future.as_mut().poll(context) else {
            return Poll::Pending;
        };
        match self.operation.take() {
            Some(operation) => Poll::Ready(self.inner.land(operation, result, block)),
            None => Poll::Ready(Err(WriteError::Interrupted)),
        }
    }
}

impl<D: Device> Drop for Landing<'_, D> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            self.inner.orphans.borrow_mut().push(operation);
            self.inner.changed.notify();
        }
    }
}

impl<D: Device> Inner<D> {
    /// Copies bytes into the draft's blocks, and writes those that are full.
    pub(crate) async fn stage(
        &self,
        draft: &Rc<OpenDraft>,
        mut bytes: &[u8],
    ) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            self.check(draft)?;
            self.ensure_block(draft).await;
            let Some((taken, full)) = self.fill_block(draft, bytes) else { continue };
            bytes = bytes.get(taken..).unwrap_or_default();
            if full {
                self.write_staged(draft).await?;
            }
        }
        Ok(())
    }

    /// Writes what is staged for the draft; ready when no write of it is in flight.
    pub(crate) async fn write_staged(&self, draft: &Rc<OpenDraft>) -> Result<(), WriteError> {
        self.wait_until(|| (!draft.writing.get()).then_some(())).await;
        let Some(staged) = self.take_staged(draft) else {
            return self.check(draft);
        };
        self.check(draft).inspect_err(|_| self.changed.notify())?;
        let to = staged.at + staged.len as u32;
        let front_staged = staged.at == draft.layout.at && staged.len >= RECORD_HEADER_BYTES;
        let with_front = front_staged && draft.front.get() == Front::Unwritten;
        // Somebody else has seen to the header: what readers may see is not written twice.
        let start = if front_staged && !with_front { RECORD_HEADER_BYTES } else { 0 };
        if with_front {
            draft.front.set(Front::Writing);
        }
        draft.writing.set(true);
        let purpose = Purpose::Staged { draft: Rc::clone(draft), to, with_front };
        let offset = staged.at + start as u32;
        self.write(draft.segment, offset, (staged.block, start..staged.len), purpose).await
    }

    /// Writes bytes of the log itself (headers, footers) through the blocks kept back for them.
    pub(crate) async fn write_plan(
        &self,
        segment: u32,
        mut at: u32,
        mut bytes: &[u8],
    ) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let mut block = self.control_block().await;
            let len = bytes.len().min(block.bytes().len());
            block.bytes_mut()[..len].copy_from_slice(&bytes[..len]);
            self.write(segment, at, (block, 0..len), Purpose::Plan).await?;
            at += len as u32;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Writes bytes to an area in front of the segments, through the same blocks. A failure counts
    /// against the volume; no record is lost by it.
    pub(crate) async fn write_area(
        &self,
        volume: usize,
        mut offset: u64,
        mut bytes: &[u8],
    ) -> Result<(), WriteError> {
        let target = Target { volume, segment: None };
        while !bytes.is_empty() {
            let mut block = self.control_block().await;
            let len = bytes.len().min(block.bytes().len());
            block.bytes_mut()[..len].copy_from_slice(&bytes[..len]);
            self.launch(target, offset, (block, 0..len), Purpose::Plan).await?;
            offset += len as u64;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Sees to it that the headers of this extent and of all before it in its segment are on the
    /// device: the forward walk must be able to reach what comes behind them.
    pub(crate) async fn write_fronts(&self, draft: &OpenDraft) -> Result<(), WriteError> {
        self.write_fronts_to(draft.segment, draft.sequence).await?;
        self.check(draft)
    }

    /// The same for every extent of a segment.
    pub(crate) async fn write_segment_fronts(&self, segment: u32) -> Result<(), WriteError> {
        let last_sequence = self.logs.borrow().segment(segment).last_sequence;
        self.write_fronts_to(segment, last_sequence).await
    }

    async fn write_fronts_to(&self, segment: u32, last_sequence: u64) -> Result<(), WriteError> {
        loop {
            let missing = {
                let (fronts, logs) = (self.fronts.borrow(), self.logs.borrow());
                let generation = logs.segment(segment).generation;
                let mut before = fronts.range(..=last_sequence).map(|(_, front)| front);
                let ours = |front: &&Rc<OpenDraft>| {
                    front.segment == segment && front.generation == generation
                };
                before.find(ours).cloned()
            };
            let Some(front) = missing else { return Ok(()) };
            self.check_segment(segment, front.generation)?;
            match front.front.get() {
                Front::Unwritten => {
                    front.front.set(Front::Writing);
                    self.write_front(front).await?;
                }
                Front::Writing => {
                    let settled = || (front.front.get() != Front::Writing).then_some(());
                    self.wait_until(settled).await;
                }
                Front::Written => {
                    self.fronts.borrow_mut().remove(&front.sequence);
                }
            }
        }
    }

    async fn write_front(&self, front: Rc<OpenDraft>) -> Result<(), WriteError> {
        // A caller that is dropped while it waits for a block has claimed nothing.
        let claim = FrontClaim(Some(&front));
        let mut block = self.control_block().await;
        claim.keep();
        block.bytes_mut()[..RECORD_HEADER_BYTES].copy_from_slice(&front.header);
        let (segment, at) = (front.segment, front.layout.at);
        let bytes = (block, 0..RECORD_HEADER_BYTES);
        self.write(segment, at, bytes, Purpose::Front(front)).await
    }

    /// Starts a write at an offset of a segment and awaits it.
    async fn write(
        &self,
        segment: u32,
        at: u32,
        (block, range): (D::Block, Range<usize>),
        purpose: Purpose,
    ) -> Result<(), WriteError> {
        let offset = self.shared.volume_of(segment).base(segment) + u64::from(at);
        let volume = self.logs.borrow().volume_of(segment);
        self.logs.borrow_mut().segment_mut(segment).writes_in_flight += 1;
        let target = Target { volume, segment: Some(segment) };
        self.launch(target, offset, (block, range), purpose).await
    }

    async fn launch(
        &self,
        target: Target,
        offset: u64,
        (block, range): (D::Block, Range<usize>),
        purpose: Purpose,
    ) -> Result<(), WriteError> {
        let number = self.paces.borrow_mut()[target.volume].begin(Instant::now());
        let future = Box::pin(self.device.write_at((target.volume, offset), block, range));
        let operation = Some(Operation { future, target, purpose, number });
        Landing { inner: self, operation }.await
    }

    /// A write has been answered.
    fn land(
        &self,
        operation: Operation<D::Block>,
        result: io::Result<()>,
        block: D::Block,
    ) -> Result<(), WriteError> {
        let Target { volume, segment } = operation.target;
        self.paces.borrow_mut()[volume].end(operation.number, Instant::now());
        self.show_pace(volume);
        if let Some(segment) = segment {
            let mut logs = self.logs.borrow_mut();
            let segment = logs.segment_mut(segment);
            segment.writes_in_flight = segment.writes_in_flight.saturating_sub(1);
            segment.writes_done += 1;
        }
        let failed = result.is_err() || self.shared.volumes[volume].is_cut();
        if failed {
            self.device_failed(volume, segment.as_slice());
        }
        match operation.purpose {
            Purpose::Staged { draft, to, with_front } => {
                drop(block);
                draft.writing.set(false);
                if with_front {
                    self.front_landed(&draft, failed);
                }
                if failed {
                    draft.broken.set(Some(WriteError::Device));
                } else {
                    draft.advance(to);
                }
            }
            Purpose::Front(draft) => {
                self.control.borrow_mut().push(block);
                self.front_landed(&draft, failed);
            }
            Purpose::Plan => self.control.borrow_mut().push(block),
        }
        self.changed.notify();
        if failed { Err(WriteError::Device) } else { Ok(()) }
    }

    fn front_landed(&self, draft: &OpenDraft, failed: bool) {
        draft.front.set(if failed { Front::Unwritten } else { Front::Written });
        if !failed {
            self.fronts.borrow_mut().remove(&draft.sequence);
        }
    }

    /// A block for the draft, from the pool or from a draft that does not need its own so much.
    async fn ensure_block(&self, draft: &Rc<OpenDraft>) {
        while !self.has_staged(draft) {
            if let Some(block) = self.device.allocate_block() {
                self.put_staged(draft, block);
                return;
            }
            if let Some(victim) = self.victim() {
                // Its failure is the victim's, and is met by the victim's next call.
                let _ = self.write_staged(&victim).await;
                continue;
            }
            let block = self.wait_until(|| match self.device.allocate_block() {
                Some(block) => Some(Some(block)),
                None => self.victim().is_some().then_some(None),
            });
            if let Some(block) = block.await {
                self.put_staged(draft, block);
                return;
            }
        }
    }

    /// One of the blocks kept back.
    pub(crate) async fn control_block(&self) -> D::Block {
        self.wait_until(|| self.control.borrow_mut().pop()).await
    }

    fn has_staged(&self, draft: &OpenDraft) -> bool {
        self.drafts.borrow().get(&draft.sequence).is_none_or(|open| open.staged.is_some())
    }

    fn put_staged(&self, draft: &OpenDraft, block: D::Block) {
        if let Some(open) = self.drafts.borrow_mut().get_mut(&draft.sequence) {
            open.staged = Some(Staged { block, at: draft.staged_to.get(), len: 0 });
        }
    }

    fn take_staged(&self, draft: &OpenDraft) -> Option<Staged<D::Block>> {
        self.drafts.borrow_mut().get_mut(&draft.sequence)?.staged.take()
    }

    /// Copies what fits into the draft's block: how much, and whether the block is full then.
    fn fill_block(&self, draft: &OpenDraft, bytes: &[u8]) -> Option<(usize, bool)> {
        let mut drafts = self.drafts.borrow_mut();
        let staged = drafts.get_mut(&draft.sequence)?.staged.as_mut()?;
        // Blocks end at a page, so that all but the first of a body begin at one.
        let capacity = staged.block.bytes().len() - staged.at as usize % 4096;
        let taken = bytes.len().min(capacity - staged.len);
        let end = staged.len + taken;
        staged.block.bytes_mut()[staged.len..end].copy_from_slice(&bytes[..taken]);
        staged.len = end;
        draft.staged_to.set(staged.at + end as u32);
        Some((taken, end == capacity))
    }

    /// A draft whose block can be written out.
    fn victim(&self) -> Option<Rc<OpenDraft>> {
        let drafts = self.drafts.borrow();
        let idle = drafts.values().find(|open| open.staged.is_some() && !open.draft.writing.get());
        idle.map(|open| Rc::clone(&open.draft))
    }

    /// Waits until `ready` says so; asks it again whenever something has changed.
    pub(crate) async fn wait_until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        std::future::poll_fn(|context| {
            self.drive_orphans(context);
            match ready() {
                Some(value) => Poll::Ready(value),
                None => {
                    self.changed.register(context.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The volumes to whose areas in front of the segments writes are in flight that nobody awaits.
    pub(crate) fn area_orphans(&self) -> Vec<usize> {
        let orphans = self.orphans.borrow();
        let areas = orphans.iter().filter(|orphan| orphan.target.segment.is_none());
        areas.map(|orphan| orphan.target.volume).collect()
    }

    fn drive_orphans(&self, context: &mut Context<'_>) {
        let orphans = std::mem::take(&mut *self.orphans.borrow_mut());
        for mut orphan in orphans {
            match orphan.future.as_mut().poll(context) {
                Poll::Ready((result, block)) => {
                    // Whoever needed it has gone; its failure is counted.
                    let _ = self.land(orphan, result, block);
                }
                Poll::Pending => self.orphans.borrow_mut().push(orphan),
            }
        }
    }
}

/// Undoes the claim on a front whose write was never started.
struct FrontClaim<'a>(Option<&'a OpenDraft>);

impl FrontClaim<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for FrontClaim<'_> {
    fn drop(&mut self) {
        if let Some(draft) = self.0 {
            draft.front.set(Front::Unwritten);
        }
    }
}

/// Wakes everybody who waits; each looks for himself whether it was for him.
#[derive(Default)]
pub(crate) struct Changed(RefCell<Vec<Waker>>);

impl Changed {
    pub(crate) fn notify(&self) {
        let wakers = std::mem::take(&mut *self.0.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    fn register(&self, waker: &Waker) {
        let mut wakers = self.0.borrow_mut();
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }
}
