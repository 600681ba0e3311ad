//! A body on its way to its readers and, beside that, into the store: no reader waits for a disk.
//!
//! ```text
//! origin ─► take ─► download ─► readers
//!             └───► queue ────► append, flush ─► store
//! ```
//! What the store has not written yet lies in the download's window, and some of it in the queue.
//! When either is full, or the body has come to its end, the readers wait for the store as long as
//! its patience lasts (`store.write_patience`), and not at all while a disk is known to be behind:
//! they go on, without the store where it must keep more, and with a commit behind their backs at
//! the end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use longhold_origin::{Demand, Download, FetchError};
use longhold_store::{Extent, Pending, WriteError};
use longhold_telemetry::Counter;
use tokio::sync::{Notify, oneshot};

use super::plane::Plane;

/// A body that is given to its readers and, as long as that goes, to the store.
pub(super) struct Intake<'a> {
    plane: &'a Plane,
    body: &'a Arc<Download<Extent>>,
    queue: Rc<Queue>,
    storing: Option<Storing<'a>>,
}

/// Ends with the draft when the queue is closed and all of it was appended.
type Storing<'a> = Pin<Box<dyn Future<Output = Result<Pending, WriteError>> + 'a>>;

/// What has come and is not appended yet.
#[derive(Default)]
struct Queue {
    pieces: RefCell<VecDeque<Bytes>>,
    /// Their bytes, and those of the piece that is being appended.
    bytes: Cell<usize>,
    appending_bytes: Cell<usize>,
    closed: Cell<bool>,
    moved: Notify,
}

impl Queue {
    async fn next(&self) -> Option<Bytes> {
        self.bytes.set(self.bytes.get() - self.appending_bytes.take());
        loop {
            let piece = self.pieces.borrow_mut().pop_front();
            match piece {
                Some(piece) => {
                    self.appending_bytes.set(piece.len());
                    return Some(piece);
                }
                None if self.closed.get() => return None,
                None => self.moved.notified().await,
            }
        }
    }

    fn push(&self, piece: Bytes) {
        self.bytes.set(self.bytes.get() + piece.len());
        self.pieces.borrow_mut().push_back(piece);
        self.moved.notify_one();
    }

    fn close(&self) {
        self.closed.set(true);
        self.moved.notify_one();
    }
}

