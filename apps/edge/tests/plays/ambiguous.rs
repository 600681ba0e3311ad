//! The corpus of ambiguous messages (`crates/http1/tests/corpus`) against the edge: each request on
//! a connection of its own with a good one behind it, each response from an origin.

#[path = "../../../../crates/http1/tests/corpus/mod.rs"]
mod corpus;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::stage::{Client, Edge, FRESH, Origin, Response, reply};
use longhold_http1::BodyFraming;

use corpus::{Case, End, Message, Reader, Side, Start};

/// What follows each case on its connection.
const GOOD: &[u8] = b"GET /good HTTP/1.1\r\nHost: good.test\r\n\r\n";

/// A request as the origin saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    method: String,
    /// Host and path.
    target: String,
    body: Vec<u8>,
}

/// What an origin that answers everything saw: whole requests in order, and which began and had no
/// end.
#[derive(Debug, Default)]
struct Diary {
    whole: Vec<Seen>,
    begun: BTreeSet<(String, String)>,
}

fn origin(diary: &Arc<Mutex<Diary>>) -> Origin {
    let diary = Arc::clone(diary);
    Origin::answering(move |mut call| {
        let host = call.field("Host").unwrap_or("").to_owned();
        let (method, target) = (call.method().to_owned(), format!("{host}{}", call.target()));
        let Some(body) = call.try_body() else {
            diary.lock().expect("no panic under the lock").begun.insert((method, target));
            return;
        };
        let is_head = method == "HEAD";
        diary.lock().expect("no panic under the lock").whole.push(Seen { method, target, body });
        let answer = reply("200 OK", &["Cache-Control: no-store"], "seen");
        // A response to HEAD ends with its head.
        let end = if is_head { answer.len() - b"seen".len() } else { answer.len() };
        if call.try_say(&answer[..end]) {
            call.done();
        }
    })
}

#[test]
fn each_ambiguous_request_has_its_exact_answer_and_nothing_behind_it_has_one() {
    let diary = Arc::default();
    let origin = origin(&diary);
    let edge = Edge::before(&origin);
    let mut expected = Expected::default();
    let cases = corpus::cases();
    let mut played = 0;
    for case in cases.iter().filter(|case| case.side == Side::Client) {
        let mut client = edge.client();
        // A refusal may come, and the connection end, before all is said.
        client.try_say(&case.bytes);
        client.try_say(GOOD);
        expected.play(case, client);
        let diary = diary.lock().expect("no panic under the lock");
        assert_eq!(diary.whole, expected.whole, "{}", case.place);
        played += 1;
    }
    assert!(played >= 300, "{played} cases");
    // What began and was cut may be seen late, and is never more than that.
    let diary = diary.lock().expect("no panic under the lock");
    assert!(diary.begun.is_subset(&expected.begun), "{diary:?}");
    drop(diary);
    drop(origin);
}

/// What the origin must have seen.
#[derive(Default)]
struct Expected {
    whole: Vec<Seen>,
    begun: BTreeSet<(String, String)>,
}

impl Expected {
    /// Follows one case through to the end of its connection.
    fn play(&mut self, case: &Case, mut client: Client) {
        let place = &case.place;
        let said = [&case.bytes, GOOD].concat();
        let read = Reader::read(Side::Client, [said.as_slice()]);
        let mut ends = false;
        for (index, message) in read.messages.iter().enumerate() {
            assert!(!ends, "{place}: a request behind the last one");
            let status = case.edge.get(index).map(String::as_str);
            ends = self.exchange((place, status), message, &mut client);
        }
        if let Some(reject) = read.refused {
            assert!(!ends, "{place}: a refusal behind the last request");
            refused(place, &mut client, reject.status());
            ends = true;
        }
        if !ends {
            // A head that was begun has no answer when its client leaves.
            client.half_close();
        }
        client.sees_the_end();
    }

