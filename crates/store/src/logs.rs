//! The plans of all volumes, and what they share: numbers that are never given out twice, and the
//! record of purges. This file does no I/O.

use crate::purge_plan::PurgeLogs;
use crate::segment::{Log, Segment, SegmentState};
use crate::store::Shared;
use crate::superblock::EPOCH_SHIFT;
use crate::volume::{Volume, VolumeKind};

/// Numbers that are never given out twice (ST-4), for all volumes together.
pub(crate) struct Ids {
    pub(crate) next_sequence: u64,
    /// First sequence that belongs to the next open.
    sequence_end: u64,
    next_generation: u64,
}

impl Ids {
    /// `ids` is below every number that will be given out.
    fn new(ids: u64) -> Self {
        Self {
            next_sequence: ids + 1,
            sequence_end: ids.saturating_add(1 << EPOCH_SHIFT),
            next_generation: ids + 1,
        }
    }

    /// The last sequence that was given out, in this open or before.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// `None` when all of this open have been given out.
    pub(crate) fn sequence(&mut self) -> Option<u64> {
        let sequence = Some(self.next_sequence).filter(|next| *next < self.sequence_end)?;
        self.next_sequence += 1;
        Some(sequence)
    }

    pub(crate) fn generation(&mut self) -> u64 {
        self.next_generation += 1;
        self.next_generation - 1
    }
}

/// The plans of all volumes.
pub(crate) struct Logs {
    logs: Vec<Log>,
    ids: Ids,
    pub(crate) purges: PurgeLogs,
}

impl Logs {
    /// Logs in which every segment waits for its first header. `ids` is below every sequence and
    /// generation that they will give out.
    pub(crate) fn new(volumes: &[Volume], ids: u64, purges: PurgeLogs) -> Self {
        let logs = volumes.iter().enumerate().map(|(number, volume)| Log::new(number, volume));
        Self { logs: logs.collect(), ids: Ids::new(ids), purges }
    }

    /// Nothing, in the place of logs that were taken away.
    pub(crate) fn nothing() -> Self {
        Self { logs: Vec::new(), ids: Ids::new(0), purges: PurgeLogs::default() }
    }

    /// A sequence for a purge, or for an object that has no record yet; `None` when all of this
    /// open have been given out.
    pub(crate) fn take_sequence(&mut self) -> Option<u64> {
        self.ids.sequence()
    }

    /// No record on the volumes has a lower sequence, nor will any: not even after a crash now.
    pub(crate) fn lowest_sequence(&self, of: impl Fn(VolumeKind) -> bool) -> u64 {
        let logs = self.logs.iter().filter(|log| of(log.kind()));
        let segments = logs.flat_map(Log::segments);
        let lowest = segments.map(|segment| segment.first_sequence).min();
        lowest.unwrap_or(u64::MAX).min(self.ids.next_sequence)
    }

    /// Has every segment of a disk reclaimed that may hold a sequence up to this one.
    pub(crate) fn retire_to(&mut self, sequence: u64, shared: &Shared) {
        let disks = self.logs.iter_mut().filter(|log| log.kind() == VolumeKind::Disk);
        disks.for_each(|log| log.retire_to(sequence, shared));
    }

    /// One volume's log and the numbers for it.
    pub(crate) fn of(&mut self, volume: usize) -> (&mut Log, &mut Ids) {
        (&mut self.logs[volume], &mut self.ids)
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    pub(crate) fn log(&self, volume: usize) -> &Log {
        &self.logs[volume]
    }

    pub(crate) fn log_mut(&mut self, volume: usize) -> &mut Log {
        &mut self.logs[volume]
    }

    /// The log of a segment that exists: numbers come from these logs or from the bounded index.
    pub(crate) fn of_segment(&mut self, segment: u32) -> &mut Log {
        let volume = self.volume_of(segment);
        &mut self.logs[volume]
    }

    pub(crate) fn segment(&self, segment: u32) -> &Segment {
        self.logs[self.volume_of(segment)].segment(segment)
    }

    pub(crate) fn segment_mut(&mut self, segment: u32) -> &mut Segment {
        self.of_segment(segment).segment_mut(segment)
    }

    /// Number of the volume in which a segment lies.
    pub(crate) fn volume_of(&self, segment: u32) -> usize {
        let behind = self.logs.iter().position(|log| segment < log.numbers().end);
        behind.unwrap_or_default()
    }

    /// Publishes generations and states after recovery.
    pub(crate) fn show(&self, shared: &Shared) {
        for log in &self.logs {
            for (number, segment) in log.numbers().zip(log.segments()) {
                if matches!(segment.state, SegmentState::Open | SegmentState::Sealed) {
                    shared.pins.publish(number, segment.generation);
                }
                shared.show_segment(number, segment.state, segment.tail);
            }
        }
    }

    /// Ends the writer's term. Unfinished extents without a header on disk would stop the forward
    /// walk, so a segment with `holes` takes no more records.
    pub(crate) fn end_term(&mut self, holes: bool, shared: &Shared) {
        if holes {
            self.logs.iter_mut().for_each(|log| log.close_current(shared));
        }
    }
}
