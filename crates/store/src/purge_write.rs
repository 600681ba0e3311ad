//! The writer's part of purges: in force at once, durable when the call returns.
//!
//! ```text
//! purge ──► sequence ──► index or table ──► ledger ──┐            one sync for all
//! purge ──► sequence ──► index or table ──► ledger ──┼──► flush ─► log of each device ─► return
//! purge ──► sequence ──► index or table ──► ledger ──┘
//! ```
//! Whoever finds no flush under way flushes what has gathered; the others wait, and look again.
//! None of this depends on how many objects a purge concerns.

use std::sync::atomic::Ordering;

use crate::device::Device;
use crate::error::WriteError;
use crate::format::KEY_BYTES_MAX;
use crate::purge::{Lazy, Mode, PrefixesFull, Purge};
use crate::purge_log::{Area, ENTRIES_AT, HEADER_BYTES, LogEntry, What, entry_bytes};
use crate::volume::VolumeKind;
use crate::writer::{Inner, Writer, unix_ms};

/// What a purge has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Of the keys that were named, those that the index held. What tags, prefixes and everything
    /// concern is not counted: readers find out.
    pub found: u64,
    /// Records with a lower sequence are concerned. Of several purges in one call, the last one's.
    pub sequence: u64,
}

impl<D: Device> Writer<D> {
    /// Purges. In force for every lookup that begins after the call has begun to wait, and durable
    /// when it has returned `Ok`: no crash brings back what it concerns. Drafts that are open
    /// count as older, whenever they are committed. Waits for one sync of each disk device, which
    /// calls at the same time share; costs the same whatever it concerns.
    ///
    /// # Errors
    /// - [`WriteError::KeyTooLong`]: nothing was done.
    /// - [`WriteError::PrefixesFull`]: as many prefixes are purged as the store can hold. The
    ///   purges behind it in the same call were not done. Purge everything, or wait until the
    ///   segments have been reclaimed that were written before the older ones.
    /// - [`WriteError::PurgesFull`], [`WriteError::Device`], [`WriteError::Offline`]: in force in
    ///   this process, but what they concern may be back after a restart.
    pub async fn purge(&self, purges: &[Purge<'_>], mode: Mode) -> Result<Purged, WriteError> {
        let purged = self.inner.enforce_all(purges, mode)?;
        self.inner.make_purges_durable(purged.sequence).await?;
        self.inner.tend().await;
        let count = purges.len() as u64;
        self.inner.shared.counters.purges.fetch_add(count, Ordering::Relaxed);
        Ok(purged)
    }

    /// Purges one key, hard. Says whether the index held it.
    ///
    /// # Errors
    /// As [`Writer::purge`].
    pub async fn remove(&self, key: &[u8]) -> Result<bool, WriteError> {
        Ok(self.purge(&[Purge::Key(key)], Mode::Hard).await?.found > 0)
    }
}

impl<D: Device> Inner<D> {
    fn enforce_all(&self, purges: &[Purge<'_>], mode: Mode) -> Result<Purged, WriteError> {
        let too_long = |purge: &Purge<'_>| match purge {
            Purge::Key(name) | Purge::Prefix(name) => name.len() > KEY_BYTES_MAX as usize,
            Purge::Tag(_) | Purge::All => false,
        };
        if purges.iter().any(too_long) {
            return Err(WriteError::KeyTooLong);
        }
        let capacity = self.purge_capacity();
        let too_large = |purge: &Purge<'_>| match purge {
            Purge::Prefix(prefix) => u64::from(entry_bytes(prefix.len())) > capacity,
            Purge::Key(_) | Purge::Tag(_) | Purge::All => false,
        };
        if self.has_disk() && purges.iter().any(too_large) {
            return Err(WriteError::PurgesFull);
        }
        let mut purged = Purged::default();
        for purge in purges {
            let sequence = self.logs.borrow_mut().take_sequence().ok_or(WriteError::Offline)?;
            purged.found += u64::from(self.enforce(*purge, mode, sequence)?);
            purged.sequence = sequence;
        }
        Ok(purged)
    }

