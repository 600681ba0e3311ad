//! What can go wrong, by whose fault: the peer's or the network's ([`IoFault`]), ours or the
//! host's at listening ([`ListenError`]) and accepting ([`AcceptError`]), at start
//! ([`StartError`]) and in the loop ([`TransportError`]).

use std::net::SocketAddr;

use crate::probe::Unsupported;

/// Why a receive, send or connect ended without bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum IoFault {
    /// The peer reset the connection (ECONNRESET, ECONNABORTED).
    #[error("connection reset by peer")]
    Reset,
    /// Sent after the connection was shut (EPIPE, ENOTCONN).
    #[error("connection is closed for sending")]
    BrokenPipe,
    /// The peer's host went silent (ETIMEDOUT).
    #[error("connection timed out")]
    TimedOut,
    /// Nobody listens there (ECONNREFUSED).
    #[error("connection refused")]
    Refused,
    /// No route, or the network is down.
    #[error("host or network unreachable")]
    Unreachable,
    /// The peer broke the protocol that secures the connection. Plain transports never say so.
    #[error("the peer broke the TLS protocol")]
    Insecure,
    /// Ended by `cancel`, `close` or a stale token.
    #[error("cancelled")]
    Cancelled,
    /// The memory to send could not be read (EFAULT): a mapped file lost its pages.
    #[error("memory could not be read")]
    BadMemory,
    /// Kernel memory, descriptors or slots ran out (ENOBUFS, ENOMEM, EMFILE, ENFILE).
    #[error("out of slots, descriptors or kernel memory")]
    Exhausted,
    /// Any other errno, positive.
    #[error("error number {0}")]
    Other(i32),
}

impl IoFault {
    /// The fault that a positive errno means.
    pub fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ECONNRESET | libc::ECONNABORTED => Self::Reset,
            libc::EPIPE | libc::ENOTCONN | libc::ESHUTDOWN => Self::BrokenPipe,
            libc::ETIMEDOUT => Self::TimedOut,
            libc::ECONNREFUSED => Self::Refused,
            libc::ENETUNREACH | libc::EHOSTUNREACH | libc::ENETDOWN | libc::EHOSTDOWN => {
                Self::Unreachable
            }
            // A cancelled request that already ran on a helper thread says EINTR.
            libc::ECANCELED | libc::EINTR => Self::Cancelled,
            libc::EFAULT => Self::BadMemory,
            libc::ENOBUFS | libc::ENOMEM | libc::EMFILE | libc::ENFILE => Self::Exhausted,
            other => Self::Other(other),
        }
    }

    /// A short name for counters and log fields.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::BrokenPipe => "broken-pipe",
            Self::TimedOut => "timed-out",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Insecure => "insecure",
            Self::Cancelled => "cancelled",
            Self::BadMemory => "bad-memory",
            Self::Exhausted => "exhausted",
            Self::Other(_) => "other",
        }
    }
}

/// Why a connection could not be accepted just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AcceptError {
    /// All slots are taken; connections wait in the backlog until one is free.
    #[error("all slots are taken")]
    TableFull,
    /// The host is out of descriptors (EMFILE, ENFILE).
    #[error("the host is out of file descriptors")]
    Descriptors,
    /// The host is out of socket memory (ENOBUFS, ENOMEM).
    #[error("the host is out of socket memory")]
    Memory,
    /// The peer left before it was accepted (ECONNABORTED and network errors of its connection).
    #[error("the peer left before it was accepted")]
    Aborted,
    /// A firewall rule forbade it (EPERM).
    #[error("forbidden by a firewall rule")]
    Forbidden,
    /// Any other errno, positive.
    #[error("error number {0}")]
    Other(i32),
}

