//! An embeddable object store: memory-mapped, log-structured, checksummed.
//!
//! What it is: opaque keys, heads and bodies in fixed segments of preallocated files, one on each
//! device, behind a tier of memory in which new keys prove themselves. The files are written
//! through file writes (or io_uring) and read through read-only mappings. A hit is a probe of an
//! index in memory, a copy of the head and a slice of the mapping, without a lock or an allocation.
//! Threads that must not wait for a disk are told what is not in memory ([`Reader::find`],
//! [`Record::window`]) and have it read by a [`Pager`].
//! What was committed survives `kill -9`; what was sealed survives power loss; what was purged, by
//! key, prefix or tag, stays purged through both.
//! Objects may be larger than a segment and of unknown length: they are stored in slices, and
//! readable while they grow.
//!
//! What it is not: it knows no HTTP, no clock but the stamp in a record, and no policy. It does not
//! keep everything: when the segments are full the oldest are reclaimed, and of what is in them
//! only what is asked for often is kept ([`eviction`]).
//! One process has a store open at a time.
//!
//! # Invariants
//! - **ST-1** No byte leaves the store that was not verified since it was last read from its
//!   device: header, key, head and sums by a keyed MAC, the body by seeded checksums under it. What
//!   fails is a miss or an error, never other bytes.
//! - **ST-2** An object is complete or absent: the index names only records whose every byte was
//!   written before, and the root of an object in slices when they were. Later a slice may be
//!   evicted on its own: then it is missing, and said to be.
//! - **ST-3** A lookup compares the whole key.
//! - **ST-4** Sequences and generations are never given out twice, through any crash.
//! - **ST-5** A segment is not written anew while a pin of it exists.
//! - **ST-6** Nothing is a record because it looks like one: recovery follows MACs and lengths from
//!   the front of a segment and never searches bodies.
//! - **ST-7** An acknowledged purge outlives every older record that it concerns, through any
//!   crash: none is found by a lookup that begins after the acknowledgement.
//! - **ST-8** Bytes that a reader can see are never written again before their segment is
//!   reclaimed.
//! - **ST-9** Memory is bounded by the config: index, pins, verified bits, staging pool, drafts,
//!   purges in force.
//! - **ST-10** A failing device ends in refusals: no wrong bytes, no panic, no signal, and readers
//!   go on.
//!
//! `DESIGN.md` beside this crate has the byte map, the crash table, and the proofs;
//! `examples/shelf.rs` is a whole embedder on one page.
//!
//! ```
//! use longhold_store::{Config, Draft, FileDevice, Store, Writer, block_on_ready};
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("cache");
//! let (store, _report) = Store::open(&Config::new(path, 16 << 20))?;
//! let writer = Writer::new(&store, FileDevice::new(&store)?)?;
//! let reader = store.reader(0);
//!
//! block_on_ready(async {
//!     let draft = Draft::new(b"a key", b"a head", 5);
//!     let mut pending = writer.begin(draft)?;
//!     writer.append(&mut pending, b"hello").await?;
//!     writer.commit(pending).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! })?;
//!
//! let record = reader.lookup(b"a key").expect("it was committed");
//! assert_eq!(record.head(), b"a head");
//! assert_eq!(&*record.body(0..5)?, b"hello");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod admit;
pub mod check;
mod compact;
mod config;
pub mod device;
mod directory;
mod draft;
mod dump;
mod error;
pub mod eviction;
mod figures;
mod format;
#[cfg(all(any(test, fuzzing), not(loom)))]
pub mod fuzzing;
mod guard;
mod index;
mod keys;
mod logs;
mod map;
mod pace;
#[cfg(not(loom))]
mod pager;
mod pin;
mod pool;
mod purge;
mod purge_log;
mod purge_plan;
mod purge_write;
mod reader;
mod rebuild;
mod reclaim;
mod record;
mod recover;
mod residency;
mod restore;
mod root;
mod salvage;
mod segment;
mod slice;
mod slicing;
mod snapshot;
mod staging;
mod store;
mod superblock;
mod sync;
mod sys;
mod verified;
mod volume;
mod writer;

pub use compact::Compacted;
pub use config::{Config, DeviceConfig, DiskUse, GATHERED_BYTES_MAX, MemoryUse};
#[cfg(not(loom))]
pub use device::uring::UringDevice;
pub use device::{Device, FaultyDevice, FileDevice, block_on_ready};
pub use draft::{Draft, Pending};
pub use error::{ConfigError, OpenError, ReadError, Refused, WriteError, WriterTaken};
pub use figures::DeviceStats;
#[cfg(not(loom))]
pub use pager::{PageInDone, PageInError, Pager, PagerBackend, PagerBusy, PagerConfig, PagerStats};
pub use purge::{Mode, Purge};
pub use purge_write::Purged;
pub use reader::{Extent, Found, Probe, Reader};
pub use record::{Record, Window};
pub use recover::RecoveryReport;
pub use residency::PageIn;
pub use slice::PinnedSlice;
pub use store::{Stats, Store};
pub use sys::thread_major_faults;
pub use writer::{Committed, Writer};

#[cfg(test)]
mod tests;
