//! A miss is fetched and stored, and the next request is a hit; whatever the body's size and
//! however the origin frames it.

use crate::stage::{Edge, FRESH, Origin, Setting, body_of, reply};

#[test]
fn miss_is_stored_and_the_next_request_is_a_hit() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();

    client.say("GET /page HTTP/1.1\r\nHost: play.test\r\n\r\n");
    let call = origin.call_for("GET", "/page");
    call.answer(
        "HTTP/1.1 200 OK\r\nDate: Mon, 05 Jan 2026 08:00:00 GMT\r\nContent-Type: text/plain\r\n\
         Cache-Control: max-age=0, s-maxage=2000000000\r\nETag: \"v1\"\r\nContent-Length: 5\r\n\r\n\
         hello",
    );
    let miss = client.response();
    assert_eq!((&*miss.line, &*miss.body), ("HTTP/1.1 200 OK", &b"hello"[..]));
    assert_eq!(miss.cache(), "longhold; fwd=uri-miss; stored");
    assert_eq!((miss.field("Via"), miss.field("Age")), (Some("1.1 longhold"), None));
    edge.wait_for_stored(1);

    for mut client in [client, edge.client()] {
        let hit = client.get("/page");
        assert_eq!((hit.status, &*hit.body), (200, &b"hello"[..]));
        assert!(hit.is_hit(), "{hit:?}");
        // The origin's Date lies in the past, so the age does, too (RFC 9111 section 4.2.3).
        assert!(hit.age_s() > Some(1_000_000), "{hit:?}");
        for name in ["Content-Type", "Cache-Control", "ETag", "Date", "Via", "Content-Length"] {
            assert_eq!(hit.field(name), miss.field(name), "{name}");
        }
    }
    assert_eq!(edge.fetches(), 1);
    origin.was_left_alone();
}

#[test]
fn first_byte_of_a_hit_and_its_head_are_exact() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/exact", &[]);
    let now = "Cache-Control: max-age=3600\r\nDate: Mon, 05 Jan 2099 08:00:00 GMT";
    origin.call().answer(reply("203 Quite Fine", &["X-Order: 1", now, "X-Order: 2"], "body"));
    assert_eq!(client.response().status, 203);
    edge.wait_for_stored(1);
    client.ask("GET", "/exact", &[]);
    client.hears(
        "HTTP/1.1 203 Non-Authoritative Information\r\nx-order: 1\r\nx-order: 2\r\n\
         cache-control: max-age=3600\r\ndate: Mon, 05 Jan 2099 08:00:00 GMT\r\n\
         Via: 1.1 longhold\r\n\
         Content-Length: 4\r\nAge: 0\r\nCache-Status: longhold; hit; ttl=3600\r\n\r\nbody",
    );
}

/// Every size, fetched with a length, then from the store; on one connection.
#[test]
fn bodies_of_all_sizes_come_whole_from_origin_and_store() {
    let origin = Origin::answering(|mut call| {
        let len = call.target()[1..].parse().expect("a size");
        call.say(reply("200 OK", &[FRESH], body_of(len as u64, len)));
        call.done();
    });
    let edge = Setting::before(&origin).store("size = \"256MiB\"\nsegment = \"32MiB\"").start();
    let mut client = edge.client();
    let mib = 1 << 20;
    let edges = [16 << 10, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, mib - 1, mib, mib + 1];
    for (stored, len) in [0, 1, 1023].into_iter().chain(edges).chain([20 * mib]).enumerate() {
        let target = format!("/{len}");
        let body = body_of(len as u64, len);
        let miss = client.get(&target);
        assert!(miss.body == body, "{len}: miss");
        assert_eq!(miss.cache(), "longhold; fwd=uri-miss; stored", "{len}");
        edge.wait_for_stored(stored as u64 + 1);
        let hit = client.get(&target);
        assert!(hit.is_hit() && hit.body == body, "{len}: hit");
    }
}

#[test]
fn body_too_large_for_the_store_streams_through() {
    let len = 70 << 20;
    let origin = Origin::answering(move |mut call| {
        call.say(reply("200 OK", &[FRESH], body_of(7, len)));
        call.done();
    });
    let limits = "object_max = \"64MiB\"";
    let edge = Setting::before(&origin).store("size = \"512MiB\"").limits(limits).start();
    let mut client = edge.client();
    let body = body_of(7, len);
    for round in 1..=2 {
        let response = client.get("/large");
        assert!(response.body == body);
        assert_eq!(response.cache(), "longhold; fwd=uri-miss; detail=too-large");
        assert_eq!(edge.fetches(), round);
    }
    assert_eq!(edge.counter("longhold_store_stored_total"), 0);
}

/// A name, the start of a head, and how the body follows it.
type Framing = (&'static str, &'static str, fn(&[u8]) -> Vec<u8>);

/// What an origin may say of a body whose length it does not tell.
const FRAMINGS: [Framing; 3] = [
    ("chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", chunked),
    ("until close", "HTTP/1.1 200 OK\r\n", <[u8]>::to_vec),
    ("HTTP/1.0", "HTTP/1.0 200 OK\r\n", <[u8]>::to_vec),
];

