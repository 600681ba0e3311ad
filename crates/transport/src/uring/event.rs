//! What goes into a ring and comes out: ops by place, waits, and what completions say, with the
//! memory of their ops.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crate::Buffer;
use crate::op::{OpHeader, OpKind, UserData};

/// A direct descriptor and the generation in whose name an op on it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SlotOp {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl SlotOp {
    /// The name of the slot's op of `kind` (one without memory).
    pub(super) const fn named(self, kind: OpKind) -> UserData {
        UserData::new(kind, self.generation, self.index)
    }
}

/// How long an enter waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// Completions to wait for; 0 = do not wait.
    pub(super) want: u32,
    /// After this many microseconds one completion is enough. 0 = `want` must be there.
    pub(super) min_wait_us: u32,
    /// At most this long; `None` = for ever.
    pub(super) timeout: Option<Duration>,
}

impl Wait {
    /// Submit and collect, but do not wait.
    pub(super) const NO: Self = Self { want: 0, min_wait_us: 0, timeout: None };
}

/// One final completion. `result` is the kernel's: negative = an errno.
#[derive(Debug)]
pub(super) enum Event<P> {
    Parked {
        at: SlotOp,
        result: i32,
    },
    ShutDown {
        at: SlotOp,
    },
    Closed {
        at: SlotOp,
    },
    Received {
        at: SlotOp,
        op: u32,
        header: OpHeader,
        buffer: Buffer,
        result: i32,
    },
    Sent {
        at: SlotOp,
        op: u32,
        header: OpHeader,
        payload: P,
        result: i32,
    },
    Accepted {
        listener: u16,
        peer: Option<SocketAddr>,
        result: i32,
    },
    /// A socket stands in the table, ready to be connected by the same op.
    Installed {
        op: u32,
        index: u32,
    },
    /// A connected socket stands in the table.
    Adopted {
        ticket: u64,
        index: u32,
    },
    InstallFailed {
        ticket: u64,
        errno: i32,
    },
    Connected {
        ticket: u64,
        index: u32,
        result: i32,
    },
    /// The watched event was raised; to be watched again.
    Watched {
        owner: u32,
        event: Arc<OwnedFd>,
    },
    /// The answer to a cancel: the cancelled op answers for itself.
    Ignored,
}
