//! Signals, and what they ask for: drain, end at once, open the access log anew.
//!
//! [`Stop`] is the one handle that every thread holds. Its state only ever goes forward:
//!
//! ```text
//! Running ──first SIGTERM or SIGINT──► Draining ──second one──► Now
//! ```
//!
//! Invariants:
//! - SG-1: no stage is ever left for an earlier one, and no more than one step is made per call.
//! - SG-2: whoever registers is called for every stage reached afterwards, and at once when one was
//!   reached before: a wake is never lost between reading the state and registering.
//! - SG-3: callbacks run on the thread that moves the state, with no lock held, so that they may
//!   register and ask themselves.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::{Handle, Signals};

/// How far the end of the process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Serving.
    Running,
    /// No new connections; exchanges that have begun may end.
    Draining,
    /// End at once.
    Now,
}

/// Something to be called; it must return soon, because others wait behind it.
pub type Callback = Arc<dyn Fn() + Send + Sync>;

/// The handle by which threads ask for the end, learn of it, and learn of SIGHUP.
#[derive(Clone, Default)]
pub struct Stop {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stage: AtomicU8,
    /// As many as there are threads that wait; made at start only.
    on_change: Mutex<Vec<Callback>>,
    on_hangup: Mutex<Vec<Callback>>,
}

impl Stop {
    /// A handle that is running.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The stage now.
    #[must_use]
    pub fn state(&self) -> Stage {
        Stage::from_code(self.shared.stage.load(Ordering::Acquire))
    }

    /// One step forward, as one SIGTERM makes it; returns the stage reached. At the last stage it
    /// does nothing.
    pub fn request(&self) -> Stage {
        let next = |code| Stage::from_code(code).next();
        let step = |code| next(code).map(|stage| stage as u8);
        let moved = self.shared.stage.fetch_update(Ordering::AcqRel, Ordering::Acquire, step);
        let Some(reached) = moved.ok().and_then(next) else {
            return Stage::Now;
        };
        call_all(&self.shared.on_change);
        reached
    }

    /// Registers for every later change of stage, and calls at once if one lies behind.
    pub fn on_change(&self, callback: Callback) {
        lock(&self.shared.on_change).push(Arc::clone(&callback));
        // The push comes before this look: a change between the two calls twice rather than never.
        if self.state() != Stage::Running {
            callback();
        }
    }

    /// Registers for every later SIGHUP.
    pub fn on_hangup(&self, callback: Callback) {
        lock(&self.shared.on_hangup).push(callback);
    }

    /// Does what one SIGHUP does.
    pub fn hang_up(&self) {
        call_all(&self.shared.on_hangup);
    }
}

impl Stage {
    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Running,
            1 => Self::Draining,
            _ => Self::Now,
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::Running => Some(Self::Draining),
            Self::Draining => Some(Self::Now),
            Self::Now => None,
        }
    }
}

/// The thread that turns signals into calls on a [`Stop`]; dropping this ends it.
pub struct Listening {
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

/// Takes SIGTERM, SIGINT and SIGHUP from now on; and SIGXFSZ, which would end the process when a
/// limit on file sizes stops a write. The write fails all the same, and the store counts that.
///
/// # Errors
/// What the system says when the handlers or the thread cannot be made.
pub fn listen(stop: &Stop) -> io::Result<Listening> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP, SIGXFSZ])?;
    let handle = signals.handle();
    let stop = stop.clone();
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => stop.hang_up(),
                SIGXFSZ => {}
                _ => drop(stop.request()),
            }
        }
    })?;
    Ok(Listening { handle, thread: Some(thread) })
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; there is nothing left to end.
            let _ = thread.join();
        }
    }
}

/// The bound on open descriptors, before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    /// What the process was started with.
    pub before: u64,
    /// What holds now.
    pub now: u64,
}

/// Raises `RLIMIT_NOFILE` to the hard limit, which is as far as any process may go by itself.
///
/// # Errors
/// What the system says; the old limit then stays in force.
pub fn raise_open_files() -> io::Result<OpenFiles> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let before = current.unwrap_or(u64::MAX);
    if current != maximum {
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    }
    Ok(OpenFiles { before, now: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) })
}

fn call_all(callbacks: &Mutex<Vec<Callback>>) {
    let callbacks: Vec<Callback> = lock(callbacks).clone();
    for callback in callbacks {
        callback();
    }
}

/// A callback that panics does so without the lock, so a poisoned list is still a whole list.
fn lock(callbacks: &Mutex<Vec<Callback>>) -> MutexGuard<'_, Vec<Callback>> {
    callbacks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
