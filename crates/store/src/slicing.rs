//! Filling an object slice by slice, and its root last.
//!
//! A body of known length goes to the slices as it comes. One of unknown length is gathered in
//! memory until a slice is full and more has come: so each record is reserved with its exact
//! length, and a body that ends before is a plain record.
//!
//! The root is reserved at commit, so its sequence is of then, while the object's place among
//! others of its key is that of its beginning. The two meet in `reserve_last`: if the key was
//! purged since, or a newer draft of it was committed or is open, nothing is published. From the
//! reservation on the root (or plain record) is a draft like any other.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use crate::admit::Stamps;
use crate::device::Device;
use crate::draft::{Draft, DraftOwner, OpenDraft};
use crate::error::{Refused, WriteError};
use crate::format::Kind;
use crate::purge::{Standing, Tags};
use crate::root::{Growth, ROOT_BYTES, Root, slice_key};
use crate::segment::Wanted;
use crate::writer::{Committed, Inner};

/// An object that is filled in slices.
pub(crate) struct Sliced {
    /// The sequence with which it began, by which its slices know it.
    object: u64,
    key: Box<[u8]>,
    key_hash: u128,
    tags: Box<[u64]>,
    head: Box<[u8]>,
    stamps: Stamps,
    /// The memory tier, if it begins there.
    probation: Option<usize>,
    /// The length, or the most that may come.
    body_bytes_max: u64,
    /// Body bytes taken so far.
    received: u64,
    /// Body bytes in slices that are complete.
    completed: Cell<u64>,
    /// The slice that is being filled.
    current: RefCell<Option<Rc<OpenDraft>>>,
    /// Its length is not known.
    gathers: bool,
    /// What has come of such a body since the last slice.
    gathered: Vec<u8>,
    outranked: Rc<Cell<bool>>,
    /// Why no call can succeed any more. Set during a call: one that is dropped leaves it.
    broken: Option<WriteError>,
    pub(crate) growth: Arc<Growth>,
}

impl Sliced {
    pub(crate) fn remaining(&self) -> u64 {
        self.body_bytes_max - self.received
    }

    pub(crate) fn current(&self) -> Option<Rc<OpenDraft>> {
        self.current.borrow().clone()
    }

    /// Tells readers how far they can read.
    pub(crate) fn show_written(&self) -> u64 {
        let current = self.current.borrow();
        let current = current.as_ref().map_or(0, |draft| draft.written_bytes());
        self.growth.show(self.completed.get() + current);
        self.growth.written()
    }

    /// Marks a call as under way.
    fn enter(&mut self) -> Result<(), WriteError> {
        match self.broken.replace(WriteError::Interrupted) {
            None => Ok(()),
            Some(error) => {
                self.broken = Some(error);
                Err(error)
            }
        }
    }

    fn leave<T>(&mut self, result: Result<T, WriteError>) -> Result<T, WriteError> {
        self.show_written();
        self.broken = result.as_ref().err().copied();
        result
    }

    fn draft<'a>(&'a self, head: &'a [u8], body_bytes: u64) -> Draft<'a> {
        Draft { tags: &self.tags, ..Draft::new(&self.key, head, body_bytes) }
    }

    fn root(&self) -> Root {
        let slice_bytes = self.growth.slice_bytes;
        Root { object: self.object, body_bytes: self.received, slice_bytes }
    }
}

impl<D: Device> Inner<D> {
    pub(crate) fn begin_slices(&self, draft: Draft<'_>) -> Result<Sliced, Refused> {
        let mut sliced = self.open_slices(draft)?;
        if !sliced.gathers {
            sliced.probation = self.probation_of(&sliced, draft)?;
            self.ensure_pace(sliced.probation.or(sliced.stamps.home()))?;
            let first = self.reserve_slice(&sliced, u64::from(sliced.growth.slice_bytes))?;
            self.place_slice(&mut sliced, first);
        }
        self.remember_slices(&sliced);
        Ok(sliced)
    }

    /// Begins an object whose root is published before any slice is there.
    pub(crate) fn begin_outline(&self, draft: Draft<'_>) -> Result<Sliced, Refused> {
        let mut sliced = self.open_slices(draft)?;
        self.ensure_pace(sliced.stamps.home())?;
        sliced.received = draft.body_len.unwrap_or_default();
        self.remember_slices(&sliced);
        Ok(sliced)
    }

