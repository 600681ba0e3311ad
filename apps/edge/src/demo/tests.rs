//! The demo's pages over a real socket, its three lines, and what it leaves behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::pages::{self, PAGES};
use super::{Addresses, Scratch, config, free, lines, start_origin};
use crate::config::checked::{AdminAddress, LogTarget};
use crate::run::Started;

fn ask(address: SocketAddr, method: &str, path: &str, fields: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: origin\r\nConnection: close\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    let head_end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let body = reply.split_off(head_end + 4);
    (String::from_utf8(reply).unwrap(), body)
}

#[test]
fn pages_say_what_their_row_says() {
    let origin = start_origin().unwrap();
    for page in PAGES.iter().filter(|page| page.path != "/chunked") {
        let (head, body) = ask(origin.address, "GET", page.path, "");
        let code = if page.path == "/error" { "500" } else { "200" };
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{head}");
        assert!(head.contains(&format!("cache-control: {}\r\n", page.caching)), "{head}");
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{head}");
        assert_eq!(head.contains("etag: "), page.path != "/error", "{head}");
        assert_eq!(body, pages::body(page, "en").into_bytes());
    }
    let sizes = [("/1k", 1 << 10), ("/16k", 16 << 10), ("/100k", 100 << 10), ("/1m", 1 << 20)];
    for (path, bytes) in sizes {
        assert_eq!(pages::body(pages::page(path).unwrap(), "en").len(), bytes);
    }
}

#[test]
fn index_links_every_page() {
    let index = pages::body(pages::page("/").unwrap(), "en");
    for page in &PAGES {
        assert!(index.contains(&format!("<a href=\"{}\">", page.path)), "{}", page.path);
    }
}

#[test]
fn chunked_page_does_not_tell_its_length() {
    let origin = start_origin().unwrap();
    let (head, body) = ask(origin.address, "GET", "/chunked", "");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    let chunks = String::from_utf8(body).unwrap().matches("400\r\n").count();
    assert_eq!(chunks, pages::CHUNKS_COUNT);
}

