//! The purge log: what was appended and synced comes back from whatever a crash has left; anything
//! else is refused, and nothing panics.

use proptest::prelude::*;

use crate::keys::Keys;
use crate::purge::{Lazy, Mode, PurgeLimits, PurgeTable, Standing, Tags};
use crate::purge_log::{Area, Cursor, ENTRIES_AT, Ledger, LogEntry, Replayed, What, replay};

const AREA_BYTES: usize = 12 << 10;
const VOLUME: u128 = 77;

fn keys() -> Keys {
    Keys::new(&[7; 32])
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => (0..6u128).prop_map(What::Key),
        4 => (0..6u64).prop_map(What::Tag),
        4 => proptest::collection::vec(0..2u8, 0..4).prop_map(|p| What::Prefix(p.into())),
        1 => proptest::collection::vec(any::<u8>(), 0..900).prop_map(|p| What::Prefix(p.into())),
        1 => Just(What::All),
    ]
}

fn mode() -> impl Strategy<Value = Mode> {
    prop_oneof![Just(Mode::Hard), Just(Mode::Soft)]
}

/// Entries with rising sequences.
fn entries(count: usize) -> impl Strategy<Value = Vec<LogEntry>> {
    let entry = (what(), mode());
    proptest::collection::vec(entry, 0..count).prop_map(|entries| {
        let number = |(number, (what, mode))| {
            let sequence = 10 * (number as u64 + 1);
            LogEntry { sequence, mode, at_ms: 1_700_000_000_000 + sequence, what }
        };
        entries.into_iter().enumerate().map(number).collect()
    })
}

/// The two areas of a volume, on a disk that is sure of what was synced only.
struct Disk {
    areas: [Vec<u8>; 2],
    /// Writes since the last sync.
    unsynced: Vec<(Area, usize, Vec<u8>)>,
}

impl Disk {
    fn new(header: &[u8]) -> Self {
        let mut areas = [vec![0; AREA_BYTES], vec![0; AREA_BYTES]];
        areas[0][..header.len()].copy_from_slice(header);
        Self { areas, unsynced: Vec::new() }
    }

    fn write(&mut self, area: Area, at: u32, bytes: &[u8]) {
        self.unsynced.push((area, at as usize, bytes.to_vec()));
    }

    fn sync(&mut self) {
        for (area, at, bytes) in self.unsynced.drain(..) {
            self.areas[area as usize][at..at + bytes.len()].copy_from_slice(&bytes);
        }
    }

    /// What is there after a crash now: of each unsynced write, some of its sectors.
    fn crashed(&self, mut chance: impl FnMut() -> bool) -> [Vec<u8>; 2] {
        let mut areas = self.areas.clone();
        for (area, at, bytes) in &self.unsynced {
            let (mut from, end) = (*at, at + bytes.len());
            while from < end {
                let to = ((from / 512 + 1) * 512).min(end);
                if chance() {
                    areas[*area as usize][from..to].copy_from_slice(&bytes[from - at..to - at]);
                }
                from = to;
            }
        }
        areas
    }

    fn replay(&self) -> Replayed {
        replay([&self.areas[0], &self.areas[1]], VOLUME, &keys())
    }
}

fn fresh() -> (Cursor, Disk) {
    let (cursor, header) = Cursor::first(VOLUME, AREA_BYTES as u32, 1, &keys());
    (cursor, Disk::new(&header))
}

/// A disk with these entries appended and synced.
fn written(entries: &[LogEntry]) -> (Cursor, Disk) {
    let (mut cursor, mut disk) = fresh();
    for entry in entries {
        let at = cursor.end;
        if let Some(bytes) = cursor.append(std::slice::from_ref(entry), at, &keys()) {
            disk.write(cursor.area, at, &bytes);
        }
    }
    disk.sync();
    (cursor, disk)
}

/// What the purges say of a record.
fn verdict(ledger: &Ledger, key: &[u8], hash: u128, tag: u64, sequence: u64) -> Standing {
    let limits = PurgeLimits { tags_max: 1024, prefixes_max: 1024, prefix_bytes_max: 1 << 20 };
    let table = PurgeTable::new(limits, 3);
    ledger.enforce(&table);
    let lazy = table.standing(key, Tags::new(&tag.to_le_bytes()), sequence);
    let newest = ledger.key_purges(0).get(&hash).copied().unwrap_or_default();
    lazy.max(newest.standing(sequence))
}