    /// Publishes the root of an outline: over no slices, or over those of `body`, in the volume in
    /// which that has its root.
    pub(crate) async fn complete_outline(
        &self,
        sliced: &mut Sliced,
        body: Option<(Root, usize)>,
    ) -> Result<Committed, WriteError> {
        sliced.enter()?;
        let mut root = sliced.root();
        if let Some((body, home)) = body {
            root = body;
            sliced.stamps = sliced.stamps.at_home(home);
        }
        let head = [&root.encode()[..], &sliced.head].concat();
        let last = (Kind::Root, sliced.draft(&head, 0));
        let committed = self.complete_last(sliced, last, &[]).await;
        sliced.leave(committed)
    }

    /// Bodies of unknown length may become too large on their way.
    fn probation_of(&self, sliced: &Sliced, draft: Draft<'_>) -> Result<Option<usize>, Refused> {
        if !draft.can_refetch {
            return Ok(None);
        }
        let body_bytes = sliced.body_bytes_max;
        let wanted = self.wanted_root(draft, sliced.stamps)?;
        Ok(self.probation_for(sliced.key_hash, (wanted, body_bytes)))
    }

    fn wanted_root(&self, draft: Draft<'_>, stamps: Stamps) -> Result<Wanted, Refused> {
        let root = Draft { body_len: Some(0), ..draft };
        let mut wanted = self.wanted(root, stamps.expires_at_ms(), false)?;
        wanted.lengths.head_bytes += ROOT_BYTES as u32;
        Ok(wanted)
    }

    fn open_slices(&self, draft: Draft<'_>) -> Result<Sliced, Refused> {
        let shape = self.shared.slicing;
        if draft.body_len.is_some_and(|len| len > shape.body_bytes_max) {
            return Err(Refused::TooLarge);
        }
        let stamps = Stamps::now(Kind::Root, draft.lifetime_ms);
        let wanted = self.wanted_root(draft, stamps)?;
        let key_hash = self.shared.keys.key_hash(draft.key);
        let home = self.home_for(key_hash, draft.body_len.unwrap_or_default());
        let home = home.ok_or(Refused::Offline)?;
        self.logs.borrow().log(home).fit_empty(wanted).ok_or(Refused::TooLarge)?;
        let gathers = draft.body_len.is_none();
        if gathers && self.gathering.get() >= shape.gathering_max {
            return Err(Refused::TooManyDrafts);
        }
        let object = self.logs.borrow_mut().take_sequence().ok_or(Refused::Offline)?;
        let body_bytes_max = shape.body_bytes_max.min(self.half_of(home));
        let slice_bytes = if gathers { shape.gathered_bytes } else { shape.slice_bytes_of(draft) };
        Ok(Sliced {
            object,
            key: draft.key.into(),
            key_hash,
            tags: draft.tags.into(),
            head: draft.head.into(),
            stamps: stamps.at_home(home),
            probation: None,
            body_bytes_max: draft.body_len.unwrap_or(body_bytes_max),
            received: 0,
            completed: Cell::new(0),
            current: RefCell::new(None),
            gathers,
            gathered: Vec::new(),
            outranked: Rc::new(Cell::new(false)),
            broken: None,
            growth: Arc::new(Growth::new(slice_bytes, draft.body_len)),
        })
    }

    /// The object takes bytes, and is outranked from now on by newer ones of its key.
    fn remember_slices(&self, sliced: &Sliced) {
        let object = sliced.object;
        self.draft_keys.borrow_mut().insert((sliced.key_hash, object));
        self.slicing.borrow_mut().insert(object, Rc::clone(&sliced.outranked));
        self.gathering.set(self.gathering.get() + u64::from(sliced.gathers));
    }

    /// The object takes no more bytes.
    pub(crate) fn forget_slices(&self, sliced: &Sliced) {
        if let Some(draft) = sliced.current.take() {
            self.end(&draft);
        }
        if sliced.probation.is_some() && sliced.broken == Some(WriteError::Reclaimed) {
            // Memory turns faster than the body comes: the next time it goes to a disk.
            self.ghost.borrow_mut().insert(sliced.key_hash, sliced.body_bytes_max);
        }
        self.draft_keys.borrow_mut().remove(&(sliced.key_hash, sliced.object));
        self.slicing.borrow_mut().remove(&sliced.object);
        self.gathering.set(self.gathering.get().saturating_sub(u64::from(sliced.gathers)));
    }

