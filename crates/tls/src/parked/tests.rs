//! The parked form, byte by byte, and the table of them.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{FLAG_CLIENT, FLAG_CLOSED, FLAG_PEER_CLOSED, PARKED_BYTES, WORDS};
use super::{Parked, ParkedTable, State, WakeError};
use crate::fuzzing::forge::secret;
use crate::suite::Suite;

/// TL-1. The picture at the head of the file.
#[test]
fn form_has_its_fields_in_their_places() {
    let bytes = bytes_of(&Parked::encode(&state(Suite::Aes256Gcm)));
    assert_eq!(bytes[..48], *secret(Suite::Aes256Gcm, 1).padded());
    assert_eq!(bytes[48..96], *secret(Suite::Aes256Gcm, 2).padded());
    assert_eq!(bytes[96..104], 0x0a0b0cu64.to_le_bytes());
    assert_eq!(bytes[104..112], 0x0102_0304_0506_0708u64.to_le_bytes());
    assert_eq!(bytes[112..], [1, 2, 7, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

/// TL-4.
#[test]
fn what_decodes_encodes_to_the_same() {
    for suite in Suite::ALL {
        let parked = Parked::encode(&state(suite));
        let again = Parked::encode(&parked.decode().unwrap_or_else(|_| panic!("decodes")));
        assert_eq!(parked.as_words(), again.as_words());
    }
}

#[test]
fn nothing_is_no_session() {
    let nothing = Parked::from_words([0; WORDS]);
    assert!(nothing.is_none());
    assert_eq!(nothing.decode().err(), Some(WakeError::None));
}

/// Each byte that is not key material or a number has few good values.
#[test]
fn damage_is_found() {
    for suite in Suite::ALL {
        let good = bytes_of(&Parked::encode(&state(suite)));
        let mut damages = vec![
            (112, vec![0, 2, 255]),
            (113, vec![0, 4, 255]),
            (114, vec![8, 0x80]),
            (115, vec![33]),
            (116, vec![33]),
            (117, vec![33]),
            (103, vec![1]),
        ];
        damages.extend((118..PARKED_BYTES).map(|at| (at, vec![1])));
        if suite.secret_bytes() == 32 {
            damages.extend((32..48).chain(80..96).map(|at| (at, vec![1])));
        }
        for (at, values) in damages {
            for value in values {
                let mut bytes = good;
                bytes[at] = value;
                let verdict = parked_of(&bytes).decode().err();
                assert_eq!(verdict, Some(WakeError::Corrupt), "{suite:?} byte {at} = {value}");
            }
        }
    }
}

proptest! {
    /// TL-4, TL-7: any bytes are judged, and what is good is the form of itself.
    #[test]
    fn any_bytes_are_judged(
        seed in prop::collection::vec(any::<u8>(), PARKED_BYTES),
        suite in 0u8..5,
    ) {
        let mut bytes: [u8; PARKED_BYTES] = seed.try_into().unwrap();
        bytes[112] = 1;
        bytes[113] = suite;
        bytes[118..].fill(0);
        bytes[114..118].iter_mut().for_each(|byte| *byte &= 7);
        if suite != 2 {
            bytes[32..48].fill(0);
            bytes[80..96].fill(0);
        }
        bytes[99..104].fill(0);
        let parked = parked_of(&bytes);
        if let Ok(state) = parked.decode() {
            prop_assert_eq!(bytes_of(&Parked::encode(&state)), bytes);
        } else {
            prop_assert!(!(1..=3).contains(&suite));
        }
    }
}

#[test]
fn table_gives_back_what_was_put_and_wipes_its_place() {
    let mut table = ParkedTable::new(3);
    assert_eq!(table.slots(), 3);
    let words = *Parked::encode(&state(Suite::Aes128Gcm)).as_words();
    assert!(table.put(1, &Parked::from_words(words)));
    assert!(!table.put(3, &Parked::from_words(words)), "there is no such slot");
    assert!(table.take(0).is_none());
    assert_eq!(*table.take(1).unwrap().as_words(), words);
    assert!(table.take(1).is_none(), "a session is taken once");
    assert_eq!(table.cells, [[0; WORDS]; 3], "nothing of it is left");
    assert!(table.take(3).is_none());
}

proptest! {
    /// Beside a map: every slot has its own session; there are as many cells as sessions at once.
    #[test]
    fn table_is_a_map_that_uses_no_more_cells_than_sessions(
        steps in vec((0..8_usize, any::<Option<u64>>()), 1..64),
    ) {
        let mut table = ParkedTable::new(8);
        let mut map = HashMap::new();
        let mut most = 0;
        for (slot, word) in steps {
            match word {
                Some(word) => {
                    let words = [word | 1; WORDS];
                    prop_assert!(table.put(slot, &Parked::from_words(words)));
                    map.insert(slot, words);
                }
                None => {
                    let taken = table.take(slot).map(|parked| *parked.as_words());
                    prop_assert_eq!(taken, map.remove(&slot));
                }
            }
            most = most.max(map.len());
            prop_assert_eq!(table.used as usize, most);
        }
        for slot in 0..8 {
            let taken = table.take(slot).map(|parked| *parked.as_words());
            prop_assert_eq!(taken, map.remove(&slot));
        }
        prop_assert_eq!(&table.cells, &[[0; WORDS]; 8], "nothing of them is left");
    }
}

fn state(suite: Suite) -> State {
    State {
        suite,
        flags: FLAG_CLIENT | FLAG_PEER_CLOSED | FLAG_CLOSED,
        key_updates: 3,
        empty_records: 4,
        messages: 5,
        tx_secret: secret(suite, 1),
        rx_secret: secret(suite, 2),
        tx_sequence: 0x0a_0b0c,
        rx_sequence: 0x0102_0304_0506_0708,
    }
}

fn bytes_of(parked: &Parked) -> [u8; PARKED_BYTES] {
    let bytes: Vec<u8> = parked.as_words().iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.try_into().unwrap()
}

fn parked_of(bytes: &[u8; PARKED_BYTES]) -> Parked {
    let words: Vec<u64> =
        bytes.chunks(8).map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap())).collect();
    Parked::from_words(words.try_into().unwrap())
}
