//! Every errno that the kernel may answer with has its meaning.

use crate::{AcceptError, IoFault, ListenError};

#[test]
fn errno_of_io_has_its_fault() {
    let table = [
        (libc::ECONNRESET, IoFault::Reset),
        (libc::ECONNABORTED, IoFault::Reset),
        (libc::EPIPE, IoFault::BrokenPipe),
        (libc::ENOTCONN, IoFault::BrokenPipe),
        (libc::ETIMEDOUT, IoFault::TimedOut),
        (libc::ECONNREFUSED, IoFault::Refused),
        (libc::ENETUNREACH, IoFault::Unreachable),
        (libc::EHOSTUNREACH, IoFault::Unreachable),
        (libc::ECANCELED, IoFault::Cancelled),
        (libc::EINTR, IoFault::Cancelled),
        (libc::EFAULT, IoFault::BadMemory),
        (libc::ENOBUFS, IoFault::Exhausted),
        (libc::ENOMEM, IoFault::Exhausted),
        (libc::EMFILE, IoFault::Exhausted),
        (libc::ENFILE, IoFault::Exhausted),
        (libc::EADDRNOTAVAIL, IoFault::Other(libc::EADDRNOTAVAIL)),
    ];
    let mut names = std::collections::HashSet::new();
    for (errno, fault) in table {
        assert_eq!(IoFault::from_errno(errno), fault, "errno {errno}");
        assert!(!fault.to_string().is_empty());
        names.insert(fault.name());
    }
    assert_eq!(names.len(), 9, "a name for each fault");
}

#[test]
fn errno_of_accept_says_whether_trying_at_once_may_spin() {
    let table = [
        (libc::EMFILE, AcceptError::Descriptors, false),
        (libc::ENFILE, AcceptError::Descriptors, false),
        (libc::ENOBUFS, AcceptError::Memory, false),
        (libc::ENOMEM, AcceptError::Memory, false),
        (libc::ECONNABORTED, AcceptError::Aborted, true),
        (libc::EPROTO, AcceptError::Aborted, true),
        (libc::EHOSTUNREACH, AcceptError::Aborted, true),
        (libc::EPERM, AcceptError::Forbidden, true),
        (libc::EINVAL, AcceptError::Other(libc::EINVAL), false),
    ];
    for (errno, error, consumed) in table {
        assert_eq!(AcceptError::from_errno(errno), error, "errno {errno}");
        assert_eq!(error.consumed_connection(), consumed, "errno {errno}");
    }
}

#[test]
fn errno_of_listen_names_the_address_and_the_remedy() {
    let address = "192.0.2.1:80".parse().unwrap();
    let table = [
        (libc::EADDRINUSE, "in use by another process"),
        (libc::EADDRNOTAVAIL, "not an address of this host"),
        (libc::EACCES, "CAP_NET_BIND_SERVICE"),
        (libc::EAFNOSUPPORT, "IPv6 switched off"),
        (libc::EMFILE, "raise RLIMIT_NOFILE"),
        (libc::EIO, "error number 5"),
    ];
    for (errno, part) in table {
        let text = ListenError::from_errno(address, errno).to_string();
        assert!(text.contains("192.0.2.1:80") && text.contains(part), "{errno}: {text}");
    }
}
