//! Ranges and heads: of what is stored, of what is on its way, and of what is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::stage::{Call, Edge, FRESH, Origin, Setting, body_of, reply};

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

/// RFC 9110 sections 14.6 and 15.3.7.2.
#[test]
fn several_ranges_of_a_stored_body_come_in_one_response() {
    let body = body_of(6, LEN);
    let sent = body.clone();
    let origin = Origin::answering(move |call| {
        let fields = [FRESH, "ETag: \"v1\"", "Content-Type: video/mp4"];
        call.answer(reply("200 OK", &fields, &sent));
    });
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.get("/whole");
    edge.wait_for_stored(1);
    let ranges = [0..100, 200_000..900_000, LEN - 5..LEN];
    let several = client.get_with("/whole", &["Range: bytes=0-99, 200000-899999, -5"]);
    assert!(several.is_hit(), "{}", several.cache());
    assert_eq!((several.status, several.field("Content-Range")), (206, None));
    let kind = several.field("Content-Type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("several parts");
    let mut expected = Vec::new();
    for range in ranges {
        let (first, last) = (range.start, range.end - 1);
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: video/mp4\r\n\
             Content-Range: bytes {first}-{last}/{LEN}\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&body[range]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(several.body == expected, "{} of {} bytes", several.body.len(), expected.len());
    // Those that make one range are one, and what would cost more than the whole is the whole.
    let joined = client.get_with("/whole", &["Range: bytes=0-99, 100-199"]);
    assert_eq!(joined.field("Content-Range"), Some("bytes 0-199/1048576"));
    let overlapping = client.get_with("/whole", &["Range: bytes=0-, 0-, 0-"]);
    assert!(overlapping.body.len() <= LEN, "{}", overlapping.body.len());
    assert!(client.get_with("/whole", &["Range: bytes=9-19, 0-9, 5-30"]).body == body);
    assert_eq!(edge.fetches(), 1);
}

/// Answers what a `Range` asks for of a body, while `If-Range` holds.
fn answer_in_parts(call: Call, body: &[u8], etag: &str) {
    let field = format!("ETag: {etag}");
    let len = body.len();
    let whole = call.field("If-Range").is_some_and(|condition| condition != etag);
    let range = call.field("Range").and_then(|range| range.strip_prefix("bytes=")).map(|range| {
        let (first, last) = range.split_once('-').expect("a range");
        let number = |text: &str| text.parse::<usize>().expect("a number");
        match (first, last) {
            ("", suffix) => len - number(suffix)..len,
            (first, "") => number(first)..len,
            (first, last) => number(first)..(number(last) + 1).min(len),
        }
    });
    match range.filter(|_| !whole) {
        Some(range) => {
            let (first, last) = (range.start, range.end - 1);
            let place = format!("Content-Range: bytes {first}-{last}/{len}");
            call.answer(reply("206 Partial Content", &[FRESH, &field, &place], &body[range]));
        }
        None => call.answer(reply("200 OK", &[FRESH, &field], body)),
    }
}

/// RFC 9111 sections 3.3 and 3.4.
#[test]
fn part_is_stored_and_joined_to_the_next() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let body = body_of(8, 1000);
    let mut client = edge.client();
    let mut ask = |range: &str, fetched: Option<(&str, Option<&str>)>| {
        let fields = [format!("Range: bytes={range}")];
        let fields: &[&str] = if range.is_empty() { &[] } else { &[&fields[0]] };
        client.ask("GET", "/part", fields);
        if let Some((asked, condition)) = fetched {
            let call = origin.call_for("GET", "/part");
            assert_eq!((call.field("Range"), call.field("If-Range")), (Some(asked), condition));
            answer_in_parts(call, &body, "\"v1\"");
        }
        let response = client.response();
        assert_eq!(response.is_hit(), fetched.is_none(), "{range}: {}", response.cache());
        // RFC 9211 section 2.3: the whole, though the origin has said a part of it.
        let differs = fetched.is_some() && response.status == 200;
        assert_eq!(response.cache().contains("fwd-status=206"), differs, "{}", response.cache());
        (response.status, response.body)
    };
    let part = |range: std::ops::Range<usize>| (206, body[range].to_vec());
    assert_eq!(ask("0-99", Some(("bytes=0-99", None))), part(0..100));
    edge.wait_for_stored(1);
    assert_eq!(ask("0-99", None), part(0..100));
    assert_eq!(ask("50-59", None), part(50..60));
    // The next part touches it, and a third does not.
    assert_eq!(ask("100-299", Some(("bytes=100-299", None))), part(100..300));
    edge.wait_for_stored(3);
    assert_eq!(ask("90-110", None), part(90..111));
    // Of the whole only the rest is fetched, if it is still the same.
    assert_eq!(ask("", Some(("bytes=300-999", Some("\"v1\"")))), (200, body.clone()));
    assert_eq!(ask("", None), (200, body.clone()));
    assert_eq!(ask("-1", None), part(999..1000));
    assert_eq!(edge.fetches(), 3);
}

#[test]
fn part_of_what_has_changed_gives_way_to_the_new_whole() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let (old, new) = (body_of(1, 1000), body_of(2, 900));
    let mut client = edge.client();
    client.ask("GET", "/part", &["Range: bytes=0-499"]);
    answer_in_parts(origin.call_for("GET", "/part"), &old, "\"v1\"");
    assert!(client.response().body == old[..500]);
    edge.wait_for_stored(1);
    client.ask("GET", "/part", &[]);
    answer_in_parts(origin.call_for("GET", "/part"), &new, "\"v2\"");
    let whole = client.response();
    assert_eq!((whole.status, whole.body == new), (200, true));
    edge.wait_for_stored(2);
    let part = client.get_with("/part", &["Range: bytes=0-499"]);
    assert!(part.is_hit() && part.body == new[..500], "{}", part.cache());
}

