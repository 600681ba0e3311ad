//! The admin API's socket: bound at start, so that a fault is told at start.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_to, listen, socket_with,
};

use crate::config::checked::AdminAddress;

/// A socket that listens; dropping it removes a unix socket's file.
#[derive(Debug)]
pub struct Bound {
    pub(super) socket: Socket,
    /// Where it listens; with the port that the kernel chose if none was asked for.
    pub address: AdminAddress,
    pub(super) file: Option<SocketFile>,
}

/// A unix socket's file, removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Why the admin API cannot listen; each prints what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process listens there.
    #[error("the admin address {0} is in use by another process; end it, or set another address")]
    InUse(AdminAddress),
    /// No interface of this host has the address.
    #[error("the admin address {0} is none of this host's; use one of its addresses")]
    NotHere(SocketAddr),
    /// The path is taken by something that is no socket, and is left alone.
    #[error("{0} exists and is no socket; remove it, or set another admin address")]
    NotASocket(PathBuf),
    /// The system refused otherwise.
    #[error("the admin address {address} cannot be bound: {kind}; check the path and its rights")]
    Refused {
        /// Where it should have listened.
        address: AdminAddress,
        /// The system's word.
        kind: ErrorKind,
    },
}

/// Binds the address.
///
/// # Errors
/// See [`BindError`].
pub fn bind(address: &AdminAddress) -> Result<Bound, BindError> {
    let refused = |fault: io::Error| match (fault.kind(), address) {
        (ErrorKind::AddrInUse, _) => BindError::InUse(address.clone()),
        (ErrorKind::AddrNotAvailable, AdminAddress::Tcp(tcp)) => BindError::NotHere(*tcp),
        (kind, _) => BindError::Refused { address: address.clone(), kind },
    };
    match address {
        AdminAddress::Tcp(tcp) => {
            let listener = TcpListener::bind(tcp).map_err(refused)?;
            listener.set_nonblocking(true).map_err(refused)?;
            let address = AdminAddress::Tcp(listener.local_addr().map_err(refused)?);
            Ok(Bound { socket: Socket::Tcp(listener), address, file: None })
        }
        AdminAddress::Unix(path) => {
            clear(path)?;
            let (listener, file) = bind_unix(path).map_err(refused)?;
            let (socket, file) = (Socket::Unix(listener), Some(file));
            Ok(Bound { socket, address: address.clone(), file })
        }
    }
}

/// Removes the socket of a process that is gone; anything else in its place is left alone.
fn clear(path: &Path) -> Result<(), BindError> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(BindError::NotASocket(path.to_owned()));
    }
    let address = || AdminAddress::Unix(path.to_owned());
    match UnixStream::connect(path) {
        Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|fault| BindError::Refused { address: address(), kind: fault.kind() }),
        Ok(_) | Err(_) => Err(BindError::InUse(address())),
    }
}

/// Rights are narrowed before the socket listens, so that nobody else gets in between.
fn bind_unix(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    bind_to(&socket, &SocketAddrUnix::new(path)?)?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listen(&socket, BACKLOG)?;
    Ok((UnixListener::from(socket), file))
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Should it stay: whoever starts next finds that nobody serves it, and clears it away.
        let _ = fs::remove_file(&self.0);
    }
}

const BACKLOG: i32 = 64;
