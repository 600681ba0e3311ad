//! What a request may ask of the cache, and in which form it reaches the origin.

use std::fs;

use crate::stage::{Edge, FRESH, Origin, STALE, reply};

/// A request for a target of `play.test`, as text.
fn request(method: &str, target: &str, fields: &[&str]) -> String {
    let lines: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: play.test\r\n{lines}\r\n")
}

#[test]
fn early_answer_to_an_upload_beyond_the_bound_ends_the_connection() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("POST", "/refused", &["Content-Length: 100000000"]);
    let call = origin.call_for("POST", "/refused");
    call.answer(reply("413 Content Too Large", &[], "no"));
    assert_eq!(client.response().status, 413);
    assert!(!client.try_say(vec![b'x'; 100_000_000]), "the edge reads all of it");
    client.sees_the_end();
    edge.wait_for("longhold_connections_closed_total{reason=body-unread}", 1);
}

/// What follows the chunk `hello` of a body that has begun to reach the origin.
const BROKEN_CHUNKS: [&str; 8] = [
    "zz\r\n",
    "-1\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello!\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "10000000000000000\r\n",
    "5;a\nGET\r\nhello\r\n0\r\n\r\n",
    "0\r\nContent Length: 5\r\n\r\n",
];

#[test]
fn body_that_turns_out_broken_never_looks_whole_to_the_origin() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    for broken in BROKEN_CHUNKS {
        let mut client = edge.client();
        client.ask("POST", "/chunks", &["Transfer-Encoding: chunked"]);
        client.say("5\r\nhello\r\n");
        let mut call = origin.call_for("POST", "/chunks");
        assert_eq!(call.hear(10), b"5\r\nhello\r\n", "{broken:?}");
        client.say(broken.to_owned() + &request("GET", "/smuggled", &[]));
        let response = client.response();
        assert_eq!((response.status, response.field("Connection")), (400, Some("close")));
        client.sees_the_end();
        let heard = call.sees_the_end();
        assert!(!heard.ends_with(b"0\r\n\r\n"), "{broken:?}: {heard:?}");
    }
    origin.was_left_alone();
}

#[test]
fn target_reaches_the_origin_in_normal_form() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let mut stored = 0;
    for (target, normal) in [
        ("/a/../b", "/b"),
        ("/../../etc", "/etc"),
        ("/d/./e/.", "/d/e/"),
        ("/f/%2e%2E/g", "/g"),
        ("/%7ehome/%C3%a9", "/~home/%C3%A9"),
        ("/h%2fi", "/h%2Fi"),
        ("//j//k", "//j//k"),
        ("/l?m=/../%7e", "/l?m=/../%7e"),
        ("http://play.test/n", "/n"),
        ("HTTP://PLAY.test:80/o/../p", "/p"),
        ("http://play.test", "/"),
        ("http://play.test?q", "/?q"),
    ] {
        client.ask("POST", target, &["Content-Length: 0"]);
        origin.call_for("POST", normal).answer(reply("500 No", &[], ""));
        assert_eq!(client.response().status, 500);
        client.ask("GET", target, &[]);
        origin.call_for("GET", normal).answer(reply("200 OK", &[FRESH], target));
        assert_eq!(client.response().body, target.as_bytes());
        stored += 1;
        edge.wait_for_stored(stored);
        // One resource, by whichever name.
        for same in [target, normal] {
            let hit = client.get(same);
            assert!(hit.is_hit() && hit.body == target.as_bytes(), "{target}, {same}: {hit:?}");
        }
    }
    // Without a normal form it goes out as it came, and has no place in the store.
    for _ in 0..2 {
        client.ask("GET", "/a/../%zz", &[]);
        origin.call_for("GET", "/a/../%zz").answer(reply("200 OK", &[FRESH], ""));
        assert_eq!(client.response().cache(), "longhold; fwd=bypass");
    }
}

#[test]
fn host_without_a_site_is_misdirected() {
    let origin = Origin::start();
    let edge = Edge::before(&origin).only_for("play.test");
    let mut client = edge.client();
    for host in ["other.test", "xplay.test", "play.test.", "a.play.test", "127.0.0.1"] {
        client.say(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.field("Connection")), (421, None), "{host}");
    }
    client.say("GET http://other.test/ HTTP/1.1\r\nHost: play.test\r\n\r\n");
    assert_eq!(client.response().status, 421);
    client.say("GET / HTTP/1.1\r\nHost: PLAY.test:8080\r\n\r\n");
    origin.call_for("GET", "/").answer(reply("200 OK", &[], "here"));
    assert_eq!(client.response().body, b"here");
    // A client that waits for leave to send its body has the answer instead, and the end.
    client.say(
        "POST / HTTP/1.1\r\nHost: other.test\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status, response.field("Connection")), (421, Some("close")));
    client.sees_the_end();
    origin.was_left_alone();
}

