//! Outbound connections, before they are connected.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::IoFault;
use crate::option::bind_without_port;

/// One connection to open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outbound {
    pub(crate) address: SocketAddr,
    pub(crate) from: Option<SocketAddr>,
    pub(crate) ticket: u64,
}

impl Outbound {
    /// Its socket, bound to `from` when that is given.
    pub(crate) fn socket(&self, flags: SocketFlags) -> Result<OwnedFd, IoFault> {
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = flags | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
            .map_err(fault_of)?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(fault_of)?;
        if let Some(from) = self.from {
            if from.port() == 0 {
                bind_without_port(socket.as_fd()).map_err(IoFault::from_errno)?;
            }
            net::bind(&socket, &from).map_err(fault_of)?;
        }
        Ok(socket)
    }
}

/// The fault that `errno` means.
pub(crate) fn fault_of(errno: rustix::io::Errno) -> IoFault {
    IoFault::from_errno(errno.raw_os_error())
}
