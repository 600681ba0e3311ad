//! Writing snapshots of the index, a block at a time, beside everything else that the writer does.
//!
//! Two areas of one disk volume take turns, so the older snapshot is there until the newer one is
//! whole: image first, then head, sums and MAC, then a sync. A crash at any moment leaves one of
//! them, or none in the first round. A snapshot is due when so much has been appended since the
//! last one that writing it costs little beside; `snapshot.rs` says why it may show the index at
//! no single moment.

use std::sync::atomic::Ordering;

use crate::device::Device;
use crate::error::WriteError;
use crate::reclaim::Turning;
use crate::segment::{Segment, SegmentState};
use crate::snapshot::{
    BLOCK_BYTES, Head, Layout, SLOT_BYTES, SegmentLine, VolumeLine, block_sum, encode_tail,
};
use crate::volume::VolumeKind;
use crate::writer::Inner;

/// What the writer knows of its snapshots.
#[derive(Default)]
pub(crate) struct Dumps {
    /// The one that is being written.
    open: Option<Dump>,
    /// Volume and area of the last one that is whole, if this writer has written it.
    last: Option<(usize, u64)>,
    /// Bytes that had been appended when it was begun; `None` before the first one.
    begun_at_bytes: Option<u64>,
}

/// A snapshot that is being written.
struct Dump {
    volume: usize,
    area: u64,
    /// Where the area begins in the data file.
    base: u64,
    head: Vec<u8>,
    layout: Layout,
    seed: u64,
    sums: Vec<u64>,
    /// Segments from this one on lie in memory.
    disk_segments: u32,
}

impl<D: Device> Inner<D> {
    /// Whether [`Inner::dump_step`] would find something to do.
    pub(crate) fn is_dump_due(&self) -> bool {
        if self.volume_for_dump().is_none() {
            return false;
        }
        let dumps = self.dumps.borrow();
        if dumps.open.is_some() {
            return true;
        }
        let appended = self.appended_bytes();
        let image = self.shared.index.slots() * SLOT_BYTES;
        match dumps.begun_at_bytes {
            None if self.shared.snapshot_missing => true,
            begun => appended - begun.unwrap_or(0) > image * APPENDED_PER_IMAGE,
        }
    }

    /// Writes one block of a snapshot, or begins or ends one.
    ///
    /// # Errors
    /// [`WriteError`]; this snapshot is given up then, and the one before it stays.
    pub(crate) async fn dump_step(&self) -> Result<(), WriteError> {
        let _turning = Turning::new(self).await;
        self.step().await.map(|_| ())
    }

    /// Writes a whole snapshot, unless nothing was appended since the last one.
    ///
    /// # Errors
    /// As [`Inner::dump_step`].
    pub(crate) async fn dump_now(&self) -> Result<(), WriteError> {
        let _turning = Turning::new(self).await;
        let begun = self.dumps.borrow().begun_at_bytes;
        let known = begun.or(self.shared.snapshot_loaded.map(|_| 0));
        if known == Some(self.appended_bytes()) && self.dumps.borrow().open.is_none() {
            return Ok(());
        }
        // One that is half written is of an earlier moment.
        self.dumps.borrow_mut().open = None;
        while self.step().await? {}
        Ok(())
    }

    /// Says whether there is more to do.
    async fn step(&self) -> Result<bool, WriteError> {
        let open = self.dumps.borrow_mut().open.take();
        let Some(mut dump) = open.or_else(|| self.begin_dump()) else { return Ok(false) };
        let at = dump.sums.len() as u64 * BLOCK_BYTES;
        if at >= dump.layout.image_bytes {
            return self.end_dump(dump).await.map(|()| false);
        }
        let mut block = vec![0; (dump.layout.image_bytes - at).min(BLOCK_BYTES) as usize];
        let on_disk = |place: crate::index::Place| place.segment() < dump.disk_segments;
        self.shared.index.copy_image(at / SLOT_BYTES, &mut block, on_disk);
        dump.sums.push(block_sum(dump.seed, &block));
        self.write_area(dump.volume, dump.base + dump.layout.image_at + at, &block).await?;
        self.dumps.borrow_mut().open = Some(dump);
        Ok(true)
    }

