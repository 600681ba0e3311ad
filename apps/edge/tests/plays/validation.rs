//! Validation both ways, ranges and HEAD: what a stored response answers without the origin, and
//! how little of the origin's work a stale one needs.

use crate::stage::{Client, Edge, FRESH, Origin, Response, STALE, body_of, reply};

const MODIFIED: &str = "Last-Modified: Mon, 05 Jan 2026 08:00:00 GMT";

/// A client of an edge that has stored this.
fn stored(origin: &Origin, target: &str, fields: &[&str], body: &[u8]) -> (Edge, Client) {
    let edge = Edge::before(origin);
    let mut client = edge.client();
    client.ask("GET", target, &[]);
    origin.call_for("GET", target).answer(reply("200 OK", fields, body));
    assert!(client.response().body == body);
    edge.wait_for_stored(1);
    (edge, client)
}

#[test]
fn stale_response_is_confirmed_and_freshened() {
    let origin = Origin::start();
    let fields = [&STALE[..], &["X-Old: kept", "X-Both: before"]].concat();
    let (edge, mut client) = stored(&origin, "/page", &fields, b"hello");
    client.ask("GET", "/page", &[]);
    let call = origin.call_for("GET", "/page");
    assert_eq!(call.field("If-None-Match"), Some("\"v1\""));
    call.answer(
        "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=600\r\n\
         X-Both: after\r\nX-New: told\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status, &*response.body), (200, &b"hello"[..]));
    assert_eq!(response.cache(), "longhold; fwd=stale; fwd-status=304");
    for response in [response, client.get("/page")] {
        assert!(response.age_s() < Some(60), "{response:?}");
        assert_eq!(response.field("Cache-Control"), Some("max-age=600"));
        assert_eq!(response.field("X-Old"), Some("kept"));
        assert_eq!(response.field("X-Both"), Some("after"));
        assert_eq!(response.field("X-New"), Some("told"));
        assert_eq!(response.field("Via"), Some("1.1 longhold"));
    }
    assert!(client.get("/page").is_hit());
    assert_eq!(edge.fetches(), 2);
}

#[test]
fn followers_of_a_validation_are_served_from_the_store() {
    let origin = Origin::start();
    let (edge, _) = stored(&origin, "/page", &STALE, b"hello");
    let mut clients: Vec<_> = (0..4).map(|_| edge.client()).collect();
    clients.iter_mut().for_each(|client| client.ask("GET", "/page", &[]));
    let call = origin.call();
    edge.wait_for_active(4);
    call.answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=600\r\n\r\n");
    for client in &mut clients {
        let response = client.response();
        assert_eq!((response.status, &*response.body), (200, &b"hello"[..]));
    }
    assert_eq!(edge.fetches(), 2);
}

#[test]
fn stale_response_is_replaced_by_a_new_one() {
    let origin = Origin::start();
    let (edge, mut client) = stored(&origin, "/page", &STALE, b"old");
    client.ask("GET", "/page", &[]);
    let call = origin.call();
    assert_eq!(call.field("If-None-Match"), Some("\"v1\""));
    call.answer(reply("200 OK", &[FRESH, "ETag: \"v2\""], "new"));
    let response = client.response();
    assert_eq!((&*response.cache(), &*response.body), ("longhold; fwd=stale; stored", &b"new"[..]));
    edge.wait_for_stored(2);
    let hit = client.get("/page");
    assert!(hit.is_hit() && hit.body == b"new" && hit.field("ETag") == Some("\"v2\""), "{hit:?}");
}

/// RFC 9111 section 4.3.4: a 304 about another response confirms nothing.
#[test]
fn confirmation_of_something_else_leads_to_a_new_fetch() {
    let origin = Origin::start();
    let (_edge, mut client) = stored(&origin, "/page", &STALE, b"old");
    client.ask("GET", "/page", &[]);
    origin.call().answer("HTTP/1.1 304 Not Modified\r\nETag: \"other\"\r\n\r\n");
    let call = origin.call();
    assert_eq!((call.field("If-None-Match"), call.field("If-Modified-Since")), (None, None));
    call.answer(reply("200 OK", &[FRESH], "new"));
    assert_eq!(client.response().body, b"new");
}

/// A client's conditions never reach the origin while the cache is filled: a 304 to them would
/// leave nothing to store.
#[test]
fn conditions_of_a_client_are_answered_here_also_on_a_miss() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &["If-None-Match: \"v1\""]);
    let call = origin.call();
    assert_eq!(call.field("If-None-Match"), None);
    call.answer(reply("200 OK", &[FRESH, "ETag: \"v1\""], "hello"));
    let response = client.response();
    assert_eq!((response.status, response.field("ETag")), (304, Some("\"v1\"")));
    edge.wait_for_stored(1);
    let hit = client.get("/page");
    assert!(hit.is_hit() && hit.body == b"hello", "{hit:?}");
}

