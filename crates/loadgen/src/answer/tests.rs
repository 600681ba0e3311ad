//! Answers are read the same however they are cut, and every way to break one has its fault
//! (LG-2, LG-5).

use xxhash_rust::xxh3::xxh3_64;

use super::{Answer, AnswerReader, Progress};
use crate::fault::Fault;
use crate::verify::Body;

/// What came of reading `stream` in one piece or in two, cut at `cut`.
fn read(stream: &[u8], cut: usize, length_bytes_max: u64) -> Result<Option<Answer>, Fault> {
    let mut reader = AnswerReader::new();
    reader.reset(length_bytes_max);
    let mut pending = Vec::new();
    for piece in [&stream[..cut], &stream[cut..]] {
        pending.extend_from_slice(piece);
        let (used, progress) = reader.read(&pending)?;
        assert!(used <= pending.len());
        pending.drain(..used);
        if let Progress::Complete(answer) = progress {
            return Ok(Some(answer));
        }
    }
    reader.read_end().map(Some).or(Ok(None))
}

fn check(stream: &str, expected: Result<Option<Answer>, Fault>) {
    for cut in 0..=stream.len() {
        assert_eq!(read(stream.as_bytes(), cut, 1000), expected, "{stream:?} cut at {cut}");
    }
}

fn answer(status: u16, body: &str, hit: Option<bool>, reusable: bool) -> Answer {
    let body = Body { length_bytes: body.len() as u64, hash: xxh3_64(body.as_bytes()) };
    Answer { status, body, hit, reusable }
}

#[test]
fn answers_of_every_framing_are_complete_where_their_framing_says() {
    let right = Ok(Some(answer(200, "hello", None, true)));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", right);
    check(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        right,
    );
    check("HTTP/1.1 200 OK\r\n\r\nhello", Ok(Some(answer(200, "hello", None, false))));
    check("HTTP/1.1 204 No Content\r\n\r\n", Ok(Some(answer(204, "", None, true))));
    check("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Ok(Some(answer(200, "", None, true))));
    check(
        "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        right,
    );
}

#[test]
fn cache_status_and_close_are_kept() {
    check(
        "HTTP/1.1 200 OK\r\nCache-Status: edge; hit\r\nContent-Length: 5\r\n\r\nhello",
        Ok(Some(answer(200, "hello", Some(true), true))),
    );
    check(
        "HTTP/1.1 200 OK\r\nCache-Status: edge; fwd=miss\r\nConnection: close\r\n\
         Content-Length: 5\r\n\r\nhello",
        Ok(Some(answer(200, "hello", Some(false), false))),
    );
}

#[test]
fn what_ends_early_is_no_answer() {
    check("HTTP/1.1 200 OK\r\nContent-Le", Ok(None));
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Ok(None));
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", Ok(None));
    check("", Ok(None));
}

#[test]
fn what_breaks_the_rules_is_a_fault() {
    for stream in [
        "SSH-2.0-x\r\n",
        "HTTP/1.1 999999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    ] {
        for cut in 0..=stream.len() {
            let found = read(stream.as_bytes(), cut, 1000);
            assert!(matches!(found, Err(Fault::BadSyntax(_))), "{stream:?} at {cut}: {found:?}");
        }
    }
    let switching = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    check(switching, Err(Fault::WrongStatus { found: 101 }));
}

#[test]
fn a_body_beyond_the_bound_ends_the_reading_early() {
    let too_long = Err(Fault::WrongLength { found_bytes: 6 });
    let by_length = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n";
    assert_eq!(read(by_length, 0, 5), too_long);
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nhello!";
    assert_eq!(read(until_close, 0, 5), too_long);
    let by_chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello!\r\n";
    assert_eq!(read(by_chunks, 0, 5), too_long);
    // The page of an error may be longer than the object, yet it is an error's.
    let error = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\nhello!";
    assert_eq!(read(error, 0, 5).map(|found| found.map(|answer| answer.status)), Ok(Some(503)));
    let endless = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 9999999999\r\n\r\n";
    assert_eq!(read(endless, 0, 5), Err(Fault::WrongStatus { found: 503 }));
}
