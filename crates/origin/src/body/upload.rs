//! A request body on its way from one worker to the origin.
//!
//! The worker pushes pieces until there is no room, parks its connection's reads, and is woken when
//! room returns; so an origin that reads slowly slows the client down, in a window's memory.

use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::pieces::Pieces;
use super::{Wake, lock};
use crate::error::FetchError;

/// The bounded queue of one request body: one producer (a worker), one consumer (the fill plane).
///
/// At most `window_bytes` and one piece lie in it. An end is only ever said by
/// [`finish`](Self::finish); a producer that goes away without it must call
/// [`abort`](Self::abort), and the consumer then fails instead of ending the body.
pub struct Upload {
    window_bytes: u64,
    wake: Wake,
    state: Mutex<State>,
}

/// The upload had no room; the bytes come back untouched.
#[derive(Debug, PartialEq, Eq)]
pub struct Full(pub Bytes);

#[derive(Default)]
struct State {
    pieces: Pieces,
    taken_bytes: u64,
    ending: Ending,
    consumer: Consumer,
    producer_waits: bool,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Ending {
    #[default]
    Open,
    Finished,
    Aborted,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Consumer {
    #[default]
    Present,
    /// It took all that it wants.
    Satisfied,
    /// It left before the end.
    Gone,
}

impl Upload {
    /// An empty upload with a window of `window_bytes` (at least 1). `wake` is called when room
    /// returned after a refusal, and once when the consumer went away before the end.
    #[must_use]
    pub fn new(window_bytes: usize, wake: Wake) -> Self {
        Self { window_bytes: window_bytes.max(1) as u64, wake, state: Mutex::new(State::default()) }
    }

    /// Appends a piece of the body.
    ///
    /// Bytes pushed after [`finish`](Self::finish) or [`abort`](Self::abort), or after the consumer
    /// is gone, are dropped: nobody may see them, and the caller may go on draining its client.
    ///
    /// # Errors
    /// [`Full`] gives the piece back when the window is used up; `wake` tells when to try again.
    pub fn push(&self, bytes: Bytes) -> Result<(), Full> {
        let consumer = {
            let mut state = lock(&self.state);
            if state.consumer != Consumer::Present || state.ending != Ending::Open {
                return Ok(());
            }
            if !self.room_in(&state) {
                state.producer_waits = true;
                return Err(Full(bytes));
            }
            state.pieces.push(bytes);
            state.waker.take()
        };
        wake_consumer(consumer);
        Ok(())
    }

    /// Whether a push would be taken now. When it says no, `wake` is called once room returns.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let mut state = lock(&self.state);
        let room = self.room_in(&state);
        state.producer_waits |= !room;
        room
    }

    /// Says that the body is complete.
    pub fn finish(&self) {
        self.end(Ending::Finished);
    }

    /// Says that the rest of the body will never come; the origin's request fails.
    pub fn abort(&self) {
        self.end(Ending::Aborted);
    }

    /// Whether the consumer went away before the end: the origin answered early, or the fetch
    /// failed.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        lock(&self.state).consumer == Consumer::Gone
    }

    /// Bytes that lie in memory now, at most the window and one piece.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        lock(&self.state).held_bytes()
    }

    /// The next piece; `None` is the end of the body.
    ///
    /// # Errors
    /// [`FetchError::UploadAborted`] once the producer aborted.
    pub async fn next(&self) -> Option<Result<Bytes, FetchError>> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`next`](Self::next), for hyper's body. One consumer only: the last waker is kept.
    pub(crate) fn poll_next(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, FetchError>>> {
        let mut state = lock(&self.state);
        if state.ending == Ending::Aborted {
            return Poll::Ready(Some(Err(FetchError::UploadAborted)));
        }
        if let Some(bytes) = state.pieces.take() {
            state.taken_bytes += bytes.len() as u64;
            let wakes = self.room_in(&state) && std::mem::take(&mut state.producer_waits);
            drop(state);
            if wakes {
                (self.wake)();
            }
            return Poll::Ready(Some(Ok(bytes)));
        }
        if state.ending == Ending::Finished {
            return Poll::Ready(None);
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// The consumer goes away. The producer is told when that was before the end of the body: when
    /// neither `satisfied` (the promised length was taken) nor the whole body was taken.
    pub(crate) fn leave(&self, satisfied: bool) {
        {
            let mut state = lock(&self.state);
            let taken_whole = state.ending == Ending::Finished && state.held_bytes() == 0;
            if state.consumer != Consumer::Present {
                return;
            }
            state.waker = None;
            state.pieces.clear();
            if satisfied || taken_whole {
                state.consumer = Consumer::Satisfied;
                return;
            }
            state.consumer = Consumer::Gone;
        }
        (self.wake)();
    }

    fn end(&self, ending: Ending) {
        let consumer = {
            let mut state = lock(&self.state);
            if state.ending != Ending::Open {
                return;
            }
            state.ending = ending;
            if ending == Ending::Aborted {
                state.pieces.clear();
            }
            state.waker.take()
        };
        wake_consumer(consumer);
    }

    fn room_in(&self, state: &State) -> bool {
        state.held_bytes() < self.window_bytes
    }
}

impl State {
    fn held_bytes(&self) -> u64 {
        if self.consumer != Consumer::Present || self.ending == Ending::Aborted {
            return 0;
        }
        self.pieces.end() - self.taken_bytes
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload").field("held_bytes", &self.held_bytes()).finish_non_exhaustive()
    }
}

fn wake_consumer(consumer: Option<Waker>) {
    if let Some(waker) = consumer {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
