//! The purge logs of all disk volumes as the writer plans them: what an open finds and heals, what
//! goes where next, and which purges are durable.
//!
//! All logs hold the same purges: each is appended to every device that works. One ledger in
//! memory mirrors them. A log whose end is in doubt (a write failed, or its caller was dropped
//! under way) is *broken*: nothing is appended to it, and its next write is a compaction into its
//! other area. This file does I/O only in [`PurgeLogs::heal`], before there is a writer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::WriteError;
use crate::keys::Keys;
use crate::purge::Mode;
use crate::purge_log::{
    Area, Compaction, Cursor, ENTRIES_AT, ENTRY_BYTES_MAX, HEADER_BYTES, Ledger, LogEntry,
    Replayed, SCAN_BYTES, What, replay,
};
use crate::volume::{Volume, VolumeKind};

/// The purge logs of a store.
#[derive(Default)]
pub(crate) struct PurgeLogs {
    ledger: Ledger,
    /// One for each volume; `None` for memory.
    volumes: Vec<Option<VolumeLog>>,
    /// The newest purge, be it in the ledger or not.
    newest: u64,
    /// Purges up to this sequence are durable on some device.
    durable: u64,
    /// Purges up to this sequence, and above `durable`, were given up.
    failed: Option<(u64, WriteError)>,
}

/// The log of one volume.
struct VolumeLog {
    cursor: Cursor,
    /// Up to there the log in use is known to be durable.
    durable: u32,
    /// The ledger's entries up to this sequence have been appended.
    logged: u64,
    broken: bool,
    /// A write of it was never answered: the area may change at any time.
    lost: bool,
}

/// What an open has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PurgesFound {
    pub(crate) purges: u64,
    /// No log is whole: nothing older than this open is served.
    pub(crate) damaged: bool,
}

impl PurgeLogs {
    /// Reads the logs of all disk volumes. `ids` is above every sequence of earlier opens and below
    /// those of this one. When there are logs and none is whole, purges may be missing: everything
    /// older counts as purged then.
    pub(crate) fn open(volumes: &[Volume], keys: &Keys, ids: u64) -> (Self, PurgesFound) {
        let mut found = Vec::new();
        for volume in volumes {
            found.push(
                (volume.kind == VolumeKind::Disk)
                    .then(|| (read(volume, keys), volume.device, volume.geometry.purge_bytes)),
            );
        }
        let disks = || found.iter().flatten();
        let damaged = disks().next().is_some() && disks().all(|(log, _, _)| log.damaged);
        let mut ledger = Ledger::union(disks().map(|(log, _, _)| log.entries.clone()));
        if damaged {
            let everything =
                LogEntry { sequence: ids, mode: Mode::Hard, at_ms: 0, what: What::All };
            ledger.add(everything);
        }
        let summary = PurgesFound { purges: ledger.entries().len() as u64, damaged };
        let last = ledger.entries().last().map_or(0, |entry| entry.sequence);
        let volumes = found.into_iter().map(|found| {
            let (log, name, area_bytes) = found?;
            let broken = log.damaged || log.entries != ledger.entries();
            let none = || Cursor::first(name, area_bytes as u32, 0, keys).0;
            let cursor = log.cursor.unwrap_or_else(none);
            // What a run that was killed has written may be in the page cache only.
            let durable = ENTRIES_AT;
            Some(VolumeLog { cursor, durable, logged: last, broken, lost: false })
        });
        let volumes = volumes.collect();
        (Self { ledger, volumes, newest: last, durable: 0, failed: None }, summary)
    }

