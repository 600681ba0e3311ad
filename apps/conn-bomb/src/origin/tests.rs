//! The origin over real sockets: bodies equal what clients compute, framing and switches hold.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use longhold_loadgen::content::Content;

use super::serve;

fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    std::thread::spawn(move || serve(&listener, Duration::from_secs(60)));
    address
}

/// Sends `request` and reads to the end of the stream: head and body.
fn exchange(address: SocketAddr, request: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(request.as_bytes()).expect("sends");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("ends");
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let body = bytes.split_off(end);
    (String::from_utf8(bytes).expect("ASCII"), body)
}

fn get(address: SocketAddr, target: &str, fields: &str) -> (String, Vec<u8>) {
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n");
    exchange(address, &request)
}

fn content(target: &str) -> Vec<u8> {
    let content = Content::of_target(target).expect("a content target");
    let mut bytes = vec![0; content.length_bytes() as usize];
    content.fill(0, &mut bytes);
    bytes
}

#[test]
fn bodies_follow_from_the_path_in_either_framing() {
    let address = start();
    for size in [0, 1, 1024, 65_536, 200_001] {
        let target = format!("/bytes/{size}");
        let (head, body) = get(address, &format!("{target}?max_age=60"), "");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {size}\r\n")), "{head}");
        assert!(head.contains("Cache-Control: max-age=60\r\n"), "{head}");
        assert_eq!(body, content(&target));
    }
    let (head, body) = get(address, "/bytes/100000?chunked=1", "");
    assert!(head.contains("Transfer-Encoding: chunked"), "{head}");
    let whole = content("/bytes/100000");
    let (first, second) = whole.split_at(65_536);
    let expected = [b"10000\r\n", first, b"\r\n86a0\r\n", second, b"\r\n0\r\n\r\n"].concat();
    assert!(body == expected, "chunked body of {} bytes", body.len());
}

#[test]
fn head_tag_cut_and_status_do_what_they_say() {
    let address = start();
    let head_request = "HEAD /bytes/10 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let (head, body) = exchange(address, head_request);
    assert!(head.contains("Content-Length: 10\r\n") && body.is_empty(), "{head}");

    let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("a tag");
    let (head, body) = get(address, "/bytes/10", &format!("If-None-Match: {tag}\r\n"));
    assert!(head.starts_with("HTTP/1.1 304 ") && body.is_empty(), "{head}");

    let (head, body) = get(address, "/bytes/10?cut=4", "");
    assert!(head.contains("Content-Length: 10\r\n"), "{head}");
    assert_eq!(body, content("/bytes/10")[..4]);

    let (head, _) = get(address, "/bytes/10?status=503", "");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    let (head, _) = get(address, "/bytes/10?nonsense=1", "");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let (head, _) = get(address, "/elsewhere", "");
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    let (head, _) = exchange(address, "GET  / HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
}

#[test]
fn ranges_are_answered_where_the_script_lets_them() {
    let address = start();
    let whole = content("/bytes/1000");
    let check = |range: &str, status: &str, content_range: &str, part: &[u8]| {
        let (head, body) = get(address, "/bytes/1000?ranges=1", &format!("Range: {range}\r\n"));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{range}: {head}");
        let told = head.lines().find_map(|line| line.strip_prefix("Content-Range: "));
        assert_eq!(told.unwrap_or_default(), content_range, "{range}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", part.len())), "{range}: {head}");
        assert_eq!(body, part, "{range}");
    };
    check("bytes=0-0", "206", "bytes 0-0/1000", &whole[..1]);
    check("bytes=17-99", "206", "bytes 17-99/1000", &whole[17..100]);
    check("bytes=-5", "206", "bytes 995-999/1000", &whole[995..]);
    check("bytes=990-2000", "206", "bytes 990-999/1000", &whole[990..]);
    check("bytes=1000-", "416", "bytes */1000", &[]);
    check("bytes=0-1,5-6", "200", "", &whole);
    check("bytes=5-1", "200", "", &whole);

    let tag = format!("\"{:016x}\"", Content::of_target("/bytes/1000").expect("content").name());
    for (if_range, status) in [(tag.as_str(), "206"), ("\"other\"", "200")] {
        let fields = format!("Range: bytes=1-2\r\nIf-Range: {if_range}\r\n");
        let (head, _) = get(address, "/bytes/1000?ranges=1", &fields);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{if_range}: {head}");
    }
    let (head, body) = get(address, "/bytes/1000", "Range: bytes=0-0\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && body == whole, "off unless asked for: {head}");
    let chunked = get(address, "/bytes/1000?ranges=1&chunked=1", "Range: bytes=3-5\r\n");
    assert_eq!(chunked.1, [b"3\r\n", &whole[3..6], b"\r\n0\r\n\r\n"].concat());
}

