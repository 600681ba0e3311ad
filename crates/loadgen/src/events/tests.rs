//! A stream is right only whole and in order, however it is cut and framed.

use super::{EventReader, Place, interval_ms, write_event};
use crate::answer::Progress;
use crate::fault::Fault;

fn events(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut text = String::new();
    numbers.into_iter().for_each(|number| write_event(number, &mut text));
    text
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
const UNTIL_CLOSE: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";

/// Feeds `input` in two pieces cut at `cut`; true when the stream rests at the end.
fn read(reader: &mut EventReader, input: &str, cut: usize) -> Result<bool, Fault> {
    let (one, other) = input.as_bytes().split_at(cut);
    let mut rests = false;
    let mut left = Vec::new();
    for piece in [one, other].into_iter().filter(|piece| !piece.is_empty()) {
        left.extend_from_slice(piece);
        let (used, progress) = reader.read(&left)?;
        left.drain(..used);
        rests = progress != Progress::More;
    }
    assert!(left.is_empty() || !rests);
    Ok(rests)
}

#[test]
fn stream_rests_behind_whole_events_however_it_is_cut() {
    for head in [CHUNKED, UNTIL_CLOSE] {
        let is_chunked = head == CHUNKED;
        let framed = |data: &str| if is_chunked { chunk(data) } else { data.to_owned() };
        let first = format!("{head}{}{}", framed(&events([1])), framed(&events([2, 3])));
        for cut in 0..first.len() {
            let mut reader = EventReader::default();
            assert_eq!(read(&mut reader, &first, cut), Ok(true), "{cut}");
            let place = reader.place();
            assert_eq!(place, Place { next: 4, is_chunked });
            reader.reset(Some(place));
            assert_eq!(read(&mut reader, &framed(&events([4])), 0), Ok(true), "{cut}");
            // Nothing rests within an event, or within a chunk.
            let part = framed(&events([5]));
            reader.reset(Some(Place { next: 5, is_chunked }));
            assert_eq!(read(&mut reader, &part[..part.len() - 1], 0), Ok(false));
        }
    }
    // An event may lie in several chunks.
    let event = events([1]);
    let split = format!("{CHUNKED}{}{}", chunk(&event[..9]), chunk(&event[9..]));
    assert_eq!(read(&mut EventReader::default(), &split, 0), Ok(true));
}

#[test]
fn anything_else_is_named() {
    let wrong = |awaited| Err(Fault::WrongEvent { awaited });
    let two = events([1, 2]);
    for (body, expected) in [
        (chunk(&events([2])), wrong(1)),
        (chunk(&events([1, 3])), wrong(2)),
        (chunk(&events([1, 1])), wrong(2)),
        (chunk(&two.replace("data", "date")), wrong(1)),
        (chunk(&two) + "0\r\n\r\n", Err(Fault::ClosedWhileParked)),
    ] {
        let input = format!("{CHUNKED}{body}");
        assert_eq!(read(&mut EventReader::default(), &input, 0), expected, "{body}");
    }
    for head in [
        CHUNKED.replace("200", "404"),
        CHUNKED.replace("event-stream", "plain"),
        UNTIL_CLOSE.replace("\r\n\r\n", "\r\nContent-Length: 500\r\n\r\n"),
    ] {
        assert!(read(&mut EventReader::default(), &head, 0).is_err(), "{head}");
    }
}

#[test]
fn intervals_carry_units() {
    for (target, expected) in [
        ("/events?interval=250ms", Some(250)),
        ("/events?key=3&interval=10s", Some(10_000)),
        ("/events?interval=0s", None),
        ("/events?interval=10", None),
        ("/events?interval=99999999s", None),
        ("/events", None),
        ("/other?interval=1s", None),
    ] {
        assert_eq!(interval_ms(target), expected, "{target}");
    }
}
