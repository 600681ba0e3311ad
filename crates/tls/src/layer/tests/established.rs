//! Established sessions: what is received, sent, parked and closed.

use longhold_transport::sim::Profile;
use longhold_transport::{Completion, IoFault, Token, Transport};

use super::stage::{Client, Plan, Stage, Text, body};
use crate::layer::Report;
use crate::{Fault, RecordLayer, Versions};

fn connected(stage: &mut Stage) -> Client {
    let mut client = stage.client();
    stage.play(&mut client);
    let port = client.port();
    assert_eq!(stage.seen(port).secured, Some(Ok(())));
    client
}

/// TS-2, TS-3.
#[test]
fn what_is_said_comes_back_whole_however_the_bytes_are_cut() {
    let kinds = [
        (RecordLayer::Own, Versions::Tls13Only),
        (RecordLayer::Rustls, Versions::Tls13Only),
        (RecordLayer::Own, Versions::Tls12Only),
    ];
    for seed in 0..8 {
        for (record_layer, versions) in kinds {
            let profile = Profile { short_bytes_max: 1200, ..Profile::ROUGH };
            let plan = Plan { seed, profile, record_layer, versions, ..Plan::default() };
            let mut stage = Stage::new(plan);
            let mut client = connected(&mut stage);
            let mut said = Vec::new();
            for size in [1, 700, 16_384, 16_385, 50_000] {
                let bytes = body(size);
                client.say(&bytes);
                said.extend(bytes);
            }
            stage.play(&mut client);
            assert!(client.received == said, "seed {seed}, {record_layer:?}, {versions:?}");
            let rests = record_layer == RecordLayer::Own && versions == Versions::Tls13Only;
            if rests {
                stage.assert_at_rest();
            }
            drop(client);
            stage.run_for_ms(100);
            stage.assert_clean();
        }
    }
}

/// TS-1.
#[test]
fn a_connection_at_rest_holds_nothing_and_wakes_as_often_as_it_is_spoken_to() {
    let mut stage = Stage::new(Plan::default());
    let mut clients: Vec<Client> = (0..20).map(|_| connected(&mut stage)).collect();
    stage.assert_at_rest();
    for round in 0..5 {
        for client in &mut clients {
            client.say(b"hello");
            stage.play(client);
            stage.assert_at_rest();
            assert_eq!(client.received.len(), 5 * (round + 1));
        }
    }
    let port = clients[0].port();
    assert_eq!(stage.seen(port).wakes, 5);
}

/// TS-3: the clock over a slow reader sees its progress.
#[test]
fn a_slow_reader_is_told_of_in_parts_of_a_window() {
    let mut stage = Stage::new(Plan::default());
    let mut client = connected(&mut stage);
    client.raw.limit_window(10_000);
    let bytes = body(1_000_000);
    let port = client.port();
    stage.send(port, bytes.clone());
    stage.play(&mut client);
    assert!(client.received == bytes);
    let told = stage.seen(port).sends_told;
    assert!(told > 50, "told {told} times only");
    stage.assert_at_rest();
}

/// RFC 8446 section 4.6.3: no caller hears of it, and it is answered.
#[test]
fn a_key_update_wakes_nobody_for_long_and_is_answered() {
    let mut stage = Stage::new(Plan::default());
    let mut client = connected(&mut stage);
    let port = client.port();
    for _ in 0..3 {
        client.session.as_mut().unwrap().update_keys(true);
        client.say_owed();
        stage.play(&mut client);
        assert_eq!(stage.seen(port).ended, None);
        client.say(b"on");
        stage.play(&mut client);
    }
    assert_eq!(client.received, b"ononon");
    stage.assert_at_rest();
}

#[test]
fn several_records_in_one_piece_are_one_receive() {
    let mut stage = Stage::new(Plan::default());
    let mut client = connected(&mut stage);
    let port = client.port();
    let records: Vec<u8> = (0..10).flat_map(|_| client.seal(b"0123456789")).collect();
    client.raw.write(&records);
    stage.play(&mut client);
    assert_eq!(client.received.len(), 100);
    let seen = stage.seen(port);
    assert_eq!((seen.wakes, seen.sends_told), (1, 1));
}

/// TS-4: what lies in the input and not in the socket.
#[test]
fn a_park_is_answered_by_what_was_read_beyond_a_receive() {
    let mut stage = Stage::new(Plan::default());
    stage.echoes = false;
    let mut client = connected(&mut stage);
    let port = client.port();
    // More than the caller's buffer holds comes in two receives, with a park between them.
    let bytes = body(3 * 16_384 + 5);
    client.say(&bytes);
    stage.play(&mut client);
    assert!(stage.seen(port).received == bytes);
    stage.assert_at_rest();
}

#[test]
fn a_close_says_close_notify_and_so_does_one_from_rest() {
    let mut stage = Stage::new(Plan::default());
    let mut client = connected(&mut stage);
    let port = client.port();
    stage.assert_at_rest();
    let token = stage.seen(port).token.unwrap();
    stage.edge.close(token);
    stage.play(&mut client);
    assert!(client.is_closed && client.raw.is_ended());
    stage.assert_clean();
}