    /// One request and its answer; whether the connection ends with it.
    fn exchange(
        &mut self,
        (place, status): (&str, Option<&str>),
        message: &Message,
        client: &mut Client,
    ) -> bool {
        let Start::Request { method, raw, normal, expects_continue, .. } = &message.start else {
            panic!("{place}: a response");
        };
        let target = match normal {
            Ok(normal) => normal.clone(),
            Err(fault) => match fault.as_str() {
                // It goes out as it came.
                "InvalidEscape" => format!("a{raw}"),
                "MissingHost" => raw.clone(),
                _ => String::new(),
            },
        };
        let seen = (method.clone(), target.clone());
        match message.end {
            End::Whole => {}
            End::Incomplete => {
                self.begun.insert(seen);
                client.half_close();
                assert!(client.try_response().is_err(), "{place}: an answer to a part");
                return true;
            }
            End::Refused(reject) => {
                self.begun.insert(seen);
                refused(place, client, reject.status());
                return true;
            }
        }
        let response = final_response(client, method == "HEAD", *expects_continue);
        if let Some(status) = status {
            let allows = response.field("Allow").is_some_and(|allow| allow.contains("GET, HEAD"));
            assert!(allows || status != "405", "{place}: {response:?}");
            assert_eq!(response.status.to_string(), status, "{place}: {response:?}");
        } else {
            assert_eq!(response.status, 200, "{place}: {response:?}");
            self.whole.push(Seen { method: seen.0, target, body: message.body.clone() });
        }
        let closes = response.field("Connection") == Some("close");
        assert!(closes || !message.closes, "{place}: {response:?}");
        closes
    }
}

/// A refusal with exactly this status, after which nothing is read.
fn refused(place: &str, client: &mut Client, status: u16) {
    match client.try_response() {
        Ok(response) => {
            assert_eq!(response.status, status, "{place}: {response:?}");
            assert_eq!(response.field("Connection"), Some("close"), "{place}: {response:?}");
            // RFC 9110 sections 6.6.1, 8.3, 10.2.4 and 15.5.
            assert!(response.field("Date").is_some(), "{place}: {response:?}");
            assert!(response.field("Content-Type").is_some(), "{place}: {response:?}");
            assert_eq!(response.field("Server"), Some("longhold"), "{place}: {response:?}");
            let says = format!("{status} ");
            assert!(response.body.starts_with(says.as_bytes()), "{place}: {response:?}");
        }
        Err(cut) => panic!("{place}: no answer but the end: {cut:?}"),
    }
}

/// The next final response.
fn final_response(client: &mut Client, is_head: bool, awaits_interim: bool) -> Response {
    if awaits_interim {
        // The body may have come before the leave to send it.
        let interim = client.response_head();
        if interim.status != 100 {
            let mut response = interim;
            assert!(client.rest_of(&mut response), "a whole response");
            return response;
        }
    }
    if is_head { client.response_head() } else { client.response() }
}

#[test]
fn each_faulty_response_reaches_its_client_alone_and_leaves_nothing_behind() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let cases = corpus::cases();
    let mut stored = 0;
    let responses = cases.iter().filter(|case| case.side != Side::Client);
    for (number, case) in responses.enumerate() {
        stored += u64::from(play_response(&edge, &origin, case, (number, stored)));
    }
    assert!(stored >= 10, "{stored} stored");
    origin.was_left_alone();
}

/// RFC 9112 section 9.2: what an origin says unasked answers nobody.
#[test]
fn response_on_an_idle_connection_answers_nobody() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/first", &[]);
    let mut call = origin.call_for("GET", "/first");
    call.say(reply("200 OK", &["Cache-Control: no-store"], "first"));
    assert_eq!(client.response().body, b"first");
    let connection = call.connection();
    call.try_say(reply("200 OK", &[FRESH], "poison"));
    assert_eq!(call.sees_the_end(), b"", "nothing more was asked there");
    client.ask("GET", "/second", &[]);
    let call = origin.call_for("GET", "/second");
    assert_ne!(call.connection(), connection);
    call.answer(reply("200 OK", &["Cache-Control: no-store"], "second"));
    assert_eq!(client.response().body, b"second");
    assert_eq!(edge.counter("longhold_store_stored_total"), 0);
}

/// RFC 9110 section 15.2: as many as an origin likes come before the final response; the client has
/// some of them and then that one.
#[test]
fn flood_of_interim_responses_ends_with_the_final_one() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/flood", &[]);
    let mut call = origin.call_for("GET", "/flood");
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
    call.say(hint.repeat(20_000));
    call.answer(reply("200 OK", &[FRESH], "at last"));
    let mut relayed = 0;
    let mut response = client.response_head();
    while response.status == 103 {
        relayed += 1;
        response = client.response_head();
    }
    assert!(client.rest_of(&mut response));
    assert_eq!((response.status, &*response.body), (200, &b"at last"[..]));
    assert!(relayed <= 64, "{relayed}");
    // It came in good order: it may be stored.
    edge.wait_for_stored(1);
    assert!(client.get("/flood").is_hit());
}

