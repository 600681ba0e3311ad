//! Snapshots as bytes: round trips, and every wrong bit.

use proptest::prelude::*;

use crate::index::{Index, Place};
use crate::keys::Keys;
use crate::snapshot::{
    BLOCK_BYTES, HEAD_BYTES, Head, Layout, SLOT_BYTES, SegmentLine, VolumeLine, block_sum,
    encode_tail,
};

fn keys() -> Keys {
    Keys::new(&[5; 32])
}

fn head(slots: u64) -> Head {
    let volume = |number: u32| VolumeLine {
        device: 77 + u128::from(number),
        first: number * 8,
        segment_count: 8,
    };
    let segment = |number: u64| SegmentLine {
        generation: number << 44,
        first_sequence: number,
        last_sequence: number + 5,
        tail: 4096,
        settled: number.is_multiple_of(3),
    };
    Head {
        store: 9,
        sequence: 1 << 45,
        slots,
        volumes: (0..2).map(volume).collect(),
        segments: (0..16).map(segment).collect(),
    }
}

#[test]
fn a_head_and_its_sums_come_back() {
    let head = head(200_000);
    let bytes = head.encode();
    let layout = head.layout();
    let sums: Vec<u64> = (0..layout.image_bytes.div_ceil(BLOCK_BYTES)).collect();
    let tail = encode_tail(&bytes, &sums, &keys());
    assert_eq!(tail.len() as u64, layout.tail_bytes);
    let first = &bytes[..HEAD_BYTES as usize];
    assert_eq!(Head::measure(first, layout.total_bytes()), Some(layout));
    assert_eq!(Head::measure(first, layout.total_bytes() - 1), None, "the area is too small");
    assert_eq!(Head::parse(&bytes, &tail, &keys()), Some((head, sums)));
    assert_eq!(Head::parse(&bytes, &tail, &Keys::new(&[6; 32])), None, "of another store");
}

#[test]
fn a_flipped_bit_in_head_or_tail_is_no_snapshot() {
    let head = head(100_000);
    let bytes = head.encode();
    let tail = encode_tail(&bytes, &[1, 2], &keys());
    for at in 0..(bytes.len() + tail.len()) * 8 {
        let (mut bytes, mut tail) = (bytes.clone(), tail.clone());
        match bytes.get_mut(at / 8) {
            Some(byte) => *byte ^= 1 << (at % 8),
            None => tail[at / 8 - bytes.len()] ^= 1 << (at % 8),
        }
        assert_eq!(Head::parse(&bytes, &tail, &keys()), None, "bit {at}");
    }
}

proptest! {
    #[test]
    fn the_parser_is_total(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        tail in prop::collection::vec(any::<u8>(), 0..100),
        with_magic in any::<bool>(),
    ) {
        if with_magic {
            let head = head(4).encode();
            let len = bytes.len().min(12);
            bytes[..len].copy_from_slice(&head[..len]);
        }
        let _ = Head::measure(&bytes, 1 << 40);
        prop_assert_eq!(Head::parse(&bytes, &tail, &keys()), None);
        // Behind a right MAC, too: the parser does not lean on the writer.
        if let Some((sums, mac)) = tail.split_last_chunk::<16>() {
            let _ = mac;
            let mut mac = keys().snapshot_mac();
            mac.update(&bytes);
            mac.update(sums);
            let mut signed = sums.to_vec();
            signed.extend_from_slice(&mac.finish());
            let _ = Head::parse(&bytes, &signed, &keys());
        }
    }
}

#[test]
fn an_image_brings_back_all_but_what_was_verified_or_refused() {
    let index = Index::new(1024).unwrap();
    let hash = |number: u128| (number * 0x9e37_79b9_7f4a_7c15) << 64 | (number + 1);
    for number in 0..400 {
        index.insert(hash(number), Place::new(number as u32 % 20, 4096, 1, 640));
        let (slot, place) = index.find(hash(number), |slot, place| Some((slot, place))).unwrap();
        index.set_verified(slot, place, 1);
        if number % 2 == 0 {
            index.bump(slot, place);
            index.set_soft(hash(number));
        }
    }
    let mut image = vec![0xee; (index.slots() * SLOT_BYTES) as usize];
    let (front, back) = image.split_at_mut(160 * SLOT_BYTES as usize);
    index.copy_image(0, front, |place| place.segment() < 15);
    index.copy_image(160, back, |place| place.segment() < 15);
    let loaded = Index::new(1024).unwrap();
    loaded.load_image(0, &image, |place| place.segment() != 3);
    for number in 0..400 {
        let found = loaded.find(hash(number), |_, place| Some(place));
        let segment = number as u32 % 20;
        assert_eq!(found.is_some(), segment < 15 && segment != 3, "{number}");
        if let Some(found) = found {
            assert_eq!(found.bare(), Place::new(segment, 4096, 1, 640).bare());
            let even = number % 2 == 0;
            assert_eq!((found.is_soft(), found.frequency()), (even, u8::from(even)));
            assert_eq!(found.verified(), 0);
        }
    }
    assert_eq!(loaded.used(), 400 / 20 * 14);
    loaded.clear_all();
    assert_eq!(loaded.used(), 0);
    assert!((0..400).all(|number| loaded.find(hash(number), |_, place| Some(place)).is_none()));
}

#[test]
fn sums_are_of_one_snapshot() {
    let block = [1; 4096];
    let seeds = [keys().snapshot_seed(1), keys().snapshot_seed(2)];
    assert_ne!(block_sum(seeds[0], &block), block_sum(seeds[1], &block));
}

#[test]
fn parts_follow_each_other_without_overlap() {
    for (slots, segments) in [(4, 8), (1 << 20, 16), (65_536, 1 << 20)] {
        let layout = Layout::new(slots, 1, segments);
        assert!(layout.image_at >= HEAD_BYTES + 32 + 32 * segments);
        assert!(layout.image_at.is_multiple_of(4096));
        assert_eq!(layout.tail_at(), layout.image_at + slots * SLOT_BYTES);
        assert_eq!(layout.total_bytes(), layout.tail_at() + layout.tail_bytes);
    }
}