/// RFC 9111 section 4.4: by the time the client hears of the change, nothing older is served; also
/// not what was on its way while the change was made.
#[test]
fn post_invalidates_what_is_stored_and_what_is_on_its_way() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let (mut writer, mut reader, mut early) = (edge.client(), edge.client(), edge.client());
    reader.ask("GET", "/thing", &[]);
    origin.call_for("GET", "/thing").answer(reply("200 OK", &[FRESH], "old"));
    assert_eq!(reader.response().body, b"old");
    edge.wait_for_stored(1);

    // One that fails changes nothing, nor does one that is not answered yet.
    writer.ask("POST", "/thing", &["Content-Length: 3"]);
    writer.say("new");
    let mut call = origin.call_for("POST", "/thing");
    assert_eq!(call.body(), b"new");
    assert!(reader.get("/thing").is_hit());
    call.answer(reply("500 Internal Server Error", &[], "no"));
    assert_eq!(writer.response().status, 500);
    assert!(reader.get("/thing").is_hit());

    early.ask("GET", "/thing", &["Cache-Control: no-cache"]);
    let early_call = origin.call_for("GET", "/thing");
    writer.ask("POST", "/thing", &["Content-Length: 3"]);
    writer.say("new");
    let mut call = origin.call_for("POST", "/thing");
    assert_eq!(call.body(), b"new");
    call.answer(reply("200 OK", &[], "yes"));
    assert_eq!(writer.response().status, 200);
    early_call.answer(reply("200 OK", &[FRESH], "old"));
    assert_eq!(early.response().body, b"old");

    reader.ask("GET", "/thing", &[]);
    origin.call_for("GET", "/thing").answer(reply("200 OK", &[FRESH], "new"));
    assert_eq!(reader.response().body, b"new");
    edge.wait("the new one in the store", |edge| edge.client().get("/thing").is_hit());
    assert_eq!(edge.client().get("/thing").body, b"new");
    origin.was_left_alone();
}

#[test]
fn only_if_cached_never_reaches_the_origin() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let only = ["Cache-Control: only-if-cached"];
    let response = client.get_with("/page", &only);
    assert_eq!((response.status, response.field("Connection")), (504, None));
    for (stored, fields, status) in [(1, &[FRESH][..], 200), (2, &STALE[..], 504)] {
        let target = format!("/{status}");
        client.ask("GET", &target, &[]);
        origin.call_for("GET", &target).answer(reply("200 OK", fields, "stored"));
        assert_eq!(client.response().status, 200);
        edge.wait_for_stored(stored);
        assert_eq!(client.get_with(&target, &only).status, status);
        let also_stale = ["cache-control: only-if-cached, max-stale"];
        assert_eq!(client.get_with(&target, &also_stale).status, 200);
    }
    origin.was_left_alone();
}

#[test]
fn answer_to_a_request_with_no_store_is_not_stored() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    for _ in 0..2 {
        client.ask("GET", "/page", &["Cache-Control: no-store"]);
        origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "secret"));
        let response = client.response();
        assert_eq!(response.cache(), "longhold; fwd=uri-miss; detail=request-no-store");
    }
    client.ask("GET", "/page", &[]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH], "public"));
    assert_eq!(client.response().cache(), "longhold; fwd=uri-miss; stored");
    edge.wait_for_stored(1);
    assert_eq!(client.get("/page").body, b"public");
}

#[test]
fn request_with_no_cache_asks_the_origin_and_refreshes_what_is_stored() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &[]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH, "ETag: \"v1\""], "one"));
    assert_eq!(client.response().body, b"one");
    edge.wait_for_stored(1);

    client.ask("GET", "/page", &["Cache-Control: no-cache"]);
    let call = origin.call_for("GET", "/page");
    assert_eq!(call.field("If-None-Match"), Some("\"v1\""));
    call.answer(format!(
        "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n{FRESH}\r\nX-Seen: twice\r\n\r\n"
    ));
    for response in [client.response(), client.get("/page")] {
        assert_eq!((&*response.body, response.field("X-Seen")), (&b"one"[..], Some("twice")));
    }
    assert!(client.get("/page").is_hit());

    client.ask("GET", "/page", &["Pragma: no-cache"]);
    origin.call_for("GET", "/page").answer(reply("200 OK", &[FRESH, "ETag: \"v2\""], "two"));
    let response = client.response();
    assert_eq!(
        (&*response.cache(), &*response.body),
        ("longhold; fwd=request; stored", &b"two"[..])
    );
    edge.wait("the new one in the store", |edge| edge.client().get("/page").body == b"two");
    origin.was_left_alone();
}

impl Edge {
    /// The same edge, started again with a config whose site is for this host alone.
    fn only_for(self, host: &str) -> Self {
        let path = self.folder().join("edge.toml");
        let config = fs::read_to_string(&path).expect("the config");
        let narrowed = config.replace("hosts = [\"*\"]", &format!("hosts = [\"{host}\"]"));
        assert_ne!(config, narrowed);
        fs::write(&path, narrowed).expect("a writable folder");
        self.start_again()
    }
}
