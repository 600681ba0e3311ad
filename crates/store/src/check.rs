//! Looking at a store that nobody has open, without changing a byte of it.
//!
//! What it is: [`Inspection::open`] takes the store's locks (shared, so that several may look at
//! once, and no writer meanwhile) and reads the super blocks; [`Inspection::verify`] then reads
//! every byte that a record lies in and checks it, and [`Inspection::stat`] says what the store
//! holds from headers and footers alone. Everything is read with file reads: a disk that cannot
//! read a place makes it damaged, and does not end the program.
//!
//! What it is not: a repair. Nothing needs one. What is damaged is never served, and it goes with
//! its segment.
//!
//! What can be told from what: an extent that was reserved and never completed is no damage; every
//! crash leaves some. In a segment with a footer each record is known, so whatever fails there is
//! damage. Behind the last footer (the open segment of a store that was killed) a record whose own
//! MAC is wrong may be an unfinished one. It is called damaged when its body is whole all the same.
//!
//! ```
//! use longhold_store::{Config, Store, check::Inspection};
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("cache");
//! drop(Store::open(&Config::new(&path, 16 << 20))?);
//! let report = Inspection::open(&[path])?.verify(&mut |_| {});
//! assert!(report.is_clean());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod areas;
mod stat;
mod survey;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::config::{Config, DeviceConfig, DiskUse, Geometry};
use crate::directory::{self, DirectoryLock};
use crate::error::OpenError;
use crate::keys::Keys;
use crate::purge_log::{self, Area, Replayed};
use crate::superblock::{FILE_NAMES, Parsed, SuperBlock};

pub use stat::{Ages, DeviceStat, PurgeStat, Sizes, StoreStat};

/// A store that nobody has open, locked against writers.
pub struct Inspection {
    devices: Vec<Device>,
    keys: Keys,
    /// Devices that took part in the last open and are not here.
    missing: usize,
}

/// One device under inspection.
struct Device {
    path: PathBuf,
    data: File,
    super_block: SuperBlock,
    /// It has missed an open: what it holds will not count.
    voided: bool,
    /// Names of super blocks that are not whole.
    super_blocks_damaged: Vec<&'static str>,
    /// Held for its lock.
    _lock: DirectoryLock,
}

/// How far an inspection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of all data files that have been looked at or passed over.
    pub done_bytes: u64,
    /// Bytes of all data files.
    pub total_bytes: u64,
}

/// What [`Inspection::verify`] has found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// In the order in which the devices were given.
    pub devices: Vec<DeviceCheck>,
    /// Devices that took part in the last open and were not given.
    pub devices_missing: usize,
    /// The first [`DAMAGE_LISTED_MAX`] damaged places, in the order of devices and offsets.
    pub damage: Vec<Damage>,
    /// All damaged places.
    pub damage_count: u64,
}

/// One device's part.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeviceCheck {
    /// The device's directory.
    pub path: PathBuf,
    /// It has missed an open: what it holds will not count.
    pub voided: bool,
    /// Segments with records.
    pub segments_used: u32,
    /// Segments without.
    pub segments_empty: u32,
    /// Records that are whole.
    pub records: u64,
    /// Bytes of whole records.
    pub record_bytes: u64,
    /// Extents that were reserved and never completed: every crash leaves some.
    pub unfinished: u64,
    /// Bytes of these.
    pub unfinished_bytes: u64,
    /// Bytes of log that no header leads to any more, because one in front of them is damaged.
    pub unreachable_bytes: u64,
    /// Images of the index that are whole, of two on one of the devices.
    pub snapshots: u32,
    /// Purges in its log, up to the first that is not whole.
    pub purges: u64,
}

/// A damaged place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// In which file.
    pub file: PathBuf,
    /// From where on, in bytes.
    pub offset: u64,
    /// What lies there.
    pub what: DamageKind,
}

/// What is damaged, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// A super block; the other one serves.
    SuperBlock,
    /// Neither image of the index is whole; an open reads all footers.
    Snapshot,
    /// The header of a segment: its records are lost.
    SegmentHeader,
    /// The footer of a segment: records are found without it.
    Footer,
    /// The header of a record: the record is lost.
    RecordHeader,
    /// A record's key, tags, head or sums: the record is lost.
    Record,
    /// Up to 64 KiB of a body: the object is lost.
    Body,
    /// The log of purges: without another device's, all that was stored counts as purged.
    PurgeLog,
    /// The disk cannot read it.
    Unreadable,
}

