//! Slow readers of large objects whose slices leave the store before they are read: the rest is
//! fetched, of the very same response or not at all.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use crate::stage::{Call, Client, Edge, Origin, Response, Setting, body_of, reply};

/// Less than half of the memory tier, and much more than its reader's sockets and the two segments
/// take that it pins: what is being sent, and its end with the root.
const LARGE: usize = (15 << 20) + 4321;

/// What pushes it out.
const OTHER: usize = 12 << 20;

/// Slices of 128 KiB.
const MEMORY: &str = "size = \"256MiB\"\nsegment = \"1MiB\"\nmemory = \"32MiB\"";
const DISK: &str = "size = \"64MiB\"\nsegment = \"1MiB\"\nmemory = 0";

/// How an origin answers who wants the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// As RFC 9110 has it.
    Right,
    /// It has changed, and says so.
    Changed,
    /// It has changed, and sends a part of the new one, whatever the condition.
    OtherPart,
    /// The part says that the whole is longer now, under the same tag.
    OtherLength,
    /// It sends other bytes than those it was asked for.
    OtherRange,
    /// Its part has no tag.
    Untagged,
    Fails,
}

/// `Range` and `If-Range` of requests, as they came.
type Asked = Vec<(Range<usize>, String)>;

/// An origin, and what it was asked of `/large` besides the first request.
struct Scene {
    origin: Origin,
    seen: Arc<Mutex<Asked>>,
    manner: Arc<Mutex<Manner>>,
}

impl Scene {
    /// With these field lines on all that it says of `/large`.
    fn new(fields: &'static [&'static str]) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let manner = Arc::new(Mutex::new(Manner::Right));
        let (log, how) = (Arc::clone(&seen), Arc::clone(&manner));
        let body = body_of(1, LARGE);
        let origin = Origin::answering(move |call| {
            if let Some(number) = call.target().strip_prefix("/other/") {
                let seed = number.parse().expect("a number");
                return say(call, reply("200 OK", &[FRESH, TAG], other(seed)));
            }
            let Some(range) = call.field("Range") else {
                return say(call, reply("200 OK", &[fields, &[FRESH]].concat(), &body));
            };
            let range = range_of(range);
            let condition = call.field("If-Range").unwrap_or_default().to_owned();
            log.lock().expect("no panic under the lock").push((range.clone(), condition));
            let how = *how.lock().expect("no panic under the lock");
            answer_rest(call, (how, fields), (range, &body));
        });
        Self { origin, seen, manner }
    }

    fn will(&self, manner: Manner) {
        *self.manner.lock().expect("no panic under the lock") = manner;
    }

    fn seen(&self) -> Asked {
        self.seen.lock().expect("no panic under the lock").clone()
    }
}

const TAG: &str = "ETag: \"v1\"";

/// Also for what was made in 2024.
const FRESH: &str = "Cache-Control: max-age=2000000000";

const DATED: [&str; 2] =
    ["Date: Tue, 02 Jan 2024 00:00:00 GMT", "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"];

fn say(mut call: Call, bytes: Vec<u8>) {
    if call.try_say(bytes) {
        call.done();
    }
}

/// `bytes=first-last`
fn range_of(field: &str) -> Range<usize> {
    let (first, last) =
        field.strip_prefix("bytes=").and_then(|range| range.split_once('-')).expect("a range");
    first.parse().expect("a number")..last.parse::<usize>().expect("a number") + 1
}

fn answer_rest(call: Call, (how, fields): (Manner, &[&str]), (range, body): (Range<usize>, &[u8])) {
    let new = body_of(2, LARGE);
    let part = |range: Range<usize>, fields: &[&str], whole: &[u8], len: usize| {
        let said = format!("Content-Range: bytes {}-{}/{len}", range.start, range.end - 1);
        let fields = [fields, &[FRESH, &said]].concat();
        reply("206 Partial Content", &fields, &whole[range])
    };
    match how {
        Manner::Right => say(call, part(range, fields, body, LARGE)),
        Manner::Changed => say(call, reply("200 OK", &[FRESH, "ETag: \"v2\""], new)),
        Manner::OtherPart => say(call, part(range, &["ETag: \"v2\""], &new, LARGE)),
        Manner::OtherLength => say(call, part(range, fields, &new, LARGE + 1)),
        Manner::OtherRange => say(call, part(range.start - 1..range.end - 1, fields, body, LARGE)),
        Manner::Untagged => say(call, part(range, &[], &new, LARGE)),
        Manner::Fails => call.reset(),
    }
}

fn other(seed: u8) -> Vec<u8> {
    vec![seed; OTHER]
}

/// Has others stored until what was there before them is gone, unless it was asked for: each
/// segment, of memory or of a disk without memory in front, has given way once.
fn push_out(edge: &Edge, store: &str) {
    const GONE: &str = "longhold_store_segments_reclaimed_total";
    let segments = if store == MEMORY { 8 } else { 64 };
    let before = edge.counter(GONE);
    let mut client = edge.client();
    for seed in 10..40 {
        if edge.counter(GONE) >= before + segments {
            return;
        }
        assert!(client.get(&format!("/other/{seed}")).body == other(seed));
    }
    panic!("they do not give way");
}

