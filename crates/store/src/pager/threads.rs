//! The pager's plain back end: each thread takes one page-in at a time and waits for it.

use super::{PageInError, Queue, Wake};
use crate::residency::Reading;

/// Works until the queue stops.
pub(super) fn run(queue: &Queue) {
    let Wake::Threads(condvar) = &queue.wake else { return };
    loop {
        let cold = {
            let mut state = queue.lock();
            loop {
                if state.stopping {
                    return;
                }
                if let Some(cold) = state.waiting.pop_front() {
                    break cold;
                }
                state = condvar.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
        };
        let mut outcome = Ok(());
        for part in queue.begin(&cold) {
            let volume = queue.store.volumes.get(cold.volume);
            let read = volume.is_some_and(|volume| volume.map.page_in(part.clone()).is_ok());
            let reading = if read { Reading::Done } else { Reading::Failed };
            queue.settle(&cold, &part, reading);
            if !read {
                outcome = Err(PageInError::Device);
            }
        }
        queue.finish(&cold, outcome);
    }
}
