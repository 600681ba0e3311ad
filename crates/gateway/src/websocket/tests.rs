//! The examples of RFC 6455, and what each line of its lists refuses.

use super::{Flaw, accept_of, check_request, is_accepted, sha1};
use crate::Field;

const KEY: Field<'_> = ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ==");
const VERSION: Field<'_> = ("sec-websocket-version", b"13");
const ACCEPT: Field<'_> = ("Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");

/// FIPS 180-4's examples, and lengths on both sides of a block's end.
#[test]
fn digests_are_those_of_the_standard() {
    let hex = |message: &[u8]| -> String {
        sha1(message).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    assert_eq!(hex(b""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    assert_eq!(hex(b"abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_eq!(hex(two_blocks), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_eq!(hex(&[b'a'; 55]), "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    assert_eq!(hex(&[b'a'; 64]), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    assert_eq!(hex(&vec![b'a'; 1_000_000]), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

//# RFC 6455 section 4.2.2
#[test]
fn the_answer_to_the_rfcs_key_is_the_rfcs() {
    assert_eq!(&accept_of(KEY.1), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn a_client_without_flaw_goes_on() {
    assert_eq!(check_request("GET", &[KEY, VERSION]), Ok(()));
}

#[test]
fn each_flaw_of_a_client_is_told() {
    assert_eq!(check_request("POST", &[KEY, VERSION]), Err(Flaw::Method));
    assert_eq!(check_request("GET", &[KEY]), Err(Flaw::Version));
    assert_eq!(check_request("GET", &[KEY, ("Sec-WebSocket-Version", b"8")]), Err(Flaw::Version));
    assert_eq!(check_request("GET", &[VERSION]), Err(Flaw::Key));
    assert_eq!(check_request("GET", &[KEY, KEY, VERSION]), Err(Flaw::Key));
    let flawed: [&[u8]; 7] = [
        b"",
        b"dGhlIHNhbXBsZSBub25jZQ",
        b"dGhlIHNhbXBsZSBub25jZQ=",
        b"dGhlIHNhbXBsZSBub25jZQ===",
        // 16 bytes have no such last digit, and base64 no such digit.
        b"dGhlIHNhbXBsZSBub25jZR==",
        b"dGhlIHNhbXBsZSBub25j Q==",
        b"dGhlIHNhbXBsZSBub25jZQAA",
    ];
    for key in flawed {
        let request = [("Sec-WebSocket-Key", key), VERSION];
        assert_eq!(check_request("GET", &request), Err(Flaw::Key), "{key:?}");
    }
}

/// The list of RFC 6455 section 4.1 for the server's response, from its fourth item on.
#[test]
fn an_answer_is_held_to_the_request() {
    let chat: Field<'_> = ("Sec-WebSocket-Protocol", b"chat, superchat");
    let deflate: Field<'_> =
        ("Sec-WebSocket-Extensions", b"permessage-deflate; client_max_window_bits, x-a");
    let cases: &[(&[Field<'_>], &[Field<'_>], bool)] = &[
        (&[], &[ACCEPT], true),
        (&[], &[], false),
        (&[], &[ACCEPT, ACCEPT], false),
        (&[], &[("Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")], false),
        (&[chat], &[ACCEPT], true),
        (&[chat], &[ACCEPT, ("Sec-WebSocket-Protocol", b"superchat")], true),
        (&[chat], &[ACCEPT, ("Sec-WebSocket-Protocol", b"Chat")], false),
        (&[chat], &[ACCEPT, ("Sec-WebSocket-Protocol", b"chat, superchat")], false),
        (&[], &[ACCEPT, ("Sec-WebSocket-Protocol", b"chat")], false),
        (&[deflate], &[ACCEPT, ("Sec-WebSocket-Extensions", b"permessage-deflate; x=1")], true),
        (&[deflate], &[ACCEPT, ("Sec-WebSocket-Extensions", b"x-a"), deflate], true),
        (&[deflate], &[ACCEPT, ("Sec-WebSocket-Extensions", b"x-a, x-b")], false),
        (&[], &[ACCEPT, deflate], false),
    ];
    for (offered, answered, accepted) in cases {
        let request = [&[KEY, VERSION][..], *offered].concat();
        assert_eq!(is_accepted(&request, answered), *accepted, "{offered:?} {answered:?}");
    }
    assert!(!is_accepted(&[VERSION], &[ACCEPT]), "without a key nothing is accepted");
}
