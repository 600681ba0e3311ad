//! The simulated network beyond what all transports share: chance, virtual time, strictness.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails on whatever it did not expect")]

use std::cell::RefCell;
use std::rc::Rc;

use longhold_transport::sim::{Client, Network, Profile, SimTransport};
use longhold_transport::{
    Completion, Config, IoFault, Parts, Payload, Token, Transport, TransportError,
};

/// Bytes to send.
#[derive(Debug)]
struct Bytes(Vec<u8>);

impl Payload for Bytes {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push(&self.0);
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.0.drain(..sent_bytes);
    }
}

type Edge = SimTransport<Bytes>;

const EDGE: &str = "192.0.2.1:80";
const CLIENT: &str = "198.51.100.9:0";

fn edge(network: &Network) -> Edge {
    let mut edge = network.transport(&Config { slots: 16, ..Config::default() });
    edge.listen(network.bind(EDGE.parse().unwrap())).unwrap();
    edge
}

fn connect(network: &Network) -> Client {
    network.connect(CLIENT.parse().unwrap(), EDGE.parse().unwrap())
}

fn accept(edge: &mut Edge) -> Token {
    let mut done = Vec::new();
    edge.wait(None, &mut done).unwrap();
    let Some(Completion::Accepted { slot, .. }) = done.pop() else { panic!("{done:?}") };
    Token::new(slot, 1)
}

/// Echoes everything on every connection until nothing can happen; what it saw.
fn echo(edge: &mut Edge) -> Vec<String> {
    let mut trace = Vec::new();
    let mut done = Vec::new();
    while edge.wait(None, &mut done).is_ok() {
        for one in done.drain(..) {
            trace.push(format!("{} {one:?}", edge.now().monotonic_us));
            match one {
                Completion::Accepted { slot, .. } => edge.park(Token::new(slot, 1)),
                Completion::Readable { token } => {
                    let buffer = edge.buffer().unwrap();
                    edge.receive(token, buffer);
                }
                Completion::Received { token, buffer, result } => {
                    match result {
                        Ok(1..) => edge.send(token, Bytes(buffer.filled().to_vec())),
                        Ok(0) | Err(_) => edge.close(token),
                    }
                    edge.recycle(buffer);
                }
                Completion::Sent { token, payload, result } => match result {
                    Ok(_) if payload.0.is_empty() => edge.park(token),
                    Ok(_) => edge.send(token, payload),
                    Err(_) => edge.close(token),
                },
                Completion::Closed { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
    trace
}

#[test]
fn same_seed_same_story() {
    let story = |seed| {
        let network = Network::with_profile(seed, Profile { reset_one_in: 9, ..Profile::ROUGH });
        let mut edge = edge(&network);
        let clients: Vec<Client> = (0..5).map(|_| connect(&network)).collect();
        assert!(clients.iter().all(|client| client.write(&[b'x'; 200]) == 200));
        echo(&mut edge)
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}

#[test]
fn rough_network_loses_nothing() {
    for seed in 0..50 {
        let network = Network::with_profile(seed, Profile::ROUGH);
        let mut edge = edge(&network);
        let clients: Vec<Client> = (0..4).map(|_| connect(&network)).collect();
        for (place, client) in clients.iter().enumerate() {
            assert_eq!(client.write(&vec![place as u8; 3_000]), 3_000);
            client.half_close();
        }
        echo(&mut edge);
        for (place, client) in clients.iter().enumerate() {
            assert_eq!(client.read(), vec![place as u8; 3_000], "seed {seed}");
            assert!(client.is_ended() && client.is_closed());
        }
        assert_eq!((edge.open_count(), edge.buffers_out()), (0, 0));
    }
}

#[test]
fn chance_resets_connections_when_asked() {
    let mut reset_count = 0;
    for seed in 0..20 {
        let network = Network::with_profile(seed, Profile { reset_one_in: 3, ..Profile::ROUGH });
        let mut edge = edge(&network);
        let client = connect(&network);
        client.write(&[0; 500]);
        echo(&mut edge);
        reset_count += u32::from(client.is_reset());
        assert_eq!(edge.buffers_out(), 0);
    }
    assert!(reset_count > 10, "{reset_count} of 20");
}

#[test]
fn time_stands_still_until_there_is_nothing_to_do() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let client = Rc::new(connect(&network));
    let token = accept(&mut edge);
    assert_eq!(network.now_us(), 0);
    edge.park(token);
    let mut done = Vec::new();
    edge.wait(Some(5_000_000), &mut done).unwrap();
    assert!(done.is_empty());
    assert_eq!(edge.now().monotonic_us, 5_000_000, "time jumps to the deadline");
    let late = Rc::clone(&client);
    network.after(2_000_000, move || assert_eq!(late.write(b"late"), 4));
    edge.wait(Some(60_000_000), &mut done).unwrap();
    assert!(matches!(done[..], [Completion::Readable { .. }]));
    assert_eq!(edge.now().monotonic_us, 7_000_000, "time jumps to the next event");
    assert_eq!(edge.now().unix_ms % 1_000_000, 7_000);
}

#[test]
fn wait_without_hope_ends() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let _client = connect(&network);
    let token = accept(&mut edge);
    edge.park(token);
    let mut done = Vec::new();
    assert_eq!(edge.wait(None, &mut done), Err(TransportError::Idle));
    edge.waker().wake();
    assert_eq!(edge.wait(None, &mut done), Ok(()));
    assert!(matches!(done[..], [Completion::Woken]));
}

#[test]
fn held_time_does_not_pass() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let mut done = Vec::new();
    network.run_for(1_000);
    assert_eq!(edge.wait(Some(400), &mut done), Ok(()));
    assert_eq!(edge.wait(Some(5_000), &mut done), Err(TransportError::Idle));
    assert_eq!(network.now_us(), 1_000);
    assert_eq!(edge.wait(Some(1_000), &mut done), Ok(()), "a past deadline does not wait");
    network.run_for(10_000);
    assert_eq!(edge.wait(Some(5_000), &mut done), Ok(()));
    assert_eq!(network.now_us(), 5_000);
}

#[test]
fn closing_with_unread_bytes_resets_the_peer() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let client = connect(&network);
    client.write(b"never read");
    let token = accept(&mut edge);
    edge.close(token);
    edge.wait(None, &mut Vec::new()).unwrap();
    assert!(client.is_reset() && client.is_closed() && !client.is_ended());
    let polite = connect(&network);
    let token = accept(&mut edge);
    edge.close(token);
    edge.wait(None, &mut Vec::new()).unwrap();
    assert!(polite.is_ended() && !polite.is_reset());
    polite.write(b"to nobody");
    assert!(polite.is_reset(), "bytes for a closed connection bring a reset");
}

#[test]
fn narrow_window_holds_the_sender_back() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let client = connect(&network);
    client.limit_window(10);
    let token = accept(&mut edge);
    let mut done = Vec::new();
    edge.send(token, Bytes(vec![b'x'; 25]));
    edge.wait(None, &mut done).unwrap();
    let Some(Completion::Sent { payload, result: Ok(10), .. }) = done.pop() else { panic!() };
    edge.send(token, payload);
    assert_eq!(edge.wait(None, &mut done), Err(TransportError::Idle));
    assert_eq!(client.read_up_to(4).len(), 4);
    edge.wait(None, &mut done).unwrap();
    let Some(Completion::Sent { result, .. }) = done.pop() else { panic!() };
    assert_eq!(result, Ok(4));
    assert_eq!(client.unread_bytes(), 10);
}