impl Inspection {
    /// Locks the directories of a store's devices and reads their super blocks. A part of the
    /// devices will do.
    ///
    /// # Errors
    /// [`OpenError`]: `Locked` while somebody has the store open; what [`Store::open`] would say
    /// of devices that do not make a store.
    ///
    /// [`Store::open`]: crate::Store::open
    pub fn open(paths: &[PathBuf]) -> Result<Self, OpenError> {
        let found: Result<Vec<Device>, OpenError> =
            paths.iter().map(|path| Device::open(path)).collect();
        let mut devices = found?;
        let Some(first) = devices.first() else {
            return Err(crate::ConfigError::Devices { devices: 0 }.into());
        };
        let identity = first.super_block.identity;
        if let Some(other) = devices.iter().find(|one| one.super_block.identity != identity) {
            let (path, other) = (other.path.clone(), first.path.clone());
            return Err(OpenError::ForeignDevice { path, other });
        }
        let keys = Keys::new(&identity.secret);
        let newest = devices.iter().map(|one| &one.super_block).max_by_key(|block| block.epoch);
        let (epoch, members) = newest.map_or((0, Vec::new()), |b| (b.epoch, b.members.clone()));
        for device in &mut devices {
            let block = &device.super_block;
            device.voided = block.epoch < epoch && !members.contains(&block.device);
        }
        let here = |member: &&u128| devices.iter().any(|one| one.super_block.device == **member);
        let missing = members.len() - members.iter().filter(here).count();
        Ok(Self { devices, keys, missing })
    }

    /// A config with which the store on these devices can be opened for writing. An index of one
    /// slot for 8 KiB, and no memory tier.
    pub fn config(&self) -> Config {
        let mut devices = self.devices.iter();
        let device = |one: &Device| {
            let geometry = one.super_block.geometry;
            let size = u64::from(geometry.segment_bytes) * u64::from(geometry.segment_count);
            DeviceConfig { path: one.path.clone(), size_bytes: size }
        };
        let segment_bytes = devices.next().map_or(0, |one| one.super_block.geometry.segment_bytes);
        let devices: Vec<DeviceConfig> = self.devices.iter().map(device).collect();
        let size = devices.iter().map(|device| device.size_bytes).sum();
        Config { devices, segment_bytes: segment_bytes.into(), ..Config::new("", size) }
    }

    /// Reads and checks everything: super blocks, images of the index, and in every segment
    /// header, footer, each record's header, MAC and all sums of its body. Takes one segment of
    /// memory, and as long as the disk needs to read it all. `progress` hears of each segment.
    pub fn verify(&self, progress: &mut dyn FnMut(Progress)) -> CheckReport {
        let mut report = CheckReport { devices_missing: self.missing, ..CheckReport::default() };
        let mut pace = self.pace(progress);
        for device in &self.devices {
            for name in &device.super_blocks_damaged {
                report.note(Damage {
                    file: device.path.join(name),
                    offset: 0,
                    what: DamageKind::SuperBlock,
                });
            }
            let purges = device.purges(&self.keys);
            if purges.as_ref().is_none_or(|log| log.damaged) {
                let offset = device.geometry().purge_base(Area::A);
                report.note(device.damage(offset, DamageKind::PurgeLog));
            }
            let mut check = DeviceCheck {
                path: device.path.clone(),
                voided: device.voided,
                purges: purges.map_or(0, |log| log.entries.len() as u64),
                ..DeviceCheck::default()
            };
            let images = device.images(&self.keys, true);
            check.snapshots = images.whole;
            if let Some(damage) = device.images_damage(images) {
                report.note(damage);
            }
            let mut buffer = vec![0; device.geometry().segment_bytes as usize];
            for number in 0..device.geometry().segment_count {
                device.check_segment(number, (&self.keys, &mut buffer), (&mut check, &mut report));
                pace.step(u64::from(device.geometry().segment_bytes));
            }
            report.devices.push(check);
        }
        report
    }

    fn pace<'p>(&self, progress: &'p mut dyn FnMut(Progress)) -> Pace<'p> {
        let segments = |one: &Device| {
            u64::from(one.geometry().segment_bytes) * u64::from(one.geometry().segment_count)
        };
        let total_bytes = self.devices.iter().map(segments).sum();
        Pace { progress, now: Progress { done_bytes: 0, total_bytes } }
    }
}

/// Tells how far it is.
struct Pace<'p> {
    progress: &'p mut dyn FnMut(Progress),
    now: Progress,
}

