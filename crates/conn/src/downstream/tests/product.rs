//! Every reachable state × every event, written out (CN-5 to CN-7). Read the snapshot when it
//! changes: each line is a promise about a connection.

use std::collections::{BTreeSet, VecDeque};

use super::super::{BodyLength, Downstream, Rx, Tx};
use super::step;

/// What may happen to the machine.
const EVENTS: [&str; 21] = [
    "in: GET",
    "in: GET, close",
    "in: GET 1.0",
    "in: HEAD",
    "in: POST, length 5",
    "in: POST, chunked",
    "in: POST, length 5, expect",
    "in: POST, chunked, expect",
    "in: bad head",
    "in: part of a head",
    "in: nothing",
    "in: piece of the body",
    "in: rest of the body",
    "in: malformed body",
    "interim",
    "start of the response",
    "end of the response",
    "abort of the response",
    "close after the response",
    "end of stream",
    "end of stream, 9 buffered",
];

#[test]
fn every_state_and_event_has_an_outcome() {
    let mut table = String::new();
    let mut seen = BTreeSet::from([label(&Downstream::new())]);
    let mut queue = VecDeque::from([Downstream::new()]);
    while let Some(conn) = queue.pop_front() {
        table += &format!("{}, expecting {:?}\n", label(&conn), conn.expecting());
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        for event in EVENTS {
            let mut next = conn.clone();
            let Some(outcome) = apply(&mut next, event) else { continue };
            let after = label(&next);
            let outcome =
                if after == label(&conn) { outcome } else { format!("{outcome} → {after}") };
            match lines.iter_mut().find(|(known, _)| *known == outcome) {
                Some((_, events)) => events.push(event),
                None => lines.push((outcome, vec![event])),
            }
            if seen.insert(after) {
                queue.push_back(next);
            }
        }
        for (outcome, events) in lines {
            table += &format!("  {}: {outcome}\n", events.join(" | "));
        }
    }
    insta::assert_snapshot!(table);
}

/// State and facts, as far as what may follow depends on them. Version and method matter to plans
/// alone.
fn label(conn: &Downstream) -> String {
    let rx = match &conn.rx {
        Rx::Head => "Head",
        Rx::Length(_) => "Length",
        Rx::Chunked(_) => "Chunked",
        Rx::Complete => "Complete",
        Rx::Ended => "Ended",
        Rx::Broken => "Broken",
    };
    let tx = match conn.tx {
        Tx::Waiting => "Waiting".to_owned(),
        Tx::Responding(end) => format!("Responding({end:?})"),
        Tx::Draining => "Draining".to_owned(),
        Tx::Over => return format!("{rx} × Over"),
    };
    let facts = [
        (conn.facts.awaits_continue, " +withheld"),
        (conn.facts.wants_close, " +asked to close"),
        (conn.facts.must_close, " +must close"),
    ];
    let facts: String = facts.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    format!("{rx} × {tx}{facts}")
}

/// What comes of an event; `None` where it makes no sense, as a body's bytes between requests.
fn apply(conn: &mut Downstream, event: &str) -> Option<String> {
    if let Some(input) = event.strip_prefix("in: ") {
        let bytes = bytes_of(conn, input)?;
        let (mut consumed, outcome) = step(conn, bytes.as_bytes());
        if outcome.starts_with("Body(") {
            // The line's end behind a chunk's data.
            let (more, rest) = step(conn, &bytes.as_bytes()[consumed..]);
            assert_eq!(rest, "NeedMore");
            consumed += more;
        }
        let used = match (consumed, bytes.len()) {
            (_, 0) => return Some(outcome),
            (used, all) if used == all => "all used",
            (0, _) => "nothing used",
            _ => "part used",
        };
        return Some(format!("{outcome}, {used}"));
    }
    Some(match event {
        "interim" => format!("interim {}", conn.interim()),
        "start of the response" => {
            let close = conn.start_response(200, BodyLength::Known(3)).close;
            if close { "says close".into() } else { "persists".into() }
        }
        "end of the response" => format!("After::{:?}", conn.end_response()),
        "abort of the response" => format!("After::{:?}", conn.abort_response()),
        "close after the response" => {
            conn.close_after_response();
            "noted".to_owned()
        }
        "end of stream" => format!("EofOutcome::{:?}", conn.handle_eof(0)),
        "end of stream, 9 buffered" => format!("EofOutcome::{:?}", conn.handle_eof(9)),
        _ => unreachable!("{event} is not in the list"),
    })
}

fn bytes_of(conn: &Downstream, input: &str) -> Option<String> {
    match (input, &conn.rx) {
        ("nothing", _) => Some(String::new()),
        ("piece of the body", Rx::Length(_)) => Some("a".into()),
        ("piece of the body", Rx::Chunked(_)) => Some("1\r\na\r\n".into()),
        ("rest of the body", Rx::Length(left)) => Some("b".repeat(*left as usize)),
        ("rest of the body", Rx::Chunked(_)) => Some("0\r\n\r\n".into()),
        ("malformed body", Rx::Chunked(_)) => Some("x\r\n".into()),
        ("piece of the body" | "rest of the body" | "malformed body", _) => None,
        // A head behind a body is part of it, or the chunked coding's business.
        (_, Rx::Length(_) | Rx::Chunked(_)) => None,
        (_, Rx::Head) => Some(head(input)),
        // Where no head is read, one says it all.
        ("GET", Rx::Complete | Rx::Ended | Rx::Broken) => Some(head(input)),
        (_, Rx::Complete | Rx::Ended | Rx::Broken) => None,
    }
}

fn head(input: &str) -> String {
    match input {
        "GET" => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET, close" => "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET 1.0" => "GET / HTTP/1.0\r\n\r\n",
        "HEAD" => "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST, length 5" => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "POST, chunked" => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST, length 5, expect" => {
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        }
        "POST, chunked, expect" => {
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
             Expect: 100-continue\r\n\r\n"
        }
        "bad head" => "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "part of a head" => "GET / HT",
        _ => unreachable!("{input} is not in the list"),
    }
    .into()
}