/// RFC 9111 section 3.4: without a strong validator nobody knows that two parts are of one whole.
#[test]
fn part_without_a_strong_validator_is_used_and_never_joined() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let body = body_of(3, 1000);
    for (target, etag) in [("/weak", "W/\"v1\""), ("/none", "none")] {
        let mut client = edge.client();
        let stored = edge.counter("longhold_store_stored_total");
        for (count, range) in [(1, "0-99"), (2, "100-199")] {
            client.ask("GET", target, &[&format!("Range: bytes={range}")]);
            answer_in_parts(origin.call_for("GET", target), &body, etag);
            assert_eq!(client.response().status, 206, "{target}");
            edge.wait_for_stored(stored + count);
        }
        let part = client.get_with(target, &["Range: bytes=120-129"]);
        assert!(part.is_hit() && part.body == body[120..130], "{target}: {}", part.cache());
        client.ask("GET", target, &["Range: bytes=0-199"]);
        let call = origin.call_for("GET", target);
        assert_eq!(call.field("If-Range"), None, "{target}");
        answer_in_parts(call, &body, etag);
        assert!(client.response().body == body[..200], "{target}");
        client.ask("GET", target, &[]);
        let call = origin.call_for("GET", target);
        assert_eq!((call.field("Range"), call.field("If-Range")), (None, None), "{target}");
        answer_in_parts(call, &body, etag);
        assert!(client.response().body == body, "{target}");
    }
}

/// Slices of 128 KiB.
const SLICED: &str = "size = \"64MiB\"\nsegment = \"1MiB\"\nmemory = \"8MiB\"";
const SLICE: usize = 128 << 10;
const LARGE: usize = 20 * SLICE + 77;

