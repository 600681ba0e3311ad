//! Storms against scripted servers: every peer ends in exactly one way, and that way is told.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use super::{Manner, StormPlan, StormReport, storm};
use crate::plan::{LoadError, Moment};
use crate::scripted::{aim, right_answer, serve, transport};

fn plan(address: SocketAddr, manner: Manner) -> StormPlan {
    StormPlan {
        aim: aim(address),
        manner,
        peers: 20,
        at_once: 20,
        lasts_ms: 5_000,
        every_ms: 20,
        piece_bytes: 3,
        burst: 8,
    }
}

fn run(plan: &StormPlan) -> StormReport {
    let report = storm(&mut transport(), plan, &mut |_: Moment| {}).expect("the storm runs");
    let told = report.endings.total() + report.faults.total() + u64::from(report.unfinished);
    assert_eq!(told, u64::from(plan.peers), "{report:?}");
    let last = report.series.points().last().expect("a point").counts;
    let ends = &report.endings;
    let lost = ends.answered + ends.cut + ends.closed + ends.reset + report.faults.total();
    assert_eq!((last.opened, last.lost), (report.connect.count, lost), "{report:?}");
    assert_eq!((last.held, last.answers), (0, report.verified), "{report:?}");
    report
}

/// Hands every connection to `script` on a thread of its own; what that returns can be awaited.
fn meet<R: Send + 'static>(
    script: impl Fn(TcpStream) -> R + Send + Clone + 'static,
) -> (SocketAddr, Receiver<R>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (script, tell) = (script.clone(), tell.clone());
            thread::spawn(move || {
                // Nobody has to listen.
                let _ = tell.send(script(stream.expect("accepts")));
            });
        }
    });
    (address, told)
}

/// What comes until `len` bytes are there, or the end.
fn read_some(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while seen.len() < len {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => seen.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    seen
}

#[test]
fn slow_heads_never_end_and_their_timeout_is_told() {
    let (address, heads) = meet(|mut stream| {
        let head = read_some(&mut stream, 200);
        let answer = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).expect("a peer that reads");
        head
    });
    let report = run(&plan(address, Manner::SlowHead));
    assert_eq!((report.endings.answered, report.statuses.get(&408)), (20, Some(&20)), "{report:?}");
    assert_eq!(report.borne.count, 20);
    for head in heads.iter().take(20) {
        assert!(!head.windows(4).any(|end| end == b"\r\n\r\n"), "a head that ends");
        assert!(head.ends_with(b"aaa"));
    }
}

#[test]
fn slow_bodies_announce_more_than_they_send() {
    let (address, requests) = meet(|mut stream| read_some(&mut stream, 250));
    let report = run(&plan(address, Manner::SlowBody));
    assert_eq!(report.endings.by_server(), 20, "{report:?}");
    for request in requests.iter().take(20) {
        let text = String::from_utf8(request).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
        assert!(head.starts_with("POST ") && head.contains("Content-Length: "), "{head}");
        assert!(body.bytes().all(|byte| byte == b'a') && !body.is_empty(), "{body}");
    }
}

#[test]
fn slow_readers_that_are_cut_off_are_told_from_those_that_are_answered_whole() {
    let whole = right_answer("");
    let half = whole[..whole.len() / 2].to_vec();
    let (whole_bytes, half_bytes) = (whole.len() as u64, half.len() as u64);
    let number = Arc::new(AtomicU32::new(0));
    let (address, _) = meet(move |mut stream| {
        read_some(&mut stream, 60);
        let is_cut = number.fetch_add(1, Ordering::Relaxed).is_multiple_of(4);
        stream.write_all(if is_cut { &half } else { &whole }).expect("room in the buffers");
    });
    let report = run(&StormPlan { lasts_ms: 300, ..plan(address, Manner::SlowReader) });
    assert_eq!((report.endings.cut, report.endings.answered), (5, 15), "{report:?}");
    assert_eq!(report.received_bytes, 5 * half_bytes + 15 * whole_bytes);
}

#[test]
fn a_slow_reader_reads_no_more_than_its_pieces() {
    let (address, sent) = meet(|mut stream| {
        read_some(&mut stream, 1);
        // Far more than the buffers of both ends hold: the rest is written only if it is read.
        let body = vec![b'z'; 64 << 20];
        stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n";
        stream.write_all(head).and_then(|()| stream.write_all(&body)).is_ok()
    });
    let peers = StormPlan { peers: 2, at_once: 2, ..plan(address, Manner::SlowReader) };
    let report = run(&StormPlan { lasts_ms: 2_500, ..peers });
    assert_eq!(report.endings.by_server(), 2, "{report:?}");
    assert!(sent.iter().take(2).all(|all| !all), "a slow reader took everything");
}