#[test]
fn two_transports_meet_on_one_network() {
    let network = Network::with_profile(5, Profile::ROUGH);
    let mut edge = edge(&network);
    let mut origin = network.transport::<Bytes>(&Config::default());
    edge.connect(EDGE.parse().unwrap(), None, 1);
    origin.connect(EDGE.parse().unwrap(), Some(CLIENT.parse().unwrap()), 2);
    let seen = RefCell::new(Vec::new());
    let turn = |one: &mut Edge| {
        let mut done = Vec::new();
        let _ = one.wait(None, &mut done);
        seen.borrow_mut().extend(done.into_iter().map(|one| match one {
            Completion::Accepted { .. } => "accepted",
            Completion::Connected { result: Ok(_), .. } => "connected",
            other => panic!("{other:?}"),
        }));
    };
    for _ in 0..10 {
        turn(&mut edge);
        turn(&mut origin);
    }
    seen.borrow_mut().sort_unstable();
    assert_eq!(*seen.borrow(), ["accepted", "accepted", "connected", "connected"]);
}

#[test]
fn transport_that_is_gone_closes_its_connections() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let client = connect(&network);
    accept(&mut edge);
    let waiting = connect(&network);
    drop(edge);
    assert!(client.is_ended() && client.is_closed());
    assert!(waiting.is_reset(), "a connection in the backlog is reset");
    assert!(connect(&network).is_refused());
}

#[test]
#[should_panic(expected = "TR-4: a second park")]
fn second_park_panics() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let _client = connect(&network);
    let token = accept(&mut edge);
    edge.park(token);
    edge.park(token);
}

#[test]
#[should_panic(expected = "TR-3: send on")]
fn command_after_close_panics() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let _client = connect(&network);
    let token = accept(&mut edge);
    edge.close(token);
    edge.send(token, Bytes(vec![1]));
}

#[test]
#[should_panic(expected = "TR-3: park on")]
fn stale_token_panics() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let _client = connect(&network);
    let token = accept(&mut edge);
    edge.park(token);
    edge.park(Token::new(token.slot, token.generation + 1));
}

#[test]
fn reset_is_told_once_then_the_stream_is_over() {
    let network = Network::new(3);
    let mut edge = edge(&network);
    let client = connect(&network);
    client.write(b"last words");
    client.reset();
    let token = accept(&mut edge);
    let mut results = Vec::new();
    for _ in 0..3 {
        let buffer = edge.buffer().unwrap();
        edge.receive(token, buffer);
        let mut done = Vec::new();
        edge.wait(None, &mut done).unwrap();
        let Some(Completion::Received { buffer, result, .. }) = done.pop() else { panic!() };
        edge.recycle(buffer);
        results.push(result);
    }
    assert_eq!(results, [Ok(10), Err(IoFault::Reset), Ok(0)]);
}
