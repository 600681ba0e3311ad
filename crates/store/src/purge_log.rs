//! The purge log: bytes on disk, what is appended, what a compaction keeps, and what an open reads.
//!
//! Every disk volume has two areas for it in its data file. One is in use: purges are appended to
//! it and acknowledged when they are durable there. When it is full, what still matters is written
//! into the other one.
//!
//! ```text
//! area    ┌ header 64 B … 4,096 │ entry │ entry │ … free … ┐
//! header  0 magic "LHp1" 4 · 4 entries bytes 4 · 8 generation 8 · 16 zero 32 · 48 MAC 16
//! entry   0 magic "LHpe" 4 · 4 kind 1 · 5 mode 1 · 6 zero 2 · 8 sequence 8 · 16 wall clock ms 8 ·
//!         24 data bytes 4 · 28 vouched 4 · 32 MAC 16 · 48 data · zeros up to a multiple of 64
//! ```
//! Integers are little-endian. Data is a key's hash (16 bytes), a tag (8), the bytes of a prefix,
//! or nothing. What lies in front of *vouched* was durable before the entry was appended. A
//! generation is a sequence of the store, so none is ever given out twice (ST-4). The
//! MAC of a header covers the volume and which of the two areas it is; the MAC of an entry covers
//! the volume, the generation of its area and its own offset. So nothing that another generation
//! left behind is ever read as an entry.
//!
//! # Why an acknowledged purge is found
//! - Entries are appended one behind the other and sequences rise. A sync that makes one durable
//!   makes all in front of it durable. The walk stops at the first entry that is not whole or does
//!   not rise: everything acknowledged lies in front of that (ST-7). What lies behind was written
//!   by a run that died before the sync, and has a lower sequence than anything appended later.
//! - A compaction writes its entries, syncs, writes the header, syncs. A valid header so says that
//!   the entries are whole, and names how many bytes of them. Until it is valid the other area, of
//!   the lower generation, is the log; nobody appends to that one in the meantime.
//! - A log without a valid header, or whose compacted entries are not whole, has been damaged by
//!   something that is no crash; so has one in which an entry behind the walk's end vouches for
//!   what was there. [`Replayed::damaged`] says so, and the open trusts no record that is older
//!   than itself unless another volume's log is whole. For such an entry [`SCAN_BYTES`] behind the
//!   end are searched.
//!
//! This file does no I/O; its parsers are total.

use std::collections::HashMap;

use crate::format::{KEY_BYTES_MAX, put, u32_at, u64_at, u128_at};
use crate::keys::Keys;
use crate::purge::{Lazy, Mode, Newest, PrefixesFull, PurgeTable};

/// One purge on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogEntry {
    /// Records with a lower one are concerned.
    pub(crate) sequence: u64,
    pub(crate) mode: Mode,
    /// Wall clock of the call, in milliseconds since the Unix epoch; for whoever looks at the log.
    pub(crate) at_ms: u64,
    pub(crate) what: What,
}

/// What it concerns; keys by their hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum What {
    Key(u128),
    Prefix(Box<[u8]>),
    Tag(u64),
    All,
}

/// The two areas of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    A,
    B,
}

/// Where the log of one volume stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The volume's own name: logs of two volumes cannot be taken for each other.
    pub(crate) volume: u128,
    pub(crate) area: Area,
    pub(crate) generation: u64,
    /// Where the next entry goes, from the front of the area.
    pub(crate) end: u32,
    /// Bytes of an area.
    pub(crate) area_bytes: u32,
}

/// What goes into the other area: the entries first, and when they are durable the header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compaction {
    /// Goes to [`ENTRIES_AT`].
    pub(crate) entries: Vec<u8>,
    /// Goes to the front of the area.
    pub(crate) header: [u8; HEADER_BYTES],
    /// Where the log stands once the header is durable.
    pub(crate) cursor: Cursor,
}

/// What an open has found in the areas of one volume.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replayed {
    /// `None`: no header is valid.
    pub(crate) cursor: Option<Cursor>,
    /// By rising sequence.
    pub(crate) entries: Vec<LogEntry>,
    /// Acknowledged purges may be missing.
    pub(crate) damaged: bool,
}

impl LogEntry {
    /// Bytes that the entry takes in an area.
    pub(crate) fn bytes(&self) -> u32 {
        entry_bytes(match &self.what {
            What::Key(_) => 16,
            What::Prefix(prefix) => prefix.len(),
            What::Tag(_) => 8,
            What::All => 0,
        })
    }

