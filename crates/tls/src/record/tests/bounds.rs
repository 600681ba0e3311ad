//! What a peer may ask of us, at the bound and beyond it (TL-3, TL-7).

use super::{ALERT, DATA, HANDSHAKE, Heard, Scene};
use crate::fault::Fault;
use crate::limits::{
    CIPHERTEXT_BYTES_MAX, EMPTY_RECORDS_MAX, KEY_UPDATES_MAX, MESSAGE_BYTES_MAX, MESSAGES_MAX,
    PLAINTEXT_BYTES_MAX,
};
use crate::record::UpdateRequest;
use crate::suite::Suite;

/// RFC 8446, 5.2: refused by its header, before any of it is waited for.
#[test]
fn record_longer_than_allowed_is_refused_by_its_header() {
    for (length, is_fine) in
        [(CIPHERTEXT_BYTES_MAX, true), (CIPHERTEXT_BYTES_MAX + 1, false), (0xffff, false)]
    {
        let mut scene = Scene::server();
        let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
        let heard = scene.bring(&[23, 3, 3, high, low]);
        if is_fine {
            assert_eq!(heard, Ok(Heard::More(5 + length)));
        } else {
            assert_eq!(heard, Err(Fault::RecordOverflow));
            assert_eq!(scene.control(), [[2, 22, ALERT]]);
        }
    }
}

/// RFC 8446, 5.2 and 5.4: content, type and padding together.
#[test]
fn plaintext_longer_than_allowed_is_refused() {
    for (length, zeros) in [
        (PLAINTEXT_BYTES_MAX + 1, 0),
        (PLAINTEXT_BYTES_MAX, 1),
        (0, PLAINTEXT_BYTES_MAX + 1),
        (PLAINTEXT_BYTES_MAX + 239, 0),
    ] {
        let mut scene = Scene::server();
        let wire = scene.says.record(DATA, &vec![1; length], zeros);
        assert_eq!(scene.bring(&wire), Err(Fault::RecordOverflow), "{length}+{zeros}");
        assert_eq!(scene.control(), [[2, 22, ALERT]]);
    }
}

#[test]
fn empty_records_in_a_row_are_bounded() {
    let mut scene = Scene::server();
    for round in 0..3 {
        for count in 0..EMPTY_RECORDS_MAX {
            assert_eq!(scene.say(DATA, b""), Ok(Heard::Quiet), "{round}/{count}");
            scene.nap();
        }
        assert_eq!(scene.say(DATA, b"x"), Ok(Heard::Data(b"x".into())), "data starts anew");
    }
    for _ in 0..EMPTY_RECORDS_MAX {
        assert_eq!(scene.say(DATA, b""), Ok(Heard::Quiet));
    }
    assert_eq!(scene.say(DATA, b""), Err(Fault::TooManyEmptyRecords));
    assert_eq!(scene.control(), [[2, 10, ALERT]]);
}

#[test]
fn key_updates_in_a_row_are_bounded() {
    for request in [0, 1] {
        let mut scene = Scene::server();
        for round in 0..3 {
            for count in 0..KEY_UPDATES_MAX {
                assert_eq!(scene.say_update(request), Ok(Heard::Quiet), "{round}/{count}");
                scene.control();
                scene.nap();
            }
            assert_eq!(scene.say(DATA, b"x"), Ok(Heard::Data(b"x".into())), "data starts anew");
        }
        for _ in 0..KEY_UPDATES_MAX {
            assert_eq!(scene.say_update(request), Ok(Heard::Quiet));
        }
        assert_eq!(scene.say_update(request), Err(Fault::TooManyKeyUpdates));
    }
}

/// Whatever was asked, one answer is owed: 27 bytes.
#[test]
fn answers_do_not_pile_up() {
    let mut scene = Scene::server();
    for _ in 0..KEY_UPDATES_MAX {
        assert_eq!(scene.say_update(1), Ok(Heard::Quiet));
    }
    assert_eq!(scene.records().control(&mut [0; 256]), 27);
}

#[test]
fn tickets_and_notices_in_a_row_are_bounded() {
    for (content_type, content) in [(HANDSHAKE, &[4, 0, 0, 1, 9][..]), (ALERT, &[1, 90])] {
        let mut scene = Scene::client();
        for _ in 0..2 {
            for _ in 0..MESSAGES_MAX {
                assert_eq!(scene.say(content_type, content), Ok(Heard::Quiet));
                scene.nap();
            }
            assert_eq!(scene.say(DATA, b"x"), Ok(Heard::Data(b"x".into())));
        }
        for _ in 0..MESSAGES_MAX {
            assert_eq!(scene.say(content_type, content), Ok(Heard::Quiet));
        }
        assert_eq!(scene.say(content_type, content), Err(Fault::TooManyMessages));
    }
}