    /// Puts one purge in force; says whether it is of a key that the index held.
    fn enforce(&self, purge: Purge<'_>, mode: Mode, sequence: u64) -> Result<bool, WriteError> {
        let lazily = |lazy| {
            let enforced = self.shared.purges.enforce(lazy, mode, sequence);
            enforced.map(|()| false).map_err(|PrefixesFull| WriteError::PrefixesFull)
        };
        let (found, what) = match purge {
            Purge::Key(key) => {
                let hash = self.shared.keys.key_hash(key);
                let found = match mode {
                    Mode::Hard => self.outrank(hash),
                    Mode::Soft => self.soften(hash),
                };
                (found, What::Key(hash))
            }
            Purge::Prefix(prefix) => (lazily(Lazy::Prefix(prefix))?, What::Prefix(prefix.into())),
            Purge::Tag(tag) => (lazily(Lazy::Tag(tag))?, What::Tag(tag)),
            Purge::All => (lazily(Lazy::All)?, What::All),
        };
        if self.has_disk() {
            let entry = LogEntry { sequence, mode, at_ms: unix_ms(), what };
            self.logs.borrow_mut().purges.add(entry);
        }
        Ok(found)
    }

    /// Waits until the purges up to a sequence are in the log of every device that works.
    async fn make_purges_durable(&self, sequence: u64) -> Result<(), WriteError> {
        if !self.shared.has_disks() {
            return Ok(());
        }
        loop {
            if let Some(outcome) = self.logs.borrow().purges.outcome(sequence) {
                return outcome;
            }
            if !self.has_disk() {
                return Err(WriteError::Offline);
            }
            if self.flushing.get() {
                self.wait_until(|| (!self.flushing.get()).then_some(())).await;
            } else {
                self.flush_purges().await;
            }
        }
    }

    async fn flush_purges(&self) {
        let _flushing = Flushing::new(self);
        if let Err(error) = self.make_room_for_purges().await {
            self.logs.borrow_mut().purges.refuse(error);
            return;
        }
        let to = self.logs.borrow().purges.newest();
        let mut outcome = Err(WriteError::Offline);
        for volume in self.online_disks() {
            match (self.log_purges(volume).await, outcome) {
                (Ok(()), _) => outcome = Ok(()),
                (Err(error), Err(_)) => outcome = Err(error),
                // It is tried again by the next flush; the purge is on record elsewhere.
                (Err(_), Ok(())) => {}
            }
        }
        self.logs.borrow_mut().purges.settle(to, outcome);
    }

    /// Appends what a volume's log lacks, or compacts it when that cannot be done.
    async fn log_purges(&self, volume: usize) -> Result<(), WriteError> {
        if self.logs.borrow().purges.is_lost(volume) {
            return Err(WriteError::Device);
        }
        // What a caller has left behind must not land in what is written now.
        self.wait_until(|| (!self.area_orphans().contains(&volume)).then_some(())).await;
        let append = self.logs.borrow_mut().purges.append(volume, &self.shared.keys);
        if let Some(append) = append {
            let at = u64::from(append.at);
            let written = self.write_purges(volume, (append.area, at), &append.bytes).await;
            if written.is_ok() && self.sync(volume).await.is_ok() {
                self.logs.borrow_mut().purges.logged(volume, append.to);
                return Ok(());
            }
        }
        self.compact_purges(volume).await
    }

    /// Writes the ledger into the log's other area: the entries, and when they are durable the
    /// header that makes them count.
    async fn compact_purges(&self, volume: usize) -> Result<(), WriteError> {
        let compaction = {
            let mut logs = self.logs.borrow_mut();
            let generation = logs.take_sequence().ok_or(WriteError::Offline)?;
            logs.purges.compaction(volume, generation, &self.shared.keys)
        };
        let (compaction, to) = compaction.ok_or(WriteError::PurgesFull)?;
        let area = compaction.cursor.area;
        self.write_purges(volume, (area, u64::from(ENTRIES_AT)), &compaction.entries).await?;
        self.sync(volume).await?;
        self.write_purges(volume, (area, 0), &compaction.header).await?;
        self.sync(volume).await?;
        let old = self.logs.borrow_mut().purges.switched(volume, compaction.cursor, to);
        if let Some(old) = old {
            // So that damage to the new header cannot bring the old log back. Its failure is
            // counted, and changes nothing.
            let _ = self.write_purges(volume, (old, 0), &[0; HEADER_BYTES]).await;
        }
        Ok(())
    }

