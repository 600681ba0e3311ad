//! What the peer may say, and what becomes of the rest.

use super::{ALERT, DATA, HANDSHAKE, Heard, Scene};
use crate::Role;
use crate::fault::{Alert, Fault};
use crate::keys::tests::{CLIENT_SECRET, SERVER_SECRET, hex};
use crate::record::{Direction, Records, UpdateRequest};
use crate::suite::Suite;

/// RFC 8448, section 3: the client's first record of application data.
#[test]
fn record_of_rfc_8448_opens() {
    let secret = |text| crate::keys::Secret::new(Suite::Aes128Gcm, &hex(text)).unwrap();
    let tx = Direction::new(secret(SERVER_SECRET), 1);
    let rx = Direction::new(secret(CLIENT_SECRET), 0);
    let mut scene = Scene::server();
    scene.records = Some(Records::new(Role::Server, Suite::Aes128Gcm, tx, rx));
    let wire = hex(concat!(
        "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a",
        "9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4"
    ));
    assert_eq!(scene.bring(&wire), Ok(Heard::Data((0..50).collect())));
}

#[test]
fn data_comes_out_with_any_padding_under_any_suite() {
    for suite in Suite::ALL {
        for role in [Role::Server, Role::Client] {
            let mut scene = Scene::new(role, suite);
            for (length, zeros) in [(1, 0), (1, 1), (5, 255), (1, 16_383), (16_383, 1), (16_384, 0)]
            {
                let data = vec![0; length];
                let wire = scene.says.record(DATA, &data, zeros);
                assert_eq!(scene.bring(&wire), Ok(Heard::Data(data)), "{suite:?} {length}+{zeros}");
            }
        }
    }
}

/// RFC 8446, 5: nothing but protected records after the handshake.
#[test]
fn unprotected_records_are_refused_by_their_type() {
    for content_type in 0..=255 {
        if content_type == DATA {
            continue;
        }
        let mut scene = Scene::server();
        let mut wire = scene.says.record(DATA, b"data", 0);
        wire[0] = content_type;
        assert_eq!(scene.bring(&wire[..5]), Err(Fault::UnexpectedMessage), "{content_type}");
        assert_eq!(scene.control(), [[2, 10, ALERT]]);
    }
}

/// RFC 8446, 5.2: what a protected record may hold.
#[test]
fn protected_records_of_other_types_are_refused() {
    for content_type in 1..=255 {
        if matches!(content_type, ALERT | HANDSHAKE | DATA) {
            continue;
        }
        // A change_cipher_spec among them, which has no place after the handshake.
        let mut scene = Scene::client();
        assert_eq!(scene.say(content_type, &[1]), Err(Fault::UnexpectedMessage), "{content_type}");
        assert_eq!(scene.control(), [[2, 10, ALERT]]);
    }
}

/// RFC 8446, 5.4: a record of zeros has no type.
#[test]
fn record_without_a_type_is_refused() {
    for zeros in [1, 2, 1000] {
        let mut scene = Scene::server();
        let wire = scene.says.seal([3, 3], vec![0; zeros]);
        assert_eq!(scene.bring(&wire), Err(Fault::UnexpectedMessage));
        assert_eq!(scene.control(), [[2, 10, ALERT]]);
    }
}

/// RFC 8446, 5.1: the version means nothing. It is authenticated all the same.
#[test]
fn version_of_a_record_means_nothing() {
    let mut scene = Scene::server();
    let wire = scene.says.seal([3, 1], b"data\x17".to_vec());
    assert_eq!(scene.bring(&wire), Ok(Heard::Data(b"data".to_vec())));
    let mut wire = scene.says.seal([3, 3], b"data\x17".to_vec());
    wire[2] = 1;
    assert_eq!(scene.bring(&wire), Err(Fault::BadRecord));
}

/// RFC 8446, 5.2. A changed byte is never data (TL-6).
#[test]
fn any_changed_byte_is_found() {
    for suite in Suite::ALL {
        let length = Scene::new(Role::Server, suite).says.record(DATA, b"some data", 3).len();
        for at in 0..length {
            for bit in 0..8 {
                let mut scene = Scene::new(Role::Server, suite);
                let mut wire = scene.says.record(DATA, b"some data", 3);
                wire[at] ^= 1 << bit;
                match scene.bring(&wire) {
                    Ok(Heard::More(_)) | Err(_) => {}
                    heard => panic!("{suite:?}: byte {at}, bit {bit}: {heard:?}"),
                }
            }
        }
    }
}

