//! Options of listening sockets that show only in what they accept.

use std::net::TcpStream;

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

#[test]
fn none_asked_for_is_only_a_check() {
    assert!(bind_listeners("127.0.0.1:0".parse().unwrap(), 0).unwrap().is_empty());
}
