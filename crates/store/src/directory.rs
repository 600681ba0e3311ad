//! The directories of a store's devices: locks, creation, super blocks.
//!
//! ```text
//! lock       held with flock for as long as the store is open
//! super.0/1  super blocks (see `superblock`), readable by the owner only: they hold the secret
//! data       the areas and segments; its existence says that creation was completed
//! ```
//! Creation writes `data.new`, allocates all of it, syncs, writes the super blocks, and renames:
//! a crash or a full disk on the way leaves nothing that a later open would take for a store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::config::Geometry;
use crate::error::OpenError;
use crate::keys::Keys;
use crate::purge_log::Area;
use crate::purge_plan;
use crate::superblock::{EPOCH_MAX, FILE_NAMES, Identity, Parsed, SuperBlock, file_names};

/// What the directory of an open device yields.
pub(crate) struct Opened {
    pub(crate) path: PathBuf,
    pub(crate) lock: DirectoryLock,
    pub(crate) data: File,
    pub(crate) super_block: SuperBlock,
    pub(crate) created: bool,
    /// It had missed an open of the store: what was in it does not count.
    pub(crate) voided: bool,
}

/// Held for as long as the store is open.
pub(crate) struct DirectoryLock(pub(crate) File);

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // Closing alone would leave the lock to a child process that was forked a moment ago and
        // has not come to its `exec` yet.
        let _ = self.0.unlock();
    }
}

/// How the data file gets its blocks; a parameter so that tests can fill the disk.
pub(crate) type Allocate<'a> = &'a dyn Fn(&File, u64) -> io::Result<()>;

/// Locks the directories of all devices, and opens the store in them, or makes what is missing.
/// The epoch of the returned super blocks is one, new, durable, and above `passed`.
pub(crate) fn open(
    devices: &[(PathBuf, Geometry)],
    passed: u64,
    allocate: Allocate<'_>,
) -> Result<Vec<Opened>, OpenError> {
    let mut found = Vec::with_capacity(devices.len());
    for (path, geometry) in devices {
        found.push(find(path, *geometry)?);
    }
    let identity = identity(&found)?;
    let blocks = found.iter().filter_map(|found| found.super_block.as_ref());
    let newest = blocks.max_by_key(|block| block.epoch);
    let (epoch, members) = newest.map_or((0, Vec::new()), |b| (b.epoch, b.members.clone()));
    let next = epoch.max(passed) + 1;
    if next > EPOCH_MAX {
        return Err(corrupt(&devices[0].0, "the store has been opened too often"));
    }
    // All that is missing is made before anything that exists is changed.
    let mut opened = Vec::with_capacity(found.len());
    for found in found {
        opened.push(found.open(identity, (epoch, &members), allocate)?);
    }
    let members: Vec<u128> = opened.iter().map(|opened| opened.super_block.device).collect();
    for device in &mut opened {
        device.super_block.epoch = next;
        device.super_block.members.clone_from(&members);
        write_super(&device.path, &device.super_block)?;
    }
    Ok(opened)
}

/// A device's directory, locked; without a super block it has to be made.
struct Found {
    path: PathBuf,
    lock: DirectoryLock,
    geometry: Geometry,
    super_block: Option<SuperBlock>,
    /// The directory itself is new.
    made: bool,
}

fn find(path: &Path, geometry: Geometry) -> Result<Found, OpenError> {
    let made = !path.exists();
    std::fs::create_dir_all(path).map_err(|e| fault("create", path, e))?;
    let lock = lock(path)?;
    let exists = path.join(DATA).exists();
    let super_block = if exists { Some(load(path)?) } else { None };
    if let Some(block) = &super_block {
        let found = block.geometry;
        let same = found.segment_count == geometry.segment_count
            && found.segment_bytes == geometry.segment_bytes;
        if !same {
            return Err(OpenError::GeometryChanged {
                path: path.to_path_buf(),
                found_segments: found.segment_count,
                found_segment_bytes: found.segment_bytes,
                wanted_segments: geometry.segment_count,
                wanted_segment_bytes: geometry.segment_bytes,
            });
        }
    }
    Ok(Found { path: path.to_path_buf(), lock, geometry, super_block, made })
}

