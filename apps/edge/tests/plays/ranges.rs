//! Ranges and heads: of what is stored, of what is on its way, and of what is not there.

use crate::stage::{Edge, FRESH, Origin, Setting, body_of, reply};

const LEN: usize = 1 << 20;

/// A head that promises this many bytes.
fn promise(len: usize) -> String {
    format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nETag: \"v1\"\r\nContent-Length: {len}\r\n\r\n")
}

#[test]
fn range_reads_along_with_a_body_that_grows() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let body = body_of(3, LEN);
    let mut first = edge.client();
    first.ask("GET", "/grows", &[]);
    let mut call = origin.call_for("GET", "/grows");
    call.say(promise(LEN));
    call.say(&body[..300_000]);
    let mut first_response = first.response_head();
    // Of what has come, 206 before the origin has said more; and so for what has not come yet.
    let mut second = edge.client();
    let there = second.get_with("/grows", &["Range: bytes=1000-1999"]);
    assert_eq!((there.status, there.body == body[1000..2000]), (206, true));
    assert_eq!(there.field("Content-Range"), Some("bytes 1000-1999/1048576"));
    assert!(there.cache().contains("collapsed"), "{}", there.cache());
    let mut third = edge.client();
    third.ask("GET", "/grows", &["Range: bytes=-70000"]);
    let mut coming = third.response_head();
    assert_eq!(coming.status, 206);
    assert_eq!(coming.field("Content-Range"), Some("bytes 978576-1048575/1048576"));
    let beyond = second.get_with("/grows", &["Range: bytes=1048576-"]);
    assert_eq!((beyond.status, beyond.body.len()), (416, 0));
    assert_eq!(beyond.field("Content-Range"), Some("bytes */1048576"));
    let changed = second.get_with("/grows", &["Range: bytes=0-9", "If-None-Match: \"v1\""]);
    assert_eq!((changed.status, changed.field("Content-Type")), (304, None));
    call.say(&body[300_000..]);
    call.done();
    assert!(first.rest_of(&mut first_response) && first_response.body == body);
    assert!(third.rest_of(&mut coming) && coming.body == body[LEN - 70_000..]);
    assert_eq!(edge.fetches(), 1);
    edge.wait_for_stored(1);
    assert!(edge.client().get("/grows").is_hit());
}

#[test]
fn head_reads_the_head_of_a_body_that_grows() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut first = edge.client();
    first.ask("GET", "/grows", &[]);
    let mut call = origin.call_for("GET", "/grows");
    call.say(promise(LEN));
    first.response_head();
    let mut second = edge.client();
    let head = second.head("/grows");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("1048576")));
    assert!(head.cache().contains("collapsed"), "{}", head.cache());
    assert_eq!(edge.fetches(), 1);
}

#[test]
fn range_far_behind_what_has_come_is_fetched_by_itself() {
    let far = 32 << 20;
    let origin = Origin::start();
    let edge = Setting::before(&origin).store("size = \"128MiB\"").start();
    let mut first = edge.client();
    first.ask("GET", "/grows", &[]);
    let mut call = origin.call_for("GET", "/grows");
    call.say(promise(far));
    first.response_head();
    let mut second = edge.client();
    second.ask("GET", "/grows", &["Range: bytes=30000000-30000003"]);
    let part = origin.call_for("GET", "/grows");
    assert_eq!(part.field("Range"), Some("bytes=30000000-30000003"));
    let range = "Content-Range: bytes 30000000-30000003/33554432";
    part.answer(reply("206 Partial Content", &[FRESH, "ETag: \"v1\"", range], "part"));
    let response = second.response();
    assert_eq!((response.status, &response.body[..]), (206, &b"part"[..]));
    assert_eq!(edge.fetches(), 2);
}

/// RFC 9110 section 14.2: an origin may ignore a range; what it sends then is the whole, which is
/// stored, and the range is cut from it here.
#[test]
fn origin_that_knows_no_ranges_fills_the_cache_by_one() {
    let body = body_of(4, LEN);
    let sent = body.clone();
    let origin = Origin::answering(move |call| {
        call.answer(reply("200 OK", &[FRESH, "ETag: \"v1\""], &sent));
    });
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let part = client.get_with("/whole", &["Range: bytes=5-104"]);
    assert_eq!((part.status, part.body == body[5..105]), (206, true));
    edge.wait_for_stored(1);
    let other = client.get_with("/whole", &["Range: bytes=1000-1009"]);
    assert!(other.is_hit() && other.body == body[1000..1010], "{}", other.cache());
    let whole = client.get("/whole");
    assert!(whole.is_hit() && whole.body == body);
    assert_eq!(edge.fetches(), 1);
}
