//! Handshakes: who is let in, in which order, and how they end.

use std::sync::Arc;

use longhold_transport::sim::{Network, Profile};
use longhold_transport::{Completion, Config, IoFault, Token, Transport};

use super::stage::{Client, EDGE, Edge, Plan, Stage, Text, address, body, certificate};
use crate::layer::{AnswersInClear, Bounds, LayerSettings, Report, Secured};
use crate::{Acceptor, ClientSettings, Connector, Fault, ServerSettings, Version};

#[test]
fn garbage_is_answered_with_an_alert_and_counted_by_its_fault() {
    let mut stage = Stage::new(Plan::default());
    let client = stage.raw_client();
    client.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.run_for_ms(100);
    let port = client.local_address().port();
    assert_eq!(stage.seen(port).secured, Some(Err(IoFault::Insecure)));
    assert_eq!(stage.reports.borrow()[..], [Report::Begun, Report::Failed(Fault::NotTls)]);
    assert_eq!(client.read().first(), Some(&21), "an alert");
    stage.assert_clean();
}

#[test]
fn who_comes_in_the_clear_is_told_so_where_there_is_something_to_tell() {
    let answers_in_clear: AnswersInClear =
        Box::new(
            |first, _now| {
                if first.starts_with(b"GET ") { b"speak TLS".to_vec() } else { Vec::new() }
            },
        );
    let mut stage = Stage::new(Plan::default());
    stage.edge.answers_in_clear = answers_in_clear;
    for (said, is_told) in [(b"GET / HTTP/1.1\r\n", true), (b"PRI * HTTP/2.0\r\n", false)] {
        let client = stage.raw_client();
        client.write(said);
        stage.run_for_ms(100);
        let port = client.local_address().port();
        assert_eq!(stage.seen(port).secured, Some(Err(IoFault::Insecure)));
        let read = client.read();
        assert_eq!(read == b"speak TLS", is_told, "{read:?}");
        assert_eq!(read.first() == Some(&21), !is_told, "{read:?}");
    }
    stage.assert_clean();
}

