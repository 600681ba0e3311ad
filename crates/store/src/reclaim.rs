//! Turning the log: footers for what is full, new headers for what was reclaimed, one sync for
//! both.
//!
//! A turn goes on until enough segments are clean or nothing more can be done. Each round reclaims
//! one segment, the oldest or one that has expired (see `salvage` for what is kept of it), and
//! syncs. What was purged stays purged in whatever order they go: the purge log keeps a purge until
//! the headers of all segments are durable that began before it (ST-7).

use std::sync::atomic::Ordering;

use crate::device::Device;
use crate::error::WriteError;
use crate::format::{
    FOOTER_ENTRY_BYTES, FOOTER_TRAILER_BYTES, FooterLine, SEGMENT_HEADER_BYTES, Trailer,
    encode_segment_header,
};
use crate::segment::SegmentState;
use crate::volume::VolumeKind;
use crate::writer::{Inner, unix_ms};

impl<D: Device> Inner<D> {
    /// Turns the log, when it is due and nobody else sees to it.
    pub(crate) async fn tend(&self) {
        if self.maintained.get() || self.turning.get() {
            return;
        }
        // Failures are counted, and end in the device going offline.
        if self.is_turn_due() {
            let _ = self.turn(false).await;
        } else if self.is_dump_due() {
            let _ = self.dump_step().await;
        }
    }

    /// Whether a turn would find something to do.
    pub(crate) fn is_turn_due(&self) -> bool {
        let mut logs = self.logs.borrow_mut();
        let mut volumes = self.shared.volumes.iter().enumerate();
        let now_ms = unix_ms();
        volumes.any(|(number, volume)| {
            let log = logs.log_mut(number);
            log.collect_clean(&self.shared);
            !volume.is_offline() && (log.wants_turn(now_ms) || !log.sealable().is_empty())
        })
    }

    /// Seals, retires and syncs on every volume; with `checkpoint`, writes footers for the open
    /// segments, too. A volume that fails does not hold up the others.
    pub(crate) async fn turn(&self, checkpoint: bool) -> Result<(), WriteError> {
        let _turning = Turning::new(self).await;
        let mut turned = Ok(());
        for (number, volume) in self.shared.volumes.iter().enumerate() {
            let one = match volume.kind {
                VolumeKind::Disk => self.turn_disk(number, checkpoint).await,
                VolumeKind::Memory => {
                    self.turn_memory(number).await;
                    Ok(())
                }
            };
            turned = turned.and(one);
        }
        self.forget_purges();
        turned
    }

    async fn turn_disk(&self, volume: usize, mut checkpoint: bool) -> Result<(), WriteError> {
        loop {
            if self.shared.volumes[volume].is_offline() {
                return Err(WriteError::Offline);
            }
            self.forget_fronts();
            let (sealing, victim) = {
                let mut logs = self.logs.borrow_mut();
                let log = logs.log_mut(volume);
                log.collect_clean(&self.shared);
                (log.sealable(), log.victim(unix_ms()))
            };
            let headless = self.logs.borrow().log(volume).headless();
            let victim = victim.filter(|victim| !sealing.contains(victim));
            if sealing.is_empty() && victim.is_none() && headless.is_none() && !checkpoint {
                return Ok(());
            }
            let mut footed = Ok(());
            // A segment that fails has been given up; the others go on.
            for segment in &sealing {
                footed = self.write_footer(*segment).await.and(footed);
            }
            let open: Vec<u32> = self.logs.borrow().log(volume).open_segments().collect();
            for segment in open.into_iter().filter(|_| checkpoint) {
                footed = self.write_footer(segment).await.and(footed);
            }
            if let (Some(victim), None) = (victim, headless) {
                self.reclaim(victim).await;
            }
            let headless = self.logs.borrow().log(volume).headless();
            let headed = match headless {
                Some(segment) => self.write_header(segment).await,
                None => Ok(()),
            };
            self.sync(volume).await?;
            let mut logs = self.logs.borrow_mut();
            let log = logs.log_mut(volume);
            for segment in sealing {
                log.sealed(segment, &self.shared);
            }
            if let (Some(segment), Ok(())) = (headless, headed) {
                log.header_durable(segment, &self.shared);
            }
            if checkpoint {
                footed?;
            }
            checkpoint = false;
        }
    }

    /// As for a disk; but there is nothing to write, for it is gone with the process.
    async fn turn_memory(&self, volume: usize) {
        loop {
            self.forget_fronts();
            let victim = {
                let mut logs = self.logs.borrow_mut();
                let (log, ids) = logs.of(volume);
                while let Some(segment) = log.headless() {
                    log.renew_generation(ids, segment);
                    log.header_durable(segment, &self.shared);
                }
                log.collect_clean(&self.shared);
                for segment in log.sealable() {
                    log.sealed(segment, &self.shared);
                }
                log.victim(unix_ms())
            };
            match victim {
                Some(victim) => self.reclaim(victim).await,
                None => return,
            }
        }
    }