#[test]
fn slow_page_takes_a_second() {
    let origin = start_origin().unwrap();
    let began = Instant::now();
    ask(origin.address, "GET", "/slow", "");
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[test]
fn greeting_varies_by_language() {
    let origin = start_origin().unwrap();
    for (accept, language, text) in [
        ("de", "de", "Guten Tag"),
        ("fr-CH, fr;q=0.9, en;q=0.8", "fr", "Bonjour"),
        ("xx, ES;q=0.5", "es", "Buenos"),
        ("xx", "en", "Good day"),
        ("", "en", "Good day"),
    ] {
        let fields = format!("Accept-Language: {accept}\r\n");
        let (head, body) = ask(origin.address, "GET", "/vary", &fields);
        assert!(head.contains("vary: Accept-Language\r\n"), "{head}");
        assert!(head.contains(&format!("content-language: {language}\r\n")), "{head}");
        assert!(String::from_utf8(body).unwrap().starts_with(text), "{accept}");
    }
}

#[test]
fn validation_and_ranges() {
    let origin = start_origin().unwrap();
    let page = pages::page("/1k").unwrap();
    let whole = pages::body(page, "en").into_bytes();
    let table: [(&str, u16, &[u8]); 14] = [
        ("If-None-Match: \"1k-1024\"\r\n", 304, b""),
        ("If-None-Match: \"x\", W/\"1k-1024\"\r\n", 304, b""),
        ("If-None-Match: *\r\n", 304, b""),
        ("If-None-Match: \"x\"\r\n", 200, &whole),
        ("Range: bytes=0-0\r\n", 206, &whole[..1]),
        ("Range: bytes=1000-\r\n", 206, &whole[1000..]),
        ("Range: bytes=-10\r\n", 206, &whole[1014..]),
        ("Range: bytes=1000-5000\r\n", 206, &whole[1000..]),
        ("Range: bytes=1024-\r\n", 416, b""),
        ("Range: bytes=-0\r\n", 416, b""),
        ("Range: bytes=5-1\r\n", 200, &whole),
        ("Range: bytes=0-1,4-5\r\n", 200, &whole),
        ("Range: bytes=0-1\r\nIf-Range: \"1k-1024\"\r\n", 206, &whole[..2]),
        ("Range: bytes=0-1\r\nIf-Range: \"x\"\r\n", 200, &whole),
    ];
    for (fields, code, bytes) in table {
        let (head, body) = ask(origin.address, "GET", page.path, fields);
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{fields}: {head}");
        assert_eq!(body, bytes, "{fields}");
    }
    let (head, body) = ask(origin.address, "HEAD", page.path, "");
    assert!(head.contains("content-length: 1024\r\n") && body.is_empty(), "{head}");
    assert!(ask(origin.address, "POST", page.path, "").0.starts_with("HTTP/1.1 405 "));
    assert!(ask(origin.address, "GET", "/none", "").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn three_lines_say_what_to_try() {
    let started = |listener: &str, admin: Option<&str>| Started {
        listeners: vec![listener.parse().unwrap()],
        admin: admin.map(|address| address.parse().unwrap()),
    };
    let tcp = AdminAddress::Tcp("127.0.0.1:0".parse().unwrap());
    let said = lines(&started("127.0.0.1:8080", Some("127.0.0.1:9900")), &tcp, "edge");
    assert_eq!(
        said,
        "curl -i http://127.0.0.1:8080/   # twice: the second answer is a hit, and has an Age\n\
         open http://127.0.0.1:9900/   # what the edge does now; /metrics is for Prometheus\n\
         edge purge --url http://127.0.0.1:8080/ --admin 127.0.0.1:9900   \
         # then ask again: a miss\n"
    );
    let unix = AdminAddress::Unix("/run/x.sock".into());
    let said = lines(&started("0.0.0.0:80", None), &unix, "edge");
    assert_eq!(said.lines().count(), 3);
    assert!(said.starts_with("curl -i http://127.0.0.1:80/ "), "{said}");
    assert!(said.contains("curl --unix-socket /run/x.sock http://localhost/status.json"), "{said}");
}

#[test]
fn config_is_sound_and_keeps_its_addresses() {
    let addresses = Addresses {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin: AdminAddress::Unix("/run/a \"b\".sock".into()),
    };
    let origin = "127.0.0.1:9000".parse().unwrap();
    let config = config(&addresses, origin, "/tmp/a \"b\"".as_ref()).unwrap();
    assert_eq!(config.listeners[0].address, addresses.listen);
    assert_eq!(config.admin.address, addresses.admin);
    assert_eq!(config.store.devices[0].path.to_str(), Some("/tmp/a \"b\""));
    assert_eq!(config.store.devices[0].size.0, 256 << 20);
    assert_eq!(config.access_log.target, LogTarget::Off);
}

#[test]
fn taken_address_names_the_option_for_another() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let table = [
        ("--listen", Addresses { listen: address, admin: AdminAddress::Tcp(any) }),
        ("--admin", Addresses { listen: any, admin: AdminAddress::Tcp(address) }),
    ];
    for (option, addresses) in table {
        let said = free(&addresses).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{address} is in use by another process\n")), "{said}");
        assert!(said.contains(&format!("edge demo {option} 127.0.0.1:")), "{said}");
    }
    let free_now = Addresses { listen: any, admin: AdminAddress::Tcp(any) };
    assert!(free(&free_now).is_ok());
}

#[test]
fn scratch_folders_are_apart_and_go() {
    let (first, second) = (Scratch::new().unwrap(), Scratch::new().unwrap());
    assert_ne!(first.path, second.path);
    std::fs::write(first.path.join("data"), "x").unwrap();
    let path = first.path.clone();
    drop(first);
    assert!(!path.exists() && second.path.exists());
}
