//! Figures of each device, for whoever operates the store.

use std::path::PathBuf;

use crate::segment::SegmentState;
use crate::store::Store;
use crate::volume::VolumeKind;

/// One device's figures at one moment, or the memory tier's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceStats {
    /// The device's directory; `None` for the memory tier.
    pub path: Option<PathBuf>,
    /// It was given up after too many failures: nothing is written to it, and what it holds is
    /// served as long as that can be read.
    pub offline: bool,
    /// It failed to give what was written: nothing is read from it either.
    pub unreadable: bool,
    /// It takes longer for a write than
    /// [`Config::write_patience`](crate::Config::write_patience), and is spared.
    pub behind: bool,
    /// Failed writes and syncs since open.
    pub write_errors: u64,
    /// Bytes of the data file, or of the tier when it is full.
    pub size_bytes: u64,
    /// Bytes of log in segments that readers may use, dead records among them.
    pub used_bytes: u64,
    /// Segments that wait for records.
    pub segments_clean: u32,
    /// Segments that take records, or drafts of which are still open.
    pub segments_open: u32,
    /// Segments that are full; on a disk, durable.
    pub segments_sealed: u32,
    /// Segments whose records are gone and that wait for pins or for their new header.
    pub segments_retiring: u32,
    /// Segments given up after a failed write or sync.
    pub segments_failed: u32,
}

impl Store {
    /// The figures of each device in the order of the config, then those of the memory tier. Reads
    /// every segment's gauge.
    pub fn devices(&self) -> Vec<DeviceStats> {
        let shared = self.shared();
        let device = |volume: &crate::volume::Volume| {
            let mut stats = DeviceStats {
                path: match volume.kind {
                    VolumeKind::Disk => Some(volume.path.clone()),
                    VolumeKind::Memory => None,
                },
                offline: volume.is_offline(),
                unreadable: volume.is_unreadable(),
                behind: volume.is_behind(),
                write_errors: volume.errors(),
                size_bytes: volume.geometry.data_bytes(),
                used_bytes: 0,
                segments_clean: 0,
                segments_open: 0,
                segments_sealed: 0,
                segments_retiring: 0,
                segments_failed: 0,
            };
            for segment in volume.segments() {
                let (state, used_bytes) = shared.segment_figures(segment);
                stats.count(state, used_bytes);
            }
            stats
        };
        shared.volumes.iter().map(device).collect()
    }
}

impl DeviceStats {
    fn count(&mut self, state: SegmentState, used_bytes: u64) {
        match state {
            SegmentState::Clean => self.segments_clean += 1,
            SegmentState::Open | SegmentState::Closing => {
                self.segments_open += 1;
                self.used_bytes += used_bytes;
            }
            SegmentState::Sealed => {
                self.segments_sealed += 1;
                self.used_bytes += used_bytes;
            }
            SegmentState::Retiring | SegmentState::Waiting => self.segments_retiring += 1,
            SegmentState::Failed => self.segments_failed += 1,
        }
    }
}