#[test]
fn answers_break_off_where_they_are_cut_by_an_end_or_by_a_reset() {
    let address = start();
    let whole = content("/bytes/500");
    // What comes before the end, without the head if there is all of it, and how it ends.
    let check = |query: &str, body: &[u8], end: std::io::Result<()>| {
        let mut stream = TcpStream::connect(address).expect("connects");
        write!(stream, "GET /bytes/500?{query} HTTP/1.1\r\nHost: a\r\n\r\n").expect("sends");
        let mut bytes = Vec::new();
        let ended = stream.read_to_end(&mut bytes).map(|_| ());
        let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
        assert_eq!(bytes[head..], *body, "{query}");
        let kind = |ended: std::io::Result<()>| ended.err().map(|error| error.kind());
        assert_eq!(kind(ended), kind(end), "{query}");
    };
    let reset = || Err(std::io::ErrorKind::ConnectionReset.into());
    check("cut=100", &whole[..100], Ok(()));
    check("cut=0", &[], Ok(()));
    check("cut=100&reset=1", &whole[..100], reset());
    check("cut_head=10", b"HTTP/1.1 2", Ok(()));
    check("cut_head=10&reset=1", b"HTTP/1.1 2", reset());
    check("cut_head=0", &[], Ok(()));
    check("cut_head=0&reset=1", &[], reset());
    check("reset=1", &whole, reset());
    check("chunked=1&cut=7", &[b"7\r\n", &whole[..7], b"\r\n"].concat(), Ok(()));
}

#[test]
fn a_delay_is_waited_and_a_lifetime_a_status_and_a_field_are_told() {
    let address = start();
    let began = std::time::Instant::now();
    let (head, _) =
        get(address, "/bytes/1?delay_ms=30&cache_control=private,+max-age=5&vary=A", "");
    assert!(began.elapsed() >= Duration::from_millis(30), "never sooner");
    assert!(head.contains("Cache-Control: private, max-age=5\r\nVary: A\r\n"), "{head}");
    let (head, body) = get(address, "/bytes/9?status=404&max_age=3", "");
    assert!(head.starts_with("HTTP/1.1 404 ") && head.contains("max-age=3\r\n"), "{head}");
    assert_eq!(body, content("/bytes/9"));
    let (_, body) = get(address, "/bytes/9?extra=6", "");
    assert_eq!(body, [content("/bytes/9"), b"extra ".to_vec()].concat());
}

#[test]
fn a_million_objects_are_told_apart_without_being_stored() {
    let address = start();
    let mut bodies = std::collections::HashSet::new();
    for key in (0..1_000_000).step_by(9973) {
        let target = format!("/bytes/64/{key}");
        let (_, body) = get(address, &format!("{target}?max_age=60"), "");
        assert_eq!(body, content(&target), "{target}");
        bodies.insert(body);
    }
    assert_eq!(bodies.len(), 101, "no two are equal");
}

#[test]
fn events_come_until_the_client_leaves() {
    let address = start();
    let mut stream = TcpStream::connect(address).expect("connects");
    stream.write_all(b"GET /events?interval=20ms HTTP/1.1\r\nHost: a\r\n\r\n").expect("sends");
    let mut expected = longhold_loadgen::events::stream_head().into_bytes();
    (1..=5).for_each(|number| longhold_loadgen::events::write_chunk(number, &mut expected));
    let mut found = vec![0; expected.len()];
    stream.read_exact(&mut found).expect("five events");
    assert!(found == expected, "{}", String::from_utf8_lossy(&found));
    stream.shutdown(std::net::Shutdown::Write).expect("it stands");
    let rest = stream.read_to_end(&mut Vec::new());
    assert!(rest.is_ok(), "the origin ends the stream");
}

#[test]
fn uploads_are_counted_in_either_framing_and_requests_are_counted() {
    let address = start();
    let fields = "Host: a\r\nConnection: close\r\n";
    let by_length = exchange(
        address,
        &format!("POST /upload HTTP/1.1\r\n{fields}Content-Length: 5\r\n\r\nhello"),
    );
    let by_chunks = exchange(
        address,
        &format!(
            "PUT /upload HTTP/1.1\r\n{fields}Transfer-Encoding: chunked\r\n\r\n\
             2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
        ),
    );
    assert_eq!(by_length.1, by_chunks.1);
    assert!(by_length.1.starts_with(b"{\"received_bytes\":5,"));
    let (_, stats) = get(address, "/stats", "");
    assert!(stats.starts_with(b"{\"requests\":3,"), "{}", String::from_utf8_lossy(&stats));
}
