//! Entry points of the fuzz targets: any bytes go in, the invariants are asserted. The committed
//! corpus runs through them in the ordinary tests, too.
//!
//! [`parse`] is for the parsers, with the right keys at hand: input is sealed with a valid MAC, so
//! that what lies behind the MAC is reached, too. [`Recovery`] is for whole data files.

mod recovery;

use std::ops::Range;
use std::sync::LazyLock;

pub use recovery::Recovery;

use crate::format::{
    self, FOOTER_ENTRY_BYTES, FOOTER_TRAILER_BYTES, Layout, RECORD_HEADER_BYTES, RecordHeader,
    Trailer,
};
use crate::keys::Keys;
use crate::purge_log::{self, Area, Cursor, Ledger};
use crate::root::{ROOT_BYTES, Root};
use crate::superblock::{Parsed, SuperBlock};
use crate::{keys, snapshot};

/// Runs the parser that the first byte chooses over the rest, as it is and sealed.
pub fn parse(input: &[u8]) {
    let Some((&which, bytes)) = input.split_first() else { return };
    static KEYS: LazyLock<Keys> = LazyLock::new(|| Keys::new(&[7; 32]));
    let keys = &*KEYS;
    match which % 7 {
        0 => record_header(bytes, keys),
        1 => footer(bytes, keys),
        2 => segment_header(bytes, keys),
        3 => super_block(bytes),
        4 => snapshot_head(bytes, keys),
        5 => purges(bytes, keys),
        _ => root(bytes),
    }
}

/// Two bytes choose the place, the others are the header.
fn record_header(bytes: &[u8], keys: &Keys) {
    let Some((place, bytes)) = bytes.split_first_chunk::<2>() else { return };
    let at = u32::from(u16::from_le_bytes(*place)) * format::RECORD_ALIGN;
    let mut header = fit(bytes, RECORD_HEADER_BYTES);
    for end in [SEGMENT_BYTES, u64::MAX] {
        if let Some((found, layout)) = RecordHeader::parse(bytes, at, end, keys) {
            check_record(&found, &layout, end);
        }
        format::put(&mut header, 0, b"LHr1");
        let mac = keys.front_mac(&header[..80]);
        header[80..96].copy_from_slice(&mac);
        // The place stands in the header; most input has another one.
        for fixed in [false, true] {
            if fixed {
                format::put(&mut header, 60, &at.to_le_bytes());
                let mac = keys.front_mac(&header[..80]);
                header[80..96].copy_from_slice(&mac);
            }
            if let Some((found, layout)) = RecordHeader::parse(&header, at, end, keys) {
                check_record(&found, &layout, end);
                assert_eq!(found.encode(&layout, keys)[..], header[..], "it is read as written");
            }
        }
    }
}

fn check_record(header: &RecordHeader, layout: &Layout, end: u64) {
    assert!(u64::from(layout.end()) <= end.min(u64::from(u32::MAX)));
    assert_eq!(Layout::new(layout.at, header.lengths), Some(*layout));
    let parts = [layout.key(), layout.tags(), layout.head(), body(layout)];
    let parts = parts.into_iter().chain([layout.sums(), layout.mac()]);
    let last = parts.fold(layout.at, |before, part| {
        assert!(before <= part.start && part.start <= part.end, "parts follow each other");
        part.end
    });
    assert!(last <= layout.end());
    let chunks = (0..layout.chunk_count()).map(|chunk| layout.chunk(chunk));
    let chunked: u64 = chunks.take(100).map(|chunk| chunk.len() as u64).sum();
    assert!(chunked == u64::from(layout.body_bytes) || layout.chunk_count() > 100);
}

fn body(layout: &Layout) -> Range<u32> {
    layout.body_at..layout.body_at + layout.body_bytes
}

