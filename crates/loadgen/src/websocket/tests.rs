//! The upgrade's answer and the echo, at every cut, and what is neither.

use super::{ECHO, EchoReader, MESSAGE, message};
use crate::answer::Progress;
use crate::fault::Fault;

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn reader(is_first: bool) -> EchoReader {
    let mut reader = EchoReader::default();
    reader.reset(is_first);
    reader
}

#[test]
fn an_answer_is_read_when_its_last_byte_is_there_and_not_before() {
    for (is_first, whole) in [(true, SWITCH), (false, ECHO)] {
        for cut in 0..whole.len() {
            let read = reader(is_first).read(&whole[..cut]);
            assert_eq!(read, Ok((0, Progress::More)), "cut at {cut}");
        }
        let more = [whole, b"rest"].concat();
        let (used, progress) = reader(is_first).read(&more).expect("right");
        assert_eq!(used, whole.len());
        assert!(matches!(progress, Progress::Complete(answer) if answer.reusable));
    }
}

#[test]
fn what_is_not_the_one_right_answer_is_a_fault() {
    let wrong_key = String::from_utf8_lossy(SWITCH).replace("s3pP", "s3pQ");
    let status = |found| Err(Fault::WrongStatus { found });
    assert_eq!(reader(true).read(wrong_key.as_bytes()), status(101));
    let refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(reader(true).read(refused), status(403));
    let mut changed = ECHO.to_vec();
    changed[5] ^= 1;
    assert!(matches!(reader(false).read(&changed), Err(Fault::WrongBody { .. })));
    assert!(matches!(reader(false).read(b"HTTP/1.1 200"), Err(Fault::WrongBody { .. })));
}

#[test]
fn a_message_is_masked_and_unmasks_to_what_is_echoed() {
    let sent = message();
    assert_eq!(&sent[..2], [0x82, 0x80 | MESSAGE.len() as u8]);
    let (mask, payload) = sent[2..].split_at(4);
    let unmasked: Vec<u8> = payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect();
    assert_eq!(unmasked, MESSAGE);
    assert_eq!(&ECHO[2..], MESSAGE);
}
