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
