//! A response body on its way from the fill plane to its readers: read-while-write.
//!
//! ```text
//!  0          store's extent          written   memory (pieces)      end
//!  ├───────────────────────────────────────┼───────────────────────────┤ ← push
//!        ▲ reader A: Next::Extent               ▲ reader B: Next::Bytes
//! ```
//! One producer appends; the leader and any number of followers read, each at its own position.
//! While the body is **stored**, bytes below `written` may leave memory and are then read through
//! the store's mapping, so no reader can hold the producer back; within a window of the end they
//! stay until all readers have them, so that a store that loses them again harms only readers that
//! are further behind. While it is **not stored**, a piece
//! leaves memory once the slowest attached reader has passed it, and the producer waits for that
//! reader. A failure is never an end, and an end is never said before the promised length came.
//!
//! The extent is a type parameter, because this crate knows no store.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::Notify;

use super::budget::StagingShare;
use super::pieces::Pieces;
use super::{Wake, lock};
use crate::error::FetchError;

mod reader;

/// The response body of one fetch, shared by its producer and its readers.
///
/// `E` is the store's extent, handed to readers as it is. Memory: at most the window and one piece;
/// while stored, the producer holds [`unwritten_bytes`](Self::unwritten_bytes) below the window by
/// flushing its writer.
pub struct Download<E = Infallible> {
    share: Option<StagingShare>,
    state: Mutex<State<E>>,
    /// Told when room came or the download was abandoned.
    producer: Notify,
}

/// What a reader finds at its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<E> {
    /// Bytes from memory; the position has moved past them.
    Bytes(Bytes),
    /// Bytes that the store holds already; the position has moved past them.
    Extent {
        /// Where, in the store's own words. The store may have lost it since (a failed fetch, a
        /// reclaimed segment); the reader's exchange has then failed.
        extent: E,
        /// Which bytes of the body.
        range: Range<u64>,
    },
    /// Nothing yet; the reader's `wake` is called when there is.
    Pending,
    /// The body is complete and was read to its end.
    End,
    /// All bytes that came were read, and the rest will never come.
    Failed(FetchError),
}

/// Why a reader cannot join a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AttachRefused {
    /// The body is not stored and its first bytes have left memory.
    #[error("the first bytes of the body are gone")]
    Gone,
    /// Its last reader left; the fetch is being given up.
    #[error("the download was abandoned")]
    Abandoned,
    /// The fetch has failed.
    #[error("the download has failed: {0}")]
    Failed(FetchError),
}

/// Why a download takes no more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PushRefused {
    /// Nobody reads and nothing stores it: the fetch should stop.
    #[error("the download was abandoned")]
    Abandoned,
    /// More bytes than the promised length; the download has failed with
    /// [`FetchError::BadResponse`].
    #[error("the body exceeds its promised length")]
    TooLong,
    /// It was finished or failed before.
    #[error("the download has ended")]
    Ended,
}

/// How much the download wants just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// So many bytes before the window is full.
    Room(u64),
    /// The window is full: by the slowest reader, or, when stored, by unwritten bytes.
    Full,
    /// Nobody wants it any more.
    Abandoned,
}

/// One reader at its own position. Dropping it detaches.
pub struct DownloadReader<E = Infallible> {
    download: Arc<Download<E>>,
    id: u64,
    position: u64,
}

/// Fails the download when the producer goes away without an end; see [`Download::guard`].
pub struct DownloadGuard<E = Infallible> {
    download: Arc<Download<E>>,
}

struct State<E> {
    window_bytes: u64,
    pieces: Pieces,
    /// Where the body is given from.
    first: u64,
    promised_bytes: Option<u64>,
    extent: Option<E>,
    /// No range of the extent goes beyond a multiple of it.
    grain_bytes: u64,
    storing: bool,
    written: u64,
    ending: Ending,
    abandoned: bool,
    readers: BTreeMap<u64, Reader>,
    next_id: u64,
    /// How many readers stand at which position: the first key is the slowest.
    positions: BTreeMap<u64, usize>,
    producer_waits: bool,
}

struct Reader {
    wake: Wake,
    waits: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    Finished,
    Failed(FetchError),
}

