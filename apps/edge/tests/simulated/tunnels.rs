//! Tunnels: what the test, as the fill plane, hands over, and what goes through it (ED-1 to ED-4,
//! GW-8, TN-1 to TN-4).

use std::sync::Arc;

use bytes::Bytes;
use longhold_conn::{CloseReason, State};
use longhold_edge::fill::tunnel::Taken;
use longhold_edge::fill::{FillHead, FillJob, JobKind};
use longhold_edge::inbox::Event;
use longhold_gateway::tunnel::Ask;
use longhold_origin::{FetchError, Framing};
use longhold_transport::Token;
use longhold_transport::sim::{Client, Profile};

use crate::stage::{SLOTS, Stage, address, answer, body, reply, take_response};

pub(crate) const UPGRADE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const OPENED: &str = "HTTP/1.1 101 Switching Protocols\r\nVia: 1.1 longhold\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

const HOUR_MS: u64 = 3_600_000;

/// An origin's head that was taken.
pub(crate) fn taken(job: &FillJob, framing: Framing, early: &[u8]) -> Box<Taken> {
    let (ask, status, field) = match &job.kind {
        JobKind::Tunnel(ask) => (Some(*ask), 101, ("upgrade", "websocket")),
        JobKind::Stream => (None, 200, ("content-type", "text/event-stream")),
        JobKind::Fill { .. } | JobKind::Revalidate | JobKind::Rest(_) | JobKind::Pass { .. } => {
            panic!("nothing is to be handed over")
        }
    };
    let head = FillHead {
        status,
        fwd_status: status,
        fields: vec![(field.0.to_owned(), field.1.as_bytes().to_vec())],
        via_version: "1.1",
        body_len: None,
        declared_len: None,
        stored: false,
        ttl_s: None,
        detail: None,
    };
    let slot = job.reply.as_ref().expect("somebody waits").exchange.token.slot;
    let ticket = u64::from(slot) << 32 | 7;
    let early = Bytes::copy_from_slice(early);
    Box::new(Taken {
        ask,
        head,
        framing,
        early,
        peer: address("10.0.9.9:9000"),
        session: None,
        ticket,
    })
}

/// Hands a connection over; the test is its other end.
pub(crate) fn hand_over(stage: &Stage, job: &FillJob, framing: Framing, early: &[u8]) -> Client {
    let taken = taken(job, framing, early);
    let ticket = taken.ticket;
    let reply = job.reply.as_ref().expect("somebody waits");
    let (stream, origin) = stage.net.stream(taken.peer);
    reply.post(Event::Taken(taken));
    reply.inbox.adopt(stream, ticket).expect("room");
    origin
}