impl<'a> Intake<'a> {
    /// For a body that is stored with `pending`, if it is.
    pub(super) fn new(
        plane: &'a Plane,
        body: &'a Arc<Download<Extent>>,
        pending: Option<Pending>,
    ) -> Self {
        let queue = Rc::new(Queue::default());
        let storing = pending
            .map(|pending| Box::pin(store(plane, body, pending, Rc::clone(&queue))) as Storing<'a>);
        Self { plane, body, queue, storing }
    }

    pub(super) fn is_storing(&self) -> bool {
        self.storing.is_some()
    }

    /// The store does not get this body after all; its readers do.
    pub(super) fn give_up(&mut self) {
        // Its draft goes with it.
        if self.storing.take().is_some() {
            self.body.end_storing();
        }
    }

    /// Waits for `source`, while the store goes on.
    pub(super) async fn beside<T>(&mut self, source: impl Future<Output = T>) -> T {
        let mut source = pin!(source);
        std::future::poll_fn(|context| {
            self.go_on(context);
            source.as_mut().poll(context)
        })
        .await
    }

    /// Gives a piece to the readers and to the store.
    ///
    /// # Errors
    /// [`FetchError::Abandoned`] when nobody wants it.
    pub(super) async fn take(&mut self, bytes: Bytes) -> Result<(), FetchError> {
        let plane = self.plane;
        if self.is_full() && plane.within_patience(self.drained()).await.is_none() {
            plane.parts.counters.add(Counter::StoreBehind, 1);
            self.give_up();
        }
        self.body.push(bytes.clone()).await.map_err(|_| FetchError::Abandoned)?;
        if self.storing.is_some() {
            self.queue.push(bytes);
        }
        Ok(())
    }

    /// The origin has failed.
    pub(super) fn fail(mut self, error: FetchError) {
        self.give_up();
        self.body.fail(error);
    }

    /// The origin has given all: what is stored is committed if `is_current` says so then. The
    /// readers are told before that when the store is not prompt. Says how the body has ended, and
    /// whether it is stored.
    pub(super) async fn end(
        mut self,
        is_current: impl Fn() -> bool,
    ) -> (Result<(), FetchError>, bool) {
        let Self { plane, body, .. } = self;
        let Some(storing) = self.storing.take() else { return (body.finish(), false) };
        self.queue.close();
        let mut committing = pin!(async {
            let pending = storing.await?;
            match is_current() {
                true => plane.parts.writer.commit(pending).await.map(|_| true),
                // Dropped, it is abandoned.
                false => Ok(false),
            }
        });
        let soon = plane.within_patience(committing.as_mut()).await;
        let ended = body.finish();
        let committed = match soon {
            Some(committed) => committed,
            None => committing.await,
        };
        // What was not written leaves memory behind the slowest reader.
        body.end_storing();
        (ended, committed.unwrap_or_else(|error| plane.count_unstored(error)))
    }

    fn is_full(&self) -> bool {
        let queued = self.queue.bytes.get();
        // A body that is gathered before it is written may fill the window and nothing be queued.
        let is_behind = queued > 0 && self.body.demand() == Demand::Full;
        self.storing.is_some() && (is_behind || queued > QUEUE_BYTES_MAX)
    }

    /// The store has made room, or has failed.
    async fn drained(&mut self) {
        std::future::poll_fn(|context| {
            self.go_on(context);
            if self.is_full() { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
    }

    fn go_on(&mut self, context: &mut Context<'_>) {
        let Some(storing) = &mut self.storing else { return };
        // Open, it does not end but by a failure.
        if let Poll::Ready(stored) = storing.as_mut().poll(context) {
            if let Err(error) = stored {
                self.plane.count_unstored(error);
            }
            self.give_up();
        }
    }
}

/// Appends what comes through the queue.
async fn store(
    plane: &Plane,
    body: &Download<Extent>,
    mut pending: Pending,
    queue: Rc<Queue>,
) -> Result<Pending, WriteError> {
    let writer = &plane.parts.writer;
    while let Some(bytes) = queue.next().await {
        let mut written = writer.append(&mut pending, &bytes).await;
        if written.is_ok() && body.demand() == Demand::Full {
            written = writer.flush(&mut pending).await;
        }
        body.set_written(pending.written());
        written?;
    }
    Ok(pending)
}

impl Plane {
    /// Waits for the store as long as patience lasts, and not beyond its first step while a disk is
    /// behind.
    pub(super) async fn within_patience<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let first = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
        match first {
            Poll::Ready(done) => return Some(done),
            Poll::Pending if self.parts.writer.is_behind() => return None,
            Poll::Pending => {}
        }
        let done = tokio::time::timeout(self.parts.waits.store, work).await;
        self.parts.counters.add(Counter::StoreWaitsCut, u64::from(done.is_err()));
        done.ok()
    }

    /// The same for work that goes on to its end, whoever waits.
    pub(super) async fn within_patience_of_task<T: 'static>(
        self: &Rc<Self>,
        work: impl Future<Output = T> + 'static,
    ) -> Option<T> {
        let (done, ended) = oneshot::channel();
        // Whoever waited may have gone.
        self.track(async move { drop(done.send(work.await)) });
        self.within_patience(ended).await.and_then(Result::ok)
    }

    /// Counts a body that the store did not take to its end.
    fn count_unstored(&self, error: WriteError) -> bool {
        // Nobody's fault: it had said no length, or came slower than the memory tier turns.
        let is_large = matches!(error, WriteError::TooLong | WriteError::Reclaimed);
        let counter = if is_large { Counter::StoreRefused } else { Counter::StoreWriteErrors };
        self.parts.counters.add(counter, 1);
        false
    }
}

/// What may wait to be appended, of one body: what is written to a disk at a time.
const QUEUE_BYTES_MAX: usize = longhold_store::device::BLOCK_BYTES;