    fn encode(&self, at: u32, vouched: u32, cursor: &Cursor, keys: &Keys) -> Vec<u8> {
        let (kind, data) = match &self.what {
            What::Key(hash) => (KIND_KEY, &hash.to_le_bytes()[..]),
            What::Prefix(prefix) => (KIND_PREFIX, &prefix[..]),
            What::Tag(tag) => (KIND_TAG, &tag.to_le_bytes()[..]),
            What::All => (KIND_ALL, &[][..]),
        };
        let mut bytes = vec![0; self.bytes() as usize];
        put(&mut bytes, 0, &ENTRY_MAGIC);
        bytes[4] = kind;
        bytes[5] = match self.mode {
            Mode::Hard => MODE_HARD,
            Mode::Soft => MODE_SOFT,
        };
        put(&mut bytes, 8, &self.sequence.to_le_bytes());
        put(&mut bytes, 16, &self.at_ms.to_le_bytes());
        put(&mut bytes, 24, &(data.len() as u32).to_le_bytes());
        put(&mut bytes, VOUCHED_AT, &vouched.to_le_bytes());
        put(&mut bytes, DATA_AT, data);
        let mac = entry_mac(&bytes, at, cursor, keys);
        put(&mut bytes, MAC_AT, &mac);
        bytes
    }

    /// The entry at `at` of an area, when it is whole and of the cursor's generation.
    fn parse(area: &[u8], at: u32, cursor: &Cursor, keys: &Keys) -> Option<Self> {
        let rest = area.get(at as usize..)?;
        if rest.len() < DATA_AT || rest[..4] != ENTRY_MAGIC {
            return None;
        }
        let data_bytes = u32_at(rest, 24) as usize;
        let length = DATA_AT.checked_add(data_bytes)?.checked_next_multiple_of(ENTRY_ALIGN)?;
        let bytes = rest.get(..length)?;
        if entry_mac(bytes, at, cursor, keys)[..] != bytes[MAC_AT..DATA_AT] {
            return None;
        }
        let data = &bytes[DATA_AT..DATA_AT + data_bytes];
        let what = match (bytes[4], data_bytes) {
            (KIND_KEY, 16) => What::Key(u128_at(data, 0)),
            (KIND_PREFIX, _) => What::Prefix(data.into()),
            (KIND_TAG, 8) => What::Tag(u64_at(data, 0)),
            (KIND_ALL, 0) => What::All,
            _ => return None,
        };
        let mode = match bytes[5] {
            MODE_HARD => Mode::Hard,
            MODE_SOFT => Mode::Soft,
            _ => return None,
        };
        Some(Self { sequence: u64_at(bytes, 8), mode, at_ms: u64_at(bytes, 16), what })
    }
}

impl Cursor {
    /// The bytes of more entries, which go to `end`; the cursor moves behind them. The log is
    /// durable up to `durable`. `None`, and nothing changes, when they do not fit.
    pub(crate) fn append(
        &mut self,
        entries: &[LogEntry],
        durable: u32,
        keys: &Keys,
    ) -> Option<Vec<u8>> {
        let bytes: u64 = entries.iter().map(|entry| u64::from(entry.bytes())).sum();
        if u64::from(self.end) + bytes > u64::from(self.area_bytes) {
            return None;
        }
        let mut encoded = Vec::with_capacity(bytes as usize);
        for entry in entries {
            let at = self.end + encoded.len() as u32;
            encoded.extend_from_slice(&entry.encode(at, durable, self, keys));
        }
        self.end += encoded.len() as u32;
        Some(encoded)
    }

    /// The same log in the other area, with these entries only. `generation` is fresh. `None` when
    /// they do not fit.
    pub(crate) fn compact(
        &self,
        entries: &[LogEntry],
        generation: u64,
        keys: &Keys,
    ) -> Option<Compaction> {
        let mut cursor = Self { area: self.area.other(), generation, end: ENTRIES_AT, ..*self };
        let entries = cursor.append(entries, ENTRIES_AT, keys)?;
        let header = encode_header(entries.len() as u32, &cursor, keys);
        Some(Compaction { entries, header, cursor })
    }

    /// An empty log, and the header that makes it one: for a new volume.
    pub(crate) fn first(
        volume: u128,
        area_bytes: u32,
        generation: u64,
        keys: &Keys,
    ) -> (Self, [u8; HEADER_BYTES]) {
        let cursor = Self { volume, area: Area::A, generation, end: ENTRIES_AT, area_bytes };
        (cursor, encode_header(0, &cursor, keys))
    }
}