proptest! {
    #[test]
    fn what_was_synced_comes_back_in_order(entries in entries(60)) {
        let (cursor, disk) = written(&entries);
        let found = disk.replay();
        let fitting = found.entries.len();
        prop_assert_eq!(found.cursor, Some(cursor));
        prop_assert!(!found.damaged);
        let skipped = entries.len() > fitting;
        prop_assert!(skipped || found.entries == entries);
        prop_assert!(found.entries.iter().all(|entry| entries.contains(entry)));
    }

    #[test]
    fn any_bytes_are_no_log(a in proptest::collection::vec(any::<u8>(), 0..9000)) {
        let found = replay([&a, &[]], VOLUME, &keys());
        prop_assert_eq!(found, Replayed { cursor: None, entries: Vec::new(), damaged: true });
    }

    #[test]
    fn a_flipped_bit_costs_one_entry_and_is_told_from_a_crash(
        entries in entries(20),
        bit in 0..AREA_BYTES * 8,
    ) {
        let (cursor, mut disk) = written(&entries);
        let before = disk.replay().entries;
        disk.areas[0][bit / 8] ^= 1 << (bit % 8);
        let found = disk.replay();
        if (64..ENTRIES_AT as usize).contains(&(bit / 8)) || bit / 8 >= cursor.end as usize {
            prop_assert_eq!(found.entries, before);
        } else if bit / 8 < 64 {
            prop_assert!(found.damaged);
        } else {
            // Each entry was appended by itself: all but the last have one behind that vouches.
            prop_assert_eq!(found.entries.len() + 1, before.len());
            let lost = before.iter().position(|entry| !found.entries.contains(entry)).unwrap();
            prop_assert_eq!(found.damaged, lost + 1 < before.len());
            prop_assert!(found.entries.is_sorted_by(|a, b| a.sequence < b.sequence));
        }
    }

    /// Appends of several entries, syncs and compactions; then power is lost at every point, with
    /// any part of the unsynced sectors missing; and the survivor goes on and loses power again.
    #[test]
    fn acknowledged_purges_survive_every_crash(
        entries in entries(70),
        group in 1..4usize,
        seed: u64,
    ) {
        let mut chance = chances(seed);
        let (mut cursor, mut disk) = fresh();
        let (mut ledger, mut acknowledged) = (Ledger::default(), Vec::new());
        let mut durable = ENTRIES_AT;
        for group in entries.chunks(group) {
            let sequence = group[0].sequence;
            if chance() && chance() && chance() {
                // The machine dies and comes back: unacknowledged purges may be there or not.
                disk.areas = disk.crashed(&mut chance);
                disk.unsynced.clear();
                let found = disk.replay();
                prop_assert!(!found.damaged);
                check(&acknowledged, &found.entries, &[]);
                cursor = found.cursor.unwrap();
                durable = cursor.end;
                ledger = Ledger::union(std::iter::once(found.entries));
            }
            if group.iter().any(|entry| ENTRIES_AT + entry.bytes() > AREA_BYTES as u32) {
                continue;
            }
            let mut at = cursor.end;
            let mut bytes = cursor.append(group, durable, &keys());
            if bytes.is_none() {
                ledger.compact(0);
                let generation = sequence - 1;
                let Some(compaction) = cursor.compact(ledger.entries(), generation, &keys()) else {
                    continue;
                };
                let area = compaction.cursor.area;
                disk.write(area, ENTRIES_AT, &compaction.entries);
                check_crashes(&disk, &acknowledged, &mut chance);
                disk.sync();
                disk.write(area, 0, &compaction.header);
                check_crashes(&disk, &acknowledged, &mut chance);
                disk.sync();
                cursor = compaction.cursor;
                (at, durable) = (cursor.end, cursor.end);
                bytes = cursor.append(group, durable, &keys());
            }
            let Some(bytes) = bytes else { continue };
            group.iter().for_each(|entry| ledger.add(entry.clone()));
            disk.write(cursor.area, at, &bytes);
            check_crashes(&disk, &acknowledged, &mut chance);
            if chance() {
                disk.sync();
                durable = cursor.end;
                acknowledged = ledger.entries().to_vec();
            }
        }
    }

    #[test]
    fn a_compaction_changes_no_verdict(
        entries in entries(60),
        min_sequence in 0..600u64,
        records in proptest::collection::vec(
            (proptest::collection::vec(0..2u8, 0..5), 0..6u128, 0..6u64, 0..600u64),
            1..20,
        ),
    ) {
        let whole = Ledger::union(std::iter::once(entries.clone()));
        let mut compacted = Ledger::union([entries.clone(), entries].into_iter());
        compacted.compact(min_sequence);
        prop_assert!(compacted.entries().is_sorted_by(|a, b| a.sequence < b.sequence));
        for (key, hash, tag, sequence) in records {
            let sequence = sequence.max(min_sequence);
            let wanted = verdict(&whole, &key, hash, tag, sequence);
            prop_assert_eq!(verdict(&compacted, &key, hash, tag, sequence), wanted);
        }
        let before = compacted.entries().to_vec();
        compacted.compact(min_sequence);
        prop_assert_eq!(compacted.entries(), &before, "nothing is left to drop");
    }
}