/// A client who has asked for the stored object and has read no more than the head.
fn slow_hit(edge: &Edge) -> (Client, Response) {
    assert!(edge.client().get("/large").body == body_of(1, LARGE));
    edge.wait_for_stored(1);
    let mut client = edge.client().narrow();
    client.ask("GET", "/large", &[]);
    let head = client.response_head();
    assert!(head.is_hit(), "{}", head.cache());
    (client, head)
}

#[test]
fn slow_reader_of_a_hit_gets_the_rest_by_slices_which_are_stored_again() {
    let scene = Scene::new(&[TAG, "Accept-Ranges: bytes"]);
    for store in [MEMORY, DISK] {
        let edge = Setting::before(&scene.origin).store(store).start();
        let (mut client, mut response) = slow_hit(&edge);
        push_out(&edge, store);
        let before = scene.seen().len();
        assert!(client.rest_of(&mut response) && response.body == body_of(1, LARGE), "{store}");
        let seen = scene.seen().split_off(before);
        assert!(seen.len() > 1, "{store}: {seen:?}");
        for (range, condition) in &seen {
            assert_eq!((range.start % (128 << 10), &**condition), (0, "\"v1\""), "{store}");
        }
        assert_eq!(edge.counter("longhold_refetches_total{result=continued}"), 1, "{store}");
        edge.wait_for("longhold_store_slices_total", seen.len() as u64);
        // The connection serves on.
        assert_eq!(client.get_with("/large", &["Range: bytes=0-9"]).body, body_of(1, 10));
    }
}

#[test]
fn slow_reader_of_a_hit_gets_the_rest_past_the_store_from_an_origin_that_promised_no_ranges() {
    let scene = Scene::new(&[TAG]);
    let edge = Setting::before(&scene.origin).store(MEMORY).start();
    let (mut client, mut response) = slow_hit(&edge);
    push_out(&edge, MEMORY);
    assert!(client.rest_of(&mut response) && response.body == body_of(1, LARGE));
    let seen = scene.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!((seen[0].0.end, &*seen[0].1), (LARGE, "\"v1\""));
    assert!(seen[0].0.start > 0);
}

/// RFC 9110 section 8.8.2.2: a date that is old enough when the response is made is strong.
#[test]
fn strong_date_will_do_where_there_is_no_tag() {
    let scene = Scene::new(&DATED);
    let edge = Setting::before(&scene.origin).store(MEMORY).start();
    let mut client = edge.client().narrow();
    client.ask("GET", "/large", &[]);
    let mut response = client.response_head();
    edge.wait_for_stored(1);
    push_out(&edge, MEMORY);
    assert!(client.rest_of(&mut response) && response.body == body_of(1, LARGE));
    let seen = scene.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].1, "Mon, 01 Jan 2024 00:00:00 GMT");
}

#[test]
fn slow_reader_of_a_miss_gets_the_rest_when_all_of_it_has_left_memory() {
    for fields in [&[TAG][..], &[TAG, "Accept-Ranges: bytes"]] {
        let scene = Scene::new(fields);
        let edge = Setting::before(&scene.origin).store(MEMORY).start();
        let mut client = edge.client().narrow();
        client.ask("GET", "/large", &[]);
        let mut response = client.response_head();
        edge.wait_for_stored(1);
        push_out(&edge, MEMORY);
        assert!(client.rest_of(&mut response) && response.body == body_of(1, LARGE));
        let seen = scene.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        assert_eq!((seen[0].0.end, &*seen[0].1), (LARGE, "\"v1\""));
    }
}