    async fn write_purges(
        &self,
        volume: usize,
        (area, at): (Area, u64),
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        let base = self.shared.volumes[volume].geometry.purge_base(area);
        self.write_area(volume, base + at, bytes).await
    }

    /// Rewrites each log that holds more than what still concerns something; how many purges less
    /// the longest has.
    pub(crate) async fn compact_purge_logs(&self) -> Result<u64, WriteError> {
        self.wait_until(|| (!self.flushing.get()).then_some(())).await;
        let _flushing = Flushing::new(self);
        let before = self.logs.borrow().purges.ledger().entries().len();
        self.compact_ledger();
        let kept = self.logs.borrow().purges.ledger().entries().len();
        for volume in self.online_disks() {
            self.wait_until(|| (!self.area_orphans().contains(&volume)).then_some(())).await;
            if self.logs.borrow().purges.is_padded(volume) {
                self.compact_purges(volume).await?;
            }
        }
        Ok((before - kept) as u64)
    }

    /// When the logs are full: drops purges that concern nothing any more, and reclaims the oldest
    /// segments until an eighth of the log is free. What is hit is copied and stays.
    async fn make_room_for_purges(&self) -> Result<(), WriteError> {
        let capacity = self.purge_capacity();
        let bytes = || self.logs.borrow().purges.bytes();
        if bytes() <= capacity {
            return Ok(());
        }
        let mut lowest = self.compact_ledger();
        // Each round reclaims one segment of a device at least, or is the last.
        while bytes() > capacity - capacity / 8 {
            self.logs.borrow_mut().retire_to(lowest, &self.shared);
            // Failures are counted; then nothing has changed.
            let _ = self.turn(false).await;
            let now = self.compact_ledger();
            if now <= lowest {
                break;
            }
            lowest = now;
        }
        if bytes() <= capacity { Ok(()) } else { Err(WriteError::PurgesFull) }
    }

    /// Drops purges that no record on a disk is concerned by; yields the lowest sequence there.
    fn compact_ledger(&self) -> u64 {
        let mut logs = self.logs.borrow_mut();
        let lowest = logs.lowest_sequence(|volume| volume == VolumeKind::Disk);
        logs.purges.compact_ledger(lowest);
        lowest
    }

    /// Lets the table forget what no record is concerned by any more, nor an object that is filled
    /// in slices: its sequence is of its beginning, when no segment may know of it yet.
    pub(crate) fn forget_purges(&self) {
        let lowest = self.logs.borrow().lowest_sequence(|_| true);
        let oldest = self.slicing.borrow().first_key_value().map(|(object, _)| *object);
        self.shared.purges.forget_older(oldest.map_or(lowest, |oldest| oldest.min(lowest)));
    }

    /// Bytes of purges for which every log has room.
    fn purge_capacity(&self) -> u64 {
        let logs = self.logs.borrow();
        let capacities = self.online_disks().into_iter().map(|volume| logs.purges.capacity(volume));
        capacities.min().unwrap_or(0)
    }

    fn online_disks(&self) -> Vec<usize> {
        let volumes = self.shared.volumes.iter().enumerate();
        let online = volumes.filter(|(_, v)| v.kind == VolumeKind::Disk && !v.is_offline());
        online.map(|(number, _)| number).collect()
    }
}

/// Marks the one flush that is under way.
struct Flushing<'a, D: Device>(&'a Inner<D>);

impl<'a, D: Device> Flushing<'a, D> {
    fn new(inner: &'a Inner<D>) -> Self {
        inner.flushing.set(true);
        Self(inner)
    }
}

impl<D: Device> Drop for Flushing<'_, D> {
    fn drop(&mut self) {
        self.0.flushing.set(false);
        self.0.changed.notify();
    }
}
