//! Listening: one address for several workers of one process, and for nobody else.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener, TcpStream};

use longhold_transport::sim::Network;
use longhold_transport::{Completion, Config, ListenError, Transport, bind_listeners};

use crate::support::{Edge, wait_until};

#[test]
fn workers_share_an_address_and_each_connection_has_one() {
    let bound = bind_listeners("127.0.0.1:0".parse().unwrap(), 3).unwrap();
    let addresses: HashSet<SocketAddr> = bound.iter().map(|one| one.address()).collect();
    assert_eq!((bound.len(), addresses.len()), (3, 1));
    let address = bound[0].address();
    let mut edges: Vec<Edge> = Vec::new();
    for listener in bound {
        let mut edge = Edge::new(&Config::default()).unwrap();
        edge.listen(listener).unwrap();
        edges.push(edge);
    }
    let clients: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut peers = HashSet::new();
    while peers.len() < clients.len() {
        for edge in &mut edges {
            let mut done = Vec::new();
            edge.wait(Some(0), &mut done).unwrap();
            for one in done {
                let Completion::Accepted { peer, .. } = one else { panic!("{one:?}") };
                assert!(peers.insert(peer), "a connection was accepted twice");
            }
        }
    }
}

#[test]
fn taken_address_is_told_even_if_the_other_would_share_it() {
    for count in [1, 2] {
        let ours = bind_listeners("127.0.0.1:0".parse().unwrap(), count).unwrap();
        let address = ours[0].address();
        for again in [1, 2] {
            let refused = bind_listeners(address, again).unwrap_err();
            assert_eq!(refused, ListenError::AddressInUse { address });
            assert!(refused.to_string().contains("in use by another process"));
        }
    }
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = foreign.local_addr().unwrap();
    let refused = bind_listeners(address, 2).unwrap_err();
    assert_eq!(refused, ListenError::AddressInUse { address });
}

#[test]
fn address_is_free_again_right_after_use() {
    let mut edge = Edge::new(&Config::default()).unwrap();
    let bound = bind_listeners("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
    let address = bound.address();
    edge.listen(bound).unwrap();
    let client = TcpStream::connect(address).unwrap();
    wait_until(&mut edge, |edge, done| match done {
        Completion::Accepted { slot, .. } => {
            // The side that closes first is the one that waits in TIME-WAIT: ours.
            edge.close(longhold_transport::Token::new(slot, 1));
            false
        }
        Completion::Closed { .. } => true,
        other => panic!("{other:?}"),
    });
    drop(client);
    edge.stop_accepting();
    // The accepts end with this wait, and with them the listener.
    edge.wait(Some(edge.now().monotonic_us + 1_000), &mut Vec::new()).unwrap();
    assert!(bind_listeners(address, 2).is_ok(), "the address stays taken");
}

#[test]
fn address_is_free_again_when_its_reactor_is_gone() {
    for _ in 0..10 {
        let bound = bind_listeners("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
        let address = bound.address();
        let mut edge = Edge::new(&Config::default()).unwrap();
        edge.listen(bound).unwrap();
        edge.wait(Some(0), &mut Vec::new()).unwrap();
        drop(edge);
        assert!(bind_listeners(address, 2).is_ok(), "the address stays taken");
    }
}

#[test]
fn address_of_another_host_is_told() {
    let address = "192.0.2.1:0".parse().unwrap();
    let refused = bind_listeners(address, 1).unwrap_err();
    assert_eq!(refused, ListenError::AddressNotAvailable { address });
}

#[test]
fn simulated_listener_is_foreign() {
    let network = Network::new(0);
    let mut edge = Edge::new(&Config::default()).unwrap();
    let bound = network.bind("192.0.2.1:80".parse().unwrap());
    assert_eq!(edge.listen(bound), Err(ListenError::Foreign));
    let real = bind_listeners("127.0.0.1:0".parse().unwrap(), 1).unwrap().pop().unwrap();
    let mut simulated = network.transport::<crate::support::Counted>(&Config::default());
    assert_eq!(simulated.listen(real), Err(ListenError::Foreign));
}
