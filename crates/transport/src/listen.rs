//! Listening sockets: one per worker and address, sharing the port by `SO_REUSEPORT`.
//!
//! `SO_REUSEPORT` alone would let a second process of the same user listen on the same address and
//! silently take half of the connections. So a guard socket without it listens first: the kernel
//! checks for listeners at `listen` once more, which makes the check free of races between
//! processes. Then the guard joins the sharing, the workers' sockets follow, and the guard closes.
//!
//! The kernel ends the rings of a process that was killed on its own time, and a ring's armed
//! accepts keep its listener open for some tens of milliseconds after the process is gone. So an
//! address in use is tried again for [`PATIENCE`] before it is reported.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::{ListenError, option};

/// A socket that listens already, for one transport to accept on.
#[derive(Debug)]
pub struct BoundListener {
    pub(crate) socket: Socket,
    pub(crate) address: SocketAddr,
}

impl BoundListener {
    /// Where it listens, with the port that was chosen for port 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bounds what the kernel takes for each connection accepted here beyond what it may send at
    /// once; a send goes on as that falls below. Without a bound the kernel takes as much as
    /// `net.ipv4.tcp_wmem` allows, usually 4 MiB, for a peer that reads nothing.
    ///
    /// # Errors
    /// [`ListenError::Other`] when the kernel does not know it.
    pub fn bound_unsent(&self, bytes: u32) -> Result<(), ListenError> {
        let Socket::Kernel(socket) = &self.socket else { return Ok(()) };
        let bounded = option::bound_unsent(socket.as_fd(), bytes);
        bounded.map_err(|errno| ListenError::from_errno(self.address, errno))
    }

    /// A listener of a simulated network.
    pub(crate) fn simulated(address: SocketAddr) -> Self {
        Self { socket: Socket::Simulated, address }
    }
}

/// What is behind a listener.
#[derive(Debug)]
pub(crate) enum Socket {
    Kernel(OwnedFd),
    Simulated,
}

/// `count` sockets of this process that listen on `address` together; port 0 is chosen once for
/// all of them. Accepted connections inherit `TCP_NODELAY`. IPv6 sockets take IPv6 only. Blocks
/// for up to half a second while the address is in use.
///
/// # Errors
/// [`ListenError::AddressInUse`] when anything else listens there, and the other variants as
/// bind(2) has them.
pub fn bind_listeners(
    address: SocketAddr,
    count: usize,
) -> Result<Vec<BoundListener>, ListenError> {
    let started = Instant::now();
    loop {
        match try_bind(address, count) {
            Err(Errno::ADDRINUSE) if started.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            Err(errno) => return Err(ListenError::from_errno(address, errno.raw_os_error())),
            Ok(bound) => return Ok(bound),
        }
    }
}

fn try_bind(address: SocketAddr, count: usize) -> rustix::io::Result<Vec<BoundListener>> {
    let guard = open_socket(address)?;
    let chosen = start_listening(&guard, address)?;
    if count == 1 {
        return Ok(vec![BoundListener { socket: Socket::Kernel(guard), address: chosen }]);
    }
    sockopt::set_socket_reuseport(&guard, true)?;
    let one = || {
        let socket = open_socket(chosen)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        start_listening(&socket, chosen)?;
        Ok(BoundListener { socket: Socket::Kernel(socket), address: chosen })
    };
    (0..count).map(|_| one()).collect()
}

/// A TCP socket with the options that listeners need and connections inherit.
fn open_socket(address: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    // Connections of an earlier run in TIME-WAIT must not keep a restart from listening.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    if family == AddressFamily::INET6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}

/// Binds and listens; returns the address with its chosen port.
fn start_listening(socket: impl AsFd, address: SocketAddr) -> rustix::io::Result<SocketAddr> {
    let socket = socket.as_fd();
    net::bind(socket, &address)?;
    net::listen(socket, BACKLOG)?;
    SocketAddr::try_from(net::getsockname(socket)?)
}

/// Connections that may wait to be accepted; the kernel lowers it to `net.core.somaxconn`.
const BACKLOG: i32 = 65_535;
/// How long an address in use is tried again, and how often.
const PATIENCE: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(10);