/// The last bytes of a segment; the count of lines is made to fit half of the time.
fn footer(bytes: &[u8], keys: &Keys) {
    let mut segment = vec![0; SEGMENT_BYTES as usize];
    let len = bytes.len().min(segment.len());
    let at = segment.len() - len;
    segment[at..].copy_from_slice(&bytes[..len]);
    let trailer_at = segment.len() - FOOTER_TRAILER_BYTES;
    let number = format::u32_at(&segment, trailer_at + 12);
    let generation = format::u64_at(&segment, trailer_at + 16);
    check_footer(&segment, (number, generation), keys);
    segment[trailer_at..trailer_at + 4].copy_from_slice(b"LHf1");
    if number.is_multiple_of(2) {
        let count = (len.saturating_sub(FOOTER_TRAILER_BYTES) / FOOTER_ENTRY_BYTES) as u32;
        format::put(&mut segment, trailer_at + 4, &count.to_le_bytes());
    }
    let count = format::u32_at(&segment, trailer_at + 4) as usize;
    let lines_at = trailer_at.saturating_sub(count.saturating_mul(FOOTER_ENTRY_BYTES));
    let mut mac = keys.footer_mac();
    mac.update(&segment[trailer_at..trailer_at + 48]);
    let lines = segment[lines_at..trailer_at].rchunks_exact(FOOTER_ENTRY_BYTES);
    lines.for_each(|line| mac.update(line));
    format::put(&mut segment, trailer_at + 48, &mac.finish());
    check_footer(&segment, (number, generation), keys);
}

fn check_footer(segment: &[u8], (number, generation): (u32, u64), keys: &Keys) {
    let Some((trailer, lines)) = Trailer::parse(segment, number, generation, keys) else { return };
    assert_eq!((trailer.segment, trailer.generation), (number, generation));
    assert_eq!(lines.len(), trailer.count as usize);
    let footer_bytes = lines.len() * FOOTER_ENTRY_BYTES + FOOTER_TRAILER_BYTES;
    assert!(trailer.end as usize + footer_bytes <= segment.len());
    assert!(lines.iter().all(|line| line.at % format::RECORD_ALIGN == 0));
}

fn segment_header(bytes: &[u8], keys: &Keys) {
    let mut header = fit(bytes, 64);
    let number = format::u32_at(&header, 4);
    format::parse_segment_header(bytes, number, keys);
    header[..4].copy_from_slice(b"LHs1");
    let mac = keys.segment_mac(&header[..48]);
    header[48..].copy_from_slice(&mac);
    let generation = format::parse_segment_header(&header, number, keys);
    assert_eq!(generation, Some(format::u64_at(&header, 8)));
    assert_eq!(format::parse_segment_header(&header, !number, keys), None);
}

fn super_block(bytes: &[u8]) {
    check_super_block(bytes);
    let mut block = fit(bytes, crate::superblock::SUPER_BYTES);
    block[..8].copy_from_slice(b"LHSTORE\0");
    format::put(&mut block, 8, &format::FORMAT_VERSION.to_le_bytes());
    let mut secret = [0; 32];
    secret.copy_from_slice(&block[40..72]);
    let key = blake3::derive_key("longhold store 2 super block", &secret);
    let mac_at = block.len() - format::MAC_BYTES;
    let mac = keys::mac_with(&key, &block[..mac_at]);
    block[mac_at..].copy_from_slice(&mac);
    check_super_block(&block);
}

fn check_super_block(bytes: &[u8]) {
    let Parsed::Valid(block) = SuperBlock::parse(bytes) else { return };
    // What an open asks it before it has compared anything with its config.
    let _ = (block.floor(), block.geometry.data_bytes());
}

/// As recovery reads it: measured first, then head and tail.
fn snapshot_head(bytes: &[u8], keys: &Keys) {
    let area_bytes = 1 << 16;
    let mut area = fit(bytes, area_bytes);
    for sealed in [false, true] {
        if sealed {
            area[..8].copy_from_slice(b"LHINDEX\0");
            format::put(&mut area, 8, &format::FORMAT_VERSION.to_le_bytes());
        }
        let Some(layout) = snapshot::Head::measure(&area, area_bytes as u64) else { continue };
        let (head_end, tail_at) = (layout.image_at as usize, layout.tail_at() as usize);
        let tail = tail_at..layout.total_bytes() as usize;
        if sealed {
            let sums_bytes = tail.len() - format::MAC_BYTES;
            let sums = area[tail.start..tail.start + sums_bytes].chunks_exact(8);
            let sums: Vec<u64> = sums.map(|sum| format::u64_at(sum, 0)).collect();
            let sealed_tail = snapshot::encode_tail(&area[..head_end], &sums, keys);
            area[tail.clone()].copy_from_slice(&sealed_tail);
        }
        let (head, tail) = (&area[..head_end], &area[tail]);
        let Some((parsed, sums)) = snapshot::Head::parse(head, tail, keys) else { continue };
        assert_eq!(parsed.layout(), layout);
        assert_eq!(sums.len() as u64, layout.image_bytes.div_ceil(snapshot::BLOCK_BYTES));
    }
}

