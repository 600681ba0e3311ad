//! Many slots: over several rings, up to their limits, and in numbers.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use longhold_transport::{AcceptError, Completion, Config, StartError, Token, Transport};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::support::{Done, Edge, bind, counted, edge, open, wait_until};

#[test]
fn slots_are_spread_over_shards_and_all_wake() {
    let (mut edge, address) = edge(Config { slots: 18, slots_per_shard: 4, ..Config::default() });
    assert_eq!(edge.shard_count(), 5);
    assert_eq!(edge.slot_count(), 18);
    let (tokens, mut clients) = open(&mut edge, address, 18);
    let slots: HashSet<u32> = tokens.iter().map(|token| token.slot).collect();
    assert_eq!(slots, (0..18).collect(), "every slot of every shard is used once");
    for round in 0..3 {
        tokens.iter().for_each(|token| edge.park(*token));
        clients.iter_mut().for_each(|client| client.write_all(&[round]).unwrap());
        let mut received = HashSet::new();
        wait_until(&mut edge, |edge, done| {
            match done {
                Completion::Readable { token } => {
                    let buffer = edge.buffer().unwrap();
                    edge.receive(token, buffer);
                }
                Completion::Received { token, buffer, result } => {
                    assert_eq!((result, buffer.filled()), (Ok(1), &[round][..]));
                    edge.recycle(buffer);
                    received.insert(token);
                }
                Completion::AcceptFailed { error: AcceptError::TableFull, .. } => {}
                other => panic!("{other:?}"),
            }
            received.len() == 18
        });
    }
}

/// Shards fill in steps of a sixteenth, the first one first: few connections share a ring, many
/// are spread evenly, whatever has been closed before.
#[test]
fn connections_are_spread_evenly() {
    const SHARDS: usize = 4;
    const STEP: usize = 4;
    let config = Config {
        slots: 256,
        slots_per_shard: 64,
        accepts_per_listener: 1,
        ring_entries: 32,
        ..Config::default()
    };
    let (mut edge, address) = edge(config);
    assert_eq!(edge.shard_count(), SHARDS as u32);
    let by_shard = |tokens: &[Token]| {
        let mut counts = [0; SHARDS];
        tokens.iter().for_each(|token| counts[token.slot as usize / 64] += 1);
        counts
    };
    let (mut tokens, _few) = open(&mut edge, address, STEP);
    assert_eq!(by_shard(&tokens), [STEP, 0, 0, 0], "few connections share a ring");
    let (more, _many) = open(&mut edge, address, 100);
    tokens.extend(more);
    let is_even = |counts: [usize; SHARDS]| {
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        most - least <= STEP + 1
    };
    assert!(is_even(by_shard(&tokens)), "{:?}", by_shard(&tokens));
    // A shard that has become emptier than the others fills up first.
    let (gone, mut kept): (Vec<Token>, Vec<Token>) =
        tokens.into_iter().partition(|token| token.slot / 64 == 2);
    gone.iter().for_each(|token| edge.close(*token));
    let mut left = gone.len();
    wait_until(&mut edge, |_, done| {
        left -= usize::from(matches!(done, Completion::Closed { .. }));
        left == 0
    });
    let (new, _new) = open(&mut edge, address, gone.len());
    kept.extend(new);
    assert!(is_even(by_shard(&kept)), "{:?}", by_shard(&kept));
}

#[test]
fn two_thousand_connections_are_held_served_and_closed() {
    const COUNT: usize = 2_000;
    raise_descriptor_limit();
    let config = Config { slots: 2_100, slots_per_shard: 700, buffers: 16, ..Config::default() };
    let (mut edge, address) = edge(config);
    assert_eq!(edge.shard_count(), 3);
    let (tokens, mut clients) = open(&mut edge, address, COUNT);
    let drops = Arc::new(AtomicUsize::new(0));
    tokens.iter().for_each(|token| edge.park(*token));
    edge.wait(Some(0), &mut Vec::new()).unwrap();
    clients.iter_mut().for_each(|client| client.write_all(b"?").unwrap());
    let mut answered = 0;
    let mut closed = HashSet::new();
    wait_until(&mut edge, |edge, done| {
        match done {
            Completion::Readable { token } => match edge.buffer() {
                Some(buffer) => edge.receive(token, buffer),
                None => edge.park(token),
            },
            Completion::Received { token, buffer, result } => {
                assert_eq!(result, Ok(1));
                edge.recycle(buffer);
                edge.send(token, counted(3, &drops));
            }
            Completion::Sent { token, result, .. } => {
                assert_eq!(result, Ok(3));
                answered += 1;
                edge.close(token);
            }
            Completion::Closed { token } => assert!(closed.insert(token)),
            other => panic!("{other:?}"),
        }
        closed.len() == COUNT
    });
    assert_eq!(answered, COUNT);
    for client in &mut clients {
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"xxx");
    }
}

