//! The form in the queue: there and back, cuts, and nothing else is taken for a record.

use super::{METHOD_BYTES_MAX, RECORD_BYTES_MAX, Record, TARGET_BYTES_MAX};

pub(crate) fn sample() -> Record<'static> {
    Record {
        unix_ms: 1_000_000_000_123,
        peer: "192.0.2.7:4711".parse().expect("an address"),
        method: b"GET",
        target: b"/a?b=c",
        host: b"example.com",
        protocol: "HTTP/1.1",
        tls: "",
        suite: "",
        status: 200,
        received_bytes: 80,
        sent_bytes: 1_234,
        duration_us: 57,
        cache: "hit",
        close: "",
        referer: b"",
        user_agent: b"curl/8",
    }
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    bytes
}

#[test]
fn what_goes_in_comes_out() {
    let v4 = sample();
    let v6 = Record {
        peer: "[2001:db8::1]:443".parse().expect("an address"),
        target: b"\x00\xff\"",
        tls: "TLSv1.3",
        suite: "TLS_AES_128_GCM_SHA256",
        close: "drained",
        ..v4
    };
    let mapped = Record { peer: "[::ffff:192.0.2.7]:1".parse().expect("an address"), ..v4 };
    for record in [v4, v6, mapped] {
        assert_eq!(Record::decode(&encoded(&record)), Some(record));
    }
}

#[test]
fn long_parts_are_cut_to_their_maxima() {
    let long = vec![b'x'; 1 << 20];
    let record = Record {
        method: &long,
        target: &long,
        host: &long,
        protocol: std::str::from_utf8(&long).expect("ASCII"),
        cache: "ééééééééééééééééé\u{1f980}",
        referer: &long,
        user_agent: &long,
        ..sample()
    };
    let bytes = encoded(&record);
    assert!(bytes.len() <= RECORD_BYTES_MAX);
    let cut = Record::decode(&bytes).expect("a record");
    assert_eq!(cut.method.len(), METHOD_BYTES_MAX);
    assert_eq!(cut.target.len(), TARGET_BYTES_MAX);
    assert!(record.cache.starts_with(cut.cache) && cut.cache.len() == 32);
    let word = record.protocol;
    let full = Record { tls: word, suite: word, cache: word, close: word, ..record };
    assert_eq!(encoded(&full).len(), RECORD_BYTES_MAX);
}

#[test]
fn nothing_else_is_a_record() {
    let bytes = encoded(&sample());
    for length in 0..bytes.len() {
        assert_eq!(Record::decode(&bytes[..length]), None, "first {length} bytes");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert_eq!(Record::decode(&longer), None);
}