#[test]
fn large_object_is_fetched_by_the_slices_that_are_asked_for() {
    let body = body_of(9, LARGE);
    let origin = Origin::start();
    let edge = Setting::before(&origin).store(SLICED).start();
    let mut client = edge.client();
    let mut ask = |range: &str, fetched: &[(usize, usize)]| {
        let field = format!("Range: bytes={range}");
        let fields: &[&str] = if range.is_empty() { &[] } else { &[&field] };
        client.ask("GET", "/large", fields);
        // The client reads meanwhile: to whoever does not, not all is sent, and no more fetched.
        let response = std::thread::scope(|scope| {
            let reading = scope.spawn(|| client.response());
            for (first, last) in fetched {
                let call = origin.call_for("GET", "/large");
                let asked = format!("bytes={first}-{last}");
                assert_eq!(call.field("Range"), Some(&*asked), "{range}");
                assert_eq!(call.field("If-Range"), Some("\"v1\""), "{range}");
                answer_in_parts(call, &body, "\"v1\"");
            }
            reading.join().expect("a whole response")
        });
        assert_eq!(response.is_hit(), fetched.is_empty(), "{range}: {}", response.cache());
        let differs = !fetched.is_empty() && response.status == 200;
        assert_eq!(response.cache().contains("fwd-status=206"), differs, "{}", response.cache());
        (response.status, response.body)
    };
    let slice = |number: usize| (number * SLICE, ((number + 1) * SLICE).min(LARGE) - 1);
    // The first is asked for as it is; what it fills of the whole is stored.
    let first = format!("{}-{}", SLICE - 10, 3 * SLICE + 9);
    let mut other = edge.client();
    other.ask("GET", "/large", &[&format!("Range: bytes={first}")]);
    let call = origin.call_for("GET", "/large");
    assert_eq!(
        (call.field("Range"), call.field("If-Range")),
        (Some(&*format!("bytes={first}")), None)
    );
    answer_in_parts(call, &body, "\"v1\"");
    assert!(other.response().body == body[SLICE - 10..3 * SLICE + 10]);
    edge.wait_for("longhold_store_slices_total", 2);
    assert_eq!(ask(&format!("{SLICE}-{}", 3 * SLICE - 1), &[]).1, body[SLICE..3 * SLICE]);
    // The next ones take whole slices, from the store what is there.
    assert_eq!(ask("5-9", &[slice(0)]), (206, body[5..10].to_vec()));
    edge.wait_for("longhold_store_slices_total", 3);
    assert_eq!(ask("0-99", &[]).1, body[..100]);
    let across = ask(&format!("{}-{}", 2 * SLICE + 7, 5 * SLICE), &[slice(3), slice(4), slice(5)]);
    assert!(across == (206, body[2 * SLICE + 7..5 * SLICE + 1].to_vec()));
    edge.wait_for("longhold_store_slices_total", 6);
    assert_eq!(ask("-10", &[slice(20)]).1, body[LARGE - 10..]);
    edge.wait_for("longhold_store_slices_total", 7);
    // The whole, of which fourteen are missing; and then it is there.
    let missing: Vec<_> = (6..20).map(slice).collect();
    let whole = ask("", &missing);
    assert!(whole == (200, body.clone()), "{} {}", whole.0, whole.1.len());
    edge.wait_for("longhold_store_slices_total", 21);
    assert!(ask("", &[]) == (200, body.clone()));
    assert_eq!(edge.fetches(), 1 + 5 + 14);
}

#[test]
fn those_who_want_bytes_of_one_slice_share_its_fetch() {
    let body = body_of(9, LARGE);
    let origin = Origin::start();
    let edge = Setting::before(&origin).store(SLICED).start();
    let mut first = edge.client();
    first.ask("GET", "/large", &["Range: bytes=0-0"]);
    answer_in_parts(origin.call_for("GET", "/large"), &body, "\"v1\"");
    assert_eq!(first.response().status, 206);
    edge.wait_for_stored(1);
    let mut clients: Vec<_> = (0..8).map(|_| edge.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.ask("GET", "/large", &[&format!("Range: bytes={}-{}", 100 * number, SLICE - 1)]);
    }
    let mut call = origin.call_for("GET", "/large");
    call.say(format!(
        "HTTP/1.1 206 Partial Content\r\n{FRESH}\r\nETag: \"v1\"\r\nContent-Length: {SLICE}\r\n\
         Content-Range: bytes 0-{}/{LARGE}\r\n\r\n",
        SLICE - 1
    ));
    call.say(&body[..5000]);
    // Its bytes go on as they come.
    let mut heads: Vec<_> = clients.iter_mut().map(|client| client.response_head()).collect();
    call.say(&body[5000..SLICE]);
    call.done();
    for (number, (client, head)) in clients.iter_mut().zip(&mut heads).enumerate() {
        assert!(client.rest_of(head) && head.body == body[100 * number..SLICE], "{number}");
    }
    assert_eq!(edge.fetches(), 2);
}

