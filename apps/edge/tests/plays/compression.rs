//! Compression on the way from the origin: coded once, stored per coding.

use std::io::Read;

use crate::stage::{Client, Edge, FRESH, Origin, Response, Setting, body_of, reply};

const TEXT: &str = "Content-Type: text/html";
const TAG: &str = "ETag: \"v1\"";

fn start(origin: &Origin) -> Edge {
    let lines = "[site.defaults]\ncompress = [\"br\", \"zstd\", \"gzip\"]";
    Setting::before(origin).rules(lines).start()
}

/// Text of some length that compresses, and differs by its seed.
fn text(seed: u64, len: usize) -> Vec<u8> {
    let bytes = body_of(seed, len / 4 + 1);
    let hex = bytes.iter().flat_map(|byte| format!("{byte:02x}  ").into_bytes());
    hex.take(len).collect()
}

fn plain(response: &Response) -> Vec<u8> {
    let mut coded = &response.body[..];
    let mut out = Vec::new();
    let read = match response.field("Content-Encoding") {
        Some("br") => brotli::Decompressor::new(coded, 4096).read_to_end(&mut out),
        Some("zstd") => zstd::stream::read::Decoder::new(coded).unwrap().read_to_end(&mut out),
        Some("gzip") => flate2::read::GzDecoder::new(coded).read_to_end(&mut out),
        None => coded.read_to_end(&mut out),
        Some(other) => panic!("coded by {other}"),
    };
    read.expect("a whole body");
    out
}

fn fetch(origin: &Origin, client: &mut Client, accept: &[&str], answer: &[u8]) -> Response {
    client.ask("GET", "/page", accept);
    origin.call_for("GET", "/page").answer(answer);
    client.response()
}

#[test]
fn each_coding_is_stored_beside_the_others() {
    let origin = Origin::start();
    let edge = start(&origin);
    let mut client = edge.client();
    let body = text(1, 300_000);
    let answer = reply("200 OK", &[FRESH, TEXT, TAG], &body);
    let asks: [(&[&str], Option<&str>); 4] = [
        (&["Accept-Encoding: gzip, deflate, br"], Some("br")),
        (&["Accept-Encoding: gzip;q=0.5, zstd"], Some("zstd")),
        (&["Accept-Encoding: gzip"], Some("gzip")),
        (&[], None),
    ];
    for (turn, (accept, coding)) in asks.into_iter().enumerate() {
        client.ask("GET", "/page", accept);
        let call = origin.call_for("GET", "/page");
        // The origin is asked for what the key says, and may code by itself.
        assert_eq!(call.field("Accept-Encoding"), coding);
        call.answer(&answer);
        let response = client.response();
        assert_eq!(response.field("Content-Encoding"), coding);
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
        let tag = if coding.is_some() { "W/\"v1\"" } else { "\"v1\"" };
        assert_eq!(response.field("ETag"), Some(tag));
        assert!(plain(&response) == body, "{coding:?}");
        if coding.is_some() {
            assert!(response.body.len() < body.len() / 2, "{coding:?}: {}", response.body.len());
        }
        edge.wait_for_stored(turn as u64 + 1);
    }
    for (accept, coding) in asks {
        let response = client.get_with("/page", accept);
        assert!(response.is_hit());
        assert_eq!(response.field("Content-Encoding"), coding);
        assert_eq!(response.field("Content-Length"), Some(&*response.body.len().to_string()));
        assert!(plain(&response) == body, "{coding:?}");
    }
    assert!(client.get_with("/page", &["Accept-Encoding: x, br;q=0.2"]).is_hit());
    let response = client.get_with("/page", &["Accept-Encoding: br", "If-None-Match: \"v1\""]);
    assert_eq!((response.status, response.field("ETag")), (304, Some("W/\"v1\"")));
    assert!(edge.purge("http://play.test/page"));
    fetch(&origin, &mut client, &["Accept-Encoding: gzip"], &answer);
}

/// What comes slowly is seen as it comes.
#[test]
fn coded_body_streams() {
    let origin = Origin::start();
    let edge = start(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &["Accept-Encoding: gzip"]);
    let mut call = origin.call_for("GET", "/page");
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\n{TEXT}\r\nTransfer-Encoding: chunked\r\n\r\n"));
    call.say("5\r\nfirst\r\n");
    let mut response = client.response_head();
    assert_eq!(response.field("Content-Encoding"), Some("gzip"));
    // All that the client needs for the first words comes while the origin still holds the rest.
    let size = client.hear_line();
    let len = usize::from_str_radix(&size, 16).expect("a chunk's size");
    let mut coded = client.hear(len);
    client.hears("\r\n");
    let mut first = [0; 5];
    while flate2::read::GzDecoder::new(&coded[..]).read_exact(&mut first).is_err() {
        let len = usize::from_str_radix(&client.hear_line(), 16).expect("a chunk's size");
        coded.extend(client.hear(len));
        client.hears("\r\n");
    }
    assert_eq!(&first, b"first");
    call.answer("5\r\n last\r\n0\r\n\r\n");
    assert!(client.rest_of(&mut response));
    coded.append(&mut response.body);
    let mut whole = String::new();
    flate2::read::GzDecoder::new(&coded[..]).read_to_string(&mut whole).expect("a whole body");
    assert_eq!(whole, "first last");
    edge.wait_for_stored(1);
    assert!(client.get_with("/page", &["Accept-Encoding: gzip"]).is_hit());
}