impl<E: Clone + Send + 'static> Download<E> {
    /// An empty download with a window of `window_bytes` (at least 1) outside any budget.
    #[must_use]
    pub fn new(window_bytes: usize) -> Self {
        Self {
            share: None,
            state: Mutex::new(State::new(window_bytes.max(1) as u64)),
            producer: Notify::new(),
        }
    }

    /// An empty download whose window is a share of the process's budget, returned when the last
    /// holder drops the download.
    #[must_use]
    pub fn with_share(share: StagingShare) -> Self {
        let window_bytes = share.window_bytes();
        Self { share: Some(share), ..Self::new(window_bytes) }
    }

    /// Whether the window came from the budget in full, so that the body may be stored.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.share.as_ref().is_some_and(|share| !share.is_small())
    }

    // The producer's side.

    /// Promises the length of the whole body, before the first byte is pushed.
    pub fn set_length(&self, length: u64) {
        lock(&self.state).promised_bytes = Some(length);
    }

    /// Says that the body is given from this byte on, before the first is pushed: readers begin
    /// there.
    pub fn set_start(&self, start: u64) {
        let mut state = lock(&self.state);
        state.first = start;
        state.pieces.begin_at(start);
    }

    /// Says that the store writes this body to `extent`, from its first byte on. What lies on both
    /// sides of a multiple of `grain_bytes` (at least 1) is not handed out in one range.
    pub fn set_extent(&self, extent: E, grain_bytes: u64) {
        {
            let mut state = lock(&self.state);
            state.extent = Some(extent);
            state.grain_bytes = grain_bytes.max(1);
            state.storing = true;
        }
        self.producer.notify_waiters();
    }

    /// Says that the first `written` bytes of the body can be read from the extent; the pieces
    /// below leave memory, but for what readers within the window have not read. Without an extent,
    /// or going backwards, it changes nothing.
    pub fn set_written(&self, written: u64) {
        let mut state = lock(&self.state);
        if state.storing && written > state.written {
            state.written = written;
            state.release();
        }
    }

    /// Says that the store gave this body up: from now on the slowest reader counts. Readers that
    /// are still below `written` go on reading the extent, as far as the store still has it.
    pub fn end_storing(&self) {
        {
            let mut state = lock(&self.state);
            state.storing = false;
            state.release();
            state.abandon_if_unwanted();
        }
        self.producer.notify_waiters();
    }

    /// Appends a piece. While the body is not stored, it first waits until the slowest reader (or,
    /// before there is one, the download itself) has room.
    ///
    /// While it is stored it never waits here: the same task will write the piece, and would wait
    /// for itself. The writer's own back-pressure counts then, and the producer flushes the writer
    /// when [`demand`](Self::demand) says [`Demand::Full`].
    ///
    /// # Errors
    /// [`PushRefused`] when nobody wants the piece, or it may not come.
    pub async fn push(&self, bytes: Bytes) -> Result<(), PushRefused> {
        self.room().await?;
        let wakes = lock(&self.state).append(bytes);
        let (wakes, result) = match wakes {
            Ok(wakes) => (wakes, Ok(())),
            Err((wakes, refused)) => (wakes, Err(refused)),
        };
        call(wakes);
        result
    }

    /// Waits until [`push`](Self::push) would not wait.
    ///
    /// # Errors
    /// [`PushRefused::Abandoned`] or [`PushRefused::Ended`].
    pub async fn room(&self) -> Result<(), PushRefused> {
        loop {
            let notified = self.producer.notified();
            {
                let mut state = lock(&self.state);
                if state.ending != Ending::Open {
                    return Err(PushRefused::Ended);
                }
                match state.demand() {
                    Demand::Abandoned => return Err(PushRefused::Abandoned),
                    Demand::Room(_) => return Ok(()),
                    Demand::Full if state.storing => return Ok(()),
                    Demand::Full => state.producer_waits = true,
                }
            }
            notified.await;
        }
    }

    /// Waits until nobody wants the body any more; never returns while somebody does.
    pub async fn abandoned(&self) {
        loop {
            let notified = self.producer.notified();
            if lock(&self.state).abandoned {
                return;
            }
            notified.await;
        }
    }

    /// How much the download wants now.
    #[must_use]
    pub fn demand(&self) -> Demand {
        lock(&self.state).demand()
    }

    /// Bytes that were pushed and are not yet readable from the extent.
    #[must_use]
    pub fn unwritten_bytes(&self) -> u64 {
        let state = lock(&self.state);
        state.pieces.end().saturating_sub(state.written)
    }

    /// Bytes that have come so far.
    #[must_use]
    pub fn received_bytes(&self) -> u64 {
        lock(&self.state).pieces.end()
    }

    /// Bytes that lie in memory now.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        lock(&self.state).pieces.held_bytes()
    }

    /// Whether nobody reads and nothing stores the body. Once true, it stays so.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        lock(&self.state).abandoned
    }

    /// Says that the body is complete.
    ///
    /// # Errors
    /// [`FetchError::Truncated`] when fewer bytes came than were promised: the readers are then
    /// told of that failure, not of an end. An earlier failure stays and is returned.
    pub fn finish(&self) -> Result<(), FetchError> {
        let (wakes, result) = {
            let mut state = lock(&self.state);
            let short = state.promised_bytes.is_some_and(|length| state.pieces.end() < length);
            let wakes = state.end(if short {
                Ending::Failed(FetchError::Truncated)
            } else {
                Ending::Finished
            });
            let result = match state.ending {
                Ending::Failed(error) => Err(error),
                Ending::Open | Ending::Finished => Ok(()),
            };
            (wakes, result)
        };
        call(wakes);
        result
    }

    /// Says that the rest of the body will never come. After an end it changes nothing.
    pub fn fail(&self, error: FetchError) {
        let wakes = lock(&self.state).end(Ending::Failed(error));
        call(wakes);
    }

    /// A guard for the producing task: when it drops without an end having been said (a panic, a
    /// cancelled task, a stopping runtime), the readers are told [`FetchError::Stopped`].
    #[must_use]
    pub fn guard(self: &Arc<Self>) -> DownloadGuard<E> {
        DownloadGuard { download: Arc::clone(self) }
    }

    // The readers' side.

    /// Joins at the first byte that is given. `wake` is called, outside every lock, whenever a
    /// [`Next::Pending`] has become untrue.
    ///
    /// # Errors
    /// [`AttachRefused`] when the body can no longer be read from its start: the caller fetches on
    /// its own.
    pub fn attach(self: &Arc<Self>, wake: Wake) -> Result<DownloadReader<E>, AttachRefused> {
        let mut state = lock(&self.state);
        if state.abandoned {
            return Err(AttachRefused::Abandoned);
        }
        if let Ending::Failed(error) = state.ending {
            return Err(AttachRefused::Failed(error));
        }
        let first = state.first;
        if state.pieces.start() > first && !state.storing {
            return Err(AttachRefused::Gone);
        }
        let id = state.next_id;
        state.next_id += 1;
        state.readers.insert(id, Reader { wake, waits: false });
        *state.positions.entry(first).or_insert(0) += 1;
        drop(state);
        Ok(DownloadReader { download: Arc::clone(self), id, position: first })
    }

    /// Readers that are attached now.
    #[must_use]
    pub fn reader_count(&self) -> usize {
        lock(&self.state).readers.len()
    }
}