    fn begin_dump(&self) -> Option<Dump> {
        let volume = self.volume_for_dump()?;
        let mut dumps = self.dumps.borrow_mut();
        dumps.begun_at_bytes = Some(self.appended_bytes());
        let last = dumps.last.or(self.shared.snapshot_loaded);
        let area = last.filter(|(number, _)| *number == volume).map_or(0, |(_, area)| 1 - area);
        let head = self.head();
        Some(Dump {
            volume,
            area,
            base: area * self.shared.volumes[volume].geometry.snapshot_bytes,
            layout: head.layout(),
            seed: self.shared.keys.snapshot_seed(head.sequence),
            sums: Vec::new(),
            disk_segments: head.segments.len() as u32,
            head: head.encode(),
        })
    }

    async fn end_dump(&self, dump: Dump) -> Result<(), WriteError> {
        let tail = encode_tail(&dump.head, &dump.sums, &self.shared.keys);
        self.write_area(dump.volume, dump.base + dump.layout.tail_at(), &tail).await?;
        self.write_area(dump.volume, dump.base, &dump.head).await?;
        self.sync(dump.volume).await?;
        self.dumps.borrow_mut().last = Some((dump.volume, dump.area));
        self.shared.counters.snapshots.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What is so at this moment; the image is begun without an await in between.
    fn head(&self) -> Head {
        let logs = self.logs.borrow();
        let drafts = self.drafts.borrow();
        let lowest_open = drafts.first_key_value().map(|(sequence, _)| *sequence);
        let sequence = lowest_open.map_or(logs.ids().last_sequence(), |lowest| lowest - 1);
        let disks = || self.shared.volumes.iter().filter(|v| v.kind == VolumeKind::Disk);
        let volume = |volume: &crate::volume::Volume| VolumeLine {
            device: volume.device,
            first: volume.first,
            segment_count: volume.geometry.segment_count,
        };
        let segments = disks().flat_map(|volume| volume.segments());
        Head {
            store: self.shared.uuid,
            sequence,
            slots: self.shared.index.slots(),
            volumes: disks().map(volume).collect(),
            segments: segments.map(|n| segment_line(logs.segment(n), sequence)).collect(),
        }
    }

    /// The disk volume with the largest area, if a snapshot fits: a device that was added later
    /// has room for the larger index that came with it.
    fn volume_for_dump(&self) -> Option<usize> {
        let volumes = self.shared.volumes.iter().enumerate();
        let disks = || self.shared.volumes.iter().filter(|v| v.kind == VolumeKind::Disk);
        let segments = disks().map(|volume| u64::from(volume.geometry.segment_count)).sum();
        let layout = Layout::new(self.shared.index.slots(), disks().count() as u64, segments);
        let usable = volumes.filter(|(_, volume)| {
            let fits = volume.geometry.snapshot_bytes >= layout.total_bytes();
            volume.kind == VolumeKind::Disk && !volume.is_offline() && fits
        });
        let largest = usable.max_by_key(|(_, volume)| volume.geometry.snapshot_bytes);
        largest.map(|(number, _)| number)
    }

    /// Bytes of records that went to disks since the store was opened.
    fn appended_bytes(&self) -> u64 {
        let logs = self.logs.borrow();
        let volumes = self.shared.volumes.iter().enumerate();
        let disks = volumes.filter(|(_, volume)| volume.kind == VolumeKind::Disk);
        disks.map(|(number, _)| logs.log(number).reserved_bytes()).sum()
    }
}

fn segment_line(segment: &Segment, sequence: u64) -> SegmentLine {
    match segment.state {
        SegmentState::Open | SegmentState::Closing | SegmentState::Sealed => SegmentLine {
            generation: segment.generation,
            first_sequence: segment.first_sequence,
            last_sequence: segment.last_sequence,
            tail: segment.tail,
            settled: segment.is_final && segment.last_sequence <= sequence,
        },
        SegmentState::Clean
        | SegmentState::Failed
        | SegmentState::Retiring
        | SegmentState::Waiting => SegmentLine::default(),
    }
}

/// Bytes appended for each byte of a snapshot: what snapshots add to what is written, 12%.
const APPENDED_PER_IMAGE: u64 = 8;
