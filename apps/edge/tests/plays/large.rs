//! Objects larger than a segment of the store: with a length and without, whole and in ranges.

use std::ops::Range;

use crate::stage::{Call, Client, FRESH, Origin, Response, Setting, body_of, reply};

/// Segments of 1 MiB and slices of 128 KiB; half of it is one object.
const STORE: &str = "size = \"64MiB\"\nsegment = \"1MiB\"\nmemory = \"1MiB\"";

const LARGE: usize = (20 << 20) + 12_345;

/// Says a body in chunks of a size that meets no slice.
fn say_in_chunks(call: &mut Call, body: &[u8]) -> bool {
    body.chunks(100_003).all(|chunk| {
        let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
        call.try_say(framed)
    })
}

/// What the origin says of a target: a length, if it has one, and the body.
fn large_origin() -> Origin {
    Origin::answering(|mut call| {
        let body = body_of(7, LARGE);
        if call.target().starts_with("/known") {
            let length = format!("Content-Length: {LARGE}");
            call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nETag: \"v1\"\r\n{length}\r\n\r\n"));
            if call.try_say(&body) {
                call.done();
            }
            return;
        }
        let framing = "Transfer-Encoding: chunked";
        call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nETag: \"v1\"\r\n{framing}\r\n\r\n"));
        if say_in_chunks(&mut call, &body) && call.try_say("0\r\n\r\n") {
            call.done();
        }
    })
}

fn range(client: &mut Client, target: &str, range: &Range<usize>) -> Response {
    let field = format!("Range: bytes={}-{}", range.start, range.end - 1);
    client.get_with(target, &[&field])
}

#[test]
fn what_is_larger_than_a_segment_is_stored_whole_and_served_in_any_range() {
    let body = body_of(7, LARGE);
    let slice = 128 << 10;
    for target in ["/known", "/unknown"] {
        let origin = large_origin();
        let edge = Setting::before(&origin).store(STORE).start();
        let mut client = edge.client();
        let first = client.get(target);
        assert_eq!((first.status, first.is_hit()), (200, false), "{target}");
        assert!(first.body == body && first.cache().contains("stored"), "{}", first.cache());
        edge.wait_for_stored(1);
        let again = client.get(target);
        assert!(again.is_hit() && again.body == body, "{target}: {}", again.cache());
        let length = LARGE.to_string();
        assert_eq!(again.field("Content-Length"), Some(&*length));
        for part in [
            0..1,
            slice - 1..slice + 1,
            slice..2 * slice,
            3 * slice - 7..9 * slice + 7,
            5_000_000..5_000_001,
            LARGE - 1..LARGE,
        ] {
            let answer = range(&mut client, target, &part);
            assert_eq!(answer.status, 206, "{target} {part:?}");
            assert!(answer.is_hit() && answer.body == body[part.clone()], "{target} {part:?}");
        }
        assert_eq!(edge.fetches(), 1);
    }
}

#[test]
fn large_object_is_there_after_the_process_was_killed() {
    let origin = large_origin();
    let store = "size = \"64MiB\"\nsegment = \"1MiB\"";
    let mut edge = Setting::before(&origin).store(store).on_disk().start();
    let body = body_of(7, LARGE);
    assert!(edge.client().get("/unknown").body == body);
    edge.wait_for_stored(1);
    edge.kill();
    let edge = edge.start_again();
    let again = edge.client().get("/unknown");
    assert!(again.is_hit() && again.body == body, "{}", again.cache());
}

#[test]
fn body_without_a_length_is_followed_through_its_slices_while_it_grows() {
    let origin = Origin::start();
    let edge = Setting::before(&origin).store(STORE).start();
    let body = body_of(9, 3 << 20);
    let mut early = edge.client();
    early.ask("GET", "/grows", &[]);
    let mut call = origin.call_for("GET", "/grows");
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    let (first, second) = body.split_at(2 << 20);
    assert!(say_in_chunks(&mut call, first));
    let mut early_response = early.response_head();
    // It has left memory, slice by slice; who comes now reads it from the store.
    edge.wait("slices", |edge| edge.status()["store"]["objects"].as_u64() >= Some(7));
    let mut late = edge.client();
    late.ask("GET", "/grows", &[]);
    let mut late_response = late.response_head();
    assert!(late_response.cache().contains("collapsed"), "{}", late_response.cache());
    assert!(say_in_chunks(&mut call, second));
    call.say("0\r\n\r\n");
    call.done();
    assert!(early.rest_of(&mut early_response) && early_response.body == body);
    assert!(late.rest_of(&mut late_response) && late_response.body == body);
    assert_eq!(edge.fetches(), 1);
    edge.wait_for_stored(1);
    assert!(edge.client().get("/grows").is_hit());
}