impl<E> Drop for DownloadGuard<E> {
    fn drop(&mut self) {
        let wakes = lock(&self.download.state).end(Ending::Failed(FetchError::Stopped));
        call(wakes);
    }
}

impl<E> State<E> {
    fn new(window_bytes: u64) -> Self {
        Self {
            window_bytes,
            pieces: Pieces::default(),
            first: 0,
            promised_bytes: None,
            extent: None,
            grain_bytes: u64::MAX,
            storing: false,
            written: 0,
            ending: Ending::Open,
            abandoned: false,
            readers: BTreeMap::new(),
            next_id: 0,
            positions: BTreeMap::new(),
            producer_waits: false,
        }
    }

    /// Whom to wake, and whether the piece was taken.
    fn append(&mut self, bytes: Bytes) -> Result<Vec<Wake>, (Vec<Wake>, PushRefused)> {
        if self.ending != Ending::Open {
            return Err((Vec::new(), PushRefused::Ended));
        }
        let end = self.pieces.end().saturating_add(bytes.len() as u64);
        if self.promised_bytes.is_some_and(|length| end > length) {
            let wakes = self.end(Ending::Failed(FetchError::BadResponse));
            return Err((wakes, PushRefused::TooLong));
        }
        if bytes.is_empty() {
            return Ok(Vec::new());
        }
        self.pieces.push(bytes);
        self.release();
        Ok(self.waiting())
    }

