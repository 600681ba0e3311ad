//! How connections come into slots: accepted, opened, adopted, or refused.

use longhold_transport::{AcceptError, AdoptError, Completion, Config, IoFault, Token, Transport};

use crate::driver::{Driver, Peer, Rig};
use crate::payload::Pieces;

pub(crate) fn accepted_tells_the_peers_address<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (listener, address) = driver.listen();
    assert_eq!(driver.edge().local_address(listener), address);
    assert_ne!(address.port(), 0);
    let peers: Vec<R::Peer> = (0..5).map(|_| driver.rig.connect(address)).collect();
    let mut told = Vec::new();
    for _ in &peers {
        let Completion::Accepted { listener: at, slot, peer } = driver.next() else { panic!() };
        assert_eq!(at, listener);
        assert!(slot < driver.edge().slot_count());
        told.push(peer);
    }
    let mut real: Vec<_> = peers.iter().map(Peer::local_address).collect();
    real.sort();
    told.sort();
    assert_eq!(told, real);
}

pub(crate) fn sockets_are_counted_by_shard<R: Rig>() {
    let config = Config { slots: 6, slots_per_shard: 4, ..Config::default() };
    let mut driver = Driver::<R>::new(config);
    let (_, address) = driver.listen();
    let pairs: Vec<_> = (0..5).map(|_| driver.pair_at(address)).collect();
    let each = driver.edge().slots_per_shard();
    let mut counts = [0; 3];
    pairs.iter().for_each(|(token, _)| counts[(token.slot / each) as usize] += 1);
    let used = |driver: &mut Driver<R>| [0, 1, 2].map(|shard| driver.edge().used_count(shard));
    assert_eq!(used(&mut driver), counts);
    for (token, _peer) in pairs {
        driver.edge().park(token);
        driver.edge().close(token);
        driver.closed(token);
        counts[(token.slot / each) as usize] -= 1;
        assert_eq!(used(&mut driver), counts);
    }
    assert_eq!(counts, [0; 3]);
}

