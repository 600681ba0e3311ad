//! The parsers: what was encoded comes back, anything else is refused, nothing panics.

use proptest::prelude::*;

use crate::config::Geometry;
use crate::format::{
    FooterLine, Kind, Layout, Lengths, RecordHeader, Trailer, encode_segment_header,
    parse_segment_header,
};
use crate::keys::{ChunkSums, Keys, chunk_sum};
use crate::superblock::{Identity, Parsed, SuperBlock};

const SEGMENT_BYTES: u64 = 1 << 20;

fn keys() -> Keys {
    Keys::new(&[7; 32])
}

fn header(lengths: Lengths) -> RecordHeader {
    RecordHeader {
        kind: Kind::Object,
        generation: 3 << 40,
        sequence: (3 << 40) + 17,
        key_hash: 0x1234_5678_9abc_def0_0fed_cba9_8765_4321,
        lengths,
        stored_at_ms: 1_700_000_000_000,
        expires_at_ms: 0,
    }
}

proptest! {
    #[test]
    fn a_header_comes_back_only_at_its_place(
        unit in 64..10_000u32,
        key_bytes in 0..2000u32,
        head_bytes in 0..5000u32,
        body_bytes in 0..600_000u64,
        tag_count in 0..=64u8,
    ) {
        let (keys, at) = (keys(), unit * 64);
        let header = header(Lengths { key_bytes, tag_count, head_bytes, body_bytes });
        let layout = Layout::new(at, header.lengths).unwrap();
        let bytes = header.encode(&layout, &keys);
        let fits = u64::from(layout.end()) <= SEGMENT_BYTES;
        let found = RecordHeader::parse(&bytes, at, SEGMENT_BYTES, &keys);
        prop_assert_eq!(found, fits.then_some((header, layout)));
        prop_assert_eq!(RecordHeader::parse(&bytes, at + 64, u64::MAX, &keys), None);
        prop_assert_eq!(RecordHeader::parse(&bytes, at, u64::MAX, &Keys::new(&[8; 32])), None);
    }

    #[test]
    fn the_parts_of_a_record_follow_each_other(
        unit in 64..10_000u32,
        key_bytes in 0..2000u32,
        head_bytes in 0..5000u32,
        body_bytes in prop_oneof![0..70_000u64, 0..20_000_000u64],
        tag_count in 0..=64u8,
    ) {
        let lengths = Lengths { key_bytes, tag_count, head_bytes, body_bytes };
        let layout = Layout::new(unit * 64, lengths).unwrap();
        prop_assert_eq!(layout.key().start, layout.at + 96);
        prop_assert_eq!(layout.key().end, layout.tags().start);
        prop_assert_eq!(layout.tags().end, layout.head().start);
        prop_assert_eq!(layout.tags().len(), 8 * usize::from(tag_count));
        prop_assert_eq!(layout.front(), layout.at..layout.head().end);
        prop_assert!(layout.head().end <= layout.body_at);
        prop_assert!(layout.body_at + layout.body_bytes <= layout.sums_at);
        prop_assert_eq!(layout.sums().end, layout.mac().start);
        prop_assert!(layout.mac().end <= layout.end());
        prop_assert!(layout.end() - layout.mac().end < 64 && layout.end().is_multiple_of(64));
        prop_assert_eq!(layout.sums().len() as u32, 8 * layout.chunk_count());
        prop_assert!(body_bytes < 32_768 || layout.body_at.is_multiple_of(4096));
        let chunks = (0..layout.chunk_count()).map(|chunk| layout.chunk(chunk));
        let end = chunks.fold(layout.body_at, |at, chunk| {
            assert_eq!(chunk.start, at);
            chunk.end
        });
        prop_assert_eq!(end, layout.body_at + layout.body_bytes);
    }

    #[test]
    fn parsers_are_total(bytes in proptest::collection::vec(any::<u8>(), 0..6000), at: u32) {
        let keys = keys();
        prop_assert_eq!(RecordHeader::parse(&bytes, at, SEGMENT_BYTES, &keys), None);
        // Verified before and gone bad since: any fields, no MAC.
        let mut bad = bytes.clone();
        if bad.len() > 8 {
            bad[..8].copy_from_slice(b"LHr1\x01\x10\0\0");
        }
        if let Some((_, layout)) = RecordHeader::read(&bad, at, SEGMENT_BYTES) {
            prop_assert!(u64::from(layout.at) + u64::from(layout.extent_bytes) <= SEGMENT_BYTES);
        }
        prop_assert_eq!(Trailer::parse(&bytes, 0, 1, &keys), None);
        prop_assert_eq!(parse_segment_header(&bytes, 0, &keys), None);
        prop_assert_eq!(SuperBlock::parse(&bytes), Parsed::Damaged);
    }

    #[test]
    fn a_flipped_bit_is_a_damaged_super_block(bit in 0..4096usize * 8) {
        let block = SuperBlock {
            geometry: Geometry {
                segment_bytes: 65_536,
                segment_count: 16,
                snapshot_bytes: 8192,
                purge_bytes: 4096,
            },
            identity: Identity { store: 99, secret: [5; 32] },
            device: 7,
            floor_epoch: 6,
            members: vec![7, 8],
            epoch: 12,
        };
        let mut bytes = block.encode();
        prop_assert_eq!(SuperBlock::parse(&bytes), Parsed::Valid(Box::new(block)));
        bytes[bit / 8] ^= 1 << (bit % 8);
        match SuperBlock::parse(&bytes) {
            Parsed::Valid(_) => prop_assert!(false, "bit {} went unseen", bit),
            Parsed::OtherVersion(_) => prop_assert!((64..96).contains(&bit)),
            Parsed::Damaged => {}
        }
    }

    #[test]
    fn sums_in_pieces_are_sums_of_chunks(
        body in proptest::collection::vec(any::<u8>(), 0..200_000),
        piece_bytes in 1..90_000usize,
        seed: u64,
    ) {
        let mut sums = ChunkSums::new(seed, 4);
        body.chunks(piece_bytes).for_each(|piece| sums.update(piece));
        let whole = body.chunks(65_536).flat_map(|chunk| chunk_sum(seed, chunk).to_le_bytes());
        prop_assert_eq!(sums.finish(), whole.collect::<Vec<u8>>());
    }
}