/// What a root says, as readers use it; it stands under the record's MAC.
fn root(bytes: &[u8]) {
    let Some(root) = Root::parse(bytes) else { return };
    assert_eq!(root.encode()[..], bytes[..ROOT_BYTES]);
    let count = root.slice_count();
    let numbers = [0, 1, count / 2, count.saturating_sub(1), count, u64::MAX];
    for range in numbers.map(|number| root.slice_range(number)) {
        assert!(range.start <= range.end && range.end <= root.body_bytes);
        assert!(range.end - range.start <= u64::from(root.slice_bytes));
        if !range.is_empty() {
            assert!(root.slice_range(root.slice_of(range.start)) == range);
        }
    }
}

/// The two areas of a purge log, and a log of sealed entries with these bytes in them.
fn purges(bytes: &[u8], keys: &Keys) {
    let raw = fit(bytes, 2 * PURGE_BYTES as usize);
    let (a, b) = raw.split_at(PURGE_BYTES as usize);
    check_purges([a, b], keys);
    let (cursor, header) = Cursor::first(PURGE_VOLUME, PURGE_BYTES, 5, keys);
    let mut area = vec![0; PURGE_BYTES as usize];
    area[..header.len()].copy_from_slice(&header);
    let (mut at, mut rest) = (cursor.end, bytes);
    while let Some((&data_bytes, after)) = rest.split_first() {
        let entry_bytes = purge_log::entry_bytes(data_bytes.into()) as usize;
        let (entry, after) = after.split_at(entry_bytes.min(after.len()));
        let mut entry = fit(entry, entry_bytes);
        format::put(&mut entry, 0, b"LHpe");
        format::put(&mut entry, 24, &u32::from(data_bytes).to_le_bytes());
        let mac = purge_log::entry_mac(&entry, at, &cursor, keys);
        format::put(&mut entry, 32, &mac);
        let Some(place) = area[at as usize..].get_mut(..entry.len()) else { break };
        place.copy_from_slice(&entry);
        (at, rest) = (at + entry.len() as u32, after);
    }
    check_purges([&area, b], keys);
}

fn check_purges(areas: [&[u8]; 2], keys: &Keys) {
    let replayed = purge_log::replay(areas, PURGE_VOLUME, keys);
    let Some(cursor) = replayed.cursor else {
        return assert!(replayed.damaged && replayed.entries.is_empty());
    };
    let sequences = replayed.entries.iter().map(|entry| entry.sequence);
    assert!(sequences.is_sorted_by(|a, b| a < b), "sequences rise");
    let bytes: u32 = replayed.entries.iter().map(purge_log::LogEntry::bytes).sum();
    let known = cursor.end - purge_log::ENTRIES_AT;
    assert!(bytes == known || replayed.damaged && bytes > known, "{bytes} of {known}");
    // What was read is written again as it was.
    let compacted = cursor.compact(&replayed.entries, 6, keys).expect("it fitted before");
    let mut area = vec![0; PURGE_BYTES as usize];
    area[..compacted.header.len()].copy_from_slice(&compacted.header);
    format::put(&mut area, purge_log::ENTRIES_AT as usize, &compacted.entries);
    let areas = match cursor.area {
        Area::A => [areas[0], &area],
        Area::B => [&area, areas[1]],
    };
    if cursor.generation < 6 {
        let again = purge_log::replay(areas, PURGE_VOLUME, keys);
        assert_eq!(again.entries, replayed.entries);
        assert!(!again.damaged);
    }
    let mut ledger = Ledger::union(std::iter::once(replayed.entries));
    let (before, lowest) = (ledger.bytes(), ledger.entries().first().map_or(0, |e| e.sequence));
    ledger.compact(lowest.saturating_add(1));
    assert!(ledger.bytes() <= before);
}

/// Exactly so many bytes, with zeros for what is missing.
fn fit(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut fitted = bytes[..bytes.len().min(len)].to_vec();
    fitted.resize(len, 0);
    fitted
}

const PURGE_BYTES: u32 = 8192;
const PURGE_VOLUME: u128 = 9;
/// A small segment.
const SEGMENT_BYTES: u64 = 64 << 10;