#[test]
fn records_cannot_be_swapped_repeated_or_left_out() {
    let mut scene = Scene::server();
    let records: Vec<_> = (0..3u8).map(|text| scene.says.record(DATA, &[text], 0)).collect();
    for order in [&[1][..], &[0, 0], &[0, 2], &[2]] {
        let mut scene = Scene::server();
        let heard: Vec<_> = order.iter().map(|&at: &usize| scene.bring(&records[at])).collect();
        assert_eq!(heard.last(), Some(&Err(Fault::BadRecord)), "{order:?}");
    }
}

#[test]
fn record_too_short_for_its_tag_is_refused() {
    for body in 0..=16 {
        let mut scene = Scene::server();
        let mut wire = vec![0; 5 + body];
        wire[..5].copy_from_slice(&[23, 3, 3, 0, body as u8]);
        assert_eq!(scene.bring(&wire), Err(Fault::BadRecord), "{body}");
    }
}

/// However the bytes come, they come to the same; a part is asked for by its length.
#[test]
fn record_is_waited_for_until_it_is_whole() {
    let mut scene = Scene::server();
    let wire = scene.says.record(DATA, b"data", 0);
    for part in 0..wire.len() {
        let wanted = if part < 5 { 5 } else { wire.len() };
        assert_eq!(scene.bring(&wire[..part]), Ok(Heard::More(wanted)));
    }
    assert_eq!(scene.bring(&wire), Ok(Heard::Data(b"data".to_vec())));
}

/// RFC 8446, 6.1.
#[test]
fn close_notify_ends_what_the_peer_says_and_not_what_we_say() {
    for level in [1, 2, 77] {
        let mut scene = Scene::server();
        assert_eq!(scene.say(ALERT, &[level, 0]), Ok(Heard::Closed));
        assert!(scene.records().is_peer_closed());
        scene.nap();
        assert_eq!(scene.bring(b"whatever comes now"), Ok(Heard::Closed));
        let mut output = [0; 100];
        let sealed = scene.records().seal(&[b"answer"], &mut output).unwrap();
        assert_eq!(scene.hear(&output[..sealed.written]), [b"answer\x17"]);
        scene.records().close_notify();
        assert_eq!(scene.control(), [[1, 0, ALERT]]);
    }
}

#[test]
fn our_close_notify_is_said_once_and_ends_what_we_say() {
    let mut scene = Scene::server();
    scene.records().close_notify();
    scene.records().close_notify();
    assert!(scene.records().owes() && scene.records().is_closed());
    assert_eq!(scene.records().seal(&[b"more"], &mut [0; 100]), Err(Fault::Ended));
    assert_eq!(scene.control(), [[1, 0, ALERT]]);
    assert!(!scene.records().owes());
    assert_eq!(scene.control(), Vec::<Vec<u8>>::new());
    scene.nap();
    assert!(scene.records().is_closed());
    scene.records().close_notify();
    assert!(!scene.records().owes(), "it has been said before the nap");
    assert_eq!(scene.say(DATA, b"the peer goes on"), Ok(Heard::Data(b"the peer goes on".into())));
}

/// RFC 8446, 6.2: every other alert is an error, whatever its level, and is not answered.
#[test]
fn alerts_end_the_session_without_an_answer() {
    for description in 1..=255 {
        if Alert(description) == Alert::USER_CANCELED {
            continue;
        }
        for level in [1, 2] {
            let mut scene = Scene::server();
            let fault = Fault::PeerAlert(Alert(description));
            assert_eq!(scene.say(ALERT, &[level, description]), Err(fault));
            assert_eq!(scene.records().tx.secret.padded(), &[0; 48], "there is nothing to say");
            assert_eq!(scene.control(), Vec::<Vec<u8>>::new());
            assert_eq!(scene.say(DATA, b"x"), Err(Fault::Ended));
        }
    }
}

#[test]
fn user_canceled_is_a_notice() {
    let mut scene = Scene::server();
    assert_eq!(scene.say(ALERT, &[1, 90]), Ok(Heard::Quiet));
    assert_eq!(scene.say(ALERT, &[1, 0]), Ok(Heard::Closed));
}

/// RFC 8446, 5.1 and 6: an alert is one whole message in one record.
#[test]
fn alerts_of_another_length_are_malformed() {
    for content in [&[][..], &[1], &[1, 0, 1, 0], &[1, 0, 0]] {
        let mut scene = Scene::server();
        assert_eq!(scene.say(ALERT, content), Err(Fault::Malformed));
        assert_eq!(scene.control(), [[2, 50, ALERT]]);
    }
}