/// The store that the devices belong to; a new one when none of them exists yet.
fn identity(found: &[Found]) -> Result<Identity, OpenError> {
    let known = || found.iter().filter_map(|f| Some((&f.path, f.super_block.as_ref()?.identity)));
    let Some((other, identity)) = known().next() else {
        let random = |e| fault("draw a secret for", &found[0].path, e);
        return Ok(Identity {
            store: u128::from_le_bytes(random_bytes().map_err(random)?),
            secret: random_bytes().map_err(random)?,
        });
    };
    match known().find(|(_, theirs)| *theirs != identity) {
        Some((path, _)) => {
            Err(OpenError::ForeignDevice { path: path.clone(), other: other.clone() })
        }
        None => Ok(identity),
    }
}

impl Found {
    fn open(
        self,
        identity: Identity,
        (epoch, members): (u64, &[u128]),
        allocate: Allocate<'_>,
    ) -> Result<Opened, OpenError> {
        let path = self.path;
        let created = self.super_block.is_none();
        let mut super_block = match self.super_block {
            Some(block) => block,
            None => create(&path, (self.geometry, identity), allocate)
                .inspect_err(|_| remove_remains(&path, self.made))?,
        };
        let missed = super_block.epoch < epoch && !members.contains(&super_block.device);
        let voided = !created && missed;
        if voided {
            super_block.floor_epoch = epoch + 1;
        }
        let (needed, available) = (super_block.geometry.data_bytes(), file_bytes_max());
        if available < needed {
            return Err(OpenError::DiskFull { path, needed, available });
        }
        let data_path = path.join(DATA);
        let mut options = OpenOptions::new();
        let data = options.read(true).write(true).open(&data_path);
        let data = data.map_err(|e| fault("open", &data_path, e))?;
        let length = data.metadata().map_err(|e| fault("examine", &data_path, e))?.len();
        if length != super_block.geometry.data_bytes() {
            let reason = "the data file has another length than the super block says";
            return Err(corrupt(&path, reason));
        }
        Ok(Opened { path, lock: self.lock, data, super_block, created, voided })
    }
}

/// Reserves every block of the data file, so that no later write can meet a full disk. Blocks that
/// are reserved and not yet written read as zeros. File systems that cannot reserve get zeros
/// written.
pub(crate) fn allocate_blocks(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, bytes),
        Err(errno) => Err(errno.into()),
    }
}

/// 256 bits from the kernel.
pub(crate) fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if filled == N { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

pub(crate) fn lock(path: &Path) -> Result<DirectoryLock, OpenError> {
    let lock_path = path.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY);
    let file = options.open(&lock_path).map_err(|e| fault("open", &lock_path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(fault("lock", &lock_path, error)),
    }
}

/// Locks a directory against writers, without making or changing anything, and opens the data
/// file for reading.
pub(crate) fn look(path: &Path) -> Result<(DirectoryLock, File), OpenError> {
    let (lock_path, data_path) = (path.join(LOCK), path.join(DATA));
    let data = File::open(&data_path).map_err(|e| fault("open", &data_path, e))?;
    let file = File::open(&lock_path).map_err(|e| fault("open", &lock_path, e))?;
    match file.try_lock_shared() {
        Ok(()) => Ok((DirectoryLock(file), data)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_path_buf() }),
        Err(TryLockError::Error(error)) => Err(fault("lock", &lock_path, error)),
    }
}