    /// Makes all completed writes to a volume durable. When that fails, none of what was written
    /// since the last sync can be trusted to be what the page cache shows: those segments are
    /// given up.
    pub(crate) async fn sync(&self, volume: usize) -> Result<(), WriteError> {
        let written: Vec<(u32, u64)> = {
            let logs = self.logs.borrow();
            let log = logs.log(volume);
            let unsynced = |number: &u32| {
                let segment = log.segment(*number);
                segment.writes_done > segment.writes_synced
            };
            let numbers = log.numbers().filter(unsynced);
            numbers.map(|number| (number, log.segment(number).writes_done)).collect()
        };
        if self.device.sync_data(volume).await.is_err() {
            let segments: Vec<u32> = written.iter().map(|(segment, _)| *segment).collect();
            self.device_failed(volume, &segments);
            return Err(WriteError::Device);
        }
        let mut logs = self.logs.borrow_mut();
        for (number, done) in written {
            let segment = logs.segment_mut(number);
            segment.writes_synced = segment.writes_synced.max(done);
        }
        Ok(())
    }

    /// Counts a failure, gives the segments up, and past the limit the volume.
    pub(crate) fn device_failed(&self, volume: usize, segments: &[u32]) {
        self.shared.counters.write_errors.fetch_add(1, Ordering::Relaxed);
        self.shared.volumes[volume].count_error();
        let mut logs = self.logs.borrow_mut();
        let log = logs.log_mut(volume);
        for &segment in segments {
            log.fail(segment, &self.shared);
        }
        log.errors += 1;
        if log.errors > self.shared.write_errors_max {
            self.shared.volumes[volume].take_offline();
        }
        drop(logs);
        self.changed.notify();
    }

    /// Extents of segments that were sealed have their headers; those of failed or reclaimed ones
    /// need none.
    fn forget_fronts(&self) {
        let logs = self.logs.borrow();
        self.fronts.borrow_mut().retain(|_, front| {
            let segment = logs.segment(front.segment);
            segment.generation == front.generation && segment.state.takes_writes()
        });
    }

    async fn write_header(&self, segment: u32) -> Result<(), WriteError> {
        let generation = {
            let mut logs = self.logs.borrow_mut();
            let volume = logs.volume_of(segment);
            let (log, ids) = logs.of(volume);
            log.renew_generation(ids, segment)
        };
        let mut header = vec![0; SEGMENT_HEADER_BYTES as usize];
        let number = self.shared.volume_of(segment).local(segment);
        let bytes = encode_segment_header(number, generation, &self.shared.keys);
        header[..bytes.len()].copy_from_slice(&bytes);
        self.write_plan(segment, 0, &header).await
    }

    async fn write_footer(&self, number: u32) -> Result<(), WriteError> {
        self.write_segment_fronts(number).await?;
        let Some((lines, trailer)) = self.footer(number) else { return Ok(()) };
        let segment_bytes = self.shared.volume_of(number).geometry.segment_bytes;
        let trailer_at = segment_bytes - FOOTER_TRAILER_BYTES as u32;
        // Line 0 lies next to the trailer and the later ones before it, so that a later footer
        // of the same segment writes the same bytes again, and more in front of them.
        let lines_at = trailer_at - (lines.len() * FOOTER_ENTRY_BYTES) as u32;
        let mut bytes = Vec::with_capacity((segment_bytes - lines_at) as usize);
        lines.iter().rev().for_each(|line| bytes.extend_from_slice(&line.encode()));
        bytes.extend_from_slice(&trailer);
        self.write_plan(number, lines_at, &bytes).await
    }

    /// What a footer of the segment would say now.
    fn footer(&self, number: u32) -> Option<(Vec<FooterLine>, [u8; FOOTER_TRAILER_BYTES])> {
        let logs = self.logs.borrow();
        let segment = logs.segment(number);
        if !segment.state.takes_writes() {
            return None;
        }
        let drafts = self.drafts.borrow();
        let lowest = drafts.values().map(|open| &open.draft);
        let lowest = lowest.clone().find(|draft| draft.generation == segment.generation);
        let (end, end_sequence) = match lowest {
            // The walk must look at every extent that may still become a record.
            Some(draft) => (draft.layout.at, draft.sequence - 1),
            None => (segment.tail, segment.last_sequence),
        };
        let trailer = Trailer {
            segment: self.shared.volume_of(number).local(number),
            generation: segment.generation,
            count: segment.lines.len() as u32,
            end,
            end_sequence,
            is_final: segment.state == SegmentState::Closing && segment.drafts_open == 0,
        };
        let lines = segment.lines.clone();
        let encoded = lines.iter().map(FooterLine::encode);
        let trailer = trailer.encode(encoded, &self.shared.keys);
        Some((lines, trailer))
    }
}

/// Marks the one turn that is under way.
pub(crate) struct Turning<'a, D: Device>(&'a Inner<D>);

impl<'a, D: Device> Turning<'a, D> {
    /// Waits for the one that is under way.
    pub(crate) async fn new(inner: &'a Inner<D>) -> Self {
        inner.wait_until(|| (!inner.turning.get()).then_some(())).await;
        inner.turning.set(true);
        Self(inner)
    }
}

impl<D: Device> Drop for Turning<'_, D> {
    fn drop(&mut self) {
        self.0.turning.set(false);
        self.0.changed.notify();
    }
}
