//! Where a record goes, and the extent that is reserved for it there.
//!
//! `eviction` decides between memory and disk. Of several disks the record goes to the one that
//! has taken the smallest part of its size, so that all turn at the same pace; one that
//! takes no more just now (`pace`) comes last. A record that
//! replaces another goes to the same disk: a volume reclaims in the order in which records came,
//! so no restart finds the older one where the newer has gone.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::device::Device;
use crate::draft::{Draft, Front, OpenDraft, Work};
use crate::error::Refused;
use crate::eviction::{Class, Newcomer, Tier};
use crate::format::{HEAD_BYTES_MAX, KEY_BYTES_MAX, Kind, Lengths, RecordHeader, TAGS_MAX, u64_at};
use crate::index::Place;
use crate::keys::ChunkSums;
use crate::root::{Root, SLICE_KEY_BYTES};
use crate::segment::{Reserved, Wanted};
use crate::volume::VolumeKind;
use crate::writer::{Inner, Open, unix_ms};

impl<D: Device> Inner<D> {
    pub(crate) fn reserve(
        &self,
        stamps: Stamps,
        draft: Draft<'_>,
    ) -> Result<Rc<OpenDraft>, Refused> {
        let wanted = self.wanted(draft, stamps.expires_at_ms, false)?;
        let home = || stamps.home.or_else(|| self.disk_for());
        if stamps.kind == Kind::Slice {
            return self.reserve_in(home(), (wanted, stamps), draft);
        }
        let hash = self.shared.keys.key_hash(draft.key);
        let was_ghost = self.leave_ghost(hash);
        if let Some((volume, class)) = self.replaced(hash) {
            let class = if class == Class::Main { class } else { wanted.class };
            return self.reserve_in(Some(volume), (Wanted { class, ..wanted }, stamps), draft);
        }
        if stamps.kind == Kind::Root {
            // With its slices.
            return self.reserve_in(home(), (wanted, stamps), draft);
        }
        let memory = self.memory();
        let newcomer = Newcomer {
            has_memory: memory.is_some(),
            has_disk: self.has_disk(),
            fits_memory: memory.is_some_and(|volume| self.fits_memory(volume, wanted)),
            was_ghost,
            class: wanted.class,
        };
        match newcomer.placement().tier {
            Tier::Disk => self.reserve_in(self.disk_for(), (wanted, stamps), draft),
            Tier::Memory => {
                let reserved = self.reserve_in(memory, (wanted, stamps), draft);
                // Slow readers may hold the whole tier.
                match reserved {
                    Err(Refused::NoCleanSegment) if self.has_disk() => {
                        self.reserve_in(self.disk_for(), (wanted, stamps), draft)
                    }
                    Ok(_) | Err(_) => reserved,
                }
            }
        }
    }

    /// The working disk and the class of the record that a new one of the key will replace.
    fn replaced(&self, hash: u128) -> Option<(usize, Class)> {
        let place = self.shared.index.find(hash, |_, place| Some(place))?;
        let logs = self.logs.borrow();
        let number = logs.volume_of(place.segment());
        let volume = &self.shared.volumes[number];
        let is_disk = volume.kind == VolumeKind::Disk && !volume.is_offline();
        is_disk.then(|| (number, logs.segment(place.segment()).class))
    }

    /// As [`Inner::reserve`] for the copy of a record.
    pub(crate) fn reserve_copy(
        &self,
        draft: Draft<'_>,
        source: Source,
    ) -> Result<Rc<OpenDraft>, Refused> {
        let wanted = self.wanted(draft, source.expires_at_ms, true)?;
        let stamps = Stamps {
            kind: source.kind,
            copy_of: Some((source.place, source.frequency)),
            home: None,
            is_first: false,
            stored_at_ms: source.stored_at_ms,
            expires_at_ms: source.expires_at_ms,
        };
        let number = self.logs.borrow().volume_of(source.place.segment());
        let here = &self.shared.volumes[number];
        let is_disk = here.kind == VolumeKind::Disk && !here.is_offline();
        let volume = match (source.tier, source.kind) {
            // Slices stay with the others of their object.
            (Tier::Disk, Kind::Slice | Kind::Root) if is_disk => Some(number),
            (Tier::Disk, Kind::Slice | Kind::Root) => self.disk_of_object(source.kind, draft),
            (Tier::Disk, Kind::Object) => self.disk_for(),
            (Tier::Memory, _) => self.memory(),
        };
        self.reserve_in(volume, (wanted, stamps), draft)
    }