#[test]
fn large_object_that_has_changed_is_no_mixture() {
    let (old, new) = (body_of(1, LARGE), body_of(2, LARGE));
    let version = Arc::new(AtomicUsize::new(1));
    let current = Arc::clone(&version);
    let bodies = [old.clone(), new.clone()];
    let origin = Origin::answering(move |call| {
        let version = current.load(Ordering::SeqCst);
        answer_in_parts(call, &bodies[version - 1], &format!("\"v{version}\""));
    });
    let edge = Setting::before(&origin).store(SLICED).start();
    let mut client = edge.client();
    let all = format!("Range: bytes=0-{}", 2 * SLICE - 1);
    assert!(client.get_with("/large", &[&all]).body == old[..2 * SLICE]);
    edge.wait_for("longhold_store_slices_total", 2);
    version.store(2, Ordering::SeqCst);
    // What is stored is fresh, and goes on being served; what is not is another body's.
    let stored = client.get_with("/large", &["Range: bytes=0-9"]);
    assert!(stored.is_hit() && stored.body == old[..10]);
    let across = client.get_with("/large", &[&format!("Range: bytes=0-{}", 3 * SLICE - 1)]);
    assert!(across.body == new[..3 * SLICE], "{}", across.status);
    assert!(client.get("/large").body == new);
}

/// RFC 9111 section 4.3.4: a large body is confirmed without being written again.
#[test]
fn large_object_is_freshened_where_it_lies() {
    let body = body_of(4, LARGE);
    let sent = body.clone();
    let origin = Origin::answering(move |call| {
        let stale = "Cache-Control: max-age=0";
        match call.field("If-None-Match") {
            Some(_) => {
                call.answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nX-Seen: again\r\n\r\n")
            }
            None => call.answer(reply("200 OK", &[stale, "ETag: \"v1\""], &sent)),
        }
    });
    let edge = Setting::before(&origin).store(SLICED).start();
    let mut client = edge.client();
    assert!(client.get("/large").body == body);
    edge.wait_for_stored(1);
    let written = edge.status()["store"]["objects"].as_u64();
    for round in 2..=5 {
        let again = client.get("/large");
        assert!(again.body == body && again.field("X-Seen") == Some("again"), "{round}");
        edge.wait_for_stored(round);
    }
    assert_eq!(edge.status()["store"]["objects"].as_u64(), written);
    assert_eq!(edge.fetches(), 5);
}

/// RFC 9111 section 4.3.5.
#[test]
fn answer_to_head_freshens_what_is_stored_or_ends_its_freshness() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let head = |etag: &str, control: &str, len: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nETag: {etag}\r\nCache-Control: {control}\r\nX-Seen: by-head\r\n\
             Content-Length: {len}\r\n\r\n"
        )
    };
    client.ask("GET", "/page", &[]);
    let stale = "Cache-Control: max-age=0";
    origin.call_for("GET", "/page").answer(reply("200 OK", &["ETag: \"v1\"", stale], "hello"));
    client.response();
    edge.wait_for_stored(1);
    client.ask("HEAD", "/page", &[]);
    origin.call_for("HEAD", "/page").answer(head("\"v1\"", "max-age=3600", 5));
    assert_eq!(client.response_head().field("Content-Length"), Some("5"));
    let again = client.get("/page");
    assert!(again.is_hit() && again.body == b"hello", "{}", again.cache());
    assert_eq!(again.field("X-Seen"), Some("by-head"));
    // Of another length, it is another body: what is stored must be confirmed.
    client.ask("HEAD", "/page", &["Cache-Control: no-cache"]);
    origin.call_for("HEAD", "/page").answer(head("\"v1\"", "max-age=3600", 6));
    client.response_head();
    client.ask("GET", "/page", &[]);
    let call = origin.call_for("GET", "/page");
    assert_eq!(call.field("If-None-Match"), Some("\"v1\""));
    call.answer("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
    assert_eq!(client.response().body, b"hello");
}

/// A 206 with these bytes of a body and this tag, of which the last half is kept back.
fn begin_part(call: &mut Call, (tag, body, range): (&str, &[u8], std::ops::Range<usize>)) {
    let (first, last, len) = (range.start, range.end - 1, body.len());
    call.say(format!(
        "HTTP/1.1 206 Partial Content\r\n{FRESH}\r\nETag: \"v1\"\r\nSurrogate-Key: {tag}\r\n\
         Content-Range: bytes {first}-{last}/{len}\r\nContent-Length: {}\r\n\r\n",
        range.len()
    ));
    call.say(&body[first..first + range.len() / 2]);
}

