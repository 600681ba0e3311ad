//! What is copied although nothing needs its place yet: the live records of sparse segments, so
//! that they share few, and before a planned end what was asked for in memory.
//!
//! Both go by the steps of a reclaim, so a crash at any point leaves what a reclaim would leave.
//! Before a segment is emptied its copies are synced.

use crate::device::Device;
use crate::error::WriteError;
use crate::eviction::PROMOTION_FREQUENCY;
use crate::format::FooterLine;
use crate::reclaim::Turning;
use crate::segment::SegmentState;
use crate::volume::VolumeKind;
use crate::writer::{Inner, Writer};

/// What [`Writer::compact`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Segments emptied.
    pub segments: u32,
    /// Objects moved.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Purges that left the record: no object is old enough for them, or newer ones cover them.
    pub purges: u64,
}

impl<D: Device> Writer<D> {
    /// Empties the segments of all disks of which less than half is live, the emptiest first: their
    /// objects are moved to the front of the log, but for such as were purged softly. Then seals
    /// the store, and writes the logs of purges anew without what concerns nothing any more. Ends
    /// early when no segment is clean. Costs a read and a write of what is moved,
    /// and two syncs for each segment.
    ///
    /// # Errors
    /// [`WriteError`]; what was moved before stays moved, and nothing is lost.
    pub async fn compact(&self) -> Result<Compacted, WriteError> {
        let mut done = Compacted::default();
        self.inner.turn(false).await?;
        for segment in self.inner.sparse_segments() {
            let moved = self.inner.empty(segment).await?;
            self.inner.turn(false).await?;
            let Some((objects, bytes)) = moved else { break };
            done.segments += 1;
            done.objects += objects;
            done.bytes += bytes;
        }
        self.seal().await?;
        done.purges = self.inner.compact_purge_logs().await?;
        Ok(done)
    }

    /// Copies to disk what was asked for in the memory tier, for as long as `goes_on` says so;
    /// returns how many objects. Call it before [`Writer::seal`] at a planned end: else these are
    /// fetched again after the next start.
    pub async fn promote(&self, goes_on: impl Fn() -> bool) -> u64 {
        let mut promoted = 0;
        if !self.inner.has_disk() {
            return 0;
        }
        for segment in self.inner.memory_segments() {
            let _turning = Turning::new(&self.inner).await;
            let lines = self.inner.lines_in_memory(segment);
            for candidate in self.inner.candidates(segment, &lines) {
                if !goes_on() {
                    return promoted;
                }
                if candidate.frequency >= PROMOTION_FREQUENCY {
                    let line = &lines[candidate.position as usize];
                    let copied = self.inner.copy(segment, line, candidate.frequency).await;
                    // A failure is one of the device, which has been counted.
                    promoted += u64::from(copied.unwrap_or(false));
                }
            }
        }
        promoted
    }
}

impl<D: Device> Inner<D> {
    /// Sealed disk segments of which less than half is live, the emptiest first.
    fn sparse_segments(&self) -> Vec<u32> {
        let disks = self
            .shared
            .volumes
            .iter()
            .filter(|volume| volume.kind == VolumeKind::Disk && !volume.is_offline());
        let mut sparse = Vec::new();
        for volume in disks {
            for segment in volume.segments() {
                let is_sealed = self.logs.borrow().segment(segment).state == SegmentState::Sealed;
                let live = is_sealed.then(|| self.live_bytes(segment));
                let half = u64::from(volume.geometry.segment_bytes) / 2;
                sparse.extend(live.filter(|live| *live < half).map(|live| (live, segment)));
            }
        }
        sparse.sort_unstable();
        sparse.into_iter().map(|(_, segment)| segment).collect()
    }

    fn live_bytes(&self, segment: u32) -> u64 {
        let live = self.candidates(segment, &self.lines_of(segment)).into_iter();
        live.map(|candidate| u64::from(candidate.extent_bytes)).sum()
    }

    /// Moves what is live in a segment and retires it; objects and bytes that were moved. `None`
    /// when something could not be moved: the segment stays.
    async fn empty(&self, segment: u32) -> Result<Option<(u64, u64)>, WriteError> {
        let _turning = Turning::new(self).await;
        let lines = self.lines_of(segment);
        let (mut objects, mut bytes) = (0, 0);
        for candidate in self.candidates(segment, &lines) {
            let line = &lines[candidate.position as usize];
            if self.copy(segment, line, candidate.frequency).await? {
                objects += 1;
                bytes += u64::from(candidate.extent_bytes);
            }
        }
        for (number, volume) in self.shared.volumes.iter().enumerate() {
            if volume.kind == VolumeKind::Disk && !volume.is_offline() {
                self.sync(number).await?;
            }
        }
        let is_sealed = self.logs.borrow().segment(segment).state == SegmentState::Sealed;
        if !is_sealed || !self.candidates(segment, &lines).is_empty() {
            return Ok(None);
        }
        self.drop_lines(segment, &lines);
        self.logs.borrow_mut().of_segment(segment).retire(segment, &self.shared);
        Ok(Some((objects, bytes)))
    }

    fn memory_segments(&self) -> Vec<u32> {
        let memory = self.shared.volumes.iter().filter(|v| v.kind == VolumeKind::Memory);
        memory.flat_map(|volume| volume.segments()).collect()
    }

    /// The committed records of a memory segment; none while it is clean.
    fn lines_in_memory(&self, segment: u32) -> Vec<FooterLine> {
        self.logs.borrow().segment(segment).lines.clone()
    }
}
