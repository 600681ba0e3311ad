//! Socket options for which no safe crate has a function.

#![expect(unsafe_code, reason = "a number is lent to the kernel for one call")]

use std::os::fd::{AsRawFd, BorrowedFd};

/// Lets `socket` share a local port with other connections as long as the peers differ: the port
/// is chosen at connect, not at bind.
///
/// # Errors
/// The errno of setsockopt.
pub fn bind_without_port(socket: BorrowedFd<'_>) -> Result<(), i32> {
    set(socket, (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT), 1)
}

/// Bounds what the kernel takes for `socket` beyond what it may send at once.
///
/// # Errors
/// The errno of setsockopt.
pub(crate) fn bound_unsent(socket: BorrowedFd<'_>, bytes: u32) -> Result<(), i32> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    set(socket, (libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT), bytes)
}

fn set(
    socket: BorrowedFd<'_>,
    (level, name): (libc::c_int, libc::c_int),
    number: libc::c_int,
) -> Result<(), i32> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let value = std::ptr::from_ref(&number).cast();
    // SAFETY: the value is `length` bytes long and read during the call only.
    let done = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, length) };
    let errno = || std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
    if done == 0 { Ok(()) } else { Err(errno()) }
}
