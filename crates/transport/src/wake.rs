//! Waking a worker from other threads: a flag that coalesces, and an eventfd behind it.
//!
//! The flag is up from the first `wake` until the reactor has seen it; while it is up, further
//! wakes cost one atomic swap and no system call. The reactor takes the flag down *before* it
//! reports `Woken`, so whatever was queued before a `wake` is seen by the drain that follows
//! (TR-6).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Ends the wait of one transport. Cheap to clone, usable from any thread, harmless after the
/// transport is gone.
#[derive(Clone, Debug)]
pub struct Waker {
    cell: Arc<WakeCell>,
}

impl Waker {
    /// Makes the transport report `Woken`, once for all calls that it has not yet answered.
    pub fn wake(&self) {
        if self.cell.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(event) = &self.cell.event {
            raise(event);
        }
    }

    /// A waker with an eventfd that a reactor watches.
    pub(crate) fn with_event() -> rustix::io::Result<(Self, Arc<OwnedFd>)> {
        let event = Arc::new(event_counter()?);
        let cell = WakeCell { pending: AtomicBool::new(false), event: Some(Arc::clone(&event)) };
        Ok((Self { cell: Arc::new(cell) }, event))
    }

    /// A waker that only raises the flag, for transports that look at it themselves.
    pub(crate) fn flag_only() -> Self {
        Self { cell: Arc::new(WakeCell { pending: AtomicBool::new(false), event: None }) }
    }

    /// Takes the flag down; whether it was up. To be called before `Woken` is reported.
    pub(crate) fn take(&self) -> bool {
        self.cell.pending.swap(false, Ordering::AcqRel)
    }
}

#[derive(Debug)]
struct WakeCell {
    pending: AtomicBool,
    event: Option<Arc<OwnedFd>>,
}

/// Raises an eventfd.
pub(crate) fn raise(event: &OwnedFd) {
    // Writing one to a counter that is read back to zero can only fail by EINTR.
    while rustix::io::write(event, &1_u64.to_ne_bytes()) == Err(rustix::io::Errno::INTR) {}
}

/// An eventfd for a ring to read. It blocks: a non-blocking one would make the ring's read fail
/// with EAGAIN instead of waiting.
pub(crate) fn event_counter() -> rustix::io::Result<OwnedFd> {
    eventfd(0, EventfdFlags::CLOEXEC)
}