/// RFC 8446, 4.6.3.
#[test]
fn key_update_changes_what_we_hear_and_is_answered_if_asked() {
    for suite in Suite::ALL {
        let mut scene = Scene::new(Role::Server, suite);
        assert_eq!(scene.say(DATA, b"one"), Ok(Heard::Data(b"one".into())));
        assert_eq!(scene.say_update(0), Ok(Heard::Quiet));
        assert!(!scene.records().owes());
        assert_eq!(scene.say(DATA, b"two"), Ok(Heard::Data(b"two".into())));
        assert_eq!(scene.say_update(1), Ok(Heard::Quiet));
        assert_eq!(scene.say_update(1), Ok(Heard::Quiet));
        assert_eq!(scene.say(DATA, b"three"), Ok(Heard::Data(b"three".into())));
        assert!(scene.records().owes());
        assert_eq!(scene.control(), [[24, 0, 0, 1, 0, HANDSHAKE]], "one answer for both");
        let mut output = [0; 100];
        let sealed = scene.records().seal(&[b"answer"], &mut output).unwrap();
        assert_eq!(scene.hear(&output[..sealed.written]), [b"answer\x17"]);
        scene.nap();
        assert_eq!(scene.say(DATA, b"four"), Ok(Heard::Data(b"four".into())));
    }
}

/// RFC 8446, 4.6.3: an answer asks for nothing, also where we were about to ask.
#[test]
fn answer_to_a_key_update_asks_for_none() {
    let mut scene = Scene::server();
    scene.records().update_keys(UpdateRequest::Requested);
    assert_eq!(scene.say_update(1), Ok(Heard::Quiet));
    assert_eq!(scene.control(), [[24, 0, 0, 1, 0, HANDSHAKE]]);
    scene.records().update_keys(UpdateRequest::Requested);
    assert_eq!(scene.say_update(0), Ok(Heard::Quiet));
    assert_eq!(scene.control(), [[24, 0, 0, 1, 1, HANDSHAKE]], "nobody has asked us");
}

/// The answer goes before data that is sealed after the request, also without `control`.
#[test]
fn answer_to_a_key_update_goes_before_data() {
    let mut scene = Scene::server();
    assert_eq!(scene.say_update(1), Ok(Heard::Quiet));
    let mut output = [0; 100];
    let sealed = scene.records().seal(&[b"answer"], &mut output).unwrap();
    assert_eq!(sealed.taken, 6);
    let heard = scene.hear(&output[..sealed.written]);
    assert_eq!(heard, [b"\x18\0\0\x01\0\x16".to_vec(), b"answer\x17".to_vec()]);
}

#[test]
fn old_key_is_not_good_after_a_key_update() {
    let mut scene = Scene::server();
    assert_eq!(scene.say(HANDSHAKE, &[24, 0, 0, 1, 0]), Ok(Heard::Quiet));
    assert_eq!(scene.say(DATA, b"under the old key"), Err(Fault::BadRecord));
    assert_eq!(scene.control(), [[2, 20, ALERT]]);
}

#[test]
fn key_updates_that_are_none_are_refused() {
    for (content, fault) in [
        (&[24, 0, 0, 1, 2][..], Fault::IllegalParameter),
        (&[24, 0, 0, 1, 255], Fault::IllegalParameter),
        (&[24, 0, 0, 0], Fault::Malformed),
        (&[24, 0, 0, 2], Fault::Malformed),
        (&[24, 1, 0, 1], Fault::Malformed),
        // RFC 8446, 5.1: it ends its record.
        (&[24, 0, 0, 1, 0, 24], Fault::UnexpectedMessage),
        (&[24, 0, 0, 1, 0, 24, 0, 0, 1, 0], Fault::UnexpectedMessage),
        (&[24, 0, 0, 1, 1, 4], Fault::UnexpectedMessage),
    ] {
        for role in [Role::Server, Role::Client] {
            let mut scene = Scene::new(role, Suite::Aes128Gcm);
            assert_eq!(scene.say(HANDSHAKE, content), Err(fault), "{content:?}");
            assert_eq!(scene.control(), [[2, fault.alert().unwrap().0, ALERT]]);
        }
    }
}

/// RFC 8446, 5.1: a message may be cut over records, with nothing between them.
#[test]
fn key_update_may_be_cut_over_records() {
    let mut scene = Scene::server();
    for byte in [24, 0, 0, 1] {
        assert_eq!(scene.say(HANDSHAKE, &[byte]), Ok(Heard::Quiet));
        let records = scene.records.take().unwrap();
        let Err(records) = records.park() else { panic!("it rests in the middle of a message") };
        scene.records = Some(records);
    }
    assert_eq!(scene.say(HANDSHAKE, &[1]), Ok(Heard::Quiet));
    scene.says.update();
    assert_eq!(scene.say(DATA, b"data"), Ok(Heard::Data(b"data".into())));
    assert_eq!(scene.control(), [[24, 0, 0, 1, 0, HANDSHAKE]]);
}

