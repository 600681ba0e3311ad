//! What is sealed comes out at the peer, whatever the output's room and however the parts are cut.

use proptest::prelude::*;

use super::{DATA, HANDSHAKE, Scene};
use crate::limits::{CONTROL_BYTES_MAX, PLAINTEXT_BYTES_MAX, SEALED_EXTRA_BYTES};
use crate::record::UpdateRequest;
use crate::suite::Suite;
use crate::{Role, Sealed};

#[test]
fn large_data_makes_full_records() {
    for suite in Suite::ALL {
        let mut scene = Scene::new(Role::Server, suite);
        let data: Vec<u8> = (0..3 * PLAINTEXT_BYTES_MAX + 5).map(|at| at as u8).collect();
        let mut output = vec![0; 1 << 17];
        let sealed = scene.records().seal(&[&data], &mut output).unwrap();
        let written = data.len() + 4 * SEALED_EXTRA_BYTES;
        assert_eq!(sealed, Sealed { taken: data.len(), written });
        let heard = scene.hear(&output[..written]);
        let lengths: Vec<usize> = heard.iter().map(|inner| inner.len() - 1).collect();
        assert_eq!(lengths, [PLAINTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX, PLAINTEXT_BYTES_MAX, 5]);
        assert!(heard.iter().all(|inner| inner.ends_with(&[DATA])));
        assert_eq!(
            heard.iter().flat_map(|inner| &inner[..inner.len() - 1]).copied().collect::<Vec<_>>(),
            data
        );
    }
}

/// A head and a small body go in one record.
#[test]
fn small_parts_share_a_record() {
    let mut scene = Scene::server();
    let mut output = [0; 4096];
    let sealed = scene.records().seal(&[b"head", b"", b"body", b"!"], &mut output).unwrap();
    assert_eq!(sealed, Sealed { taken: 9, written: 9 + SEALED_EXTRA_BYTES });
    assert_eq!(scene.hear(&output[..sealed.written]), [b"headbody!\x17"]);
}

/// The end of an output does not cut a large answer into small records.
#[test]
fn rest_of_an_output_is_left_where_it_is_not_worth_a_record() {
    let mut scene = Scene::server();
    let data = vec![1; 2 * PLAINTEXT_BYTES_MAX];
    let mut output = vec![0; PLAINTEXT_BYTES_MAX + SEALED_EXTRA_BYTES + 1000];
    let sealed = scene.records().seal(&[&data], &mut output).unwrap();
    assert_eq!(sealed.taken, PLAINTEXT_BYTES_MAX);
    // But one that is all there is, is used.
    let sealed = scene.records().seal(&[&data], &mut output[..1000]).unwrap();
    assert_eq!(sealed.taken, 1000 - SEALED_EXTRA_BYTES);
}

#[test]
fn nothing_to_send_is_nothing_sent() {
    let mut scene = Scene::server();
    let mut output = [0; 100];
    assert_eq!(scene.records().seal(&[], &mut output), Ok(Sealed { taken: 0, written: 0 }));
    assert_eq!(scene.records().seal(&[b"", b""], &mut output), Ok(Sealed { taken: 0, written: 0 }));
    assert_eq!(scene.records().tx.sequence, 0);
}

/// A small output takes what fits, and loses nothing.
#[test]
fn output_without_room_keeps_what_is_owed() {
    let mut scene = Scene::server();
    scene.records().update_keys(UpdateRequest::Requested);
    let mut output = [0; 26];
    assert_eq!(scene.records().seal(&[b"x"], &mut output), Ok(Sealed { taken: 0, written: 0 }));
    assert_eq!(scene.records().control(&mut output), 0);
    let mut output = [0; 27 + SEALED_EXTRA_BYTES];
    let sealed = scene.records().seal(&[b"x"], &mut output).unwrap();
    assert_eq!(sealed, Sealed { taken: 0, written: 27 });
    assert_eq!(scene.hear(&output[..27]), [[24, 0, 0, 1, 1, HANDSHAKE]]);
    let sealed = scene.records().seal(&[b"x"], &mut output).unwrap();
    assert_eq!(scene.hear(&output[..sealed.written]), [b"x\x17"]);
}

/// Everything that a session can owe at once has room in what its documentation names.
#[test]
fn control_has_room_for_everything() {
    let mut scene = Scene::server();
    scene.records().update_keys(UpdateRequest::Requested);
    scene.records().close_notify();
    let mut output = [0; CONTROL_BYTES_MAX];
    let written = scene.records().control(&mut output);
    assert!(!scene.records().owes());
    let heard = scene.hear(&output[..written]);
    assert_eq!(heard, [vec![24, 0, 0, 1, 1, HANDSHAKE], vec![1, 0, 21]]);
}

proptest! {
    /// TL-3, TL-4: any cut of the data, any room, naps and updates between: the peer hears the
    /// same, record after record.
    #[test]
    fn peer_hears_what_was_sealed(
        parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..5),
        rooms in prop::collection::vec(0usize..4000, 1..20),
        suite in 0usize..3,
    ) {
        let mut scene = Scene::new(Role::Client, Suite::ALL[suite]);
        let all = parts.concat();
        let mut taken = 0;
        let mut heard = Vec::new();
        for (turn, room) in rooms.into_iter().chain([300_000]).enumerate() {
            let mut output = vec![0xee; room + 8];
            let rest = skip(&parts, taken);
            let sealed = scene.records().seal(&rest, &mut output[..room]).unwrap();
            prop_assert!(sealed.written <= room);
            prop_assert!(output[sealed.written.max(room)..].iter().all(|&byte| byte == 0xee));
            taken += sealed.taken;
            for inner in scene.hear(&output[..sealed.written]) {
                if inner.ends_with(&[DATA]) {
                    heard.extend_from_slice(&inner[..inner.len() - 1]);
                }
            }
            prop_assert_eq!(&heard, &all[..taken]);
            match turn % 3 {
                0 if !scene.records().owes() => scene.nap(),
                1 => scene.records().update_keys(UpdateRequest::NotRequested),
                _ => {}
            }
        }
        prop_assert_eq!(heard, all);
    }
}

fn skip(parts: &[Vec<u8>], mut bytes: usize) -> Vec<&[u8]> {
    let mut rest = Vec::new();
    for part in parts {
        let gone = bytes.min(part.len());
        bytes -= gone;
        rest.push(&part[gone..]);
    }
    rest
}