impl Pace<'_> {
    fn step(&mut self, bytes: u64) {
        self.now.done_bytes += bytes;
        (self.progress)(self.now);
    }
}

impl CheckReport {
    /// Whether nothing is damaged.
    pub fn is_clean(&self) -> bool {
        self.damage_count == 0
    }

    fn note(&mut self, damage: Damage) {
        self.damage_count += 1;
        if self.damage.len() < DAMAGE_LISTED_MAX {
            self.damage.push(damage);
        }
    }
}

impl Device {
    fn open(path: &Path) -> Result<Self, OpenError> {
        let (lock, data) = directory::look(path)?;
        let super_block = directory::load(path)?;
        let length = data.metadata().map_err(|e| directory::fault("examine", path, e))?.len();
        if length != super_block.geometry.data_bytes() {
            let reason = "the data file has another length than the super block says";
            return Err(OpenError::Corrupt { path: path.to_path_buf(), reason });
        }
        let is_damaged = |name: &&'static str| match std::fs::read(path.join(name)) {
            Ok(bytes) => SuperBlock::parse(&bytes) == Parsed::Damaged,
            // A store that was made and never opened has one.
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        };
        Ok(Self {
            path: path.to_path_buf(),
            data,
            super_block,
            voided: false,
            super_blocks_damaged: FILE_NAMES.into_iter().filter(is_damaged).collect(),
            _lock: lock,
        })
    }

    fn geometry(&self) -> Geometry {
        self.super_block.geometry
    }

    fn damage(&self, offset: u64, what: DamageKind) -> Damage {
        Damage { file: self.path.join(directory::DATA), offset, what }
    }

    /// The purges on record; `None` when they cannot be read.
    fn purges(&self, keys: &Keys) -> Option<Replayed> {
        let geometry = self.geometry();
        let area = |area: Area| {
            let mut bytes = vec![0; geometry.purge_bytes as usize];
            self.data.read_exact_at(&mut bytes, geometry.purge_base(area)).ok()?;
            Some(bytes)
        };
        let (a, b) = (area(Area::A)?, area(Area::B)?);
        Some(purge_log::replay([&a, &b], self.super_block.device, keys))
    }

    fn disk_use(&self) -> DiskUse {
        DiskUse::of(self.geometry())
    }

    fn check_segment(
        &self,
        number: u32,
        (keys, buffer): (&Keys, &mut [u8]),
        (check, report): (&mut DeviceCheck, &mut CheckReport),
    ) {
        let base = self.geometry().base(number);
        if self.data.read_exact_at(buffer, base).is_err() {
            report.note(self.damage(base, DamageKind::Unreadable));
            return;
        }
        let floor = self.super_block.floor();
        let survey = survey::Survey::whole(buffer, (number, floor), keys);
        for (at, what) in &survey.damage {
            report.note(self.damage(base + u64::from(*at), *what));
        }
        if survey.records.is_empty() && survey.unfinished == 0 {
            check.segments_empty += 1;
        } else {
            check.segments_used += 1;
        }
        check.records += survey.records.len() as u64;
        check.record_bytes += survey.record_bytes();
        check.unfinished += survey.unfinished;
        check.unfinished_bytes += survey.unfinished_bytes;
        check.unreachable_bytes += survey.unreachable_bytes;
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at byte {}: {}", self.file.display(), self.offset, self.what)
    }
}

impl DamageKind {
    /// One word, for JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SuperBlock => "super-block",
            Self::Snapshot => "snapshot",
            Self::SegmentHeader => "segment-header",
            Self::Footer => "footer",
            Self::RecordHeader => "record-header",
            Self::Record => "record",
            Self::Body => "body",
            Self::PurgeLog => "purge-log",
            Self::Unreadable => "unreadable",
        }
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::SuperBlock => "super block is not whole; the other one serves",
            Self::Snapshot => "no image of the index is whole; an open reads all footers",
            Self::SegmentHeader => "segment header is not whole; the segment counts as empty",
            Self::Footer => "footer is not whole; the records are found without it",
            Self::RecordHeader => "record header is not whole; the object is lost",
            Self::Record => "record fails its MAC; the object is lost",
            Self::Body => "body fails its checksum; the object is lost",
            Self::PurgeLog => {
                "purge log is not whole; unless another device's is, all objects count as purged"
            }
            Self::Unreadable => "the disk cannot read it",
        })
    }
}

/// Damaged places that a report lists; beyond them it counts.
pub const DAMAGE_LISTED_MAX: usize = 1000;