    fn end(&mut self, ending: Ending) -> Vec<Wake> {
        if self.ending != Ending::Open {
            return Vec::new();
        }
        self.ending = ending;
        self.waiting()
    }

    fn waiting(&mut self) -> Vec<Wake> {
        let waiting = self.readers.values_mut().filter_map(|reader| {
            std::mem::take(&mut reader.waits).then(|| Arc::clone(&reader.wake))
        });
        waiting.collect()
    }

    fn demand(&self) -> Demand {
        if self.abandoned {
            return Demand::Abandoned;
        }
        // What is held, not what is unread: a piece stays whole until its last byte was read.
        let used_bytes = match self.storing {
            true => self.pieces.end().saturating_sub(self.written),
            false => self.pieces.held_bytes(),
        };
        match self.window_bytes.saturating_sub(used_bytes) {
            0 => Demand::Full,
            room => Demand::Room(room),
        }
    }

    /// Where the slowest reader stands; before there is one, the start of what is in memory.
    fn slowest(&self) -> u64 {
        self.positions.first_key_value().map_or(self.pieces.start(), |(position, _)| *position)
    }

    /// Drops from memory what every reader has passed, and what the store holds outside the window.
    fn release(&mut self) {
        let floor = match self.storing {
            true => {
                let window_start = self.pieces.end().saturating_sub(self.window_bytes);
                let unread = self.positions.keys().next().map_or(u64::MAX, |slowest| *slowest);
                self.written.min(unread.max(window_start))
            }
            false => self.slowest(),
        };
        self.pieces.release_below(floor);
    }

    fn tells_producer(&mut self) -> bool {
        self.producer_waits
            && self.demand() != Demand::Full
            && std::mem::take(&mut self.producer_waits)
    }

    fn leave(&mut self, position: u64) {
        if let Some(count) = self.positions.get_mut(&position) {
            *count -= 1;
            if *count == 0 {
                self.positions.remove(&position);
            }
        }
    }

    /// Nobody reads and nothing stores it: its memory goes, and an open one is abandoned. Only
    /// asked when a reader or the store leaves, so a download that was never read stays.
    fn abandon_if_unwanted(&mut self) {
        if self.readers.is_empty() && !self.storing {
            self.abandoned |= self.ending == Ending::Open;
            self.pieces.clear();
        }
    }
}

impl<E: Clone> State<E> {
    fn read(&self, position: u64, max_bytes: usize) -> Next<E> {
        let start = self.pieces.start();
        if position < start {
            // OR-8: what left memory below a reader is in the extent.
            let grain_end = (position / self.grain_bytes + 1).saturating_mul(self.grain_bytes);
            let end = start.min(self.written).min(position.saturating_add(max_bytes as u64));
            let end = end.min(grain_end);
            return match &self.extent {
                Some(extent) if position < end => {
                    Next::Extent { extent: extent.clone(), range: position..end }
                }
                Some(_) | None => Next::Failed(FetchError::Truncated),
            };
        }
        match (self.pieces.read(position, max_bytes), self.ending) {
            (Some(bytes), _) => Next::Bytes(bytes),
            (None, Ending::Open) => Next::Pending,
            (None, Ending::Finished) => Next::End,
            (None, Ending::Failed(error)) => Next::Failed(error),
        }
    }
}

impl<E> std::fmt::Debug for Download<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Download")
            .field("end", &state.pieces.end())
            .field("held_bytes", &state.pieces.held_bytes())
            .field("written", &state.written)
            .field("readers", &state.readers.len())
            .finish_non_exhaustive()
    }
}

impl<E> std::fmt::Debug for DownloadReader<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DownloadReader").field("position", &self.position).finish_non_exhaustive()
    }
}

fn call(wakes: Vec<Wake>) {
    for wake in wakes {
        wake();
    }
}

#[cfg(test)]
mod tests;