/// More commands than the submission queue has entries: it is submitted and filled again.
#[test]
fn full_submission_queue_is_submitted_and_goes_on() {
    let config = Config { slots: 300, ring_entries: 2, ..Config::default() };
    let (mut edge, address) = edge(config);
    let (tokens, clients) = open(&mut edge, address, 200);
    for token in &tokens {
        edge.park(*token);
    }
    for token in &tokens {
        edge.cancel(*token);
    }
    let mut unparked = HashSet::new();
    wait_until(&mut edge, |_, done| {
        let Completion::Unparked { token } = done else { panic!("{done:?}") };
        assert!(unparked.insert(token));
        unparked.len() == tokens.len()
    });
    tokens.iter().for_each(|token| edge.park(*token));
    drop(clients);
    let mut readable = HashSet::new();
    wait_until(&mut edge, |edge, done| {
        match done {
            Completion::Readable { token } => {
                assert!(readable.insert(token));
                edge.close(token);
            }
            Completion::Closed { token } => assert!(readable.contains(&token)),
            other => panic!("{other:?}"),
        }
        readable.len() == tokens.len()
    });
}

/// TR-5: an idle listener keeps at most one slot from a busy one.
#[test]
fn idle_listener_lends_its_slots_to_a_busy_one() {
    let (mut edge, busy) = edge(Config { slots: 10, ..Config::default() });
    let idle = bind();
    let idle_address = idle.address();
    let idle_id = edge.listen(idle).unwrap();
    let (tokens, _clients) = open(&mut edge, busy, 9);
    let (mut last, _client) = open(&mut edge, idle_address, 1);
    let _waiting = std::net::TcpStream::connect(busy).unwrap();
    let closing = last.pop().unwrap();
    edge.close(closing);
    let mut is_accepted = false;
    wait_until(&mut edge, |_, done| {
        match done {
            Completion::Accepted { listener, slot, .. } => {
                assert_ne!(listener, idle_id);
                assert_eq!(slot, closing.slot);
                is_accepted = true;
            }
            Completion::Closed { token } => assert_eq!(token, closing),
            Completion::AcceptFailed { error, .. } => assert_eq!(error, AcceptError::TableFull),
            other => panic!("{other:?}"),
        }
        is_accepted
    });
    assert!(tokens.iter().all(|token| *token != closing));
}

#[test]
fn outbound_connections_come_from_where_they_were_told() {
    const COUNT: u64 = 300;
    raise_descriptor_limit();
    let mut edge = Edge::new(&Config { slots: 512, ..Config::default() }).unwrap();
    let server = server_with_backlog(COUNT as i32 + 1);
    let address = server.local_addr().unwrap();
    for ticket in 0..COUNT {
        let from = ([127, 0, 0, (2 + ticket % 3) as u8], 0);
        edge.connect(address, Some(from.into()), ticket);
    }
    let accepting = std::thread::spawn(move || {
        let all = (0..COUNT).map(|_| server.accept().unwrap());
        all.collect::<Vec<_>>()
    });
    let mut connected = HashSet::new();
    let mut slots = HashSet::new();
    wait_until(&mut edge, |_, done| {
        let Completion::Connected { ticket, result } = done else { panic!("{done:?}") };
        assert!(connected.insert(ticket));
        assert!(slots.insert(result.unwrap()), "a slot was given out twice");
        connected.len() == COUNT as usize
    });
    let mut from = [0; 3];
    for (_, peer) in accepting.join().unwrap() {
        let std::net::IpAddr::V4(ip) = peer.ip() else { panic!("{peer}") };
        from[usize::from(ip.octets()[3]) - 2] += 1;
    }
    assert_eq!(from, [100; 3]);
}

#[test]
fn ipv6_peers_have_their_addresses() {
    let Ok(mut bound) = longhold_transport::bind_listeners("[::1]:0".parse().unwrap(), 1) else {
        return eprintln!("no IPv6 on this host");
    };
    let mut edge = Edge::new(&Config::default()).unwrap();
    let bound = bound.pop().unwrap();
    let address = bound.address();
    edge.listen(bound).unwrap();
    edge.connect(address, Some("[::1]:0".parse().unwrap()), 1);
    let client = std::net::TcpStream::connect(address).unwrap();
    let mut peers = Vec::new();
    let mut is_connected = false;
    wait_until(&mut edge, |_, done| {
        match done {
            Completion::Accepted { peer, .. } => peers.push(peer),
            Completion::Connected { result, .. } => is_connected = result.is_ok(),
            other => panic!("{other:?}"),
        }
        peers.len() == 2 && is_connected
    });
    assert!(peers.contains(&client.local_addr().unwrap()));
    assert!(peers.iter().all(|peer| peer.is_ipv6()));
}

#[test]
fn no_slots_and_too_many_slots_are_refused() {
    for slots in [0, u32::MAX] {
        let refused = Edge::new(&Config { slots, ..Config::default() }).err();
        assert_eq!(refused, Some(StartError::Slots { slots }));
    }
}

#[test]
fn slots_beyond_the_table_name_nobody() {
    let (mut edge, _) = edge(Config { slots: 5, slots_per_shard: 2, ..Config::default() });
    for slot in [5, 6, 1 << 20, u32::MAX] {
        let token = Token::new(slot, 1);
        edge.park(token);
        edge.close(token);
        let buffer = edge.buffer().unwrap();
        edge.receive(token, buffer);
        let is_refused = |_: &mut Edge, done: Done| matches!(done, Completion::Received { .. });
        wait_until(&mut edge, is_refused);
    }
}

/// A server whose backlog holds all connections at once: beyond it the kernel would tell a client
/// of a connection that the server never gets.
fn server_with_backlog(count: i32) -> TcpListener {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    rustix::net::listen(&socket, count).unwrap();
    TcpListener::from(socket)
}

/// The clients of these tests need real descriptors.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