/// A body that is cut at the origin is cut for its readers, and no ending is made up.
#[test]
fn cut_body_is_not_completed() {
    let origin = Origin::start();
    let edge = start(&origin);
    let mut client = edge.client();
    client.ask("GET", "/page", &["Accept-Encoding: br"]);
    let mut call = origin.call_for("GET", "/page");
    call.say(format!("HTTP/1.1 200 OK\r\n{FRESH}\r\n{TEXT}\r\nContent-Length: 100000\r\n\r\n"));
    call.say(text(1, 5000));
    client.response_head();
    call.hang_up();
    let mut client = edge.client();
    let answer = reply("200 OK", &[FRESH, TEXT], text(2, 5000));
    let response = fetch(&origin, &mut client, &["Accept-Encoding: br"], &answer);
    assert!(plain(&response) == text(2, 5000));
}

#[test]
fn what_is_not_worth_it_stays_as_it_is() {
    let origin = Origin::start();
    let edge = start(&origin);
    let mut client = edge.client();
    let long = text(1, 5000);
    for (turn, (fields, body)) in [
        (&["Content-Type: image/png", TAG][..], &long[..]),
        (&[TEXT, TAG], &long[..100]),
        (&[TEXT, TAG, "Content-Encoding: compress"], &long),
        (&[TAG], &long),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{turn}");
        let fields = [fields, &[FRESH]].concat();
        client.ask("GET", &target, &["Accept-Encoding: br"]);
        origin.call_for("GET", &target).answer(reply("200 OK", &fields, body));
        let response = client.response();
        assert_eq!(response.body, body, "{turn}");
        assert_eq!((response.field("Vary"), response.field("ETag")), (None, Some("\"v1\"")));
        edge.wait_for_stored(turn as u64 + 1);
        // One for all.
        assert!(client.get(&target).is_hit(), "{turn}");
    }
    let fixed = reply("200 OK", &[TEXT, "Cache-Control: max-age=9, no-transform"], &long);
    let response = fetch(&origin, &mut client, &["Accept-Encoding: br"], &fixed);
    assert!(response.body == long);
}

/// What is not stored is compressed for the one who asked.
#[test]
fn private_pages_are_compressed_as_well() {
    let origin = Origin::start();
    let edge = start(&origin);
    let mut client = edge.client();
    let body = text(1, 50_000);
    let answer = reply("200 OK", &[TEXT, "Cache-Control: private"], &body);
    for _ in 0..2 {
        let response = fetch(&origin, &mut client, &["Accept-Encoding: zstd"], &answer);
        assert_eq!(response.field("Content-Encoding"), Some("zstd"));
        assert!(plain(&response) == body);
    }
    client.ask("HEAD", "/page", &["Accept-Encoding: zstd"]);
    let head = reply("200 OK", &[TEXT, TAG], &body);
    let head = &head[..head.len() - body.len()];
    origin.call_for("HEAD", "/page").answer(head);
    let response = client.response_head();
    assert_eq!(response.field("Content-Encoding"), Some("zstd"));
    assert_eq!(
        (response.field("ETag"), response.field("Content-Length")),
        (Some("W/\"v1\""), None)
    );
}

/// The origin knows only its own tag, and confirms it (RFC 9111 section 4.3.4).
#[test]
fn coded_response_is_confirmed_by_the_plain_ones_tag() {
    let origin = Origin::start();
    let edge = start(&origin);
    let mut client = edge.client();
    let body = text(1, 50_000);
    let accept = ["Accept-Encoding: br"];
    let stale = [TEXT, TAG, "Cache-Control: max-age=60", "Age: 100"];
    let response = fetch(&origin, &mut client, &accept, &reply("200 OK", &stale, &body));
    assert!(plain(&response) == body);
    edge.wait_for_stored(1);
    client.ask("GET", "/page", &accept);
    let call = origin.call_for("GET", "/page");
    assert_eq!(call.field("If-None-Match"), Some("W/\"v1\""));
    call.answer(format!("HTTP/1.1 304 Not Modified\r\n{TAG}\r\n{FRESH}\r\n\r\n"));
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(plain(&response) == body);
    edge.wait_for_stored(2);
    let response = client.get_with("/page", &accept);
    assert!(response.is_hit());
    assert_eq!(response.field("ETag"), Some("W/\"v1\""));
    assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
    // A part of a coded body is a part of just that (RFC 9110 section 14.2).
    let part = client.get_with("/page", &["Accept-Encoding: br", "Range: bytes=10-19"]);
    assert_eq!((part.status, part.field("Content-Encoding")), (206, Some("br")));
    assert!(part.body == response.body[10..20]);
}

/// One more than there are compressors for goes out plain, and is an answer all the same.
#[test]
fn bodies_beyond_the_bound_go_out_plain() {
    const CODERS: usize = 32;
    let origin = Origin::start();
    let edge = start(&origin);
    let mut held = Vec::new();
    for turn in 0..=CODERS {
        let mut client = edge.client();
        let target = format!("/{turn}");
        client.ask("GET", &target, &["Accept-Encoding: gzip"]);
        let mut call = origin.call_for("GET", &target);
        call.say(format!(
            "HTTP/1.1 200 OK\r\n{FRESH}\r\n{TEXT}\r\n{TAG}\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        let head = client.response_head();
        let expected = (turn < CODERS).then_some("gzip");
        assert_eq!(head.field("Content-Encoding"), expected, "{turn}");
        assert_eq!(head.field("Vary"), Some("Accept-Encoding"));
        held.push((client, call, head));
    }
    for (mut client, call, mut head) in held {
        call.answer("5\r\nwords\r\n0\r\n\r\n");
        assert!(client.rest_of(&mut head));
        assert_eq!(plain(&head), b"words");
    }
}