/// A client's WebSocket, open: the client and the origin.
fn open(stage: &mut Stage) -> (Client, Client) {
    let client = stage.client();
    assert!(stage.exchange(&client, UPGRADE).is_empty());
    let job = stage.job();
    assert!(matches!(job.kind, JobKind::Tunnel(Ask::WebSocket)));
    let origin = hand_over(stage, &job, Framing::None, b"");
    assert_eq!(text(stage.exchange(&client, b"")), OPENED);
    (client, origin)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

/// Writes both ways at once until all has come; what came to each end.
fn both_ways(stage: &mut Stage, ends: [&Client; 2], says: [&[u8]; 2]) -> [Vec<u8>; 2] {
    let mut sent = [0, 0];
    let mut came = [Vec::new(), Vec::new()];
    for _ in 0..100_000 {
        for at in 0..2 {
            sent[at] += ends[at].write(&says[at][sent[at]..]);
        }
        stage.run_for_ms(50);
        for at in 0..2 {
            came[at].extend(ends[at].read());
        }
        if came[0].len() >= says[1].len() && came[1].len() >= says[0].len() {
            return came;
        }
    }
    panic!("{} and {} bytes came", came[0].len(), came[1].len());
}

#[test]
fn bytes_go_both_ways_as_they_came() {
    for seed in 0..8 {
        let mut stage = Stage::new(seed, Profile::ROUGH);
        let (client, origin) = open(&mut stage);
        let (there, back) = (body(60_001), body(90_007));
        let came = both_ways(&mut stage, [&client, &origin], [&there, &back]);
        assert!(came[0] == back && came[1] == there, "seed {seed}");
        drop(client);
        stage.run_for_ms(1_000);
        drop(origin);
        stage.run_for_ms(1_000);
        stage.assert_clean();
    }
}

/// ED-1: both halves rest, and nothing is lent to them.
#[test]
fn a_silent_tunnel_holds_its_slots_and_nothing_else() {
    let mut stage = Stage::new(1, Profile::default());
    let (client, origin) = open(&mut stage);
    for _ in 0..3 {
        stage.run_for_ms(60_000);
        assert_eq!((stage.count(State::Parked), stage.count(State::Active)), (2, 0));
        assert_eq!(stage.worker.transport().buffers_out(), 0);
        let came = both_ways(&mut stage, [&client, &origin], [b"ping", b"pong"]);
        assert_eq!(came, [b"pong".to_vec(), b"ping".to_vec()]);
    }
}

/// GW-8: what a client says too early waits here, and goes on behind the opening, in order.
#[test]
fn early_bytes_wait_for_the_opening() {
    let mut stage = Stage::new(2, Profile::default());
    let client = stage.client();
    assert!(stage.exchange(&client, &[UPGRADE, b"early "].concat()).is_empty());
    let job = stage.job();
    assert!(stage.exchange(&client, b"bird").is_empty());
    let origin = hand_over(&stage, &job, Framing::None, b"hello ");
    origin.write(b"you");
    let came = text(stage.exchange(&client, b"!"));
    assert_eq!(came, format!("{OPENED}hello you"));
    assert_eq!(origin.read(), b"early bird!");
}

/// However much it says: not more than a buffer's worth is taken before the opening.
#[test]
fn early_bytes_are_bounded() {
    let mut stage = Stage::new(3, Profile { window_bytes: 10_000, ..Profile::default() });
    let client = stage.client();
    stage.exchange(&client, UPGRADE);
    let job = stage.job();
    let says = body(100_000);
    let mut sent = 0;
    for _ in 0..50 {
        sent += client.write(&says[sent..]);
        stage.run_for_ms(100);
    }
    assert!(sent < 40_000, "{sent} bytes were taken");
    let origin = hand_over(&stage, &job, Framing::None, b"");
    let mut came = Vec::new();
    for _ in 0..1000 {
        sent += client.write(&says[sent..]);
        stage.run_for_ms(100);
        came.extend(origin.read());
    }
    assert!(came == says, "{} bytes came", came.len());
}

/// After a refusal the connection speaks HTTP: what was behind the request is the next one.
#[test]
fn bytes_behind_a_refused_upgrade_are_the_next_request() {
    let mut stage = Stage::new(4, Profile::default());
    stage.store("/hit", b"stored");
    let client = stage.client();
    let next = b"GET /hit HTTP/1.1\r\nHost: a\r\n\r\n";
    assert!(stage.exchange(&client, &[UPGRADE, next].concat()).is_empty());
    let job = stage.job();
    let (head, download) = answer(403, Some(2));
    reply(&job, &head, &download);
    longhold_store::block_on_ready(download.push(Bytes::from("no"))).expect("a reader");
    download.finish().expect("all came");
    let came = stage.exchange(&client, b"");
    let (status, refusal, rest) = take_response(&came);
    assert_eq!((status, &*refusal), (403, &b"no"[..]));
    let (status, stored, rest) = take_response(rest);
    assert_eq!((status, &*stored, rest), (200, &b"stored"[..], &b""[..]));
}

/// The same for bytes that are no request: they reach nobody.
#[test]
fn frames_behind_a_refused_upgrade_close_the_connection() {
    let mut stage = Stage::new(5, Profile::default());
    let client = stage.client();
    stage.exchange(&client, &[UPGRADE, b"\x81\x05hello"].concat());
    let job = stage.job();
    job.reply.expect("somebody waits").post(Event::Failed(FetchError::BadResponse));
    let came = stage.exchange(&client, b"");
    let (status, _, rest) = take_response(&came);
    assert_eq!(status, 502);
    let (status, _, rest) = take_response(rest);
    assert_eq!((status, rest), (400, &b""[..]));
    stage.no_job();
    assert!(client.is_ended());
}

#[test]
fn the_end_of_one_side_is_told_behind_what_it_said_and_the_other_goes_on() {
    for client_first in [true, false] {
        let mut stage = Stage::new(6, Profile::ROUGH);
        let (client, origin) = open(&mut stage);
        let (first, second) = if client_first { (&client, &origin) } else { (&origin, &client) };
        let says = body(4_000);
        assert_eq!(first.write(&says[..3_000]), 3_000);
        stage.run_for_ms(100);
        let mut came = second.read();
        assert_eq!(first.write(&says[3_000..]), 1_000);
        first.half_close();
        for _ in 0..100 {
            stage.run_for_ms(100);
            came.extend(second.read());
        }
        assert!(came == says, "{} bytes came", came.len());
        assert!(second.is_ended(), "the end was not told");
        assert!(!first.is_ended(), "the other way has ended, too");
        // Half of it rests like all of it.
        assert_eq!((stage.count(State::Parked), stage.count(State::Active)), (2, 0));
        assert_eq!(second.write(b"one more thing"), 14);
        stage.run_for_ms(1_000);
        assert_eq!(first.read(), b"one more thing");
        second.half_close();
        stage.run_for_ms(1_000);
        assert!(first.is_ended());
        stage.assert_clean();
    }
}

#[test]
fn a_client_that_has_closed_its_half_before_the_opening_is_heard_to_its_end() {
    let mut stage = Stage::new(7, Profile::default());
    let client = stage.client();
    client.write(&[UPGRADE, b"all I have to say"].concat());
    client.half_close();
    stage.run_for_ms(10);
    let job = stage.job();
    let origin = hand_over(&stage, &job, Framing::None, b"");
    stage.run_for_ms(10);
    assert_eq!(origin.read(), b"all I have to say");
    assert!(origin.is_ended());
    origin.write(b"thanks");
    stage.run_for_ms(10);
    assert_eq!(text(client.read()), format!("{OPENED}thanks"));
}

#[test]
fn the_reset_of_one_side_closes_both() {
    for client_first in [true, false] {
        let mut stage = Stage::new(8, Profile::default());
        let (client, origin) = open(&mut stage);
        let (first, second) = if client_first { (&client, &origin) } else { (&origin, &client) };
        first.reset();
        stage.run_for_ms(100);
        assert!(second.is_ended() || second.is_reset());
        stage.assert_clean();
    }
}

/// What the origin said before it went is not lost because the client was speaking.
#[test]
fn the_last_words_of_who_takes_nothing_more_arrive() {
    let mut stage = Stage::new(9, Profile { window_bytes: 4096, ..Profile::default() });
    let (client, origin) = open(&mut stage);
    client.limit_window(0);
    origin.write(&body(4_000));
    stage.run_for_ms(10);
    origin.write(b"last words");
    client.write(b"not read");
    stage.run_for_ms(10);
    client.limit_window(100_000);
    drop(origin);
    client.write(b"nobody there");
    let mut came = Vec::new();
    for _ in 0..10 {
        stage.run_for_ms(100);
        came.extend(client.read());
    }
    assert!(came.starts_with(&body(4_000)), "{} bytes came", came.len());
    drop(client);
    stage.run_for_ms(1_000);
    stage.assert_clean();
}

#[test]
fn a_tunnel_silent_for_too_long_is_closed() {
    let mut stage = Stage::new(10, Profile::default());
    let (client, origin) = open(&mut stage);
    stage.run_for_ms(HOUR_MS / 2);
    origin.write(b"beat");
    stage.run_for_ms(HOUR_MS - 10_000);
    assert_eq!(client.read(), b"beat");
    assert_eq!(stage.count(State::Parked), 2, "its time had begun anew");
    stage.run_for_ms(20_000);
    assert!(client.is_ended() && origin.is_ended());
    stage.assert_clean();
}

/// Who looks at either half from outside sees when the tunnel was last at work.
#[test]
fn both_halves_of_a_busy_tunnel_are_busy() {
    let mut stage = Stage::new(21, Profile::default());
    let (client, origin) = open(&mut stage);
    for (speaks, hears) in [(&client, &origin), (&origin, &client)] {
        stage.run_for_ms(60_000);
        speaks.write(b"beat");
        stage.run_for_ms(10);
        assert_eq!(hears.read(), b"beat");
        let parked = stage.slots.iter().filter(|cell| cell.state() == State::Parked);
        let times: Vec<u64> = parked.map(|cell| cell.last_active_ms()).collect();
        assert_eq!(times.len(), 2);
        assert!(times[0] == times[1] && times[0] >= 60_000, "{times:?}");
    }
}

#[test]
fn a_tunnel_lasts_for_its_lifetime_however_busy() {
    let mut stage = Stage::new(11, Profile::default());
    let (client, origin) = open(&mut stage);
    for _ in 0..47 {
        stage.run_for_ms(HOUR_MS / 2);
        client.write(b"beat");
    }
    stage.run_for_ms(1_000);
    assert_eq!(origin.read().len(), 47 * 4);
    assert_eq!(stage.count(State::Parked), 2);
    stage.run_for_ms(HOUR_MS / 2);
    assert!(client.is_ended() && origin.is_ended());
    stage.assert_clean();
}

/// Back-pressure, and its end: who takes nothing for too long is closed, and one buffer is all that
/// it ever held.
#[test]
fn who_does_not_read_stops_the_other_and_is_closed_at_last() {
    let mut stage = Stage::new(12, Profile { window_bytes: 4096, ..Profile::default() });
    let (client, origin) = open(&mut stage);
    client.limit_window(0);
    let says = body(200_000);
    let mut sent = 0;
    for _ in 0..50 {
        sent += origin.write(&says[sent..]);
        stage.run_for_ms(100);
    }
    assert!(sent < 50_000, "{sent} bytes were taken for one who reads nothing");
    assert!(stage.worker.transport().buffers_out() <= 1);
    // The other way is not concerned.
    client.write(b"still here");
    stage.run_for_ms(100);
    assert_eq!(origin.read(), b"still here");
    stage.run_for_ms(60_000);
    assert!(origin.is_ended() || origin.is_reset());
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn a_client_that_leaves_before_the_opening_takes_the_socket_with_it() {
    for told_before in [true, false] {
        let mut stage = Stage::new(13, Profile::default());
        let client = stage.client();
        stage.exchange(&client, UPGRADE);
        let job = stage.job();
        if told_before {
            client.reset();
            stage.run_for_ms(10);
        }
        let origin = hand_over(&stage, &job, Framing::None, b"");
        if !told_before {
            client.reset();
        }
        stage.run_for_ms(100);
        assert!(origin.is_ended() || origin.is_reset());
        stage.assert_clean();
    }
}

/// ED-3: a connection that was meant for an earlier exchange of the same client is nobody's.
#[test]
fn a_socket_of_another_exchange_opens_nothing() {
    let mut stage = Stage::new(14, Profile::default());
    let client = stage.client();
    stage.exchange(&client, UPGRADE);
    let first = stage.job();
    let reply = first.reply.clone().expect("somebody waits");
    reply.post(Event::Failed(FetchError::ConnectRefused));
    let came = stage.exchange(&client, UPGRADE);
    assert_eq!(take_response(&came).0, 502);
    let second = stage.job();
    let late = hand_over(&stage, &first, Framing::None, b"late");
    stage.run_for_ms(10);
    assert!(client.read().is_empty() && (late.is_ended() || late.is_reset()));
    let origin = hand_over(&stage, &second, Framing::None, b"");
    assert_eq!(text(stage.exchange(&client, b"hi")), OPENED);
    assert_eq!(origin.read(), b"hi");
}

/// The same when the right one is on its way: each socket has a number.
#[test]
fn a_socket_of_another_number_opens_nothing() {
    let mut stage = Stage::new(22, Profile::default());
    let client = stage.client();
    stage.exchange(&client, UPGRADE);
    let job = stage.job();
    let taken = taken(&job, Framing::None, b"");
    let (ticket, peer) = (taken.ticket, taken.peer);
    let reply = job.reply.as_ref().expect("somebody waits");
    let (stream, late) = stage.net.stream(peer);
    reply.post(Event::Taken(taken));
    reply.inbox.adopt(stream, ticket + 1).expect("room");
    stage.run_for_ms(10);
    assert!(client.read().is_empty() && (late.is_ended() || late.is_reset()));
    let (stream, origin) = stage.net.stream(peer);
    reply.inbox.adopt(stream, ticket).expect("room");
    assert_eq!(text(stage.exchange(&client, b"hi")), OPENED);
    assert_eq!(origin.read(), b"hi");
}

/// The limit, and one beyond it: no slot is left for the origin's connection.
#[test]
fn a_full_table_refuses_a_tunnel_and_says_so() {
    let mut stage = Stage::new(15, Profile::default());
    let client = stage.client();
    stage.exchange(&client, UPGRADE);
    let job = stage.job();
    let others: Vec<Client> = (1..SLOTS).map(|_| stage.client()).collect();
    stage.run_for_ms(10);
    let origin = hand_over(&stage, &job, Framing::None, b"");
    let came = stage.exchange(&client, b"");
    assert_eq!(take_response(&came).0, 503);
    assert!(text(came).contains("Retry-After: 1\r\n"));
    assert!(origin.is_ended() || origin.is_reset());
    drop(others);
    drop(client);
    stage.run_for_ms(1_000);
    stage.assert_clean();
}

#[test]
fn a_drain_closes_tunnels_at_work_and_at_rest() {
    let mut stage = Stage::new(16, Profile { window_bytes: 4096, ..Profile::default() });
    let rests = open(&mut stage);
    let works = open(&mut stage);
    works.0.limit_window(0);
    works.1.write(&body(4_096));
    stage.run_for_ms(10);
    assert_eq!((stage.count(State::Parked), stage.count(State::Active)), (2, 2));
    stage.worker.begin_drain();
    stage.run_for_ms(100);
    for end in [&rests.0, &rests.1, &works.1] {
        assert!(end.is_ended() || end.is_reset());
    }
    drop(works);
    stage.run_for_ms(100);
    stage.assert_clean();
}

/// No tunnel begins in a drain, which would wait for its end.
#[test]
fn a_tunnel_that_was_asked_for_before_a_drain_is_refused_in_it() {
    let mut stage = Stage::new(22, Profile::default());
    let client = stage.client();
    stage.exchange(&client, UPGRADE);
    let job = stage.job();
    stage.worker.begin_drain();
    let origin = hand_over(&stage, &job, Framing::None, b"");
    let came = text(stage.exchange(&client, b""));
    assert!(came.starts_with("HTTP/1.1 503 "), "{came}");
    assert!(came.contains("Connection: close\r\n"), "{came}");
    assert!(client.is_ended() && origin.is_ended());
    drop((client, origin));
    stage.run_for_ms(6_000);
    stage.assert_clean();
}

/// Whoever closes either half from outside closes the tunnel.
#[test]
fn an_order_for_one_half_closes_both() {
    for half in [0, 1] {
        let mut stage = Stage::new(17, Profile::default());
        let ends = open(&mut stage);
        stage.run_for_ms(10);
        let parked = (0..SLOTS).filter(|slot| {
            stage.slots.get(*slot).is_some_and(|cell| cell.state() == State::Parked)
        });
        let slot = parked.collect::<Vec<_>>()[half];
        let generation = stage.slots.get(slot).expect("a slot").generation();
        assert!(stage.member.close(Token { slot, generation }, CloseReason::Ordered));
        stage.run_for_ms(10);
        assert!(ends.0.is_ended() && ends.1.is_ended());
        stage.assert_clean();
    }
}

/// More tunnels at work than there are buffers: all of them get on.
#[test]
fn tunnels_wait_for_buffers_in_turn() {
    let mut stage = Stage::new(18, Profile { window_bytes: 4096, ..Profile::default() });
    let tunnels: Vec<(Client, Client)> = (0..30).map(|_| open(&mut stage)).collect();
    for (client, origin) in &tunnels {
        client.limit_window(0);
        origin.limit_window(0);
        client.write(b"there");
        origin.write(b"back");
    }
    stage.run_for_ms(10);
    for (client, origin) in &tunnels {
        client.limit_window(4096);
        origin.limit_window(4096);
    }
    stage.run_for_ms(100);
    for (client, origin) in &tunnels {
        assert_eq!((client.read(), origin.read()), (b"back".to_vec(), b"there".to_vec()));
    }
    assert_eq!(stage.count(State::Parked), 60);
    drop(tunnels);
    stage.run_for_ms(1_000);
    stage.assert_clean();
}

/// ED-2: whatever breaks whenever, nothing is left behind.
#[test]
fn resets_at_any_time_leave_nothing_behind() {
    for seed in 0..60 {
        let profile = Profile { reset_one_in: 40, ..Profile::ROUGH };
        let mut stage = Stage::new(seed, profile);
        let mut ends = Vec::new();
        for _ in 0..6 {
            let client = stage.client();
            client.write(&[UPGRADE, b"early"].concat());
            stage.run_for_ms(200);
            while let Some(job) = stage.try_job() {
                ends.push(hand_over(&stage, &job, Framing::None, b"early"));
            }
            ends.push(client);
        }
        for round in 0..40 {
            for end in &ends {
                end.write(&body(500));
                end.read();
            }
            stage.run_for_ms(50);
            if round == 20 {
                ends.remove(0).half_close();
            }
        }
        drop(ends);
        stage.run_for_ms(10_000);
        while let Some(job) = stage.try_job() {
            drop(job);
        }
        stage.run_for_ms(2 * HOUR_MS);
        stage.assert_clean();
    }
}

/// A WebSocket that cannot be is refused before anybody is asked.
#[test]
fn a_flawed_handshake_is_refused_at_the_edge() {
    let mut stage = Stage::new(19, Profile::default());
    let client = stage.client();
    let old = text(UPGRADE.to_vec()).replace("Version: 13", "Version: 8");
    let came = stage.exchange(&client, old.as_bytes());
    assert_eq!(take_response(&came).0, 426);
    assert!(text(came).contains("Sec-WebSocket-Version: 13\r\n"));
    stage.no_job();
}

/// A client that goes while its tunnel waits to be opened takes the origin's connection with it.
#[test]
fn a_client_that_leaves_at_the_opening_takes_the_socket_with_it() {
    let mut stage = Stage::new(23, Profile { window_bytes: 4096, ..Profile::default() });
    let client = stage.client();
    stage.exchange(&client, UPGRADE);
    let job = stage.job();
    client.limit_window(0);
    let fields = vec![("link".to_owned(), b"</x>".to_vec())];
    job.reply.as_ref().expect("somebody waits").post(Event::Interim { status: 103, fields });
    stage.run_for_ms(10);
    let origin = hand_over(&stage, &job, Framing::None, b"");
    stage.run_for_ms(10);
    assert!(!origin.is_ended() && !origin.is_reset());
    client.reset();
    stage.run_for_ms(10);
    assert!(origin.is_ended() || origin.is_reset());
    stage.assert_clean();
}

/// An interim response that is still on its way goes out before the opening.
#[test]
fn the_opening_waits_for_an_interim_response() {
    let mut stage = Stage::new(20, Profile { window_bytes: 4096, ..Profile::default() });
    let client = stage.client();
    stage.exchange(&client, UPGRADE);
    let job = stage.job();
    client.limit_window(0);
    let fields = vec![("link".to_owned(), b"</x>".to_vec())];
    job.reply.as_ref().expect("somebody waits").post(Event::Interim { status: 103, fields });
    stage.run_for_ms(10);
    let origin = hand_over(&stage, &job, Framing::None, b"hello");
    stage.run_for_ms(10);
    assert!(client.read().is_empty() && origin.read().is_empty());
    client.limit_window(4096);
    let came = text(stage.exchange(&client, b"yes"));
    assert_eq!(came, format!("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n{OPENED}hello"));
    assert_eq!(origin.read(), b"yes");
    let _: Arc<[u8]> = job.head;
}
