//! The fence of the epoll reactor: a table of descriptors for the calling thread alone.
//!
//! Linux keeps tables of descriptors per task; threads merely share one by default. A thread that
//! takes a copy for itself sees the same open files under the same numbers from there on, and
//! whatever it opens or closes concerns nobody else. Two things follow, and this file is where they
//! are dealt with:
//!
//! - A number that was an owned descriptor in the shared table is open in both from now on. Files,
//!   events and unnamed socket pairs stay in the copy: whoever wakes another thread by such a
//!   number goes on doing so. They are closed when the thread ends.
//! - Connections and listeners of other threads would be kept open by the copy. So every socket
//!   with an address is closed in the copy at once.
#![expect(unsafe_code, reason = "descriptors are closed by number in a table of our own")]

use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};

use rustix::net::{AddressFamily, getsockname};

/// Gives the calling thread its own copy of the table of descriptors, without others' sockets.
///
/// The calling thread must own no socket with an address: it would be closed under it.
///
/// # Errors
/// The errno of a system that forbids it; the table is shared then, as it was.
pub(super) fn make_table_private() -> Result<(), i32> {
    // Sandboxes that forbid unshare altogether often know nothing of close_range's flag. The range
    // is beyond every descriptor: none is closed.
    // SAFETY: plain numbers; the call touches no memory of ours. What changes for owned descriptors
    // is dealt with as this file's header says.
    let unshared = unsafe {
        libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, libc::CLOSE_RANGE_UNSHARE)
    };
    if unshared != 0 {
        // SAFETY: as above.
        let unshared = unsafe { libc::unshare(libc::CLONE_FILES) };
        if unshared != 0 {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
        }
    }
    close_sockets_of_others();
    Ok(())
}

/// Closes every socket of this table that has an address.
fn close_sockets_of_others() {
    let Ok(entries) = std::fs::read_dir("/proc/thread-self/fd") else {
        return;
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.collect::<Vec<RawFd>>() {
        // SAFETY: the table is this thread's own copy and this thread owns no such socket (the
        // caller's promise), so nobody uses the number in this table; what is no such socket is
        // given back unclosed. The directory that was read is closed already: its number is either
        // free, and then nothing happens, or none of a socket.
        let inherited = unsafe { OwnedFd::from_raw_fd(number) };
        if !has_address(&inherited) {
            std::mem::forget(inherited);
        }
    }
}

/// Whether `descriptor` is a socket that peers can reach or have reached.
fn has_address(descriptor: impl AsFd) -> bool {
    getsockname(descriptor).is_ok_and(|name| match name.address_family() {
        // An unnamed one has a family and nothing else.
        AddressFamily::UNIX => name.addr_len() as usize > size_of::<libc::sa_family_t>(),
        AddressFamily::INET | AddressFamily::INET6 => true,
        _ => false,
    })
}