    /// What a record of the draft takes.
    pub(crate) fn wanted(
        &self,
        draft: Draft<'_>,
        expires_at_ms: u64,
        last_clean: bool,
    ) -> Result<Wanted, Refused> {
        if self.drafts.borrow().len() + self.slicing.borrow().len() >= DRAFTS_MAX {
            return Err(Refused::TooManyDrafts);
        }
        let within = |bytes: &[u8], max: u32| {
            u32::try_from(bytes.len()).ok().filter(|len| *len <= max).ok_or(Refused::TooLarge)
        };
        let tag_count = Some(draft.tags.len()).filter(|count| *count <= TAGS_MAX);
        Ok(Wanted {
            lengths: Lengths {
                key_bytes: within(draft.key, KEY_BYTES_MAX)?,
                tag_count: tag_count.ok_or(Refused::TooLarge)? as u8,
                head_bytes: within(draft.head, HEAD_BYTES_MAX)?,
                body_bytes: draft.body_len.unwrap_or_default(),
            },
            class: class_of(expires_at_ms, unix_ms(), self.shared.short_lifetime_ms),
            expires_at_ms,
            last_clean,
        })
    }

    fn reserve_in(
        &self,
        volume: Option<usize>,
        (wanted, stamps): (Wanted, Stamps),
        draft: Draft<'_>,
    ) -> Result<Rc<OpenDraft>, Refused> {
        let volume = volume.ok_or(Refused::Offline)?;
        if stamps.is_first {
            self.ensure_pace(Some(volume))?;
        }
        let reserved = {
            let mut logs = self.logs.borrow_mut();
            let (log, ids) = logs.of(volume);
            log.reserve(ids, wanted, &self.shared)
        };
        // Pins fall without a word: whoever reclaims must look again.
        let reserved = reserved.inspect_err(|_| self.changed.notify())?;
        if self.shared.volumes[volume].kind == VolumeKind::Disk {
            let bytes = u64::from(reserved.layout.extent_bytes);
            self.shared.counters.disk_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        let open = Rc::new(self.open_draft(stamps, draft, (reserved, wanted.lengths)));
        self.fronts.borrow_mut().insert(open.sequence, Rc::clone(&open));
        let entry = Open { draft: Rc::clone(&open), staged: None };
        self.drafts.borrow_mut().insert(open.sequence, entry);
        self.draft_keys.borrow_mut().insert((open.key_hash, open.sequence));
        Ok(open)
    }

    /// The disk for a record: of those that work, the one that has taken the smallest part of its
    /// size; memory, when the store has no disk at all.
    pub(crate) fn disk_for(&self) -> Option<usize> {
        self.disk_of(0)
    }

    /// The volume for all slices of an object, so that one that fails or is taken out costs no
    /// object on the others. It must hold twice as much.
    pub(crate) fn home_for(&self, hash: u128, body_bytes: u64) -> Option<usize> {
        let fits = |number: &usize| self.half_of(*number) >= body_bytes;
        let replaced = self.replaced(hash).map(|(number, _)| number).filter(fits);
        replaced.or_else(|| self.disk_of(body_bytes))
    }

    /// The memory tier, for an object in slices that begins there: one whose root is `wanted`.
    pub(crate) fn probation_for(
        &self,
        hash: u128,
        (wanted, body_bytes): (Wanted, u64),
    ) -> Option<usize> {
        let slicing = self.shared.slicing;
        let memory = self.memory().filter(|_| slicing.on_probation)?;
        let slice = Lengths {
            key_bytes: SLICE_KEY_BYTES as u32,
            tag_count: 0,
            head_bytes: 0,
            body_bytes: slicing.slice_bytes.into(),
        };
        let fits = body_bytes <= self.half_of(memory)
            && self.fits_memory(memory, Wanted { lengths: slice, ..wanted })
            && self.fits_memory(memory, wanted);
        let newcomer = Newcomer {
            has_memory: true,
            has_disk: self.has_disk(),
            fits_memory: fits,
            was_ghost: self.leave_ghost(hash),
            class: wanted.class,
        };
        let begins_there = newcomer.placement().tier == Tier::Memory;
        (begins_there && self.replaced(hash).is_none()).then_some(memory)
    }

    /// Forgets that a key has left memory; says whether it was remembered.
    fn leave_ghost(&self, hash: u128) -> bool {
        let was_ghost = self.ghost.borrow_mut().remove(hash);
        self.shared.counters.ghost_hits.fetch_add(u64::from(was_ghost), Ordering::Relaxed);
        was_ghost
    }

    /// Half of what a volume holds, in bytes.
    pub(crate) fn half_of(&self, volume: usize) -> u64 {
        self.shared.volumes[volume].geometry.record_bytes() / 2
    }

    fn disk_of(&self, half_bytes: u64) -> Option<usize> {
        let logs = self.logs.borrow();
        let now = Instant::now();
        let paces = self.paces.borrow();
        let taken = |number: &usize| (!paces[*number].admits(now), logs.log(*number).share_taken());
        let disks = self
            .shared
            .volumes
            .iter()
            .enumerate()
            .filter(|(_, volume)| volume.kind == VolumeKind::Disk && !volume.is_offline());
        let disks =
            disks.map(|(number, _)| number).filter(|number| self.half_of(*number) >= half_bytes);
        let disk = disks.min_by(|a, b| {
            let ((a_refuses, a), (b_refuses, b)) = (taken(a), taken(b));
            a_refuses.cmp(&b_refuses).then(a.total_cmp(&b))
        });
        disk.or_else(|| self.memory().filter(|_| !self.shared.has_disks()))
    }

    /// The disk to which the parts of an object go that leave memory one by one: the same for all,
    /// a larger one for more objects.
    fn disk_of_object(&self, kind: Kind, part: Draft<'_>) -> Option<usize> {
        let object = match kind {
            Kind::Slice => Some(u64_at(part.key, 0)),
            Kind::Root => Root::parse(part.head).map(|root| root.object),
            Kind::Object => None,
        };
        let volumes = self.shared.volumes.iter().enumerate();
        let working = volumes
            .filter(|(_, volume)| volume.kind == VolumeKind::Disk && !volume.is_offline())
            .map(|(number, volume)| (number, volume.geometry.record_bytes()));
        let total: u64 = working.clone().map(|(_, bytes)| bytes).sum();
        // Numbers of objects rise one by one: spread over the bytes of all disks.
        let spread = object?.wrapping_mul(GOLDEN);
        let mut at = ((u128::from(spread) * u128::from(total)) >> 64) as u64;
        let mut found = working.skip_while(|(_, bytes)| {
            let is_behind = at >= *bytes;
            at = at.saturating_sub(*bytes);
            is_behind
        });
        found.next().map(|(number, _)| number)
    }

    /// Refuses what would be the first of an object on a disk that is behind.
    pub(crate) fn ensure_pace(&self, volume: Option<usize>) -> Result<(), Refused> {
        let volume = volume.ok_or(Refused::Offline)?;
        let is_admitted = self.paces.borrow()[volume].admits(Instant::now());
        // Of all: nothing is asked of one that another stands in for.
        (0..self.shared.volumes.len()).for_each(|number| self.show_pace(number));
        if is_admitted { Ok(()) } else { Err(Refused::Behind) }
    }

    /// Whether any disk is behind.
    pub(crate) fn is_behind(&self) -> bool {
        let is_disk = |number: &usize| self.shared.volumes[*number].kind == VolumeKind::Disk;
        let volumes = 0..self.shared.volumes.len();
        volumes
            .filter(is_disk)
            .any(|number| !self.shared.volumes[number].is_offline() && self.is_late(number))
    }

    fn is_late(&self, volume: usize) -> bool {
        self.paces.borrow()[volume].is_behind(Instant::now())
    }

    /// Tells those that only look whether a volume is behind.
    pub(crate) fn show_pace(&self, volume: usize) {
        self.shared.volumes[volume].set_behind(self.is_late(volume));
    }

    pub(crate) fn has_disk(&self) -> bool {
        let mut volumes = self.shared.volumes.iter();
        volumes.any(|volume| volume.kind == VolumeKind::Disk && !volume.is_offline())
    }

    fn memory(&self) -> Option<usize> {
        self.shared.volumes.iter().position(|volume| volume.kind == VolumeKind::Memory)
    }

    /// Whether a record is small enough for the memory tier: a quarter of its segment, so that one
    /// object does not push many others out.
    fn fits_memory(&self, volume: usize, wanted: Wanted) -> bool {
        let segment_bytes = u64::from(self.shared.volumes[volume].geometry.segment_bytes);
        let Lengths { key_bytes, head_bytes, body_bytes, .. } = wanted.lengths;
        body_bytes + u64::from(head_bytes) + u64::from(key_bytes) <= segment_bytes / 4
    }

    pub(crate) fn is_being_written(&self, hash: u128) -> bool {
        self.draft_keys.borrow().range((hash, 0)..=(hash, u64::MAX)).next().is_some()
    }

    /// The state of a draft whose extent has just been reserved.
    fn open_draft(
        &self,
        stamps: Stamps,
        draft: Draft<'_>,
        (reserved, lengths): (Reserved, Lengths),
    ) -> OpenDraft {
        let layout = reserved.layout;
        let tags: Vec<u8> = draft.tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        let keys = &self.shared.keys;
        let header = RecordHeader {
            kind: stamps.kind,
            generation: reserved.generation,
            sequence: reserved.sequence,
            key_hash: keys.hash_of(stamps.kind, draft.key),
            lengths,
            stored_at_ms: stamps.stored_at_ms,
            expires_at_ms: stamps.expires_at_ms,
        };
        let bytes = header.encode(&layout, keys);
        let seed = keys.chunk_seed(reserved.generation, reserved.sequence);
        let mut mac = keys.record_mac();
        let mut prefix = Vec::with_capacity((layout.body_at - layout.at) as usize);
        prefix.extend_from_slice(&bytes);
        prefix.extend_from_slice(draft.key);
        prefix.extend_from_slice(&tags);
        prefix.extend_from_slice(draft.head);
        mac.update(&prefix);
        prefix.resize((layout.body_at - layout.at) as usize, 0);
        let work = Work { prefix, mac, sums: ChunkSums::new(seed, layout.chunk_count()) };
        OpenDraft {
            kind: stamps.kind,
            copy_of: stamps.copy_of,
            segment: reserved.segment,
            generation: reserved.generation,
            sequence: reserved.sequence,
            key_hash: header.key_hash,
            layout,
            header: bytes,
            written: Arc::new(AtomicU64::new(0)),
            front: Cell::new(Front::Unwritten),
            writing: Cell::new(false),
            busy: Cell::new(false),
            outranked: Cell::new(false),
            softened: Cell::new(false),
            key: draft.key.into(),
            tags: tags.into(),
            broken: Cell::new(None),
            received: Cell::new(0),
            staged_to: Cell::new(layout.at),
            written_to: Cell::new(layout.at),
            work: RefCell::new(Some(work)),
        }
    }
}

/// What a copy takes over from its original.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
    /// That of the copy.
    pub(crate) frequency: u8,
    pub(crate) stored_at_ms: u64,
    pub(crate) expires_at_ms: u64,
    /// Where the copy goes.
    pub(crate) tier: Tier,
}

