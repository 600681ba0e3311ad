//! Outbound and adopted connections on their way into a table of direct descriptors.
//!
//! ```text
//! connect() ─► waiting ─► plain socket, bound if asked ─► installed in a table ─► connecting
//!              (queue)    (at most INSTALLING_MAX)        (plain descriptor closed)
//! adopt() ──────────────► plain socket, connected ──────► installed in a table
//! ```
//! The plain descriptor lives for one turn only, and few of them at once, so that any number of
//! connections can be opened under a small `RLIMIT_NOFILE`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::sys;
use crate::IoFault;

/// Connections asked for and not yet installed.
#[derive(Debug)]
pub(super) struct Connects {
    waiting: VecDeque<Outbound>,
    waiting_max: usize,
    installing: u32,
}

/// One connection to open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outbound {
    pub(super) address: SocketAddr,
    pub(super) from: Option<SocketAddr>,
    pub(super) ticket: u64,
}

impl Connects {
    /// At most `waiting_max` wait at once.
    pub(super) fn new(waiting_max: u32) -> Self {
        Self { waiting: VecDeque::new(), waiting_max: waiting_max as usize, installing: 0 }
    }

    /// Queues a connection; false when too many wait.
    pub(super) fn push(&mut self, outbound: Outbound) -> bool {
        let has_room = self.waiting.len() < self.waiting_max;
        if has_room {
            self.waiting.push_back(outbound);
        }
        has_room
    }

    /// The next one to be installed, if a plain descriptor may be spent on it now.
    pub(super) fn start_next(&mut self) -> Option<Outbound> {
        if self.installing >= INSTALLING_MAX {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.begin_install();
        Some(next)
    }

    /// A plain descriptor is on its way into a table.
    pub(super) fn begin_install(&mut self) {
        self.installing += 1;
    }

    /// One has left the plain descriptor behind, by success or failure.
    pub(super) fn end_install(&mut self) {
        self.installing = self.installing.saturating_sub(1);
    }
}

impl Outbound {
    /// Its socket, bound to `from` when that is given.
    pub(super) fn socket(&self) -> Result<OwnedFd, IoFault> {
        let fault = |errno: rustix::io::Errno| IoFault::from_errno(errno.raw_os_error());
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
            .map_err(fault)?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(fault)?;
        if let Some(from) = self.from {
            if from.port() == 0 {
                sys::bind_without_port(socket.as_fd()).map_err(IoFault::from_errno)?;
            }
            net::bind(&socket, &from).map_err(fault)?;
        }
        Ok(socket)
    }
}

/// Plain descriptors that may exist at once on the way into tables.
const INSTALLING_MAX: u32 = 64;
