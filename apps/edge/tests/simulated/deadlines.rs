//! Deadlines in virtual time, and the drain (ED-4).

use longhold_conn::State;
use longhold_telemetry::Gauge;
use longhold_transport::sim::Profile;

use crate::stage::{REST_MS, Stage, answer, body, reply};

#[test]
fn a_quiet_connection_is_closed_after_the_idle_time_and_not_before() {
    let mut stage = Stage::new(1, Profile::default());
    stage.store("/x", b"hello");
    let client = stage.client();
    stage.run_for_ms(70_000);
    assert_eq!(stage.count(State::Parked), 1);
    stage.exchange(&client, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.run_for_ms(74_000);
    assert_eq!(stage.count(State::Parked), 1, "the request did not restart the idle time");
    stage.run_for_ms(2_000);
    assert!(client.is_ended());
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn a_head_that_never_ends_is_answered_408() {
    let mut stage = Stage::new(2, Profile::default());
    let client = stage.client();
    client.write(b"GET / HTTP/1.1\r\nHo");
    for _ in 0..9 {
        stage.run_for_ms(1_000);
        assert_eq!(client.write(b"s"), 1, "a byte now and then does not help");
        assert!(client.read().is_empty());
    }
    stage.run_for_ms(2_000);
    let text = String::from_utf8(client.read()).expect("text");
    assert!(text.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{text}");
    assert!(text.contains("Connection: close\r\n"), "{text}");
    stage.run_for_ms(6_000);
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn a_body_below_the_least_rate_is_closed() {
    let mut stage = Stage::new(3, Profile::default());
    let client = stage.client();
    client.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    let mut second = 0;
    while !client.is_ended() && !client.is_reset() {
        stage.run_for_ms(1_000);
        client.write(b"x");
        second += 1;
        assert!(second < 60, "a byte a second keeps the connection");
    }
    assert!(second >= 29, "closed after {second} s, within the grace");
    drop(client);
    stage.run_for_ms(100);
    stage.assert_clean();
}

#[test]
fn a_body_at_a_modest_rate_goes_on() {
    let mut stage = Stage::new(4, Profile::default());
    let client = stage.client();
    client.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    stage.run_for_ms(1);
    let job = stage.job();
    let longhold_edge::fill::JobKind::Pass { upload: Some(upload), .. } = &job.kind else {
        panic!("no upload");
    };
    for _ in 0..300 {
        client.write(&[b'x'; 2048]);
        stage.run_for_ms(1_000);
        while upload.held_bytes() > 0 {
            longhold_store::block_on_ready(upload.next()).expect("more").expect("no fault");
        }
        assert!(!client.is_ended() && !client.is_reset());
    }
}

#[test]
fn a_client_that_does_not_read_is_closed_and_its_pin_falls() {
    let mut stage = Stage::new(5, Profile { window_bytes: 4096, ..Profile::default() });
    stage.store("/big", &body(500_000));
    let client = stage.client();
    client.write(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.run_for_ms(20_000);
    assert_eq!(stage.count(State::Active), 1);
    assert_eq!(stage.gauge(Gauge::ConnectionsSending), 1, "the governor does not see it");
    stage.run_for_ms(60_000);
    assert_eq!(stage.count(State::Active), 0, "a stalled reader is still served");
    drop(client);
    stage.run_for_ms(10_000);
    assert_eq!(stage.gauge(Gauge::ConnectionsSending), 0);
    stage.assert_clean();
}

#[test]
fn a_long_wait_for_the_origin_is_the_fill_planes_business() {
    let mut stage = Stage::new(6, Profile::default());
    let client = stage.client();
    stage.exchange(&client, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    let job = stage.job();
    stage.run_for_ms(600_000);
    let (head, download) = answer(200, Some(0));
    reply(&job, &head, &download);
    download.finish().expect("nothing was promised");
    let received = stage.exchange(&client, b"");
    assert!(received.starts_with(b"HTTP/1.1 200 OK\r\n"));
}

#[test]
fn a_drain_closes_the_parked_and_lets_the_busy_end() {
    let mut stage = Stage::new(7, Profile::default());
    stage.store("/x", b"hello");
    let parked = stage.client();
    stage.exchange(&parked, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    let busy = stage.client();
    stage.exchange(&busy, b"GET /miss HTTP/1.1\r\nHost: a\r\n\r\n");
    let job = stage.job();
    stage.stop.request();
    stage.worker.begin_drain();
    stage.run_for_ms(10);
    assert!(parked.is_ended());
    let late = stage.client();
    stage.run_for_ms(10);
    assert!(late.is_refused());
    let (head, download) = answer(200, Some(0));
    reply(&job, &head, &download);
    download.finish().expect("nothing was promised");
    let text = String::from_utf8(stage.exchange(&busy, b"")).expect("text");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("Connection: close\r\n"), "{text}");
    drop((parked, busy, late));
    stage.run_for_ms(6_000);
    stage.assert_clean();
    assert!(stage.worker.run().is_ok(), "a drained worker ends by itself");
}

/// However many there are: while a drain closes those that rest, the others get their turns.
#[test]
fn a_drain_closes_so_many_a_turn_and_serves_those_at_work_meanwhile() {
    let mut stage = Stage::of_size(20_000);
    stage.store("/x", b"hello");
    let busy = stage.client();
    stage.exchange(&busy, b"GET /miss HTTP/1.1\r\nHost: a\r\n\r\n");
    let job = stage.job();
    let mut parked: Vec<_> = (0..1_000).map(|_| stage.client()).collect();
    stage.run_for_ms(10);
    assert_eq!(stage.count(State::Parked), 1_000);
    stage.worker.begin_drain();
    let (head, download) = answer(200, Some(0));
    reply(&job, &head, &download);
    download.finish().expect("nothing was promised");
    let late = parked.pop().expect("a thousand");
    late.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.net.run_for(60_000_000);
    let (mut left, mut turns, mut came) = (1_000, 0, Vec::new());
    while left > 0 {
        stage.turn();
        let now = stage.count(State::Parked);
        assert!(left - now <= 64 + 1, "{} were closed in one turn", left - now);
        (left, turns) = (now, turns + 1);
        if came.is_empty() {
            came = busy.read();
        }
        assert!(turns < 4 || !came.is_empty(), "who is at work waits for those who are not");
    }
    assert!((16..40).contains(&turns), "{turns} turns");
    assert!(came.starts_with(b"HTTP/1.1 200 OK\r\n"));
    // Its request came before its turn to be closed.
    let text = String::from_utf8(stage.exchange(&late, b"")).expect("text");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("hello"), "{text}");
    assert!(text.contains("Connection: close\r\n"), "{text}");
    assert!(parked.iter().all(|client| client.is_ended()));
    drop((parked, late, busy));
    stage.run_for_ms(6_000);
    stage.assert_clean();
}

/// With one slot, the end of a connection and the beginning of the next come in one batch: the slot
/// is never seen free between them, and the next owes nothing to the last.
#[test]
fn a_slot_is_taken_again_in_the_batch_that_frees_it() {
    let mut stage = Stage::of_size(1);
    stage.store("/x", b"hello");
    let first = stage.client();
    stage.exchange(&first, b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.run_for_ms(REST_MS);
    let second = stage.client();
    second.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
    stage.run_for_ms(100);
    assert!(second.read().is_empty(), "there is no slot for it");
    let generation = |stage: &Stage| stage.slots.get(0).map_or(0, |slot| slot.generation());
    let before = generation(&stage);
    drop(first);
    stage.net.run_for(1_000_000);
    while generation(&stage) == before {
        stage.turn();
        assert_eq!(stage.count(State::Free), 0, "one batch has brought both");
    }
    assert_eq!(stage.slots.get(0).map_or(9, |slot| slot.requests()), 0);
    let text = String::from_utf8(stage.exchange(&second, b"")).expect("text");
    assert!(text.ends_with("hello"), "{text}");
    drop(second);
    stage.run_for_ms(1_000);
    stage.assert_clean();
}

/// A crowd that came at once is due at once: a turn closes so many of them, and who asks meanwhile
/// is answered before all of them are gone.
#[test]
fn a_hundred_thousand_expiries_due_at_once_are_spread_over_turns() {
    const CROWD: usize = 100_000;
    let mut stage = Stage::of_size(CROWD as u32 + 64);
    stage.store("/x", b"hello");
    let crowd: Vec<_> = (0..CROWD).map(|_| stage.client()).collect();
    stage.run_for_ms(70_000);
    let witness = stage.client();
    stage.run_for_ms(4_000);
    assert_eq!(stage.gauge(Gauge::ConnectionsParked), CROWD as u64 + 1);
    stage.net.run_for(60_000_000);
    let (mut left, mut turns, mut answered_at) = (CROWD as u64 + 1, 0, None);
    while left > 1 {
        stage.turn();
        let now = stage.gauge(Gauge::ConnectionsParked);
        // The witness rests or does not.
        assert!(left.saturating_sub(now) <= 64 + 1, "{} expired in one turn", left - now);
        if now < left && turns == 0 {
            witness.write(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        turns += u32::from(now < left);
        left = now;
        if answered_at.is_none() && !witness.read().is_empty() {
            answered_at = Some(turns);
        }
    }
    assert!(turns >= (CROWD / 64) as u32, "{turns} turns");
    assert!(answered_at.is_some_and(|turn| turn < 10), "answered in turn {answered_at:?}");
    drop((crowd, witness));
    stage.run_for_ms(80_000);
    stage.assert_clean();
}