#[test]
fn conditions_of_a_client_are_answered_from_the_store() {
    let origin = Origin::start();
    let fields = [FRESH, "ETag: \"v1\"", MODIFIED, "Content-Type: text/plain"];
    let (edge, mut client) = stored(&origin, "/page", &fields, b"hello");
    for (status, conditions) in [
        (304, &["If-None-Match: \"v1\""][..]),
        (304, &["If-None-Match: \"v0\", W/\"v1\""]),
        (304, &["If-None-Match: *"]),
        (304, &["If-Modified-Since: Mon, 05 Jan 2026 08:00:00 GMT"]),
        (304, &["If-Modified-Since: Monday, 05-Jan-26 08:00:01 GMT"]),
        (200, &["If-None-Match: \"v2\""]),
        (200, &["If-None-Match: v1"]),
        (200, &["If-Modified-Since: Mon, 05 Jan 2026 07:59:59 GMT"]),
        // The tag decides where both are there (RFC 9110 section 13.1.3).
        (200, &["If-None-Match: \"v2\"", "If-Modified-Since: Mon, 05 Jan 2026 08:00:00 GMT"]),
        (200, &["If-Modified-Since: yesterday"]),
    ] {
        let response = client.get_with("/page", conditions);
        assert_eq!(response.status, status, "{conditions:?}");
        assert!(response.is_hit() && response.age_s().is_some(), "{response:?}");
        assert_eq!(response.field("ETag"), Some("\"v1\""), "{conditions:?}");
        if status == 304 {
            assert_eq!(
                (response.field("Content-Length"), response.field("Content-Type")),
                (None, None)
            );
        } else {
            assert_eq!(response.body, b"hello");
        }
    }
    assert_eq!(edge.fetches(), 1);
}

/// RFC 9111 section 4.3.2: whether these hold is for the origin to say.
#[test]
fn conditions_for_the_origin_are_passed_on() {
    let origin = Origin::start();
    let (_edge, mut client) = stored(&origin, "/page", &[FRESH, "ETag: \"v1\""], b"hello");
    client.ask("GET", "/page", &["If-Match: \"v2\""]);
    let call = origin.call();
    assert_eq!(call.field("If-Match"), Some("\"v2\""));
    call.answer(reply("412 Precondition Failed", &[], ""));
    let response = client.response();
    assert_eq!((response.status, &*response.cache()), (412, "longhold; fwd=request"));
    assert!(client.get("/page").is_hit());
}

/// What a range request for a stored body of three windows comes to.
fn check_range(client: &mut Client, body: &[u8], fields: &[&str], part: Option<(usize, usize)>) {
    let response = client.get_with("/large", fields);
    assert!(response.is_hit(), "{fields:?}: {}", response.cache());
    match part {
        Some((start, end)) => {
            let range = format!("bytes {start}-{}/{}", end - 1, body.len());
            assert_eq!((response.status, response.field("Content-Range")), (206, Some(&*range)));
            assert!(response.body == body[start..end], "{fields:?}");
        }
        None => {
            assert_eq!(
                (response.status, response.field("Content-Range")),
                (200, None),
                "{fields:?}"
            );
            assert!(response.body == body, "{fields:?}");
        }
    }
}

#[test]
fn ranges_are_cut_out_of_a_stored_body() {
    let origin = Origin::start();
    let len = (2 << 20) + 700;
    let body = body_of(21, len);
    let (edge, mut client) = stored(&origin, "/large", &[FRESH, "ETag: \"v1\"", MODIFIED], &body);
    let mib = 1 << 20;
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=5-9", 5, 10),
        ("bytes=-3", len - 3, len),
        ("bytes=-99999999", 0, len),
        ("bytes=1048575-1048576", mib - 1, mib + 1),
        ("bytes=1000000-", 1_000_000, len),
        ("bytes=0-99999999", 0, len),
    ] {
        check_range(&mut client, &body, &[&format!("Range: {range}")], Some((start, end)));
    }
    let two = "Range: bytes=0-1";
    for condition in ["If-Range: \"v1\"", "If-Range: Mon, 05 Jan 2026 08:00:00 GMT"] {
        check_range(&mut client, &body, &[two, condition], Some((0, 2)));
    }
    for condition in
        ["If-Range: \"v2\"", "If-Range: W/\"v1\"", "If-Range: Mon, 05 Jan 2026 08:00:01 GMT"]
    {
        check_range(&mut client, &body, &[two, condition], None);
    }
    for odd in ["Range: lines=0-1", "Range: bytes=2-1", "Range: bytes=a-b", "Range: bytes=9-19,0-9"]
    {
        check_range(&mut client, &body, &[odd], None);
    }
    let response = client.get_with("/large", &[&format!("Range: bytes={len}-")]);
    let range = format!("bytes */{len}");
    assert_eq!((response.status, response.field("Content-Range")), (416, Some(&*range)));
    assert_eq!(response.body, b"");
    assert_eq!(edge.fetches(), 1);
}