impl Area {
    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Bytes that an entry with so much data takes in an area.
pub(crate) fn entry_bytes(data_bytes: usize) -> u32 {
    (DATA_AT + data_bytes).next_multiple_of(ENTRY_ALIGN) as u32
}

/// Reads the log of a volume from its two areas.
pub(crate) fn replay(areas: [&[u8]; 2], volume: u128, keys: &Keys) -> Replayed {
    let [a, b] = areas;
    let found = [(Area::A, a), (Area::B, b)].map(|(area, bytes)| {
        parse_header(bytes, area, volume, keys).map(|(cursor, entries)| (cursor, entries, bytes))
    });
    let newest = found.into_iter().flatten().max_by_key(|(cursor, _, _)| cursor.generation);
    let Some((mut cursor, compacted_bytes, area)) = newest else {
        return Replayed { cursor: None, entries: Vec::new(), damaged: true };
    };
    let mut entries: Vec<LogEntry> = Vec::new();
    while let Some(entry) = LogEntry::parse(area, cursor.end, &cursor, keys) {
        if entries.last().is_some_and(|last| last.sequence >= entry.sequence) {
            break;
        }
        cursor.end += entry.bytes();
        entries.push(entry);
    }
    let short = cursor.end - ENTRIES_AT < compacted_bytes;
    let missing = find_behind(area, &cursor, &mut entries, keys);
    Replayed { cursor: Some(cursor), entries, damaged: short || missing }
}

/// Whether an entry behind the log's end vouches for what was there; if so, appends all entries
/// from there on. What is left of an append that a crash has torn vouches for nothing behind its
/// front.
fn find_behind(area: &[u8], cursor: &Cursor, entries: &mut Vec<LogEntry>, keys: &Keys) -> bool {
    let to = area.len().min((cursor.end as usize).saturating_add(SCAN_BYTES));
    let (mut at, mut missing) = (cursor.end, false);
    while (at as usize) < to {
        let Some(entry) = LogEntry::parse(area, at, cursor, keys) else {
            at += ENTRY_ALIGN as u32;
            continue;
        };
        missing |= u32_at(area, at as usize + VOUCHED_AT) > cursor.end;
        at += entry.bytes();
        if missing && entries.last().is_none_or(|last| last.sequence < entry.sequence) {
            entries.push(entry);
        }
    }
    missing
}

fn encode_header(entries_bytes: u32, cursor: &Cursor, keys: &Keys) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    put(&mut bytes, 0, &HEADER_MAGIC);
    put(&mut bytes, 4, &entries_bytes.to_le_bytes());
    put(&mut bytes, 8, &cursor.generation.to_le_bytes());
    let mac = header_mac(&bytes, cursor.area, cursor.volume, keys);
    put(&mut bytes, HEADER_MAC_AT, &mac);
    bytes
}

/// Where the log of an area begins, and how many bytes of entries its header vouches for.
fn parse_header(bytes: &[u8], area: Area, volume: u128, keys: &Keys) -> Option<(Cursor, u32)> {
    let area_bytes = u32::try_from(bytes.len()).ok()?;
    let header = bytes.get(..HEADER_BYTES)?;
    if header[..4] != HEADER_MAGIC
        || header_mac(header, area, volume, keys)[..] != header[HEADER_MAC_AT..]
    {
        return None;
    }
    let generation = u64_at(header, 8);
    Some((Cursor { volume, area, generation, end: ENTRIES_AT, area_bytes }, u32_at(header, 4)))
}

fn header_mac(header: &[u8], area: Area, volume: u128, keys: &Keys) -> crate::keys::Mac {
    let mut mac = keys.purge_header_mac();
    mac.update(&volume.to_le_bytes());
    mac.update(&[area as u8]);
    mac.update(&header[..HEADER_MAC_AT]);
    mac.finish()
}

pub(crate) fn entry_mac(entry: &[u8], at: u32, cursor: &Cursor, keys: &Keys) -> crate::keys::Mac {
    let mut mac = keys.purge_entry_mac();
    mac.update(&cursor.volume.to_le_bytes());
    mac.update(&cursor.generation.to_le_bytes());
    mac.update(&at.to_le_bytes());
    mac.update(&entry[..MAC_AT]);
    mac.update(&entry[DATA_AT..]);
    mac.finish()
}

/// The purges that the logs hold, in memory, by rising sequence: what a compaction chooses from.
/// As large as an area at most, for it mirrors what was appended.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: Vec<LogEntry>,
    /// What they take in a log.
    bytes: u64,
}

impl Ledger {
    /// The union of what the volumes' logs hold.
    pub(crate) fn union(logs: impl Iterator<Item = Vec<LogEntry>>) -> Self {
        let mut entries: Vec<LogEntry> = logs.flatten().collect();
        entries.sort_by_key(|entry| entry.sequence);
        entries.dedup_by_key(|entry| entry.sequence);
        let mut ledger = Self { entries, bytes: 0 };
        ledger.count_bytes();
        ledger
    }

