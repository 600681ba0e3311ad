//! A run of pieces against the plain vector that it stands for.

use bytes::Bytes;

use super::{BLOCK_BYTES, COPY_BELOW_BYTES, Pieces};

fn part(from: u64, len: usize) -> Bytes {
    (from..from + len as u64).map(|n| n.wrapping_mul(31) as u8).collect::<Vec<_>>().into()
}

/// Pushes parts of these lengths and reads everything back, `step` bytes at a time.
fn check(lengths: &[usize], step: usize) {
    let mut pieces = Pieces::default();
    for len in lengths {
        pieces.push(part(pieces.end(), *len));
    }
    let total: usize = lengths.iter().sum();
    assert_eq!(pieces.end(), total as u64);
    let mut read = Vec::new();
    while let Some(bytes) = pieces.read(read.len() as u64, step) {
        assert!(!bytes.is_empty() && bytes.len() <= step);
        read.extend_from_slice(&bytes);
    }
    assert_eq!(read, part(0, total));
}

#[test]
fn reads_back_what_was_pushed() {
    check(&[], 7);
    check(&[0, 1, 0, 2], 1);
    check(&[1; 1000], 3);
    check(&[COPY_BELOW_BYTES, 1, COPY_BELOW_BYTES - 1, 5, 3 * COPY_BELOW_BYTES], 1000);
    check(&[COPY_BELOW_BYTES - 1; 9], usize::MAX);
}

#[test]
fn small_parts_share_blocks() {
    let mut pieces = Pieces::default();
    for _ in 0..4 * BLOCK_BYTES {
        pieces.push(part(pieces.end(), 1));
    }
    assert!(pieces.sealed.len() <= 4, "OR-7: {} pieces", pieces.sealed.len());
}

#[test]
fn releases_whole_pieces_below_the_floor() {
    let mut pieces = Pieces::default();
    pieces.push(part(0, COPY_BELOW_BYTES));
    pieces.push(part(pieces.end(), 10));
    pieces.release_below(COPY_BELOW_BYTES as u64 - 1);
    assert_eq!(pieces.start(), 0);
    pieces.release_below(COPY_BELOW_BYTES as u64);
    assert_eq!((pieces.start(), pieces.held_bytes()), (COPY_BELOW_BYTES as u64, 10));
    pieces.release_below(pieces.end() - 1);
    assert_eq!(pieces.held_bytes(), 10);
    pieces.release_below(pieces.end() + 100);
    assert_eq!((pieces.start(), pieces.held_bytes()), (pieces.end(), 0));
    assert_eq!(pieces.read(0, 10), None);
}

#[test]
fn takes_from_the_front() {
    let mut pieces = Pieces::default();
    pieces.push(part(0, COPY_BELOW_BYTES));
    pieces.push(part(COPY_BELOW_BYTES as u64, 3));
    assert_eq!(pieces.take(), Some(part(0, COPY_BELOW_BYTES)));
    assert_eq!(pieces.start(), COPY_BELOW_BYTES as u64);
    assert_eq!(pieces.take(), Some(part(COPY_BELOW_BYTES as u64, 3)));
    assert_eq!(pieces.take(), None);
    pieces.push(part(pieces.end(), 4));
    assert_eq!(pieces.take().map(|bytes| bytes.len()), Some(4));
}