#[test]
fn what_is_left_of_a_large_object_is_served_and_the_rest_is_fetched() {
    let origin = Origin::answering(|mut call| {
        let len = if call.target() == "/large" { 5 << 20 } else { 300_000 };
        if call.try_say(reply("200 OK", &[FRESH, "ETag: \"v1\""], body_of(3, len))) {
            call.done();
        }
    });
    let edge = Setting::before(&origin).store("size = \"16MiB\"\nmemory = 0").start();
    let mut client = edge.client();
    let body = body_of(3, 5 << 20);
    assert!(client.get("/large").body == body);
    edge.wait_for_stored(1);
    let first = 0..1000;
    let mut others = 0;
    // Its beginning is asked for all the time, its end never.
    let whole_is_gone = |client: &mut Client| {
        let whole = client.get_with("/large", &["Cache-Control: only-if-cached"]);
        assert!(whole.status == 504 || whole.body == body);
        whole.status == 504
    };
    while !whole_is_gone(&mut client) {
        for _ in 0..20 {
            others += 1;
            assert_eq!(client.get(&format!("/other/{others}")).body.len(), 300_000);
            let part =
                client.get_with("/large", &["Range: bytes=0-999", "Cache-Control: only-if-cached"]);
            assert!(part.status == 504 || part.body == body[first.clone()]);
        }
        assert!(others < 2000, "some of it is evicted");
    }
    let fetched = edge.fetches();
    let whole = client.get("/large");
    assert!(!whole.is_hit() && whole.body == body, "{}", whole.cache());
    assert_eq!(edge.fetches(), fetched + 1);
    edge.wait("stored anew", |edge| {
        edge.counter("longhold_store_stored_total") > others as u64 + 1
    });
    assert!(client.get("/large").is_hit());
}

#[test]
fn body_that_turns_out_too_large_is_streamed_to_its_end() {
    let origin = large_origin();
    let edge = Setting::before(&origin).store(STORE).limits("object_max = \"4MiB\"").start();
    let body = body_of(7, LARGE);
    for target in ["/unknown", "/known"] {
        let response = edge.client().get(target);
        assert!(response.body == body, "{target}");
        assert!(!edge.client().get_with(target, &["Cache-Control: only-if-cached"]).is_hit());
    }
    let metrics = edge.counter("longhold_store_refused_total");
    assert_eq!((metrics, edge.counter("longhold_store_errors_total{operation=write}")), (2, 0));
}

/// Most of what a large fetch takes is in the store's file.
#[test]
fn memory_does_not_grow_with_the_object() {
    let origin = large_origin();
    let edge = Setting::before(&origin).store(STORE).start();
    let mut client = edge.client();
    client.get("/unknown");
    edge.wait_for_stored(1);
    let before = edge.own_bytes();
    for number in 0..5 {
        client.get(&format!("/unknown/{number}"));
        client.get(&format!("/known/{number}"));
    }
    edge.wait_for_stored(11);
    let grown = edge.own_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more after 200 MiB");
}

/// A hundred mebibytes with a length and twenty without, through a window of one.
#[test]
fn large_objects_come_in_and_go_out_in_ranges_with_flat_memory() {
    const HUGE: usize = 100 << 20;
    let len_of = |target: &str| if target == "/known" { HUGE } else { LARGE };
    let origin = Origin::answering(move |mut call| {
        let body = body_of(5, len_of(call.target()));
        let known = call.target() == "/known";
        let framing = match known {
            true => format!("Content-Length: {HUGE}"),
            false => "Transfer-Encoding: chunked".to_owned(),
        };
        call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nETag: \"v1\"\r\n{framing}\r\n\r\n"));
        let said = match known {
            true => call.try_say(&body),
            false => say_in_chunks(&mut call, &body) && call.try_say("0\r\n\r\n"),
        };
        if said {
            call.done();
        }
    });
    let edge = Setting::before(&origin).store("size = \"512MiB\"\nmemory = \"1MiB\"").start();
    let mut client = edge.client();
    client.get("/unknown?warm");
    edge.wait_for_stored(1);
    let before = edge.own_bytes();
    for (count, target) in [(2, "/known"), (3, "/unknown")] {
        let body = body_of(5, len_of(target));
        assert!(client.get(target).body == body, "{target}");
        edge.wait_for_stored(count);
        let middle = body.len() / 2;
        for part in [0..1000, middle - 5_000_000..middle + 5_000_000, body.len() - 1..body.len()] {
            let answer = range(&mut client, target, &part);
            assert_eq!(answer.status, 206, "{target} {part:?}");
            assert!(answer.is_hit() && answer.body == body[part.clone()], "{target} {part:?}");
        }
        let whole = client.get(target);
        assert!(whole.is_hit() && whole.body == body, "{target}: {}", whole.cache());
    }
    assert_eq!(edge.fetches(), 3);
    let grown = edge.own_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more after 120 MiB");
}
