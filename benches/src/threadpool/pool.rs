//! Threads that serve a connection each, started as they are needed, up to a bound.
//!
//! A thread that has no connection waits for one. Connections for which there is no thread wait in
//! a queue; when that is full, [`Pool::submit`] blocks, and the kernel's backlog holds the rest.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

/// The pool; its threads live as long as the process.
pub(super) struct Pool {
    shared: Arc<Shared>,
    threads_max: usize,
}

/// Connections for which there is no thread, as a thread sees them.
#[derive(Debug, Default)]
pub(super) struct Others {
    count: AtomicUsize,
}

impl Others {
    /// Whether anybody waits: who serves a connection should not keep it for longer than it has to.
    pub(super) fn wait(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Notes how many are left when every thread without a connection has taken one.
    fn note(&self, waiting: usize, idle: usize) {
        self.count.store(waiting.saturating_sub(idle), Ordering::Relaxed);
    }
}

/// Has a connection, and the buffer of its thread, until it returns.
type Serve = dyn Fn(TcpStream, &Others, &mut [u8]) + Send + Sync;

struct Shared {
    queue: Mutex<Queue>,
    /// A connection has come.
    come: Condvar,
    /// A connection was taken.
    taken: Condvar,
    others: Others,
    serve: Box<Serve>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<TcpStream>,
    threads: usize,
    /// Threads without a connection.
    idle: usize,
}

impl Pool {
    /// A pool without threads yet; `serve` has a connection until it returns.
    pub(super) fn new(
        threads_max: usize,
        serve: impl Fn(TcpStream, &Others, &mut [u8]) + Send + Sync + 'static,
    ) -> Self {
        let shared = Shared {
            queue: Mutex::default(),
            come: Condvar::new(),
            taken: Condvar::new(),
            others: Others::default(),
            serve: Box::new(serve),
        };
        Self { shared: Arc::new(shared), threads_max: threads_max.max(1) }
    }

    /// Gives a connection to a thread, at once or when one is free. Blocks while too many wait.
    pub(super) fn submit(&self, stream: TcpStream) {
        let shared = &self.shared;
        let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        while queue.waiting.len() >= WAITING_MAX {
            queue = shared.taken.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.waiting.push_back(stream);
        if queue.waiting.len() > queue.idle && queue.threads < self.threads_max {
            let its_shared = Arc::clone(shared);
            let thread = thread::Builder::new().stack_size(STACK_BYTES);
            // Where the system has no further thread, those that are there have to do.
            if thread.spawn(move || its_shared.run()).is_ok() {
                queue.threads += 1;
                queue.idle += 1;
            }
        }
        shared.others.note(queue.waiting.len(), queue.idle);
        drop(queue);
        shared.come.notify_one();
    }
}

impl Shared {
    /// A thread's life: one connection after another.
    fn run(&self) {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            let stream = loop {
                match queue.waiting.pop_front() {
                    Some(stream) => break stream,
                    None => {
                        queue = self.come.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            queue.idle = queue.idle.saturating_sub(1);
            self.others.note(queue.waiting.len(), queue.idle);
            drop(queue);
            self.taken.notify_one();
            (self.serve)(stream, &self.others, &mut buffer);
            self.queue.lock().unwrap_or_else(PoisonError::into_inner).idle += 1;
        }
    }
}

/// Connections that wait for a thread; further ones stay in the kernel's backlog.
const WAITING_MAX: usize = 1024;
/// Stack of a thread, of which it touches what it needs: the heads of a request and of the origin's
/// answer are parsed on it, each into a table of as many fields as a head may have.
const STACK_BYTES: usize = 512 * 1024;
/// Bytes that pass from file to socket at a time; longer than any head. So much comes from the
/// allocator as pages that are not there until they are touched, which suits short answers.
const BUFFER_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::Others;

    #[test]
    fn nobody_waits_while_there_are_threads_without_a_connection() {
        let others = Others::default();
        for (waiting, idle, expected) in [(0, 0, false), (2, 2, false), (1, 5, false), (3, 2, true)]
        {
            others.note(waiting, idle);
            assert_eq!(others.wait(), expected, "{waiting} waiting, {idle} idle");
        }
    }
}