fn end_part(mut call: Call, (body, range): (&[u8], std::ops::Range<usize>)) {
    call.say(&body[range.start + range.len() / 2..range.end]);
    call.done();
}

/// RFC 9111 section 3.4 meets a purge: what is purged is joined to nothing, whatever tags the rest
/// of the body has.
#[test]
fn purged_part_is_joined_to_nothing() {
    let body = body_of(8, 1000);
    for (order, before_the_head) in [("tag", false), ("all", false), ("tag", true), ("all", true)] {
        let order = match order {
            "tag" => serde_json::json!({ "tag": "red" }),
            _ => serde_json::json!({ "all": true }),
        };
        let origin = Origin::start();
        let edge = Edge::before(&origin);
        let mut client = edge.client();
        client.ask("GET", "/part", &["Range: bytes=0-99"]);
        let mut call = origin.call();
        begin_part(&mut call, ("red", &body, 0..100));
        end_part(call, (&body, 0..100));
        assert!(client.response().body == body[..100]);
        edge.wait_for_stored(1);

        client.ask("GET", "/part", &["Range: bytes=100-199"]);
        let mut call = origin.call();
        if before_the_head {
            edge.purge_all_of(&order);
        }
        begin_part(&mut call, ("blue", &body, 100..200));
        let mut response = client.response_head();
        if !before_the_head {
            edge.purge_all_of(&order);
        }
        end_part(call, (&body, 100..200));
        assert!(client.rest_of(&mut response) && response.body == body[100..200]);
        // Whatever is done with the part has been done when the next request is.
        let mut next = edge.client();
        next.ask("GET", "/other", &[]);
        origin.call_for("GET", "/other").answer(reply("200 OK", &[], ""));
        assert_eq!(next.response().status, 200);
        let fields = ["Range: bytes=0-99", "Cache-Control: only-if-cached"];
        let probe = next.get_with("/part", &fields);
        assert_eq!(probe.status, 504, "{order} {before_the_head}");
    }
}

#[test]
fn purged_part_is_completed_by_nothing() {
    let body = body_of(8, 1000);
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    client.ask("GET", "/part", &["Range: bytes=0-99"]);
    let mut call = origin.call();
    begin_part(&mut call, ("red", &body, 0..100));
    end_part(call, (&body, 0..100));
    assert!(client.response().body == body[..100]);
    edge.wait_for_stored(1);
    client.ask("GET", "/part", &[]);
    let mut call = origin.call();
    assert_eq!(call.field("Range"), Some("bytes=100-999"));
    edge.purge_all_of(&serde_json::json!({ "tag": "red" }));
    begin_part(&mut call, ("blue", &body, 100..1000));
    // What was to complete it is not wanted any more.
    let new = body_of(9, 1000);
    let whole = origin.call_for("GET", "/part");
    assert_eq!(whole.field("Range"), None);
    whole.answer(reply("200 OK", &[FRESH], &new));
    assert!(client.response().body == new);
    edge.wait_for_stored(2);
    assert!(client.get("/part").body == new);
}

/// Not even an origin that says the same of other bytes gets those of before a purge into a body of
/// after it.
#[test]
fn slice_that_a_purge_has_overtaken_is_not_stored() {
    let (old, new) = (body_of(9, LARGE), body_of(10, LARGE));
    let origin = Origin::start();
    let edge = Setting::before(&origin).store(SLICED).start();
    let mut client = edge.client();
    client.ask("GET", "/large", &["Range: bytes=0-9"]);
    answer_in_parts(origin.call(), &old, "\"v1\"");
    assert!(client.response().body == old[..10]);
    edge.wait_for_stored(1);
    client.ask("GET", "/large", &["Range: bytes=5-9"]);
    let slice = origin.call();
    assert!(slice.field("If-Range").is_some());
    assert!(edge.purge("http://play.test/large"));

    let mut late = edge.client();
    late.ask("GET", "/large", &["Range: bytes=100-109"]);
    let call = origin.call();
    assert_eq!(call.field("Range"), Some("bytes=100-109"));
    answer_in_parts(call, &new, "\"v1\"");
    assert!(late.response().body == new[100..110]);
    edge.wait_for_stored(2);
    // The record that it was for is gone; it is fetched for the one that is there.
    answer_in_parts(slice, &old, "\"v1\"");
    answer_in_parts(origin.call(), &new, "\"v1\"");
    assert!(client.response().body == new[5..10]);
    late.ask("GET", "/large", &["Range: bytes=0-99"]);
    answer_in_parts(origin.call(), &new, "\"v1\"");
    assert!(late.response().body == new[..100]);
    edge.wait_for("longhold_store_slices_total", 1);
    assert!(late.get_with("/large", &["Range: bytes=0-999"]).body == new[..1000]);
}

