//! What a ring's completions say, with the memory of their ops.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

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