#[test]
fn a_trailer_lists_what_was_written_and_nothing_else() {
    let keys = keys();
    let mut segment = vec![0u8; 65_536];
    let lines: Vec<FooterLine> = (0..9u32)
        .map(|number| FooterLine {
            key_hash: u128::from(number) << 90,
            sequence: 100 + u64::from(number),
            at: 4096 + number * 128,
            extent_bytes: 128,
        })
        .collect();
    let trailer = Trailer {
        segment: 4,
        generation: 77,
        count: 9,
        end: 4096 + 9 * 128,
        end_sequence: 108,
        is_final: true,
    };
    let encoded = trailer.encode(lines.iter().map(FooterLine::encode), &keys);
    let end = segment.len();
    segment[end - 64..].copy_from_slice(&encoded);
    for (number, line) in lines.iter().enumerate() {
        let at = end - 64 - 32 * (number + 1);
        segment[at..at + 32].copy_from_slice(&line.encode());
    }
    assert_eq!(Trailer::parse(&segment, 4, 77, &keys), Some((trailer, lines)));
    assert_eq!(Trailer::parse(&segment, 5, 77, &keys), None);
    assert_eq!(Trailer::parse(&segment, 4, 78, &keys), None);
    for bit in (end - 64 - 9 * 32) * 8..(end - 16) * 8 {
        segment[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Trailer::parse(&segment, 4, 77, &keys), None, "bit {bit}");
        segment[bit / 8] ^= 1 << (bit % 8);
    }
    // What lies in front of the lines does not matter, and a count too large is no panic.
    segment[end - 60..end - 56].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Trailer::parse(&segment, 4, 77, &keys), None);
}

#[test]
fn a_segment_header_is_of_one_segment() {
    let keys = keys();
    let header = encode_segment_header(3, 1 << 41, &keys);
    assert_eq!(parse_segment_header(&header, 3, &keys), Some(1 << 41));
    assert_eq!(parse_segment_header(&header, 2, &keys), None);
    assert_eq!(parse_segment_header(&header[..63], 3, &keys), None);
}

#[test]
fn lengths_beyond_the_limits_have_no_layout() {
    let fits = |at, key_bytes, tag_count, head_bytes, body_bytes| {
        let lengths = Lengths { key_bytes, tag_count, head_bytes, body_bytes };
        Layout::new(at, lengths).is_some()
    };
    assert!(fits(4096, 65_536, 64, 65_536, 0));
    assert!(!fits(4096, 65_537, 0, 0, 0));
    assert!(!fits(4096, 0, 65, 0, 0));
    assert!(!fits(4096, 0, 0, 65_537, 0));
    assert!(!fits(4096, 0, 0, 0, u64::MAX));
    assert!(!fits(u32::MAX - 63, 100, 0, 0, 0));
    assert!(!fits(4096, 0, 0, 0, u64::from(u32::MAX)));
}

/// Its secret lies in it, so anybody who can write the file can give it a MAC.
#[test]
fn a_super_block_beyond_all_bounds_is_damaged() {
    let geometry = Geometry {
        segment_bytes: 1 << 16,
        segment_count: 16,
        snapshot_bytes: 4096,
        purge_bytes: 16 << 10,
    };
    let parse = |geometry| {
        let identity = Identity { store: 1, secret: [7; 32] };
        let (device, members) = (2, vec![2]);
        let block = SuperBlock { geometry, identity, device, epoch: 1, floor_epoch: 0, members };
        SuperBlock::parse(&block.encode())
    };
    assert!(matches!(parse(geometry), Parsed::Valid(_)));
    for geometry in [
        Geometry { segment_bytes: u32::MAX, ..geometry },
        Geometry { segment_count: u32::MAX, ..geometry },
        Geometry { snapshot_bytes: 1 << 63, ..geometry },
        Geometry { purge_bytes: u64::MAX, ..geometry },
    ] {
        assert_eq!(parse(geometry), Parsed::Damaged);
    }
}