/// What was evicted of a large object is fetched again, and no more of it, where the origin has
/// said that it knows ranges.
#[test]
fn evicted_slices_of_a_large_object_are_fetched_by_themselves() {
    let body = body_of(3, 5 << 20);
    let sent = body.clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let sent_bytes = Arc::clone(&asked);
    let origin = Origin::answering(move |call| {
        if call.target() != "/large" {
            return call.answer(reply("200 OK", &[FRESH], body_of(1, 300_000)));
        }
        let Some(range) = call.field("Range").and_then(|range| range.strip_prefix("bytes=")) else {
            let fields = [FRESH, "ETag: \"v1\"", "Accept-Ranges: bytes"];
            return call.answer(reply("200 OK", &fields, &sent));
        };
        let (first, last) = range.split_once('-').expect("a range");
        let first: usize = first.parse().expect("a number");
        let end = last.parse::<usize>().expect("a number") + 1;
        sent_bytes.fetch_add(end - first, Ordering::SeqCst);
        answer_in_parts(call, &sent, "\"v1\"");
    });
    let edge = Setting::before(&origin).store("size = \"16MiB\"\nmemory = 0").start();
    let mut client = edge.client();
    assert!(client.get("/large").body == body);
    edge.wait_for_stored(1);
    // Its beginning is asked for all the time, so that it and the root stay; its end never.
    let cached = "Cache-Control: only-if-cached";
    let mut others = 0;
    loop {
        for _ in 0..100 {
            others += 1;
            client.get(&format!("/other/{others}"));
            client.get_with("/large", &["Range: bytes=0-999", cached]);
        }
        if !client.get_with("/large", &["Range: bytes=3000000-3000000", cached]).is_hit() {
            break;
        }
        assert!(others < 2000, "some of it is evicted");
    }
    assert!(client.get_with("/large", &["Range: bytes=0-999", cached]).is_hit());
    let whole = client.get("/large");
    assert!(whole.body == body && whole.cache().contains("fwd=partial"), "{}", whole.cache());
    let fetched = asked.load(Ordering::SeqCst);
    assert!(fetched > 0 && fetched < body.len(), "{fetched} bytes");
}

/// RFC 9111 section 4.3.4: a part is confirmed as any stored response is, and stays a part.
#[test]
fn stale_part_is_confirmed_and_stays_a_part() {
    let origin = Origin::start();
    let edge = Edge::before(&origin);
    let mut client = edge.client();
    let range = "Range: bytes=2-4";
    let stale = ["Cache-Control: max-age=0", "ETag: \"v1\"", "Content-Range: bytes 2-4/10"];
    client.ask("GET", "/part", &[range]);
    origin.call_for("GET", "/part").answer(reply("206 Partial Content", &stale, "234"));
    assert_eq!(client.response().body, b"234");
    edge.wait_for_stored(1);
    client.ask("GET", "/part", &[range]);
    let call = origin.call_for("GET", "/part");
    assert_eq!(call.field("If-None-Match"), Some("\"v1\""));
    call.answer(format!("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n{FRESH}\r\n\r\n"));
    let again = client.response();
    assert_eq!((again.status, &again.body[..]), (206, &b"234"[..]));
    assert_eq!(again.field("Content-Range"), Some("bytes 2-4/10"));
    edge.wait_for_stored(2);
    let fresh = client.get_with("/part", &["Range: bytes=3-3"]);
    assert!(fresh.is_hit() && fresh.body == b"3", "{}", fresh.cache());
    // It is no answer to a request for the whole: what is in front of it is missing, and behind it.
    client.ask("GET", "/part", &[]);
    let call = origin.call_for("GET", "/part");
    assert_eq!(call.field("Range"), None);
    call.answer(reply("200 OK", &[FRESH, "ETag: \"v1\""], "0123456789"));
    assert_eq!(client.response().body, b"0123456789");
}