    /// Brings the logs that differ from the others up to them, so that each can stand alone from
    /// here on. A log with too little room for that stays as it is: purges are still on the others.
    ///
    /// # Errors
    /// When a device cannot be written.
    pub(crate) fn heal(&mut self, volumes: &[Volume], keys: &Keys, ids: u64) -> io::Result<()> {
        for (log, volume) in self.volumes.iter_mut().zip(volumes) {
            let Some(log) = log.as_mut().filter(|log| log.broken) else { continue };
            let entries = self.ledger.entries();
            if let Some(compaction) = log.cursor.compact(entries, ids, keys) {
                let base = volume.geometry.purge_base(compaction.cursor.area);
                write_synced(&volume.file, base + u64::from(ENTRIES_AT), &compaction.entries)?;
                write_synced(&volume.file, base, &compaction.header)?;
                log.durable = compaction.cursor.end;
                log.cursor = compaction.cursor;
                log.broken = false;
            }
        }
        Ok(())
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What has become of the purges up to a sequence; `None` when nobody has tried yet.
    pub(crate) fn outcome(&self, sequence: u64) -> Option<Result<(), WriteError>> {
        if sequence <= self.durable {
            return Some(Ok(()));
        }
        self.failed.filter(|(to, _)| sequence <= *to).map(|(_, error)| Err(error))
    }

    /// Adds a purge, newer than all others.
    pub(crate) fn add(&mut self, entry: LogEntry) {
        self.newest = entry.sequence;
        self.ledger.add(entry);
    }

    /// The newest purge.
    pub(crate) fn newest(&self) -> u64 {
        self.newest
    }

    /// Bytes that all purges take in a log.
    pub(crate) fn bytes(&self) -> u64 {
        self.ledger.bytes()
    }

    /// Drops from the ledger what does not matter any more; see [`Ledger::compact`].
    pub(crate) fn compact_ledger(&mut self, min_sequence: u64) {
        self.ledger.compact(min_sequence);
    }

    /// The bytes of the purges that a volume's log lacks, and where in its area they go. `None`
    /// when they do not fit or its end is in doubt: then it has to be compacted. Until
    /// [`PurgeLogs::logged`] the log counts as broken.
    pub(crate) fn append(&mut self, volume: usize, keys: &Keys) -> Option<Append> {
        let entries = self.ledger.entries();
        let log = self.volumes.get_mut(volume)?.as_mut()?;
        if log.broken {
            return None;
        }
        let from = entries.partition_point(|entry| entry.sequence <= log.logged);
        let (area, at) = (log.cursor.area, log.cursor.end);
        let bytes = log.cursor.append(&entries[from..], log.durable, keys)?;
        log.broken = true;
        let to = entries.last().map_or(log.logged, |entry| entry.sequence);
        Some(Append { area, at, bytes, to })
    }

    /// The whole ledger for a volume's other area; `None` when it does not fit. The log counts as
    /// broken until [`PurgeLogs::switched`].
    pub(crate) fn compaction(
        &mut self,
        volume: usize,
        generation: u64,
        keys: &Keys,
    ) -> Option<(Compaction, u64)> {
        let entries = self.ledger.entries();
        let to = entries.last().map_or(0, |entry| entry.sequence);
        let log = self.volumes.get_mut(volume)?.as_mut()?;
        log.broken = true;
        Some((log.cursor.compact(entries, generation, keys)?, to))
    }

    /// What [`PurgeLogs::append`] said is durable.
    pub(crate) fn logged(&mut self, volume: usize, to: u64) {
        if let Some(log) = self.log_mut(volume) {
            log.broken = false;
            log.durable = log.cursor.end;
            log.logged = log.logged.max(to);
        }
    }

    /// The header of a compaction is durable; yields the area that was in use before.
    pub(crate) fn switched(&mut self, volume: usize, cursor: Cursor, to: u64) -> Option<Area> {
        let log = self.log_mut(volume)?;
        let before = std::mem::replace(&mut log.cursor, cursor);
        log.durable = log.cursor.end;
        log.broken = false;
        log.logged = to;
        Some(before.area)
    }

    /// A write to the volume's log will never be answered: nothing more is written to it.
    pub(crate) fn lose(&mut self, volume: usize) {
        if let Some(log) = self.log_mut(volume) {
            log.lost = true;
        }
    }

    pub(crate) fn is_lost(&self, volume: usize) -> bool {
        self.volumes.get(volume).and_then(Option::as_ref).is_none_or(|log| log.lost)
    }

    /// Whether the log of a volume that takes writes is longer than the ledger.
    pub(crate) fn is_padded(&self, volume: usize) -> bool {
        let log = self.volumes.get(volume).and_then(Option::as_ref).filter(|log| !log.lost);
        let bytes = |log: &VolumeLog| u64::from(log.cursor.end.saturating_sub(ENTRIES_AT));
        log.is_some_and(|log| bytes(log) > self.ledger.bytes())
    }

    /// Bytes of purges for which the log of a volume has room.
    pub(crate) fn capacity(&self, volume: usize) -> u64 {
        let log = self.volumes.get(volume).and_then(Option::as_ref);
        log.map_or(0, |log| u64::from(log.cursor.area_bytes.saturating_sub(ENTRIES_AT)))
    }

    /// The purges up to a sequence are durable, or were given up.
    pub(crate) fn settle(&mut self, to: u64, outcome: Result<(), WriteError>) {
        match outcome {
            Ok(()) => self.durable = self.durable.max(to),
            Err(error) => self.failed = Some((to, error)),
        }
    }

    /// Gives up all purges that are not durable, for want of room.
    pub(crate) fn refuse(&mut self, error: WriteError) {
        self.settle(self.newest, Err(error));
        let logged = self.volumes.iter().flatten().map(|log| log.logged).max();
        self.ledger.truncate(self.durable.max(logged.unwrap_or(0)));
    }

    fn log_mut(&mut self, volume: usize) -> Option<&mut VolumeLog> {
        self.volumes.get_mut(volume)?.as_mut()
    }
}

/// What goes behind the end of a log.
pub(crate) struct Append {
    pub(crate) area: Area,
    pub(crate) at: u32,
    pub(crate) bytes: Vec<u8>,
    /// The newest purge among them.
    pub(crate) to: u64,
}

/// The header that makes the log of a new volume an empty one.
pub(crate) fn first_header(name: u128, area_bytes: u64, keys: &Keys) -> [u8; HEADER_BYTES] {
    Cursor::first(name, area_bytes as u32, FIRST_GENERATION, keys).1
}

/// The log of a volume, as much of its areas as there is of it. Where the file does not give them
/// the volume is marked as unreadable.
fn read(volume: &Volume, keys: &Keys) -> Replayed {
    let area_bytes = volume.geometry.purge_bytes;
    let mut bytes = area_bytes.min(FIRST_READ_BYTES);
    loop {
        let [a, b] = [Area::A, Area::B].map(|area| {
            let mut front = vec![0; bytes as usize];
            // What could not be read is no log, and the open fails.
            let _ = volume.copy(volume.geometry.purge_base(area), &mut front);
            front
        });
        let mut found = replay([&a, &b], volume.device, keys);
        let end = found.cursor.map_or(0, |cursor| cursor.end);
        if bytes == area_bytes || u64::from(end) + BEHIND_BYTES <= bytes {
            // It has seen the front only.
            found.cursor =
                found.cursor.map(|cursor| Cursor { area_bytes: area_bytes as u32, ..cursor });
            return found;
        }
        bytes = (bytes * 8).min(area_bytes);
    }
}

fn write_synced(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(bytes, at)?;
    file.sync_data()
}

/// What is read of an area before it is known how long the log is.
const FIRST_READ_BYTES: u64 = 512 << 10;
/// What is looked at behind the end of a log.
const BEHIND_BYTES: u64 = SCAN_BYTES as u64 + ENTRY_BYTES_MAX as u64;
/// Below every sequence.
const FIRST_GENERATION: u64 = 1;