/// Every acknowledged purge is found, or one that covers it.
fn check(acknowledged: &[LogEntry], found: &[LogEntry], context: &[u8]) {
    for entry in acknowledged {
        let covers = |other: &LogEntry| {
            let records = other.what == entry.what || other.what == What::All;
            let mode = other.mode == entry.mode || other.mode == Mode::Hard;
            other == entry || records && mode && other.sequence > entry.sequence
        };
        assert!(found.iter().any(covers), "{entry:?} is lost {context:?}");
    }
}

fn check_crashes(disk: &Disk, acknowledged: &[LogEntry], chance: &mut impl FnMut() -> bool) {
    for _ in 0..3 {
        let [a, b] = disk.crashed(&mut *chance);
        let found = replay([&a, &b], VOLUME, &keys());
        assert!(!found.damaged);
        check(acknowledged, &found.entries, &[]);
    }
}

fn chances(mut state: u64) -> impl FnMut() -> bool {
    move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 63 == 1
    }
}

fn tag_purge(sequence: u64) -> LogEntry {
    LogEntry { sequence, mode: Mode::Hard, at_ms: 5, what: What::Tag(sequence) }
}

#[test]
fn leftovers_of_an_older_generation_are_not_read() {
    let keys = keys();
    let old: Vec<LogEntry> = (1..60).map(|number| tag_purge(number * 10)).collect();
    let (cursor, mut disk) = written(&old);
    // To B and back to A: A's old entries lie behind the new ones, at their old offsets.
    let mut cursor = cursor;
    for generation in [601, 602] {
        let compaction = cursor.compact(&[tag_purge(5)], generation, &keys).unwrap();
        let area = compaction.cursor.area;
        disk.write(area, ENTRIES_AT, &compaction.entries);
        disk.sync();
        assert_eq!(disk.replay().cursor, Some(cursor), "without its header it does not count");
        disk.write(area, 0, &compaction.header);
        disk.sync();
        cursor = compaction.cursor;
    }
    assert_eq!(cursor.area, Area::A);
    let found = disk.replay();
    assert_eq!(found.cursor, Some(cursor));
    assert_eq!(found.entries, [tag_purge(5)]);
}

#[test]
fn an_entry_counts_only_at_its_own_offset() {
    let (_, mut disk) = written(&[tag_purge(10), tag_purge(20), tag_purge(30)]);
    let second = ENTRIES_AT as usize + 64;
    disk.areas[0].copy_within(second + 64..second + 128, second);
    // The third stands at its own place as well, and says that something was in front of it.
    let found = disk.replay();
    assert_eq!(found.entries, [tag_purge(10), tag_purge(30)]);
    assert!(found.damaged);
}

