//! Options of listening sockets that show only in what they accept.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt;

use crate::bind_listeners;
use crate::listen::Socket;

#[test]
fn accepted_connections_inherit_nodelay() {
    for count in [1, 2] {
        let mut bound = bind_listeners("127.0.0.1:0".parse().unwrap(), count).unwrap();
        let address = bound[0].address();
        let only = bound.pop().unwrap();
        drop(bound);
        let Socket::Kernel(listener) = only.socket else { panic!("not a socket") };
        let _client = TcpStream::connect(address).unwrap();
        let accepted = rustix::net::accept(&listener).unwrap();
        assert!(sockopt::tcp_nodelay(&accepted).unwrap());
    }
}

/// What the kernel takes for a client that reads nothing ends where the bound says, and where the
/// client's own window does.
#[test]
fn who_does_not_read_holds_no_more_than_the_bound() {
    let taken = |bytes_max: u32| {
        let mut bound = bind_listeners("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let listener = bound.pop().unwrap();
        listener.bound_unsent(bytes_max).unwrap();
        let address = listener.address();
        let Socket::Kernel(socket) = listener.socket else { panic!("not a socket") };
        let _client = TcpStream::connect(address).unwrap();
        let mut accepted = TcpStream::from(rustix::net::accept(&socket).unwrap());
        accepted.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut taken = 0;
        while let Ok(bytes) = accepted.write(&[0; 16 * 1024]) {
            taken += bytes;
        }
        taken
    };
    let (bounded, unbounded) = (taken(64 * 1024), taken(u32::MAX));
    assert!(bounded + 512 * 1024 < unbounded, "{bounded} and {unbounded} bytes");
}

#[test]
fn none_asked_for_is_only_a_check() {
    assert!(bind_listeners("127.0.0.1:0".parse().unwrap(), 0).unwrap().is_empty());
}