#[test]
fn message_longer_than_allowed_is_refused_by_its_header() {
    let length = u32::try_from(MESSAGE_BYTES_MAX).unwrap();
    for (length, is_fine) in [(length, true), (length + 1, false), (0x00ff_ffff, false)] {
        let mut scene = Scene::client();
        let [_, high, middle, low] = length.to_be_bytes();
        let expected = if is_fine { Ok(Heard::Quiet) } else { Err(Fault::TooManyMessages) };
        assert_eq!(scene.say(HANDSHAKE, &[4, high, middle, low]), expected);
    }
}

#[test]
fn part_of_a_message_is_all_that_is_held() {
    let mut scene = Scene::client();
    let [_, high, middle, low] = u32::try_from(MESSAGE_BYTES_MAX).unwrap().to_be_bytes();
    assert_eq!(scene.say(HANDSHAKE, &[4, high, middle, low]), Ok(Heard::Quiet));
    let mut sent = 0;
    while sent < MESSAGE_BYTES_MAX {
        let length = (MESSAGE_BYTES_MAX - sent).min(PLAINTEXT_BYTES_MAX);
        assert_eq!(scene.say(HANDSHAKE, &vec![1; length]), Ok(Heard::Quiet));
        sent += length;
        assert!(scene.records().partial.len() <= 4 + MESSAGE_BYTES_MAX);
    }
    assert!(scene.records().partial.is_empty(), "the ticket is whole and passed over");
}

/// A server is held to a key update: five bytes, and the last of them ends the message.
#[test]
fn server_holds_four_bytes_at_most() {
    let mut scene = Scene::server();
    assert_eq!(scene.say(HANDSHAKE, &[24, 0, 0, 1]), Ok(Heard::Quiet));
    assert_eq!(scene.records().partial.len(), 4);
}

/// RFC 8446, 5.3: at the end of the numbers the connection ends.
#[test]
fn numbers_of_received_records_do_not_wrap() {
    let mut scene = Scene::server();
    scene.records().rx.sequence = u64::MAX - 2;
    scene.says.sequence = u64::MAX - 2;
    assert_eq!(scene.say(DATA, b"the last"), Ok(Heard::Data(b"the last".into())));
    scene.nap();
    assert_eq!(
        scene.bring(&[23, 3, 3, 0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(Fault::Exhausted)
    );
}

/// RFC 8446, 5.5 (TL-3): the last record under a key is the update to the next.
#[test]
fn keys_are_updated_before_they_have_protected_too_much() {
    for suite in Suite::ALL {
        let mut scene = Scene::new(crate::Role::Server, suite);
        let near = suite.records_max() - 3;
        scene.records().tx.sequence = near;
        scene.hears.sequence = near;
        let mut output = vec![0; 5 * (PLAINTEXT_BYTES_MAX + 22) + 27];
        let data = vec![9; 5 * PLAINTEXT_BYTES_MAX];
        let sealed = scene.records().seal(&[&data], &mut output).unwrap();
        assert_eq!((sealed.taken, sealed.written), (data.len(), output.len()));
        let heard = scene.hear(&output);
        let kinds: Vec<u8> = heard.iter().map(|inner| *inner.last().unwrap()).collect();
        assert_eq!(kinds, [DATA, DATA, HANDSHAKE, DATA, DATA, DATA], "{suite:?}");
        assert_eq!(scene.records().tx.sequence, 3);
    }
}

/// The same where a session was parked just before.
#[test]
fn keys_are_updated_in_time_after_a_nap() {
    let mut scene = Scene::server();
    let last = Suite::Aes128Gcm.records_max() - 1;
    scene.records().tx.sequence = last;
    scene.hears.sequence = last;
    scene.nap();
    let mut output = [0; 100];
    let sealed = scene.records().seal(&[b"data"], &mut output).unwrap();
    let heard = scene.hear(&output[..sealed.written]);
    assert_eq!(heard, [b"\x18\0\0\x01\0\x16".to_vec(), b"data\x17".to_vec()]);
}

/// A key update asked for at the end, by the peer or by us, is the same one.
#[test]
fn update_at_the_end_is_made_once() {
    for request in [UpdateRequest::NotRequested, UpdateRequest::Requested] {
        let mut scene = Scene::server();
        let last = Suite::Aes128Gcm.records_max() - 1;
        scene.records().tx.sequence = last;
        scene.hears.sequence = last;
        scene.records().update_keys(request);
        let mut output = [0; 100];
        let sealed = scene.records().seal(&[b"data"], &mut output).unwrap();
        let heard = scene.hear(&output[..sealed.written]);
        assert_eq!(heard, [vec![24, 0, 0, 1, request as u8, HANDSHAKE], b"data\x17".to_vec()]);
    }
}