fn create(
    path: &Path,
    (geometry, identity): (Geometry, Identity),
    allocate: Allocate<'_>,
) -> Result<SuperBlock, OpenError> {
    remove_files(path);
    let needed = geometry.data_bytes();
    let available = available_bytes(path);
    let full = |available| OpenError::DiskFull { path: path.to_path_buf(), needed, available };
    if available < needed {
        return Err(full(available));
    }
    let new_path = path.join(DATA_NEW);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).mode(OWNER_ONLY);
    let file = options.open(&new_path).map_err(|e| fault("create", &new_path, e))?;
    let random = |e| fault("draw a name for", path, e);
    let device = u128::from_le_bytes(random_bytes().map_err(random)?);
    let keys = Keys::new(&identity.secret);
    let purge_header = purge_plan::first_header(device, geometry.purge_bytes, &keys);
    let allocated = file.set_len(needed).and_then(|()| allocate(&file, needed));
    let headed =
        allocated.and_then(|()| file.write_all_at(&purge_header, geometry.purge_base(Area::A)));
    headed.and_then(|()| file.sync_all()).map_err(|error| {
        let kind = error.kind();
        if kind == io::ErrorKind::StorageFull || kind == io::ErrorKind::QuotaExceeded {
            full(available_bytes(path).min(needed - 1))
        } else if kind == io::ErrorKind::FileTooLarge {
            full(0)
        } else {
            fault("allocate", &new_path, error)
        }
    })?;
    let super_block =
        SuperBlock { geometry, identity, device, epoch: 0, floor_epoch: 0, members: Vec::new() };
    write_super(path, &super_block)?;
    std::fs::rename(&new_path, path.join(DATA)).map_err(|e| fault("rename", &new_path, e))?;
    sync_directory(path)?;
    Ok(super_block)
}

/// The newer whole super block.
pub(crate) fn load(path: &Path) -> Result<SuperBlock, OpenError> {
    let mut newest: Option<SuperBlock> = None;
    let mut other_version = None;
    for name in FILE_NAMES {
        let bytes = match std::fs::read(path.join(name)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(fault("read", &path.join(name), error)),
        };
        match SuperBlock::parse(&bytes) {
            Parsed::Valid(block) => {
                if newest.as_ref().is_none_or(|newest| newest.epoch < block.epoch) {
                    newest = Some(*block);
                }
            }
            Parsed::OtherVersion(version) => other_version = Some(version),
            Parsed::Damaged => {}
        }
    }
    match (newest, other_version) {
        // A half-done upgrade is no store of ours either.
        (_, Some(found)) => Err(OpenError::WrongVersion {
            path: path.to_path_buf(),
            found,
            expected: crate::format::FORMAT_VERSION,
        }),
        (Some(newest), None) => Ok(newest),
        (None, None) => Err(corrupt(path, "neither super block is whole")),
    }
}

/// Overwrites one, and the other one when that is durable.
fn write_super(path: &Path, super_block: &SuperBlock) -> Result<(), OpenError> {
    let bytes = super_block.encode();
    for name in file_names(super_block.epoch) {
        let file_path = path.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(OWNER_ONLY);
        let written = options.open(&file_path).and_then(|file| {
            file.write_all_at(&bytes, 0)?;
            file.sync_all()
        });
        written.map_err(|e| fault("write", &file_path, e))?;
    }
    sync_directory(path)
}

fn sync_directory(path: &Path) -> Result<(), OpenError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|e| fault("sync", path, e))
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(zeros.len() as u64);
        file.write_all(&zeros[..now as usize])?;
        left -= now;
    }
    Ok(())
}

/// What the file system offers this user; everything when it does not say.
fn available_bytes(path: &Path) -> u64 {
    let stat = rustix::fs::statvfs(path);
    stat.map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize)).min(file_bytes_max())
}

/// How far this process may write into a file. Going further would not only fail: the kernel
/// sends a signal that ends the process.
fn file_bytes_max() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

fn remove_files(path: &Path) {
    for name in [DATA_NEW, FILE_NAMES[0], FILE_NAMES[1]] {
        // What is not there need not be removed; what cannot be removed fails to be created.
        let _ = std::fs::remove_file(path.join(name));
    }
}

/// After a failed creation: leaves the directory as it was found.
fn remove_remains(path: &Path, made: bool) {
    remove_files(path);
    if made {
        let _ = std::fs::remove_file(path.join(LOCK));
        let _ = std::fs::remove_dir(path);
    }
}

pub(crate) fn fault(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { action, path: PathBuf::from(path), source }
}

fn corrupt(path: &Path, reason: &'static str) -> OpenError {
    OpenError::Corrupt { path: path.to_path_buf(), reason }
}

const LOCK: &str = "lock";
pub(crate) const DATA: &str = "data";
const DATA_NEW: &str = "data.new";
const OWNER_ONLY: u32 = 0o600;