    pub(crate) async fn append_slices(
        &self,
        sliced: &mut Sliced,
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        if bytes.len() as u64 > sliced.remaining() {
            return Err(WriteError::TooLong);
        }
        sliced.enter()?;
        let appended = match sliced.gathers {
            true => self.gather(sliced, bytes).await,
            false => self.append_known(sliced, bytes).await,
        };
        sliced.leave(appended)
    }

    pub(crate) async fn flush_slices(&self, sliced: &mut Sliced) -> Result<(), WriteError> {
        sliced.enter()?;
        let flushed = match sliced.current() {
            Some(draft) => self.write_staged(&draft).await,
            None => Ok(()),
        };
        sliced.leave(flushed)
    }

    /// Completes the last slice and publishes the root; or a plain record, of a body that needs no
    /// slices.
    pub(crate) async fn complete_slices(
        &self,
        sliced: &mut Sliced,
    ) -> Result<Committed, WriteError> {
        sliced.enter()?;
        let committed = if sliced.gathers {
            self.complete_gathered(sliced).await
        } else if sliced.remaining() > 0 {
            Err(WriteError::Incomplete)
        } else {
            self.complete_root(sliced).await
        };
        sliced.leave(committed)
    }

    async fn complete_gathered(&self, sliced: &mut Sliced) -> Result<Committed, WriteError> {
        if sliced.completed.get() == 0 {
            let draft = sliced.draft(&sliced.head, sliced.gathered.len() as u64);
            return self.complete_last(sliced, (Kind::Object, draft), &sliced.gathered).await;
        }
        self.write_gathered(sliced).await?;
        self.complete_root(sliced).await
    }

    async fn append_known(&self, sliced: &mut Sliced, mut bytes: &[u8]) -> Result<(), WriteError> {
        while !bytes.is_empty() {
            let slice_bytes = u64::from(sliced.growth.slice_bytes);
            let draft = match sliced.current() {
                Some(draft) => draft,
                None => self.next_slice(sliced, slice_bytes.min(sliced.remaining())).await?,
            };
            let room = u64::from(draft.layout.body_bytes) - draft.received.get();
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.append(&draft, now).await?;
            sliced.received += now.len() as u64;
            bytes = later;
            if now.len() as u64 == room {
                self.complete_slice(sliced).await?;
            }
            sliced.show_written();
        }
        Ok(())
    }