#[test]
fn slow_reader_of_several_ranges_gets_the_rest_of_each() {
    let scene = Scene::new(&[TAG, "Accept-Ranges: bytes"]);
    let edge = Setting::before(&scene.origin).store(MEMORY).start();
    edge.client().get("/large");
    edge.wait_for_stored(1);
    let body = body_of(1, LARGE);
    let ranges = [0..1000, 2000..7 << 20, (7 << 20) + 9000..LARGE];
    let said: Vec<_> = ranges.iter().map(|r| format!("{}-{}", r.start, r.end - 1)).collect();
    let mut client = edge.client().narrow();
    client.ask("GET", "/large", &[&format!("Range: bytes={}", said.join(", "))]);
    let mut response = client.response_head();
    assert!(response.status == 206 && response.is_hit(), "{}", response.cache());
    push_out(&edge, MEMORY);
    assert!(client.rest_of(&mut response));
    let kind = response.field("Content-Type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("several parts");
    let mut expected = Vec::new();
    for (range, said) in ranges.into_iter().zip(said) {
        let head = format!("\r\n--{boundary}\r\nContent-Range: bytes {said}/{LARGE}\r\n\r\n");
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&body[range]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(response.body == expected);
    assert!(!scene.seen().is_empty());
}

#[test]
fn body_that_is_put_together_comes_whole_though_its_record_is_purged_on_the_way() {
    let scene = Scene::new(&[TAG, "Accept-Ranges: bytes"]);
    let edge = Setting::before(&scene.origin).store(DISK).start();
    // An outline, whose slices are fetched for the next one.
    assert_eq!(edge.client().get_with("/large", &["Range: bytes=0-9"]).body, body_of(1, 10));
    edge.wait_for_stored(1);
    let mut client = edge.client().narrow();
    client.ask("GET", "/large", &[]);
    let mut response = client.response_head();
    assert!(edge.purge("http://play.test/large"));
    assert!(client.rest_of(&mut response) && response.body == body_of(1, LARGE));
    let seen = scene.seen();
    let (last, condition) = seen.last().expect("slices");
    assert_eq!((last.end, &**condition), (LARGE, "\"v1\""));
    assert!(last.len() > 128 << 10, "past the store: {seen:?}");
    assert!(!edge.client().get_with("/large", &["Cache-Control: only-if-cached"]).is_hit());
}

/// RFC 9111 section 3.4: not one byte of another response goes with what was sent.
#[test]
fn response_is_broken_off_when_the_origin_has_not_the_rest_of_this_very_one() {
    let body = body_of(1, LARGE);
    let (plain, sliced) = (&[TAG][..], &[TAG, "Accept-Ranges: bytes"][..]);
    for (fields, manners) in [
        (
            plain,
            &[
                Manner::Changed,
                Manner::OtherPart,
                Manner::OtherLength,
                Manner::OtherRange,
                Manner::Untagged,
                Manner::Fails,
            ][..],
        ),
        (sliced, &[Manner::Changed, Manner::OtherPart]),
    ] {
        for manner in manners {
            let scene = Scene::new(fields);
            let edge = Setting::before(&scene.origin).store(MEMORY).start();
            let (mut client, mut response) = slow_hit(&edge);
            // Before: what its client's kernel takes may call for the rest while others come.
            scene.will(*manner);
            push_out(&edge, MEMORY);
            let is_whole = client.rest_of(&mut response);
            let came = response.body.len();
            assert!(response.body == body[..came], "{manner:?}: {came} bytes");
            let seen = scene.seen();
            assert!(!is_whole, "{manner:?}: {seen:?}");
            assert!(seen.iter().all(|(_, condition)| condition == "\"v1\""), "{seen:?}");
            assert!(!seen.is_empty(), "{manner:?}");
            assert_eq!(edge.counter("longhold_refetches_total{result=broken}"), 1, "{manner:?}");
        }
    }
}

#[test]
fn what_cannot_be_fetched_again_begins_on_a_disk_and_is_broken_off_when_it_leaves_that() {
    let body = body_of(1, LARGE);
    for fields in [&["X-None: 1"][..], &["ETag: W/\"v1\"", "Accept-Ranges: bytes"]] {
        let scene = Scene::new(fields);
        let edge = Setting::before(&scene.origin).store(MEMORY).start();
        let (mut client, mut response) = slow_hit(&edge);
        push_out(&edge, MEMORY);
        assert!(client.rest_of(&mut response) && response.body == body, "{fields:?}");
        let edge = Setting::before(&scene.origin).store(DISK).start();
        let (mut client, mut response) = slow_hit(&edge);
        push_out(&edge, DISK);
        assert!(!client.rest_of(&mut response), "{fields:?}");
        assert!(response.body == body[..response.body.len()], "{fields:?}");
        assert!(scene.seen().is_empty(), "{fields:?}");
    }
}

#[test]
fn object_of_which_half_is_left_after_kill_nine_is_completed_or_fetched_anew() {
    let scene = Scene::new(&[TAG, "Accept-Ranges: bytes"]);
    let mut edge = Setting::before(&scene.origin).store(MEMORY).start();
    let body = body_of(1, LARGE);
    let mut client = edge.client();
    assert!(client.get("/large").body == body);
    edge.wait_for_stored(1);
    // Its second half is asked for again, and is what goes to the disk with its root.
    let half = client.get_with("/large", &[&format!("Range: bytes={}-", LARGE / 2)]);
    assert!(half.is_hit() && half.body == body[LARGE / 2..]);
    push_out(&edge, MEMORY);
    edge.kill();
    let edge = edge.start_again();
    let whole = edge.client().get("/large");
    assert!(whole.status == 200 && whole.body == body, "{}", whole.cache());
    let seen = scene.seen();
    assert!(seen.iter().all(|(range, _)| range.start < LARGE / 2), "{seen:?}");
    assert!(!seen.is_empty(), "the other half is there");
    edge.wait_for("longhold_store_slices_total", seen.len() as u64);
    let again = edge.client().get("/large");
    assert!(again.is_hit() && again.body == body, "{}", again.cache());
}
