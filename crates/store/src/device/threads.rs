//! The device of a host without io_uring: `pwrite` and `fdatasync` on a few threads, so that the
//! writer's own thread waits for no disk.
//!
//! ```text
//! writer's thread                            helper threads
//! write_at(block) ── the block's bytes ─► queue ─► pwrite ─┐
//!        future ready ◄── bytes and result ◄───────────────┘ wakes
//! ```
//! The queue is bounded by the pool, and by the few syncs that a writer has under way.

use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{Builder, JoinHandle};

use super::file::write_range;
use super::{Device, HeapBlock, HeapPool};
use crate::Store;

/// Writes a store's files on helper threads. Its futures belong to any runtime.
pub struct ThreadsDevice {
    files: Vec<Arc<File>>,
    /// Number of the memory tier, which is written at once.
    memory: Option<usize>,
    pool: HeapPool,
    crew: Crew,
}

impl ThreadsDevice {
    /// A device for `store` with `blocks` (at least four) staging blocks of `block_bytes` (at least
    /// 8,192).
    ///
    /// # Errors
    /// When the store's descriptors cannot be duplicated, or the system refuses threads.
    pub fn with_pool(store: &Store, blocks: usize, block_bytes: usize) -> io::Result<Self> {
        Ok(Self {
            files: store.duplicate_files()?.into_iter().map(Arc::new).collect(),
            memory: store.memory_volume(),
            pool: HeapPool::new(blocks, block_bytes),
            crew: Crew::start()?,
        })
    }

    fn file(&self, volume: usize) -> io::Result<Arc<File>> {
        Ok(Arc::clone(self.files.get(volume).ok_or(io::ErrorKind::NotFound)?))
    }
}

impl Device for ThreadsDevice {
    type Block = HeapBlock;

    fn block_bytes(&self) -> usize {
        self.pool.block_bytes()
    }

    fn allocate_block(&self) -> Option<HeapBlock> {
        self.pool.allocate()
    }

    fn write_at(
        &self,
        (volume, offset): (usize, u64),
        block: HeapBlock,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, HeapBlock)> + 'static {
        let started = match self.file(volume) {
            Err(error) => Err((Err(error), block)),
            Ok(file) if self.memory == Some(volume) => {
                Err((write_range(&file, offset, &block, range), block))
            }
            Ok(file) => {
                let (bytes, away) = block.send_away();
                Ok((self.crew.begin(Work::Write { file, offset, bytes, range }), away))
            }
        };
        async move {
            let (answer, away) = match started {
                Ok(started) => started,
                Err(done) => return done,
            };
            let Done { result, bytes } = answer.await;
            (result, away.come_back(bytes))
        }
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        let started = self.file(volume).map(|file| self.crew.begin(Work::Sync(file)));
        async move { started?.await.result }
    }
}

/// The threads; dropped, they end what was asked for and go.
struct Crew {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Work, Arc<Reply>)>,
    is_over: bool,
}

enum Work {
    Write { file: Arc<File>, offset: u64, bytes: Box<[u8]>, range: Range<usize> },
    Sync(Arc<File>),
}

/// What has become of it; a write gives its bytes back.
struct Done {
    result: io::Result<()>,
    bytes: Box<[u8]>,
}

/// Where a helper leaves what it has done, and whom to wake.
#[derive(Default)]
struct Reply {
    state: Mutex<(Option<Done>, Option<Waker>)>,
}

impl Crew {
    fn start() -> io::Result<Self> {
        // From here on a failure to start the rest ends those that have started.
        let mut crew = Self { queue: Arc::default(), threads: Vec::new() };
        for _ in 0..THREADS {
            let queue = Arc::clone(&crew.queue);
            let thread = Builder::new().name("store-writer".to_owned());
            crew.threads.push(thread.spawn(move || queue.work())?);
        }
        Ok(crew)
    }

    fn begin(&self, work: Work) -> Answer {
        let reply = Arc::new(Reply::default());
        self.queue.lock().waiting.push_back((work, Arc::clone(&reply)));
        self.queue.filled.notify_one();
        Answer(reply)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.queue.lock().is_over = true;
        self.queue.filled.notify_all();
        for thread in self.threads.drain(..) {
            // A waker that panicked has ended its thread; that is not this thread's panic.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn work(&self) {
        loop {
            let (work, reply) = {
                let mut state = self.lock();
                loop {
                    if let Some(next) = state.waiting.pop_front() {
                        break next;
                    }
                    if state.is_over {
                        return;
                    }
                    state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            };
            reply.leave(work.carry_out());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn carry_out(self) -> Done {
        match self {
            Self::Write { file, offset, bytes, range } => {
                let asked = bytes.get(range).ok_or_else(|| io::ErrorKind::InvalidInput.into());
                let result = asked.and_then(|asked| file.write_all_at(asked, offset));
                Done { result, bytes }
            }
            Self::Sync(file) => Done { result: file.sync_data(), bytes: Box::default() },
        }
    }
}

impl Reply {
    fn leave(&self, done: Done) {
        let waker = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.0 = Some(done);
            state.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Resolves when a helper is done.
struct Answer(Arc<Reply>);

impl Future for Answer {
    type Output = Done;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.0.take() {
            Some(done) => Poll::Ready(done),
            None => {
                state.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Writes to the page cache are copies, and a device takes several at once; syncs wait long.
const THREADS: usize = 4;