    /// Adds to what is gathered; when that is a slice, and more has come, writes it.
    async fn gather(&self, sliced: &mut Sliced, mut bytes: &[u8]) -> Result<(), WriteError> {
        let slice_bytes = sliced.growth.slice_bytes as usize;
        while !bytes.is_empty() {
            if sliced.gathered.len() == slice_bytes {
                self.write_gathered(sliced).await?;
            }
            let gathered = &mut sliced.gathered;
            let (now, later) = bytes.split_at(bytes.len().min(slice_bytes - gathered.len()));
            if gathered.capacity() - gathered.len() < now.len() {
                // Not beyond a slice, which doubling would.
                let wanted = (gathered.len() + now.len()).max(2 * gathered.capacity());
                gathered.reserve_exact(wanted.min(slice_bytes) - gathered.len());
            }
            gathered.extend_from_slice(now);
            sliced.received += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    async fn write_gathered(&self, sliced: &mut Sliced) -> Result<(), WriteError> {
        let draft = self.next_slice(sliced, sliced.gathered.len() as u64).await?;
        self.append(&draft, &sliced.gathered).await?;
        sliced.gathered.clear();
        self.complete_slice(sliced).await
    }

    /// Reserves the next slice, and where no segment is clean, reclaims first.
    async fn next_slice(
        &self,
        sliced: &mut Sliced,
        bytes: u64,
    ) -> Result<Rc<OpenDraft>, WriteError> {
        let mut reserved = self.reserve_slice(sliced, bytes);
        if matches!(reserved, Err(Refused::NoCleanSegment)) {
            self.turn_for_room().await;
            reserved = self.reserve_slice(sliced, bytes);
        }
        let draft = reserved.map_err(in_mid_body)?;
        self.place_slice(sliced, Rc::clone(&draft));
        Ok(draft)
    }

    fn reserve_slice(&self, sliced: &Sliced, bytes: u64) -> Result<Rc<OpenDraft>, Refused> {
        let number = sliced.completed.get() / u64::from(sliced.growth.slice_bytes);
        let key = slice_key(sliced.object, number);
        self.reserve_part(sliced, Kind::Slice, Draft::new(&key, &[], bytes))
    }

    fn reserve_part(
        &self,
        sliced: &Sliced,
        kind: Kind,
        draft: Draft<'_>,
    ) -> Result<Rc<OpenDraft>, Refused> {
        let stamps = sliced.stamps.of_kind(kind);
        if let Some(memory) = sliced.probation {
            let reserved = self.reserve(stamps.at_home(memory), draft);
            // Slow readers may hold the whole tier.
            if !matches!(reserved, Err(Refused::NoCleanSegment)) {
                return reserved;
            }
        }
        self.reserve(stamps, draft)
    }

    fn place_slice(&self, sliced: &mut Sliced, draft: Rc<OpenDraft>) {
        let number = sliced.completed.get() / u64::from(sliced.growth.slice_bytes);
        sliced.growth.place(number, draft.body_place());
        sliced.current = RefCell::new(Some(draft));
    }

    async fn complete_slice(&self, sliced: &mut Sliced) -> Result<(), WriteError> {
        let Some(draft) = sliced.current() else { return Ok(()) };
        self.complete(&draft).await?;
        sliced.current.take();
        sliced.completed.set(sliced.completed.get() + u64::from(draft.layout.body_bytes));
        self.end(&draft);
        self.tend().await;
        Ok(())
    }

    async fn complete_root(&self, sliced: &Sliced) -> Result<Committed, WriteError> {
        let root = sliced.root();
        let is_there = |number| {
            let hash = self.shared.keys.slice_hash(&slice_key(root.object, number));
            self.shared.index.find(hash, |_, _| Some(())).is_some()
        };
        // A slow body, and the log has come round: a root would hide what is stored of its key.
        if !(0..root.slice_count()).all(is_there) {
            return Err(WriteError::Reclaimed);
        }
        let head = [&root.encode()[..], &sliced.head].concat();
        self.complete_last(sliced, (Kind::Root, sliced.draft(&head, 0)), &[]).await
    }

    /// Reserves, writes and publishes what lookups will find.
    async fn complete_last(
        &self,
        sliced: &Sliced,
        (kind, draft): (Kind, Draft<'_>),
        body: &[u8],
    ) -> Result<Committed, WriteError> {
        let mut reserved = self.reserve_last(sliced, kind, draft);
        if matches!(reserved, Ok(Err(Refused::NoCleanSegment))) {
            self.turn_for_room().await;
            reserved = self.reserve_last(sliced, kind, draft);
        }
        let open = match reserved {
            Ok(reserved) => reserved.map_err(in_mid_body)?,
            Err(NotCurrent) => return Ok(Committed { sequence: sliced.object, published: false }),
        };
        let written = self.append(&open, body).await;
        let committed = match written {
            Ok(()) => self.complete(&open).await,
            Err(error) => Err(error),
        };
        self.end(&open);
        committed
    }

    /// From the check to the reservation nothing can come between.
    fn reserve_last(
        &self,
        sliced: &Sliced,
        kind: Kind,
        draft: Draft<'_>,
    ) -> Result<Result<Rc<OpenDraft>, Refused>, NotCurrent> {
        let newer = (sliced.key_hash, sliced.object + 1)..=(sliced.key_hash, u64::MAX);
        let is_newer = self.draft_keys.borrow().range(newer).next().is_some();
        if sliced.outranked.get() || is_newer || !self.stands(sliced) {
            return Err(NotCurrent);
        }
        Ok(self.reserve_part(sliced, kind, draft))
    }

    /// Whether no purge concerns the object that came after it had begun.
    fn stands(&self, sliced: &Sliced) -> bool {
        let tags: Vec<u8> = sliced.tags.iter().flat_map(|tag| tag.to_le_bytes()).collect();
        let purges = &self.shared.purges;
        purges.standing(&sliced.key, Tags::new(&tags), sliced.object) == Standing::Live
    }

    async fn turn_for_room(&self) {
        // A volume that cannot be turned has no clean segment in the end.
        let _ = self.turn(false).await;
    }
}

/// Something newer than the object has come or is about to.
struct NotCurrent;

/// A refusal met when a part of the body has been taken.
pub(crate) fn in_mid_body(refused: Refused) -> WriteError {
    match refused {
        Refused::Offline => WriteError::Offline,
        // Checked at the beginning: it would be of another volume, with smaller segments.
        Refused::TooLarge => WriteError::TooLong,
        Refused::Behind => WriteError::Behind,
        Refused::NoCleanSegment | Refused::TooManyDrafts => WriteError::NoCleanSegment,
    }
}