/// TS-6.
#[test]
fn who_says_nothing_holds_nothing() {
    let mut stage = Stage::new(Plan { in_flight_max: 1, ..Plan::default() });
    let silent: Vec<_> = (0..40).map(|_| stage.raw_client()).collect();
    stage.run_for_ms(100);
    stage.assert_at_rest();
    let mut client = stage.client();
    stage.play(&mut client);
    assert!(client.session.is_some(), "the silent ones keep nobody out");
    drop(silent);
    stage.run_for_ms(100);
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn who_leaves_in_the_middle_is_counted_once() {
    let mut stage = Stage::new(Plan::default());
    let mut client = stage.client();
    client.pump();
    stage.run_for_ms(100);
    assert_eq!(stage.in_flight.count(), 1);
    let port = client.port();
    drop(client);
    stage.run_for_ms(100);
    assert!(matches!(stage.seen(port).secured, Some(Err(IoFault::Reset))));
    assert_eq!(stage.reports.borrow()[..], [Report::Begun, Report::Left]);
    stage.assert_clean();
}

#[test]
fn beyond_the_bound_newcomers_wait_in_line_and_come_in_their_order() {
    let mut stage = Stage::new(Plan { in_flight_max: 2, ..Plan::default() });
    let mut clients: Vec<Client> = (0..6).map(|_| stage.client()).collect();
    for client in &mut clients {
        client.pump();
        stage.run_for_ms(1);
    }
    stage.run_for_ms(50);
    assert_eq!(stage.in_flight.count(), 2, "the others wait");
    let has_answer: Vec<bool> =
        clients.iter().map(|client| client.raw.unread_bytes() > 0).collect();
    assert_eq!(has_answer, [true, true, false, false, false, false]);
    for client in &mut clients {
        stage.play(client);
        assert!(client.session.is_some());
    }
    stage.assert_at_rest();
}

#[test]
fn a_source_beyond_its_bound_is_turned_away() {
    let bounds = Bounds { per_source_max: 3, ..Bounds::default() };
    let mut stage = Stage::new(Plan { bounds, ..Plan::default() });
    let mut clients: Vec<Client> = (0..5).map(|_| stage.client()).collect();
    for client in &mut clients {
        client.pump();
        stage.run_for_ms(1);
    }
    stage.run_for_ms(10);
    let closed = clients.iter().filter(|client| client.raw.is_closed()).count();
    assert_eq!((closed, stage.in_flight.count()), (2, 3));
    let away = stage.reports.borrow().iter().filter(|one| **one == Report::TurnedAway).count();
    assert_eq!(away, 2);
}

/// TS-5: a crowd is advanced so many steps a turn, and the rest of the turn is for others.
#[test]
fn a_crowd_of_newcomers_leaves_room_for_the_established() {
    let bounds = Bounds { steps_max: 1, ..Bounds::default() };
    let mut stage = Stage::new(Plan { bounds, ..Plan::default() });
    let mut client = stage.client();
    stage.play(&mut client);
    let mut crowd: Vec<Client> = (0..30).map(|_| stage.client()).collect();
    crowd.iter_mut().for_each(|one| assert!(one.pump()));
    client.say(b"hello");
    client.pump();
    // Turn by turn: when the answer is here, most of the crowd still waits for its own.
    let mut completions = Vec::new();
    let mut turns = 0;
    while client.received.is_empty() {
        stage.turn(&mut completions);
        client.pump();
        turns += 1;
        assert!(turns < 40, "starved");
    }
    let answered = crowd.iter().filter(|one| one.raw.unread_bytes() > 0).count();
    assert!(answered < 10, "{answered} of the crowd came first");
    for one in &mut crowd {
        stage.play(one);
        assert!(one.session.is_some());
    }
}

#[test]
fn a_handshake_that_stalls_is_ended_by_its_caller_and_uncounted() {
    let mut stage = Stage::new(Plan::default());
    let mut client = stage.client();
    client.pump();
    stage.run_for_ms(100);
    let token = stage.seen(client.port()).token.unwrap();
    stage.edge.close(token);
    stage.run_for_ms(100);
    assert_eq!(stage.reports.borrow()[..], [Report::Begun, Report::Left]);
    stage.assert_clean();
    // One that waits in line, too.
    let silent = stage.raw_client();
    stage.run_for_ms(10);
    let token = stage.seen(silent.local_address().port()).token.unwrap();
    silent.write(b"x");
    stage.edge.close(token);
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn the_report_says_version_and_resumption() {
    let mut stage = Stage::new(Plan::default());
    let settings = ClientSettings { resumption_servers: 8, ..ClientSettings::default() };
    stage.connector = Connector::new(&settings).unwrap();
    for _ in 0..2 {
        let mut client = stage.client();
        stage.play(&mut client);
        client.say(b"x");
        stage.play(&mut client);
    }
    let reports = stage.reports.borrow();
    let done = reports.iter().filter_map(|report| match report {
        Report::Done(details) => Some((details.version, details.is_resumed)),
        Report::Begun
        | Report::Failed(_)
        | Report::Left
        | Report::TurnedAway
        | Report::Refused
        | Report::Broken(_)
        | Report::RecordTimeout => None,
    });
    let done: Vec<_> = done.collect();
    assert_eq!(done, [(Version::Tls13, false), (Version::Tls13, true)]);
}

/// The client's side of the layer, against the server's, in one network.
#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "everything else is a failure of the test")]
fn a_client_secures_what_it_connects_and_its_sends_wait_meanwhile() {
    for seed in 0..6 {
        let net = Network::with_profile(seed, Profile { short_bytes_max: 700, ..Profile::ROUGH });
        let config = Config { slots: 4, buffers: 8, ..Config::default() };
        let (_files, certificate) = certificate();
        let settings =
            ServerSettings { certificates: vec![certificate], ..ServerSettings::default() };
        let mut server: Edge = Secured::new(net.transport(&config), LayerSettings::default());
        let listener = server.listen(net.bind(address(EDGE))).unwrap();
        server.secure_listener(listener, Arc::new(Acceptor::new(settings).unwrap()));
        let mut client: Edge = Secured::new(net.transport(&config), LayerSettings::default());
        let connector = Connector::new(&ClientSettings::default()).unwrap();
        client.connect(address(EDGE), None, 7);
        let (said, mut heard) = (body(100_000), Vec::new());
        let mut secured = 0;
        let mut completions = Vec::new();
        for _ in 0..20_000 {
            // Idle: the other side has something to do first.
            let _ = client.wait(Some(net.now_us() + 100), &mut completions);
            for completion in completions.drain(..) {
                match completion {
                    Completion::Connected { result, .. } => {
                        let token = Token::new(result.unwrap(), 5);
                        client.secure_client(token, &connector, "edge.test").unwrap();
                        client.send(token, Text::new(said.clone()));
                    }
                    Completion::Secured { result, .. } => {
                        result.unwrap();
                        secured += 1;
                    }
                    Completion::Sent { token, payload, result } => {
                        result.unwrap();
                        if !payload.is_done() {
                            client.send(token, payload);
                        }
                    }
                    other => panic!("{:?}", std::mem::discriminant(&other)),
                }
            }
            let _ = server.wait(Some(net.now_us() + 100), &mut completions);
            for completion in completions.drain(..) {
                match completion {
                    Completion::Accepted { slot, .. } => server.park(Token::new(slot, 1)),
                    Completion::Secured { result, .. } => {
                        result.unwrap();
                        secured += 1;
                    }
                    Completion::Readable { token } => {
                        let buffer = server.buffer().unwrap();
                        server.receive(token, buffer);
                    }
                    Completion::Received { token, buffer, result } => {
                        result.unwrap();
                        heard.extend_from_slice(buffer.filled());
                        server.recycle(buffer);
                        server.park(token);
                    }
                    other => panic!("{:?}", std::mem::discriminant(&other)),
                }
            }
            if heard.len() == said.len() {
                break;
            }
        }
        assert!(heard == said && secured == 2, "seed {seed}: {} bytes", heard.len());
    }
}