impl AcceptError {
    /// The error that a positive errno of `accept` means.
    pub fn from_errno(errno: i32) -> Self {
        match errno {
            libc::EMFILE | libc::ENFILE => Self::Descriptors,
            libc::ENOBUFS | libc::ENOMEM => Self::Memory,
            libc::EPERM => Self::Forbidden,
            // accept(2): errors of the new connection itself, to be treated like "try again".
            libc::ECONNABORTED
            | libc::ENETDOWN
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::EHOSTDOWN
            | libc::ENONET
            | libc::EHOSTUNREACH
            | libc::EOPNOTSUPP
            | libc::ENETUNREACH => Self::Aborted,
            other => Self::Other(other),
        }
    }

    /// Whether the failed accept took one connection off the backlog, so that trying again at
    /// once cannot spin.
    pub(crate) const fn consumed_connection(self) -> bool {
        matches!(self, Self::Aborted | Self::Forbidden)
    }
}

/// Why an address cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Another socket listens there.
    #[error(
        "{address} is in use by another process: stop it, or choose another address (ss -ltnp \
         names it)"
    )]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address is not one of this host's.
    #[error("{address} is not an address of this host")]
    AddressNotAvailable {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The port needs a privilege (below `net.ipv4.ip_unprivileged_port_start`).
    #[error(
        "{address}: no permission: ports below net.ipv4.ip_unprivileged_port_start need \
         CAP_NET_BIND_SERVICE"
    )]
    Forbidden {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The host does not speak this address family.
    #[error("{address}: this host has no such address family (is IPv6 switched off?)")]
    NoFamily {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The process has no descriptors left.
    #[error("{address}: out of file descriptors: raise RLIMIT_NOFILE")]
    Descriptors {
        /// The address asked for.
        address: SocketAddr,
    },
    /// More listeners than a [`ListenerId`](crate::ListenerId) can name.
    #[error("more than 65,535 listeners")]
    TooMany,
    /// A simulated listener on a real transport, or the other way round.
    #[error("the listener belongs to another kind of transport")]
    Foreign,
    /// Any other errno, positive.
    #[error("{address}: cannot listen: error number {errno}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// The errno.
        errno: i32,
    },
}

impl ListenError {
    /// The error that a positive errno of socket, bind or listen on `address` means.
    pub(crate) fn from_errno(address: SocketAddr, errno: i32) -> Self {
        match errno {
            libc::EADDRINUSE => Self::AddressInUse { address },
            libc::EADDRNOTAVAIL => Self::AddressNotAvailable { address },
            libc::EACCES | libc::EPERM => Self::Forbidden { address },
            libc::EAFNOSUPPORT => Self::NoFamily { address },
            libc::EMFILE | libc::ENFILE => Self::Descriptors { address },
            errno => Self::Other { address, errno },
        }
    }
}

/// Why a reactor cannot start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The host forbids or lacks io_uring.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The configuration asks for no slots, or for more than 2^31.
    #[error("a transport needs between 1 and 2,147,483,648 slots, not {slots}")]
    Slots {
        /// What was asked for.
        slots: u32,
    },
    /// A shard's table was refused.
    #[error(
        "cannot register a table of {slots} direct descriptors (error number {errno}): raise \
         RLIMIT_NOFILE or lower slots_per_shard"
    )]
    Table {
        /// Slots of the table.
        slots: u32,
        /// The errno.
        errno: i32,
    },
    /// Listeners could not be moved into a table of descriptors of their worker's own.
    #[error("cannot move {count} listeners to their worker: raise RLIMIT_NOFILE")]
    Listeners {
        /// How many they are.
        count: u32,
    },
    /// A ring or an eventfd could not be made after the first one worked: descriptors or memory.
    #[error(
        "cannot set up shard {shard} (error number {errno}): raise RLIMIT_NOFILE, or lower \
         max_connections"
    )]
    Shard {
        /// Which shard.
        shard: u32,
        /// The errno.
        errno: i32,
    },
}

/// Why a wait failed for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The kernel refuses the ring or the epoll instance (a positive errno that waiting again
    /// cannot mend).
    #[error("the kernel refuses to wait: error number {0}")]
    Ring(i32),
    /// Simulated transports only: nothing is under way and no deadline was given, or time is held.
    #[error("nothing can happen any more")]
    Idle,
}