#[test]
fn silent_ones_and_half_handshakes_stand_until_someone_closes() {
    for manner in [Manner::Silent, Manner::HalfHandshake] {
        let (address, said) = meet(|mut stream| read_some(&mut stream, 4096));
        let report = run(&StormPlan { lasts_ms: 300, ..plan(address, manner) });
        assert_eq!(report.endings.stood, 20, "{report:?}");
        assert_eq!(report.borne.count, 0);
        let is_silent = manner == Manner::Silent;
        assert!(said.iter().take(20).all(|said| said.is_empty() == is_silent));

        let (address, _) = meet(drop);
        let report = run(&plan(address, manner));
        assert_eq!(report.endings.closed + report.endings.reset, 20, "{report:?}");
    }
}

#[test]
fn aborted_uploads_leave_within_their_body() {
    let (address, seen) = meet(|mut stream| read_some(&mut stream, usize::MAX).len());
    let report = run(&StormPlan { at_once: 4, ..plan(address, Manner::AbortedUpload) });
    assert_eq!((report.endings.left, report.sent_bytes > 20 * 32_768), (20, true), "{report:?}");
    assert!(seen.iter().take(20).all(|len| len > 32_768 && len < 65_536));
}

#[test]
fn bursts_are_answered_in_order_or_told_as_faults() {
    let address = serve(|mut asked| asked.answer(""));
    let report = run(&plan(address, Manner::Pipelining));
    assert_eq!((report.endings.verified, report.verified), (20, 160), "{report:?}");

    let address = serve(|mut asked| {
        let mut answer = right_answer("");
        if asked.connection == 3
            && asked.request == 5
            && let Some(last) = answer.last_mut()
        {
            *last ^= 1;
        }
        asked.write(answer) && !(asked.connection == 4 && asked.request == 2)
    });
    let report = run(&plan(address, Manner::Pipelining));
    assert_eq!(report.endings.verified, 18, "{report:?}");
    assert_eq!(report.faults.count("wrong-body"), 1, "{report:?}");
    assert_eq!(report.faults.count("wrong-body") + faults_of_an_early_end(&report), 2);
}

/// Whoever breaks off with bytes unread resets the connection, which may overtake its answers.
fn faults_of_an_early_end(report: &StormReport) -> u64 {
    let count = |name| report.faults.count(name);
    count("truncated") + count("closed-unanswered") + count("receive-failed")
}

#[test]
fn floods_and_garbage_come_in_all_their_kinds() {
    for (manner, kinds) in [(Manner::HeaderFlood, 3), (Manner::Garbage, 11)] {
        let (address, openings) = meet(|mut stream| {
            let said = read_some(&mut stream, 12);
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).expect("room in the buffers");
            stream.shutdown(Shutdown::Write).expect("a connection");
            read_some(&mut stream, usize::MAX);
            said
        });
        let report = run(&StormPlan { peers: 22, ..plan(address, manner) });
        assert_eq!(report.statuses.get(&400), Some(&22), "{report:?}");
        assert_eq!(report.endings.answered, 22, "{report:?}");
        let mut openings: Vec<_> = openings.iter().take(22).collect();
        openings.sort();
        openings.dedup();
        assert!(openings.len() >= kinds.min(5), "{} kinds of {manner:?}", openings.len());
    }
}

#[test]
fn nobody_listens_and_each_peer_is_one_fault() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound")
    };
    let report = run(&plan(address, Manner::Garbage));
    assert_eq!(report.faults.count("connect-refused"), 20, "{report:?}");
}

#[test]
fn plans_beyond_the_bounds_are_refused() {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let check = |change: fn(&mut StormPlan), expected: LoadError| {
        let mut plan = plan(address, Manner::SlowHead);
        change(&mut plan);
        assert_eq!(storm(&mut transport(), &plan, &mut |_: Moment| {}).err(), Some(expected));
    };
    check(|plan| plan.peers = 0, LoadError::Connections { asked: 0, max: 4_000_000 });
    check(|plan| plan.at_once = 21, LoadError::Connections { asked: 21, max: 20 });
    check(|plan| plan.piece_bytes = 0, LoadError::Storm);
    check(|plan| plan.piece_bytes = 65_537, LoadError::Storm);
    check(|plan| plan.burst = 0, LoadError::Storm);
    check(|plan| plan.every_ms = 0, LoadError::Storm);
    check(|plan| (plan.peers, plan.at_once) = (65, 65), LoadError::Slots { slots: 64, asked: 65 });
    let many = StormPlan { peers: 5_000, at_once: 5_000, ..plan(address, Manner::Pipelining) };
    assert_eq!(
        storm(&mut transport(), &many, &mut |_: Moment| {}).err(),
        Some(LoadError::Active { asked: 5_000 })
    );
}