#[test]
fn range_on_a_miss_passes_through_and_is_not_stored() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/part", &["Range: bytes=1-2", "If-Range: \"v1\""]);
    let call = origin.call();
    assert_eq!(call.field("Range"), Some("bytes=1-2"));
    assert_eq!(call.field("If-Range"), Some("\"v1\""));
    let fields = [FRESH, "Content-Range: bytes 1-2/5"];
    call.answer(reply("206 Partial Content", &fields, "el"));
    let part = client.response();
    assert_eq!((part.status, &*part.body), (206, &b"el"[..]));
    assert_eq!(part.field("Content-Range"), Some("bytes 1-2/5"));
    client.ask("GET", "/part", &[]);
    let call = origin.call();
    assert_eq!(call.field("Range"), None);
    call.answer(reply("200 OK", &[FRESH], "hello"));
    assert_eq!(client.response().body, b"hello");
    edge.wait_for_stored(1);
    let hit: Response = client.get_with("/part", &["Range: bytes=1-2"]);
    assert!(hit.is_hit() && hit.body == b"el", "{hit:?}");
}

#[test]
fn head_is_answered_from_the_store_of_gets() {
    let origin = Origin::start();
    let (edge, mut client) = stored(&origin, "/page", &[FRESH, "ETag: \"v1\""], b"hello");
    let head = client.head("/page");
    assert!(head.is_hit() && head.status == 200, "{head:?}");
    assert_eq!((head.field("Content-Length"), head.field("ETag")), (Some("5"), Some("\"v1\"")));
    // No byte of a body came in between.
    assert_eq!(client.get("/page").body, b"hello");

    client.ask("HEAD", "/other", &[]);
    origin
        .call_for("HEAD", "/other")
        .answer("HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 7\r\n\r\n");
    let head = client.response_head();
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("7")));
    client.ask("GET", "/other", &[]);
    origin.call_for("GET", "/other").answer(reply("200 OK", &[FRESH], "content"));
    assert_eq!(client.response().body, b"content");
    assert_eq!(edge.fetches(), 3);
}

/// The client's own directives, each with what the origin is asked.
#[test]
fn directives_of_a_client_are_obeyed() {
    let origin = Origin::start();
    let (edge, mut client) = stored(&origin, "/page", &[FRESH, "ETag: \"v1\""], b"hello");
    for directive in ["no-cache", "max-age=0"] {
        client.ask("GET", "/page", &[&format!("Cache-Control: {directive}")]);
        let call = origin.call();
        assert_eq!(call.field("If-None-Match"), Some("\"v1\""), "{directive}");
        call.answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
        let response = client.response();
        assert_eq!(response.cache(), "longhold; fwd=request; fwd-status=304");
        assert_eq!(response.body, b"hello");
    }
    let response = client.get_with("/page", &["Cache-Control: only-if-cached"]);
    assert!(response.is_hit(), "{response:?}");
    let fetches = edge.fetches();
    let response = client.get_with("/none", &["Cache-Control: only-if-cached"]);
    assert_eq!((response.status, edge.fetches()), (504, fetches));
}

/// An answer that is not stored because of the request says nothing of what is stored.
#[test]
fn client_cannot_evict_what_is_stored_for_others() {
    let origin = Origin::start();
    let (edge, mut client) = stored(&origin, "/page", &[FRESH, "ETag: \"v1\""], b"hello");
    for field in ["Cache-Control: no-store", "Authorization: Basic c2VjcmV0"] {
        let mut attacker = edge.client();
        attacker.ask("GET", "/page", &["Cache-Control: no-cache", field]);
        origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "for one"));
        assert_eq!(attacker.response().body, b"for one");
        let response = client.get("/page");
        assert!(response.is_hit() && response.body == b"hello", "{field}: {response:?}");
    }
    // The origin has changed its mind about the resource itself.
    client.ask("GET", "/page", &["Cache-Control: no-cache"]);
    origin.call().answer(reply("200 OK", &["Cache-Control: private"], "mine"));
    assert_eq!(client.response().body, b"mine");
    client.ask("GET", "/page", &[]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "new"));
    assert_eq!(client.response().body, b"new");
}
