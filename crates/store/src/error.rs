//! Every way in which the store says no, split by whose fault it is.
//!
//! [`ConfigError`] and [`OpenError`] are read by an operator at start, so they name the cause and
//! the remedy. [`Refused`], [`WriteError`] and [`ReadError`] are met at run time, so they are
//! `Copy` and allocate nothing.

use std::io;
use std::path::PathBuf;

/// A [`Config`](crate::Config) that cannot be a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No device and no memory, or more devices than a store can have.
    #[error("store of {devices} devices and no memory: give it 1 to 64 devices, or memory")]
    Devices {
        /// How many were asked for.
        devices: usize,
    },
    /// The segment size is out of bounds or not a multiple of 4,096.
    #[error(
        "store segment of {segment_bytes} bytes: choose a multiple of 4096 from 65536 to 67108864"
    )]
    SegmentBytes {
        /// What was asked for.
        segment_bytes: u64,
    },
    /// The store holds too few or too many segments.
    #[error(
        "store of {size_bytes} bytes in segments of {segment_bytes}: \
         it must hold 8 to 1048576 segments; change the size or the segment size"
    )]
    SegmentCount {
        /// Size that was asked for.
        size_bytes: u64,
        /// Segment size that was asked for.
        segment_bytes: u64,
    },
    /// No readers, or more than the table is made for.
    #[error("store for {pin_rows} readers: choose 1 to 1024")]
    PinRows {
        /// What was asked for.
        pin_rows: usize,
    },
    /// The table of purges is too small or too large.
    #[error(
        "store purge table of {tags} tags and {prefixes} prefixes: \
         choose 2 to 16777216 tags and 1 to 65536 prefixes"
    )]
    PurgeTable {
        /// Tags that were asked for.
        tags: u32,
        /// Prefixes that were asked for.
        prefixes: u32,
    },
    /// Slices are too small, too large for a segment, or not of whole pages.
    #[error(
        "store slice of {slice_bytes} bytes: \
         choose a multiple of 4096 up to half of a segment of {segment_bytes}"
    )]
    SliceBytes {
        /// What was asked for.
        slice_bytes: u64,
        /// Bytes of a segment.
        segment_bytes: u64,
    },
    /// The index is too small or too large.
    #[error("store index of {index_slots} slots: choose 4 to 17179869184")]
    IndexSlots {
        /// What was asked for.
        index_slots: u64,
    },
}

/// Why a store did not open. Nothing was changed unless the variant says so.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The config is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process (or another `Store` of this one) has it open.
    #[error("store {path} is in use by another process: stop that one, or choose another path")]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// The files were written by another version of the format.
    #[error(
        "store {path} has format version {found}, this program reads version {expected}: \
         run the version that wrote it, or remove the directory to start with an empty cache"
    )]
    WrongVersion {
        /// The store's directory.
        path: PathBuf,
        /// Version in the super block.
        found: u32,
        /// Version of this program.
        expected: u32,
    },
    /// The file system cannot hold the data file, or the process may not write so far into one
    /// (`RLIMIT_FSIZE`); what had been created is removed again.
    #[error(
        "store {path} needs {needed} bytes on disk, {available} are available: \
         free some space, or choose a smaller size"
    )]
    DiskFull {
        /// The store's directory.
        path: PathBuf,
        /// Bytes of the data file.
        needed: u64,
        /// Bytes that the file system offers to this user.
        available: u64,
    },
    /// The store on disk has another size than the config.
    #[error(
        "store {path} was made with {found_segments} segments of {found_segment_bytes} bytes, \
         the config asks for {wanted_segments} of {wanted_segment_bytes}: restore the old size, \
         or remove the directory to start with an empty cache"
    )]
    GeometryChanged {
        /// The store's directory.
        path: PathBuf,
        /// Segments on disk.
        found_segments: u32,
        /// Bytes of a segment on disk.
        found_segment_bytes: u32,
        /// Segments by the config.
        wanted_segments: u32,
        /// Bytes of a segment by the config.
        wanted_segment_bytes: u32,
    },
    /// The devices do not belong together.
    #[error(
        "{path} is a device of another store than {other}: \
         take it out of the list of devices, or remove the directory to make an empty one"
    )]
    ForeignDevice {
        /// Directory of the device that does not fit.
        path: PathBuf,
        /// Directory of the first device.
        other: PathBuf,
    },
    /// The files do not make a store.
    #[error(
        "store {path} is damaged ({reason}): remove the directory to start with an empty cache"
    )]
    Corrupt {
        /// The store's directory.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The system refused.
    #[error("store: cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why [`Writer::begin`](crate::Writer::begin) reserved nothing. The object is served without
/// being stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Key, tags, head or body exceed a limit, or what cannot be cut does not fit into a segment.
    #[error("object too large for the store")]
    TooLarge,
    /// Every segment is in use or pinned; [`Writer::make_room`](crate::Writer::make_room) tries
    /// to change that.
    #[error("no clean segment")]
    NoCleanSegment,
    /// The disk is behind with what it was given, see
    /// [`Config::write_patience`](crate::Config::write_patience).
    #[error("store device is behind with its writes")]
    Behind,
    /// Too many drafts are open, or too many of unknown length.
    #[error("too many open drafts")]
    TooManyDrafts,
    /// The device has failed too often.
    #[error("store device is offline")]
    Offline,
}