/// RFC 9110 section 14.4: what the edge cannot place it passes on, and stores it neither as a part
/// nor as a whole.
#[test]
fn part_in_an_unknown_unit_passes_through() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for _ in 0..2 {
        client.ask("GET", "/poem", &["Range: lines=2-3"]);
        let call = origin.call_for("GET", "/poem");
        assert_eq!(call.field("Range"), Some("lines=2-3"));
        let fields = [FRESH, "ETag: \"v1\"", "Content-Range: lines 2-3/14"];
        call.answer(reply("206 Partial Content", &fields, "two\nthree\n"));
        let response = client.response();
        assert_eq!((response.status, &*response.body), (206, &b"two\nthree\n"[..]));
        assert_eq!(response.field("Content-Range"), Some("lines 2-3/14"));
    }
    client.ask("GET", "/poem", &[]);
    origin.call_for("GET", "/poem").answer(reply("200 OK", &[FRESH], "one\ntwo\nthree\n"));
    assert_eq!(client.response().body, b"one\ntwo\nthree\n");
    edge.wait_for_stored(1);
}

/// Plays one case, with `number` for its target; whether it was stored beside the `stored` ones.
fn play_response(
    edge: &Edge,
    origin: &Origin,
    case: &Case,
    (number, stored): (usize, u64),
) -> bool {
    let place = &case.place;
    let is_head = case.side == Side::Origin { is_head: true };
    let (method, target) = (if is_head { "HEAD" } else { "GET" }, format!("/{number}"));
    let seen = Sight::of(case);

    let mut client = edge.client();
    client.ask(method, &target, &[]);
    let mut call = origin.call_for(method, &target);
    let connection = call.connection();
    call.try_say(&case.bytes);
    let mut left = Some(call);
    if seen.ends_with_the_connection {
        left.take().expect("the call").hang_up();
    }
    let mut response = client.response_head();
    while response.status < 200 {
        response = client.response_head();
    }
    assert_eq!(response.status, seen.status, "{place}: {response:?}");
    let whole = is_head || client.rest_of(&mut response);
    let body = response.body.escape_ascii().to_string();
    if let Some(expected) = &seen.body {
        // Of a body that is cut, each byte that comes is right.
        let is_right = if seen.is_cut { expected.starts_with(&body) } else { *expected == body };
        assert!(is_right && whole != seen.is_cut, "{place}: {response:?}");
    }
    if let Some(call) = left {
        if seen.is_kept {
            call.done();
        } else {
            call.sees_the_end();
        }
    }

    let mut next = edge.client();
    if seen.is_stored {
        edge.wait_for_stored(stored + 1);
        let response = next.get(&target);
        assert!(response.is_hit(), "{place}: {response:?}");
        assert_eq!(Some(response.body.escape_ascii().to_string()), seen.body, "{place}");
        return true;
    }
    next.ask("GET", &target, &[]);
    let call = origin.call_for("GET", &target);
    assert!(seen.is_kept || call.connection() != connection, "{place}: used again");
    call.answer(reply("404 Not Found", &["Cache-Control: no-store"], "clean"));
    let response = next.response();
    assert_eq!((response.status, &*response.body), (404, &b"clean"[..]), "{place}");
    assert_eq!(edge.counter("longhold_store_stored_total"), stored, "{place}: stored");
    false
}

/// What a client sees of a case, and what becomes of the origin's connection.
struct Sight {
    status: u16,
    /// Escaped; `None` for an answer of the edge's own.
    body: Option<String>,
    is_cut: bool,
    is_kept: bool,
    is_stored: bool,
    /// The origin hangs up behind what it says.
    ends_with_the_connection: bool,
}

impl Sight {
    fn of(case: &Case) -> Self {
        let place = &case.place;
        let [line] = case.edge.as_slice() else { panic!("{place}: not one `edge` line") };
        let words: Vec<&str> = line.split(' ').collect();
        let (status, words) = words.split_first().expect("a status");
        let (is_kept, words) = match words.split_last() {
            Some((&"kept", words)) => (true, words),
            Some((&"closed", words)) => (false, words),
            Some(_) | None => panic!("{place}: {line}"),
        };
        let body = words.first().map(|body| body.trim_matches('"').to_owned());
        let is_cut = words.get(1) == Some(&"cut");
        let said = Reader::read(case.side, [case.bytes.as_slice()]);
        let has_end = |message: &Message| {
            let is_interim = matches!(message.start, Start::Response { status: ..200 });
            message.end == End::Whole && message.framing != BodyFraming::UntilClose && !is_interim
        };
        let ends_with_the_connection =
            said.refused.is_none() && !said.messages.last().is_some_and(has_end);
        let status = status.parse().expect("a status");
        let is_fresh = case.bytes.windows(FRESH.len()).any(|some| some == FRESH.as_bytes());
        let is_stored = status == 200 && is_fresh && !is_cut;
        Self { status, body, is_cut, is_kept, is_stored, ends_with_the_connection }
    }
}
