//! What a response says, and what is none.

use super::*;

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len() as u16;
    let [high, low] = length.to_be_bytes();
    let mut bytes = match length {
        0..=0x7f => vec![tag, low],
        _ => vec![tag, 0x82, high, low],
    };
    bytes.extend_from_slice(content);
    bytes
}

/// A response as responders make it, but for its signature: these nextUpdates, each about a
/// certificate of its own.
pub(crate) fn response(next_updates: &[Option<&str>]) -> Vec<u8> {
    let time = |text: &str| element(GENERALIZED_TIME, text.as_bytes());
    let single = |next: &Option<&str>| {
        let next = next.map(|next| element(CONTEXT_0, &time(next))).unwrap_or_default();
        let certificate = element(SEQUENCE, &[2; 40]);
        let said = [certificate, element(0x80, &[]), time("20260101000000Z"), next].concat();
        element(SEQUENCE, &said)
    };
    let singles: Vec<u8> = next_updates.iter().flat_map(single).collect();
    let responder = element(0xa2, &element(OCTET_STRING, &[7; 20]));
    let data = [responder, time("20260101000000Z"), element(SEQUENCE, &singles)].concat();
    let signed = [element(SEQUENCE, &data), element(SEQUENCE, &[5, 0]), element(3, &[0; 70])];
    let basic = element(SEQUENCE, &signed.concat());
    let kind = element(OBJECT_IDENTIFIER, &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1]);
    let typed = element(SEQUENCE, &[kind, element(OCTET_STRING, &basic)].concat());
    element(SEQUENCE, &[element(ENUMERATED, &[0]), element(CONTEXT_0, &typed)].concat())
}

#[test]
fn response_says_successful() {
    for (response, is_so) in [
        (&[0x30, 3, 0x0a, 1, 0][..], true),
        (&[0x30, 0x81, 3, 0x0a, 1, 0], true),
        (&[0x30, 0x82, 0, 3, 0x0a, 1, 0], true),
        (&[0x30, 3, 0x0a, 1, 6], false),
        (&[0x30, 4, 0x0a, 1, 0], false),
        (&[0x30, 3, 0x0a, 1, 0, 0], false),
        (&[0x31, 3, 0x0a, 1, 0], false),
        (&[0x30, 0x84, 0, 0, 0, 3, 0x0a, 1, 0], false),
        (&[0x30], false),
        (&[], false),
    ] {
        assert_eq!(is_successful(response), is_so, "{response:x?}");
    }
}

#[test]
fn earliest_next_update_counts() {
    let (early, late) = (Some("20260101000000Z"), Some("20271231235959Z"));
    for (said, expected) in [
        (&[early][..], Some(1_767_225_600)),
        (&[late], Some(1_830_297_599)),
        (&[late, early, None], Some(1_767_225_600)),
        (&[None], None),
        (&[], None),
        (&[Some("20260101")], None),
    ] {
        let response = response(said);
        assert!(is_successful(&response));
        assert_eq!(until_s(&response), expected, "{said:?}");
        for end in 0..response.len() {
            assert!(!is_successful(&response[..end]), "cut at {end}");
            assert_eq!(until_s(&response[..end]), None, "cut at {end}");
        }
    }
}

#[test]
fn times_are_seconds_since_1970() {
    for (text, expected) in [
        ("19700101000000Z", Some(0)),
        ("20000229120000Z", Some(951_825_600)),
        ("20240229000001Z", Some(1_709_164_801)),
        ("99991231235959Z", Some(253_402_300_799)),
        ("19691231235959Z", None),
        ("20261301000000Z", None),
        ("20260100000000Z", None),
        ("20260101000000", None),
        ("2026010100000aZ", None),
        ("00000101000000Z", None),
    ] {
        assert_eq!(unix_s(text.as_bytes()), expected, "{text}");
    }
}