/// A chunk each of 1, 2, 4, … bytes, with an extension and a trailer, which end here.
fn chunked(body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let mut rest = body;
    for power in 0.. {
        let (chunk, after) = rest.split_at(rest.len().min(1 << power));
        if chunk.is_empty() {
            break;
        }
        message.extend_from_slice(format!("{:X};note=\"x\"\r\n", chunk.len()).as_bytes());
        message.extend_from_slice(chunk);
        message.extend_from_slice(b"\r\n");
        rest = after;
    }
    message.extend_from_slice(b"0\r\nX-Trailer: t\r\n\r\n");
    message
}

#[test]
fn bodies_of_unknown_length_are_stored_at_their_end() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut stored = 0;
    for (name, head, frame) in FRAMINGS {
        for len in [0, 1, 300_000] {
            let target = format!("/{}/{len}", name.replace(' ', "-"));
            let body = body_of(9, len);
            let mut client = edge.client();
            client.ask("GET", &target, &[]);
            let mut call = origin.call_for("GET", &target);
            call.say(format!("{head}{FRESH}\r\n\r\n"));
            call.say(frame(&body));
            call.hang_up();
            let miss = client.response();
            assert!(miss.body == body, "{name}, {len}");
            let coding = miss.field("Transfer-Encoding");
            assert!(coding == Some("chunked") || len == 0, "{name}, {len}: {miss:?}");
            assert_eq!(miss.field("X-Trailer"), None);
            stored += 1;
            edge.wait_for_stored(stored);
            let hit = client.get(&target);
            assert!(hit.is_hit() && hit.body == body, "{name}, {len}: {hit:?}");
            assert_eq!(hit.field("Content-Length"), Some(&*len.to_string()));
        }
    }
    origin.was_left_alone();
}

#[test]
fn body_of_unknown_length_beyond_the_window_is_stored_all_the_same() {
    let body = body_of(11, 3 << 20);
    let sent = chunked(&body);
    let origin = Origin::answering(move |mut call| {
        call.say(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{FRESH}\r\n\r\n"));
        call.say(&sent);
        call.done();
    });
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    assert!(client.get("/long").body == body);
    edge.wait_for_stored(1);
    let again = client.get("/long");
    assert!(again.is_hit() && again.body == body, "{}", again.cache());
    assert_eq!(edge.fetches(), 1);
}

/// HTTP/1.0 knows no chunks: an unknown length ends with the connection; a known one need not.
#[test]
fn client_of_http_1_0_gets_bodies_that_it_understands() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let ask = |fields: &str| {
        let mut client = edge.client();
        client.say(format!("GET /old HTTP/1.0\r\nHost: play.test\r\n{fields}\r\n"));
        client
    };

    let mut client = ask("Connection: keep-alive\r\n");
    let mut call = origin.call();
    call.say(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{FRESH}\r\n\r\n"));
    call.answer(chunked(b"from afar"));
    let miss = client.response();
    assert_eq!(miss.body, b"from afar");
    assert_eq!((miss.field("Transfer-Encoding"), miss.field("Content-Length")), (None, None));
    assert_eq!(miss.field("Connection"), Some("close"));
    client.sees_the_end();
    edge.wait_for_stored(1);

    let mut client = ask("Connection: keep-alive\r\n");
    let hit = client.response();
    assert_eq!((hit.field("Content-Length"), &*hit.body), (Some("9"), &b"from afar"[..]));
    assert_eq!(hit.field("Connection"), Some("keep-alive"));
    assert_eq!(client.get("/old").body, b"from afar");

    let mut client = ask("");
    let hit = client.response();
    assert_eq!((hit.field("Connection"), &*hit.body), (Some("close"), &b"from afar"[..]));
    client.sees_the_end();
}

#[test]
fn log_counters_and_cache_status_use_the_same_words() {
    let origin = Origin::start();
    let mut edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/told", &["User-Agent: a\"b\\c"]);
    origin.call().answer(reply("200 OK", &[FRESH], "x"));
    assert_eq!(client.response().cache(), "longhold; fwd=uri-miss; stored");
    edge.wait_for_stored(1);
    assert!(client.get("/told").is_hit());
    edge.wait_for("longhold_requests_total{cache=hit}", 1);
    assert_eq!(edge.counter("longhold_requests_total{cache=uri-miss}"), 1);
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0));
    let log = std::fs::read_to_string(edge.folder().join("access.log")).expect("the log");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = lines.iter().map(|line| (&line["cache"], &line["status"])).collect();
    assert_eq!(told, [(&"uri-miss".into(), &200.into()), (&"hit".into(), &200.into())]);
    assert_eq!(lines[0]["user_agent"], "a\"b\\c");
}

/// What an origin tells its surrogates counts before what it tells all caches, and ends here.
#[test]
fn surrogate_control_is_obeyed_and_not_sent_on() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    let fields = ["Surrogate-Control: max-age=600", "Cache-Control: no-store", "ETag: \"v1\""];
    origin.call().answer(reply("200 OK", &fields, "hello"));
    let first = client.response();
    edge.wait_for_stored(1);
    let hit = client.get("/page");
    assert!(hit.is_hit() && !first.is_hit(), "{hit:?}");
    for response in [first, hit] {
        assert_eq!(response.field("Surrogate-Control"), None);
        assert_eq!(response.field("Cache-Control"), Some("no-store"));
    }
    assert_eq!(edge.fetches(), 1);
}
