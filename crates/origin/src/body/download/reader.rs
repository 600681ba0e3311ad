//! A download's readers: each at its own position, and gone when dropped.

use std::sync::Arc;

use super::{Download, DownloadReader, Ending, Next};
use crate::body::lock;

impl<E: Clone + Send + 'static> DownloadReader<E> {
    /// What comes next, at most `max_bytes` (at least 1) of it.
    #[must_use]
    pub fn next(&mut self, max_bytes: usize) -> Next<E> {
        let (next, tell_producer) = {
            let mut state = lock(&self.download.state);
            let next = state.read(self.position, max_bytes.max(1));
            let position = match &next {
                Next::Bytes(bytes) => self.position + bytes.len() as u64,
                Next::Extent { range, .. } => range.end,
                Next::Pending => {
                    if let Some(reader) = state.readers.get_mut(&self.id) {
                        reader.waits = true;
                    }
                    self.position
                }
                Next::End | Next::Failed(_) => self.position,
            };
            if position > self.position {
                state.leave(self.position);
                *state.positions.entry(position).or_insert(0) += 1;
                self.position = position;
                state.release();
            }
            (next, state.tells_producer())
        };
        if tell_producer {
            self.download.producer.notify_waiters();
        }
        next
    }

    /// Goes on at `position`, unless the reader is there or beyond: what lies between is not
    /// wanted, and a body that is not stored need not keep it for this reader.
    pub fn skip_to(&mut self, position: u64) {
        if position <= self.position {
            return;
        }
        let tell_producer = {
            let mut state = lock(&self.download.state);
            state.leave(self.position);
            *state.positions.entry(position).or_insert(0) += 1;
            self.position = position;
            state.release();
            state.tells_producer()
        };
        if tell_producer {
            self.download.producer.notify_waiters();
        }
    }

    /// Where this reader stands in the body.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The length of the whole body, where it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        let state = lock(&self.download.state);
        match state.ending {
            Ending::Finished => Some(state.pieces.end()),
            Ending::Open | Ending::Failed(_) => state.promised_bytes,
        }
    }

    /// The download that is read.
    #[must_use]
    pub fn download(&self) -> &Arc<Download<E>> {
        &self.download
    }
}

impl<E> Drop for DownloadReader<E> {
    fn drop(&mut self) {
        let (tell_producer, _wake) = {
            let mut state = lock(&self.download.state);
            let reader = state.readers.remove(&self.id);
            state.leave(self.position);
            state.abandon_if_unwanted();
            state.release();
            // The wake may own its worker's queue: it is dropped outside the lock.
            (state.abandoned || state.tells_producer(), reader)
        };
        if tell_producer {
            self.download.producer.notify_waiters();
        }
    }
}