pub(crate) fn full_table_is_told_and_recovers<R: Rig>() {
    let mut driver = Driver::<R>::new(Config { slots: 3, ..Config::default() });
    let (listener, address) = driver.listen();
    let mut peers: Vec<R::Peer> = (0..5).map(|_| driver.rig.connect(address)).collect();
    let mut tokens = Vec::new();
    let mut full_count = 0;
    while tokens.len() < 3 || full_count == 0 {
        match driver.next() {
            Completion::Accepted { slot, .. } => {
                let token = driver.token(slot);
                assert!(tokens.iter().all(|other: &Token| other.slot != slot));
                tokens.push(token);
            }
            Completion::AcceptFailed { listener: at, error } => {
                assert_eq!((at, error), (listener, AcceptError::TableFull));
                full_count += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    driver.assert_quiet();
    assert_eq!(full_count, 1, "told once, not in a loop");
    for _ in 0..2 {
        let gone = tokens.remove(0);
        driver.edge().close(gone);
        let mut is_accepted = false;
        while !is_accepted {
            match driver.next() {
                Completion::Closed { token } => assert_eq!(token, gone),
                Completion::Accepted { slot, .. } => {
                    assert_eq!(slot, gone.slot);
                    is_accepted = true;
                    let token = driver.token(slot);
                    tokens.push(token);
                }
                Completion::AcceptFailed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // TR-5: the two that waited were not lost; the last one in answers.
    peers.iter_mut().for_each(|peer| peer.try_write(b"patient"));
    let last = tokens[2];
    driver.edge().park(last);
    loop {
        match driver.next() {
            Completion::Readable { token } => break assert_eq!(token, last),
            Completion::AcceptFailed { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn outbound_connection_carries_both_ways<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let address = driver.rig.serve();
    driver.edge().connect(address, None, 77);
    let Completion::Connected { ticket, result } = driver.next() else { panic!() };
    assert_eq!(ticket, 77);
    let token = driver.token(result.unwrap());
    let mut peer = driver.rig.accept_outbound();
    driver.edge().send(token, Pieces::new(&[b"ping"]));
    assert_eq!(driver.sent().2, Ok(4));
    assert_eq!(driver.read_exact(&mut peer, 4), b"ping");
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    peer.write(b"pong");
    assert_eq!(driver.received().1.filled(), b"pong");
    driver.edge().close(token);
    driver.closed(token);
    assert_eq!(driver.read_to_end(&mut peer), b"");
}

pub(crate) fn outbound_connection_is_refused<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(1);
    let address = driver.rig.refusing_address();
    for ticket in 0..3 {
        driver.edge().connect(address, None, ticket);
        let Completion::Connected { ticket: told, result } = driver.next() else { panic!() };
        assert_eq!((told, result), (ticket, Err(IoFault::Refused)));
        // Its slot is closed behind the scenes: let that happen.
        driver.assert_quiet();
    }
}

pub(crate) fn outbound_connection_needs_a_slot<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(1);
    let address = driver.rig.serve();
    driver.edge().connect(address, None, 1);
    driver.edge().connect(address, None, 2);
    let mut results = [None; 2];
    for _ in 0..2 {
        let Completion::Connected { ticket, result } = driver.next() else { panic!() };
        results[ticket as usize - 1] = Some(result);
    }
    assert_eq!(results, [Some(Ok(0)), Some(Err(IoFault::Exhausted))]);
}

pub(crate) fn adopted_connection_carries_both_ways<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let adopter = driver.edge().adopter();
    let (stream, mut peer) = driver.rig.stream();
    std::thread::spawn(move || adopter.adopt(stream, 1 << 40)).join().unwrap().unwrap();
    let Completion::Connected { ticket, result } = driver.next() else { panic!() };
    assert_eq!(ticket, 1 << 40);
    let token = driver.token(result.unwrap());
    driver.edge().park(token);
    driver.assert_quiet();
    peer.write(b"ping");
    assert!(matches!(driver.next(), Completion::Readable { token: told } if told == token));
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    assert_eq!(driver.received().1.filled(), b"ping");
    let buffer = driver.buffer();
    driver.edge().receive(token, buffer);
    driver.assert_quiet();
    peer.write(b"again");
    assert_eq!(driver.received().1.filled(), b"again", "a receive waits for bytes");
    driver.edge().send(token, Pieces::new(&[b"pong"]));
    assert_eq!(driver.sent().2, Ok(4));
    assert_eq!(driver.read_exact(&mut peer, 4), b"pong");
    driver.edge().close(token);
    driver.closed(token);
    assert_eq!(driver.read_to_end(&mut peer), b"");
}

pub(crate) fn adopted_connections_need_slots<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(2);
    let adopter = driver.edge().adopter();
    let (first, _first_peer) = driver.rig.stream();
    adopter.adopt(first, 0).unwrap();
    let (second, _second_peer) = driver.rig.stream();
    adopter.adopt(second, 1).unwrap();
    let mut slots = Vec::new();
    for _ in 0..2 {
        let Completion::Connected { ticket, result } = driver.next() else { panic!() };
        slots.push((ticket, result.unwrap()));
    }
    slots.sort_unstable();
    assert!(matches!(slots[..], [(0, a), (1, b)] if a != b && a < 2 && b < 2), "{slots:?}");
    let (third, mut peer) = driver.rig.stream();
    adopter.adopt(third, 2).unwrap();
    let Completion::Connected { ticket, result } = driver.next() else { panic!() };
    assert_eq!((ticket, result), (2, Err(IoFault::Exhausted)));
    assert_eq!(driver.read_to_end(&mut peer), b"", "what cannot be adopted is closed");
    driver.assert_quiet();
}

pub(crate) fn connections_that_wait_for_adoption_are_bounded<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(3);
    let adopter = driver.edge().adopter();
    let mut peers = Vec::new();
    for ticket in 0..3 {
        let (stream, peer) = driver.rig.stream();
        adopter.adopt(stream, ticket).unwrap();
        peers.push(peer);
    }
    let (stream, mut peer) = driver.rig.stream();
    assert_eq!(adopter.adopt(stream, 3), Err(AdoptError::Full));
    let mut tickets = Vec::new();
    while tickets.len() < 3 {
        let Completion::Connected { ticket, result } = driver.next() else { panic!() };
        assert!(result.is_ok());
        tickets.push(ticket);
    }
    tickets.sort_unstable();
    assert_eq!(tickets, [0, 1, 2]);
    assert_eq!(driver.read_to_end(&mut peer), b"", "what is refused is closed");
}

pub(crate) fn nothing_is_adopted_after_the_end<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(3);
    let adopter = driver.edge().adopter();
    let (waiting, mut waiting_peer) = driver.rig.stream();
    let (late, mut late_peer) = driver.rig.stream();
    adopter.adopt(waiting, 1).unwrap();
    driver.rig.restart(&Config::default());
    assert_eq!(adopter.adopt(late, 2), Err(AdoptError::Gone));
    assert_eq!(driver.read_to_end(&mut waiting_peer), b"");
    assert_eq!(driver.read_to_end(&mut late_peer), b"");
    driver.assert_quiet();
}

pub(crate) fn stop_accepting_closes_listeners_only<R: Rig>() {
    let mut driver = Driver::<R>::with_slots(8);
    let (listener, address) = driver.listen();
    let (token, mut peer) = driver.pair_at(address);
    driver.edge().park(token);
    driver.edge().stop_accepting();
    driver.edge().stop_accepting();
    driver.assert_quiet();
    assert_eq!(driver.edge().local_address(listener), address);
    driver.edge().connect(address, None, 5);
    let Completion::Connected { result, .. } = driver.next() else { panic!() };
    assert_eq!(result, Err(IoFault::Refused), "nobody listens any more");
    peer.write(b"still served");
    assert!(matches!(driver.next(), Completion::Readable { .. }));
}