/// Why a draft, a purge or a seal failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A write or sync of this draft's segment failed; the segment is abandoned.
    #[error("store device failed to write")]
    Device,
    /// The device has failed too often; readers go on.
    #[error("store device is offline")]
    Offline,
    /// The draft was so slow that the log has come round to its segment, or to one of its slices.
    #[error("segment reclaimed under a draft")]
    Reclaimed,
    /// More bytes than the draft has announced; without an announcement, than the store takes.
    #[error("body longer than announced")]
    TooLong,
    /// `commit` before all announced bytes were appended.
    #[error("body shorter than announced")]
    Incomplete,
    /// An earlier call on this draft was dropped before it ended; which of its bytes were taken
    /// is unknown.
    #[error("an earlier call on this draft was dropped")]
    Interrupted,
    /// The draft belongs to another writer.
    #[error("draft of another writer")]
    Foreign,
    /// No room for the next slice: every segment is in use or pinned.
    #[error("no clean segment")]
    NoCleanSegment,
    /// The disk is behind with what it was given, and nothing was begun there; see
    /// [`Config::write_patience`](crate::Config::write_patience).
    #[error("store device is behind with its writes")]
    Behind,
    /// The key or prefix is longer than any key, so it cannot be there.
    #[error("key too long")]
    KeyTooLong,
    /// Too many prefixes are purged.
    #[error(
        "too many prefixes are purged: purge everything, or wait until older segments were \
         reclaimed"
    )]
    PrefixesFull,
    /// The log of purges is full of such as may still concern a record.
    #[error(
        "the log of purges is full: purge everything, or end the readers that pin old segments; \
         the records of an offline device keep it full until the store is opened without them"
    )]
    PurgesFull,
}

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The range does not lie within the body.
    #[error("range outside the body")]
    OutOfRange,
    /// A checksum does not match; the record has been dropped from the index.
    #[error("stored body is damaged")]
    Damaged,
    /// The device does not give the bytes; it has been taken offline.
    #[error("store device failed to read")]
    Device,
    /// The slice with these bytes was evicted, or is damaged; others of the object may be there.
    #[error("slice is not stored any more")]
    Missing,
    /// The bytes lie in several slices, and no more than one can be had at once.
    #[error("range goes beyond a slice")]
    SeveralSlices,
}

/// A second writer was asked for; the first one must be dropped before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store has a writer already")]
pub struct WriterTaken;