#[test]
fn the_peers_close_notify_is_the_end_and_is_answered() {
    let mut stage = Stage::new(Plan::default());
    let mut client = connected(&mut stage);
    let port = client.port();
    client.say(b"bye");
    client.session.as_mut().unwrap().close_notify();
    client.say_owed();
    stage.play(&mut client);
    let seen = stage.seen(port);
    assert_eq!((&seen.received[..], seen.ended), (&b"bye"[..], Some(Ok(()))));
    assert_eq!(client.received, b"bye");
    assert!(client.is_closed);
    stage.assert_clean();
}

#[test]
fn a_broken_record_ends_the_session_with_an_alert() {
    let mut stage = Stage::new(Plan::default());
    let mut client = connected(&mut stage);
    let port = client.port();
    let mut record = client.seal(b"hello");
    record[7] ^= 1;
    client.raw.write(&record);
    stage.run_for_ms(100);
    let seen = stage.seen(port);
    assert_eq!((seen.ended, seen.received.len()), (Some(Err(IoFault::Insecure)), 0));
    assert!(stage.reports.borrow().contains(&Report::Broken(Fault::BadRecord)));
    // A record with an alert came before the end.
    assert!(client.raw.unread_bytes() > 0 || client.raw.is_reset());
    stage.assert_clean();
}

/// TS-7.
#[test]
fn part_of_a_record_is_waited_for_so_long_and_no_longer() {
    let mut stage = Stage::new(Plan::default());
    let mut client = connected(&mut stage);
    let port = client.port();
    let record = client.seal(b"hello");
    client.raw.write(&record[..record.len() - 1]);
    stage.run_for_ms(9_900);
    assert_eq!(stage.seen(port).ended, None);
    stage.run_for_ms(200);
    assert_eq!(stage.seen(port).ended, Some(Err(IoFault::TimedOut)));
    assert!(stage.reports.borrow().contains(&Report::RecordTimeout));
    stage.assert_clean();
}

/// The clock begins anew with each record.
#[test]
fn a_slow_writer_of_many_records_is_not_cut_off() {
    let mut stage = Stage::new(Plan::default());
    stage.echoes = false;
    let mut client = connected(&mut stage);
    let port = client.port();
    for _ in 0..10 {
        let record = client.seal(b"hello");
        let (front, back) = record.split_at(9);
        client.raw.write(front);
        stage.run_for_ms(4_000);
        client.raw.write(back);
        stage.run_for_ms(1);
    }
    let seen = stage.seen(port);
    assert_eq!((seen.received.len(), seen.ended), (50, None));
}

#[test]
fn inputs_run_short_and_everybody_is_served_in_the_end() {
    let plan = Plan { inputs_max: 2, ..Plan::default() };
    let mut stage = Stage::new(plan);
    let mut clients: Vec<Client> = (0..12).map(|_| connected(&mut stage)).collect();
    for client in &mut clients {
        // Each holds part of a record, and so an input.
        let record = client.seal(b"hello");
        client.raw.write(&record[..6]);
        client.received = record[6..].to_vec();
    }
    stage.run_for_ms(100);
    for client in &mut clients {
        let rest = std::mem::take(&mut client.received);
        client.raw.write(&rest);
    }
    stage.run_for_ms(100);
    for client in &mut clients {
        stage.play(client);
        assert_eq!(client.received, b"hello");
    }
    stage.assert_at_rest();
}

/// TR-3 through the layer.
#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "everything else is a failure of the test")]
fn stale_tokens_get_their_buffers_and_payloads_back() {
    let mut stage = Stage::new(Plan::default());
    let client = connected(&mut stage);
    let token = stage.seen(client.port()).token.unwrap();
    let stale = Token::new(token.slot, token.generation - 1);
    let buffer = stage.edge.buffer().unwrap();
    stage.edge.receive(stale, buffer);
    stage.edge.send(stale, Text::new(b"x".to_vec()));
    let mut completions = Vec::new();
    stage.edge.wait(Some(0), &mut completions).unwrap();
    let mut came_back = 0;
    for completion in completions {
        match completion {
            Completion::Received { buffer, result: Err(IoFault::Cancelled), .. } => {
                stage.edge.recycle(buffer);
                came_back += 1;
            }
            Completion::Sent { result: Err(IoFault::Cancelled), .. } => came_back += 1,
            _ => panic!("of a stale token"),
        }
    }
    assert_eq!(came_back, 2);
}

#[test]
fn resets_at_any_moment_leave_nothing_behind() {
    let mut resets = 0;
    for seed in 0..60 {
        let profile = Profile { reset_one_in: 23, short_bytes_max: 900, ..Profile::ROUGH };
        let mut stage = Stage::new(Plan { seed, profile, ..Plan::default() });
        let mut clients: Vec<Client> = (0..4).map(|_| stage.client()).collect();
        for _ in 0..300 {
            for client in &mut clients {
                if !client.raw.is_reset() {
                    client.pump();
                    if client.session.is_some() && client.received.len() < 40_000 {
                        client.say(&body(3000));
                    }
                }
            }
            stage.run_for_ms(10);
        }
        resets += clients.iter().filter(|client| client.raw.is_reset()).count();
        drop(clients);
        stage.run_for_ms(20_000);
        stage.assert_clean();
    }
    assert!(resets > 50, "{resets} resets only");
}