/// What a reservation is for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamps {
    pub(crate) kind: Kind,
    copy_of: Option<(Place, u8)>,
    /// The volume of an object's slices, and of its root.
    home: Option<usize>,
    /// Nothing of the object has been written yet, and a disk that is behind does not begin it.
    is_first: bool,
    stored_at_ms: u64,
    expires_at_ms: u64,
}

impl Stamps {
    /// For a draft that begins now.
    pub(crate) fn now(kind: Kind, lifetime_ms: Option<u64>) -> Self {
        let stored_at_ms = unix_ms();
        let expires = |life| stored_at_ms.saturating_add(life).max(1);
        let expires_at_ms = lifetime_ms.map_or(0, expires);
        Self { kind, copy_of: None, home: None, is_first: true, stored_at_ms, expires_at_ms }
    }

    /// The same in a volume that was chosen.
    pub(crate) fn at_home(self, home: usize) -> Self {
        Self { home: Some(home), ..self }
    }

    /// For a part of the same object.
    pub(crate) fn of_kind(self, kind: Kind) -> Self {
        // Of a body that was gathered, the whole record is the first part.
        Self { kind, is_first: kind == Kind::Object, ..self }
    }

    pub(crate) fn home(self) -> Option<usize> {
        self.home
    }

    pub(crate) fn expires_at_ms(self) -> u64 {
        self.expires_at_ms
    }
}

/// The class of a record with what is left of its life.
fn class_of(expires_at_ms: u64, now_ms: u64, short_lifetime_ms: u64) -> Class {
    let left = (expires_at_ms > 0).then(|| expires_at_ms.saturating_sub(now_ms));
    Class::of_lifetime(left, short_lifetime_ms)
}

/// 2⁶⁴ over the golden ratio: multiples of it fall evenly.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Open drafts at one time. Each costs its key and head, some 3 KiB, and at times a block.
const DRAFTS_MAX: usize = 16_384;