#[test]
fn an_entry_that_is_not_known_to_follow_a_durable_one_accuses_nobody() {
    let keys = keys();
    let (mut cursor, mut disk) = fresh();
    let from = cursor.end;
    // A run is killed before its sync, and the next one appends; then power is lost, and the disk
    // has the later write only.
    let first = cursor.append(&[tag_purge(10)], from, &keys).unwrap();
    let at = cursor.end;
    let second = cursor.append(&[tag_purge(20)], from, &keys).unwrap();
    assert_eq!(first.len(), second.len());
    disk.write(cursor.area, at, &second);
    disk.sync();
    let found = disk.replay();
    assert_eq!((found.entries, found.damaged), (Vec::new(), false));
}

#[test]
fn leftovers_of_a_run_that_died_are_not_read_behind_newer_entries() {
    let keys = keys();
    let (mut cursor, mut disk) = fresh();
    let at = cursor.end;
    // Of two entries that were never acknowledged the first is lost.
    let bytes = cursor.append(&[tag_purge(10), tag_purge(20)], at, &keys).unwrap();
    disk.write(cursor.area, at + 64, &bytes[64..]);
    disk.sync();
    let found = disk.replay();
    assert!(found.entries.is_empty());
    let mut cursor = found.cursor.unwrap();
    assert_eq!(cursor.end, at);
    let bytes = cursor.append(&[tag_purge(30)], at, &keys).unwrap();
    disk.write(cursor.area, at, &bytes);
    disk.sync();
    assert_eq!(disk.replay().entries, [tag_purge(30)]);
}

#[test]
fn logs_of_other_volumes_and_areas_are_not_read() {
    let (_, disk) = written(&[tag_purge(10)]);
    let [a, b] = &disk.areas;
    assert_eq!(replay([a, b], VOLUME, &keys()).entries.len(), 1);
    assert!(replay([a, b], VOLUME + 1, &keys()).damaged);
    assert!(replay([b, a], VOLUME, &keys()).damaged);
    assert!(replay([a, b], VOLUME, &Keys::new(&[8; 32])).damaged);
}

#[test]
fn compacted_entries_that_are_not_whole_are_damage() {
    let keys = keys();
    let (cursor, mut disk) = fresh();
    let entries = [tag_purge(10), tag_purge(20)];
    let compaction = cursor.compact(&entries, 30, &keys).unwrap();
    disk.write(Area::B, ENTRIES_AT, &compaction.entries);
    disk.write(Area::B, 0, &compaction.header);
    disk.sync();
    assert!(!disk.replay().damaged);
    disk.areas[1][ENTRIES_AT as usize + 100] ^= 1;
    let found = disk.replay();
    assert!(found.damaged);
    assert_eq!(found.entries, entries[..1]);
}

#[test]
fn what_does_not_fit_changes_nothing() {
    let keys = keys();
    let (mut cursor, _) = fresh();
    let before = cursor;
    let long = LogEntry { what: What::Prefix(vec![1; AREA_BYTES].into()), ..tag_purge(10) };
    assert_eq!(cursor.append(&[tag_purge(5), long.clone()], ENTRIES_AT, &keys), None);
    assert_eq!(cursor, before);
    assert_eq!(cursor.compact(&[long], 20, &keys), None);
    let room = (AREA_BYTES as u64 - u64::from(ENTRIES_AT)) / 64;
    let all: Vec<LogEntry> = (1..=room).map(tag_purge).collect();
    assert!(cursor.append(&all, ENTRIES_AT, &keys).is_some());
    assert_eq!(cursor.append(&[tag_purge(9999)], ENTRIES_AT, &keys), None);
}

#[test]
fn a_prefix_without_room_in_the_table_becomes_a_purge_of_everything() {
    let limits = PurgeLimits { tags_max: 8, prefixes_max: 1, prefix_bytes_max: 64 };
    let table = PurgeTable::new(limits, 0);
    let prefix =
        |sequence, name: &[u8]| LogEntry { what: What::Prefix(name.into()), ..tag_purge(sequence) };
    let ledger = Ledger::union(std::iter::once(vec![prefix(10, b"a"), prefix(20, b"b")]));
    ledger.enforce(&table);
    assert_eq!(table.standing(b"c", Tags::new(&[]), 19), Standing::Purged);
    assert_eq!(table.standing(b"c", Tags::new(&[]), 20), Standing::Live);
    assert_eq!(table.enforce(Lazy::Prefix(b"c"), Mode::Hard, 30), Ok(()));
}