    /// Bytes that the purges take in a log.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// Adds a purge, which is newer than all others.
    pub(crate) fn add(&mut self, entry: LogEntry) {
        self.bytes += u64::from(entry.bytes());
        self.entries.push(entry);
    }

    /// Takes back the purges behind a sequence.
    pub(crate) fn truncate(&mut self, to: u64) {
        let kept = self.entries.partition_point(|entry| entry.sequence <= to);
        self.entries.truncate(kept);
        self.count_bytes();
    }

    /// Drops what does not matter any more: a purge that no record can be concerned by, since none
    /// on disk has a sequence below `min_sequence`; and one that a newer one of the same records or
    /// of all covers.
    pub(crate) fn compact(&mut self, min_sequence: u64) {
        let mut newer: HashMap<&What, Mode> = HashMap::new();
        let mut all: Option<Mode> = None;
        let mut kept = Vec::with_capacity(self.entries.len());
        for (number, entry) in self.entries.iter().enumerate().rev() {
            let covers = |mode: Option<Mode>| match mode {
                Some(Mode::Hard) => true,
                Some(Mode::Soft) => entry.mode == Mode::Soft,
                None => false,
            };
            let known = newer.get(&entry.what).copied();
            if entry.sequence <= min_sequence || covers(all) || covers(known) {
                continue;
            }
            if entry.what == What::All {
                all = Some(entry.mode);
            }
            newer.insert(&entry.what, entry.mode);
            kept.push(number);
        }
        let mut kept = kept.into_iter().rev().peekable();
        let mut number = 0;
        self.entries.retain(|_| {
            let keep = kept.next_if_eq(&number).is_some();
            number += 1;
            keep
        });
        self.count_bytes();
    }

    fn count_bytes(&mut self) {
        self.bytes = self.entries.iter().map(|entry| u64::from(entry.bytes())).sum();
    }

    /// Puts every purge in force that readers enforce. A prefix that the table has no room for,
    /// because its bounds were larger before, becomes a purge of everything: none is forgotten.
    pub(crate) fn enforce(&self, table: &PurgeTable) {
        for entry in &self.entries {
            let lazy = match &entry.what {
                What::Key(_) => continue,
                What::Prefix(prefix) => Lazy::Prefix(prefix),
                What::Tag(tag) => Lazy::Tag(*tag),
                What::All => Lazy::All,
            };
            if let Err(PrefixesFull) = table.enforce(lazy, entry.mode, entry.sequence) {
                // Has no bound that could refuse it.
                let _ = table.enforce(Lazy::All, entry.mode, entry.sequence);
            }
        }
    }

    /// The newest purges of every key, for an open; in a running store the index knows them. Such
    /// as a snapshot with the sequence `settled` knows are left out: it has records that are newer
    /// than they, and does not say so.
    pub(crate) fn key_purges(&self, settled: u64) -> HashMap<u128, Newest> {
        let mut keys: HashMap<u128, Newest> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.sequence > settled) {
            if let What::Key(hash) = entry.what {
                let known = keys.entry(hash).or_default();
                *known = known.with(entry.mode, entry.sequence);
            }
        }
        keys
    }
}

/// Entries begin behind the header's page: whole sectors, so that neither can tear the other.
pub(crate) const ENTRIES_AT: u32 = 4096;
/// The longest entry: that of a prefix as long as a key may be.
pub(crate) const ENTRY_BYTES_MAX: u32 = KEY_BYTES_MAX + 2 * ENTRY_ALIGN as u32;
/// How far behind the end of a log an entry is looked for that should not be there: damage of up to
/// so many bytes in a row is told from a crash.
pub(crate) const SCAN_BYTES: usize = 256 << 10;
/// The header of an area.
pub(crate) const HEADER_BYTES: usize = 64;

const HEADER_MAGIC: [u8; 4] = *b"LHp1";
const HEADER_MAC_AT: usize = 48;
const ENTRY_MAGIC: [u8; 4] = *b"LHpe";
const ENTRY_ALIGN: usize = 64;
const VOUCHED_AT: usize = 28;
const MAC_AT: usize = 32;
const DATA_AT: usize = 48;
const KIND_KEY: u8 = 1;
const KIND_PREFIX: u8 = 2;
const KIND_TAG: u8 = 3;
const KIND_ALL: u8 = 4;
const MODE_HARD: u8 = 1;
const MODE_SOFT: u8 = 2;
