//! Turning the log: footers for what is full, new headers for what is oldest, one sync for both.
//!
//! A turn goes on until enough segments are clean or nothing more can be done. Each round retires
//! one segment only, the oldest, and syncs: so that a header is never durable before those of all
//! older segments are. Otherwise a tombstone could vanish before the record that it outranks
//! (ST-7).

use std::sync::atomic::Ordering;

use crate::device::Device;
use crate::error::WriteError;
use crate::format::{
    FOOTER_ENTRY_BYTES, FOOTER_TRAILER_BYTES, FooterLine, SEGMENT_HEADER_BYTES, Trailer,
    encode_segment_header,
};
use crate::writer::Inner;

impl<D: Device> Inner<D> {
    /// Turns the log, when it is due and nobody else sees to it.
    pub(crate) async fn tend(&self) {
        if !self.maintained.get() && !self.turning.get() && self.is_turn_due() {
            // Failures are counted, and end in the device going offline.
            let _ = self.turn(false).await;
        }
    }

    /// Whether a turn would find something to do.
    pub(crate) fn is_turn_due(&self) -> bool {
        if self.shared.is_offline() {
            return false;
        }
        let mut log = self.log.borrow_mut();
        log.collect_clean(&self.shared);
        log.wants_segment() || !log.sealable().is_empty()
    }

    /// Seals, retires and syncs; with `checkpoint`, writes a footer for the open segment, too.
    pub(crate) async fn turn(&self, checkpoint: bool) -> Result<(), WriteError> {
        self.wait_until(|| (!self.turning.get()).then_some(())).await;
        let _turning = Turning::new(self);
        let mut checkpoint = checkpoint;
        loop {
            if self.shared.is_offline() {
                return Err(WriteError::Offline);
            }
            self.forget_fronts();
            let (mut sealing, retiring) = {
                let mut log = self.log.borrow_mut();
                log.collect_clean(&self.shared);
                let sealing = log.sealable();
                let retiring = log.next_to_retire(&sealing, &self.shared);
                (sealing, retiring)
            };
            if sealing.is_empty() && retiring.is_none() && !checkpoint {
                return Ok(());
            }
            let mut footed = Ok(());
            if checkpoint {
                sealing.extend(self.log.borrow().current());
            }
            for segment in &sealing {
                // Its failure has given the segment up; the others go on.
                footed = self.write_footer(*segment).await.and(footed);
            }
            let headed = match retiring {
                Some(segment) => self.write_header(segment).await,
                None => Ok(()),
            };
            self.sync().await?;
            let mut log = self.log.borrow_mut();
            for segment in sealing {
                log.sealed(segment, &self.shared);
            }
            if let (Some(segment), Ok(())) = (retiring, headed) {
                log.header_durable(segment, &self.shared);
            }
            if checkpoint {
                footed?;
            }
            checkpoint = false;
        }
    }

    /// Makes all completed writes durable. When that fails, none of what was written since the
    /// last sync can be trusted to be what the page cache shows: those segments are given up.
    pub(crate) async fn sync(&self) -> Result<(), WriteError> {
        let written: Vec<(u32, u64)> = {
            let log = self.log.borrow();
            let unsynced = |number: &u32| {
                let segment = log.segment(*number);
                segment.writes_done > segment.writes_synced
            };
            let numbers = log.numbers().filter(unsynced);
            numbers.map(|number| (number, log.segment(number).writes_done)).collect()
        };
        if self.device.sync_data().await.is_err() {
            let segments: Vec<u32> = written.iter().map(|(segment, _)| *segment).collect();
            self.device_failed(&segments);
            return Err(WriteError::Device);
        }
        let mut log = self.log.borrow_mut();
        for (number, done) in written {
            let segment = log.segment_mut(number);
            segment.writes_synced = segment.writes_synced.max(done);
        }
        Ok(())
    }

    /// Counts a failure, gives the segments up, and past the limit the device.
    pub(crate) fn device_failed(&self, segments: &[u32]) {
        self.shared.counters.write_errors.fetch_add(1, Ordering::Relaxed);
        self.errors.set(self.errors.get() + 1);
        let mut log = self.log.borrow_mut();
        for &segment in segments {
            log.fail(segment, &self.shared);
        }
        if self.errors.get() > self.shared.write_errors_max {
            self.shared.counters.offline.store(true, Ordering::Relaxed);
        }
        drop(log);
        self.changed.notify();
    }

    /// Extents of segments that were sealed have their headers; those of failed or reclaimed ones
    /// need none.
    fn forget_fronts(&self) {
        let log = self.log.borrow();
        self.fronts.borrow_mut().retain(|_, front| {
            let segment = log.segment(front.segment);
            segment.generation == front.generation && segment.state.takes_writes()
        });
    }

    async fn write_header(&self, segment: u32) -> Result<(), WriteError> {
        let generation = self.log.borrow_mut().renew_generation(segment);
        let mut header = vec![0; SEGMENT_HEADER_BYTES as usize];
        let bytes = encode_segment_header(segment, generation, &self.shared.keys);
        header[..bytes.len()].copy_from_slice(&bytes);
        self.write_plan(segment, 0, &header).await
    }

    async fn write_footer(&self, number: u32) -> Result<(), WriteError> {
        self.write_segment_fronts(number).await?;
        let Some((lines, trailer)) = self.footer(number) else { return Ok(()) };
        let segment_bytes = self.shared.geometry.segment_bytes;
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
        let log = self.log.borrow();
        let segment = log.segment(number);
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
            segment: number,
            generation: segment.generation,
            count: segment.lines.len() as u32,
            end,
            end_sequence,
        };
        let lines = segment.lines.clone();
        let encoded = lines.iter().map(FooterLine::encode);
        let trailer = trailer.encode(encoded, &self.shared.keys);
        Some((lines, trailer))
    }
}

/// Marks the one turn that is under way.
struct Turning<'a, D: Device>(&'a Inner<D>);

impl<'a, D: Device> Turning<'a, D> {
    fn new(inner: &'a Inner<D>) -> Self {
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