#[test]
fn nothing_comes_between_the_records_of_a_message() {
    for (content_type, content) in [(DATA, &b"x"[..]), (DATA, b""), (ALERT, &[1, 0])] {
        let mut scene = Scene::server();
        assert_eq!(scene.say(HANDSHAKE, &[24, 0]), Ok(Heard::Quiet));
        assert_eq!(scene.say(content_type, content), Err(Fault::UnexpectedMessage));
    }
}

/// RFC 8446, 5.1.
#[test]
fn empty_handshake_records_are_refused() {
    let mut scene = Scene::client();
    assert_eq!(scene.say(HANDSHAKE, &[]), Err(Fault::UnexpectedMessage));
}

/// RFC 8446, 4.6: by its first byte, before any of it is kept.
#[test]
fn other_messages_have_no_place_after_the_handshake() {
    for kind in 0..=255 {
        for role in [Role::Server, Role::Client] {
            let has_place = kind == 24 || kind == 4 && role == Role::Client;
            let mut scene = Scene::new(role, Suite::Aes128Gcm);
            let expected = if has_place { Ok(Heard::Quiet) } else { Err(Fault::UnexpectedMessage) };
            assert_eq!(scene.say(HANDSHAKE, &[kind]), expected, "{kind} to {role:?}");
        }
    }
}

/// RFC 8446, 4.6.1: several tickets may share a record, and a key update may follow them.
#[test]
fn client_passes_over_tickets() {
    let mut scene = Scene::client();
    let ticket = [&[4, 0, 1, 0][..], &[7; 256]].concat();
    let flight = [&ticket[..], &ticket, &[24, 0, 0, 1, 0]].concat();
    assert_eq!(scene.say(HANDSHAKE, &flight), Ok(Heard::Quiet));
    scene.says.update();
    assert_eq!(scene.say(HANDSHAKE, &ticket[..100]), Ok(Heard::Quiet));
    assert_eq!(scene.say(HANDSHAKE, &ticket[100..]), Ok(Heard::Quiet));
    assert_eq!(scene.say(DATA, b"data"), Ok(Heard::Data(b"data".into())));
}

/// What a peer waits for would be forgotten.
#[test]
fn session_that_owes_something_does_not_rest() {
    let mut scene = Scene::server();
    assert_eq!(scene.say_update(1), Ok(Heard::Quiet));
    let Err(records) = scene.records.take().unwrap().park() else { panic!("it rests") };
    scene.records = Some(records);
    scene.control();
    scene.nap();
    scene.records().close_notify();
    assert!(scene.records.take().unwrap().park().is_err(), "it rests without its close_notify");
}

/// RFC 8446, 6.1: nothing is sent after the closure alert.
#[test]
fn fault_after_our_close_notify_is_not_told() {
    let mut scene = Scene::server();
    scene.records().close_notify();
    assert_eq!(scene.control(), [[1, 0, ALERT]]);
    assert_eq!(scene.say(HANDSHAKE, &[1]), Err(Fault::UnexpectedMessage));
    assert_eq!(scene.control(), Vec::<Vec<u8>>::new());
}

/// TL-6.
#[test]
fn fault_ends_both_directions() {
    let mut scene = Scene::server();
    assert_eq!(scene.say(HANDSHAKE, &[1]), Err(Fault::UnexpectedMessage));
    assert_eq!(scene.say(DATA, b"data"), Err(Fault::Ended));
    assert_eq!(scene.records().seal(&[b"data"], &mut [0; 100]), Err(Fault::Ended));
    assert!(scene.records().owes());
    let Err(records) = scene.records.take().unwrap().park() else { panic!("a broken one rests") };
    scene.records = Some(records);
    scene.records().close_notify();
    scene.records().update_keys(UpdateRequest::Requested);
    assert_eq!(scene.records().rx.secret.padded(), &[0; 48], "TL-2, RFC 8446, 6.2");
    assert_ne!(scene.records().tx.secret.padded(), &[0; 48], "the alert is still to be sealed");
    assert_eq!(scene.control(), [[2, 10, ALERT]]);
    assert_eq!(scene.records().tx.secret.padded(), &[0; 48]);
    assert!(!scene.records().owes());
    assert!(scene.records.take().unwrap().park().is_err(), "a broken one rests");
}
