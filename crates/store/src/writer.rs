//! Writing: drafts in, records out.
//!
//! One writer per store, on one thread; any number of its calls may be in progress at once. Calls
//! take `&self` and hold no borrow while they wait. Dropping a call's future loses nothing that
//! the kernel still needs, but leaves its draft unusable ([`WriteError::Interrupted`]).

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::admit::Stamps;
use crate::device::Device;
use crate::draft::{Draft, DraftOwner, Filling, OpenDraft, Pending};
use crate::dump::Dumps;
use crate::error::{Refused, WriteError, WriterTaken};
use crate::eviction::{Ghost, ghost_horizon_bytes};
use crate::format::{FooterLine, Kind};
use crate::logs::Logs;
use crate::pace::Pace;
use crate::purge::{Standing, Tags};
use crate::reader::ReaderInner;
use crate::record::Record;
use crate::root::Root;
use crate::slicing::{Sliced, in_mid_body};
use crate::staging::{Changed, Operation, Staged};
use crate::store::{Shared, Store};
use crate::volume::Volume;

/// The store's one way in. Not `Send`.
pub struct Writer<D: Device> {
    pub(crate) inner: Rc<Inner<D>>,
}

/// What has become of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The record's sequence.
    pub sequence: u64,
    /// Whether lookups find it. `false` when it was purged, or a newer draft of the key was
    /// committed, after this one had begun; for an object in slices and one of unknown length,
    /// which take their place in the order of records when they are committed, also when a newer
    /// draft is open, or when it was purged softly.
    pub published: bool,
}

/// The writer's state; drafts and operations refer to it.
pub(crate) struct Inner<D: Device> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) device: D,
    pub(crate) logs: RefCell<Logs>,
    /// Open drafts by sequence, which is their order in the log.
    pub(crate) drafts: RefCell<BTreeMap<u64, Open<D::Block>>>,
    /// Their keys' hashes and sequences.
    pub(crate) draft_keys: RefCell<BTreeSet<(u128, u64)>>,
    /// What is being filled in slices, by the sequence with which it began.
    pub(crate) slicing: RefCell<BTreeMap<u64, Rc<Cell<bool>>>>,
    /// How many of them gather a body of unknown length.
    pub(crate) gathering: Cell<u64>,
    /// Extents whose header is not on the device yet, abandoned ones among them.
    pub(crate) fronts: RefCell<BTreeMap<u64, Rc<OpenDraft>>>,
    /// Blocks kept back from the pool for headers and footers.
    pub(crate) control: RefCell<Vec<D::Block>>,
    /// Writes whose callers have gone.
    pub(crate) orphans: RefCell<Vec<Operation<D::Block>>>,
    /// Keys that have left not long ago.
    pub(crate) ghost: RefCell<Ghost>,
    /// For copies: the last row, which no other reader gets.
    pub(crate) reader: Rc<ReaderInner>,
    /// Images of the index.
    pub(crate) dumps: RefCell<Dumps>,
    pub(crate) changed: Changed,
    /// How promptly each volume takes its writes.
    pub(crate) paces: RefCell<Vec<Pace>>,
    /// A turn of the log is under way (see `reclaim`).
    pub(crate) turning: Cell<bool>,
    /// Purges are being written (see `purge_write`).
    pub(crate) flushing: Cell<bool>,
    /// [`Writer::maintain`] runs, so that other calls need not.
    pub(crate) maintained: Cell<bool>,
}

/// An open draft and the block that is being filled for it.
pub(crate) struct Open<B> {
    pub(crate) draft: Rc<OpenDraft>,
    pub(crate) staged: Option<Staged<B>>,
}

impl<D: Device> Writer<D> {
    /// The writer of `store`.
    ///
    /// # Errors
    /// While another writer of the store, or a draft of it, lives.
    pub fn new(store: &Store, device: D) -> Result<Self, WriterTaken> {
        let shared = Arc::clone(store.shared());
        let logs = shared.take_logs().ok_or(WriterTaken)?;
        let control = (0..CONTROL_BLOCKS).filter_map(|_| device.allocate_block()).collect();
        let reader = Rc::new(ReaderInner::new(Arc::clone(&shared), shared.writer_row()));
        let pace = |_: &Volume| Pace::new(shared.write_patience);
        let paces = shared.volumes.iter().map(pace).collect();
        let volumes = shared.volumes.iter();
        let horizon_bytes =
            ghost_horizon_bytes(volumes.map(|volume| volume.geometry.data_bytes()).sum());
        let inner = Inner {
            ghost: RefCell::new(Ghost::new(shared.ghost_capacity, horizon_bytes)),
            reader,
            shared,
            device,
            logs: RefCell::new(logs),
            drafts: RefCell::default(),
            draft_keys: RefCell::default(),
            slicing: RefCell::default(),
            gathering: Cell::default(),
            fronts: RefCell::default(),
            control: RefCell::new(control),
            orphans: RefCell::default(),
            dumps: RefCell::default(),
            changed: Changed::default(),
            paces: RefCell::new(paces),
            turning: Cell::new(false),
            flushing: Cell::new(false),
            maintained: Cell::new(false),
        };
        Ok(Self { inner: Rc::new(inner) })
    }

    /// Reserves room for an object. Several drafts may be open at once, also of one key: the last
    /// to begin wins, whichever is committed first.
    ///
    /// A body of unknown length ([`Draft::growing`]), and one above
    /// [`Config::slice_bytes`](crate::Config::slice_bytes), is stored slice by slice; room for the
    /// next one is found by `append`, and what lookups find is written by `commit`.
    ///
    /// # Errors
    /// [`Refused`]. After [`Refused::NoCleanSegment`], [`Writer::make_room`] may help, unless
    /// [`Writer::maintain`] is at it anyway.
    pub fn begin(&self, draft: Draft<'_>) -> Result<Pending, Refused> {
        let filling = match draft.body_len {
            Some(len) if len <= u64::from(self.inner.shared.slicing.slice_bytes_of(draft)) => {
                if len > self.inner.shared.object_bytes_max {
                    return Err(Refused::TooLarge);
                }
                let stamps = Stamps::now(Kind::Object, draft.lifetime_ms);
                Filling::Record(self.inner.reserve(stamps, draft)?)
            }
            Some(_) | None => Filling::Slices(Box::new(self.inner.begin_slices(draft)?)),
        };
        Ok(self.pending(filling))
    }

    /// Reserves room for a slice of a stored object that is not there any more, see
    /// [`Record::missing`](crate::Record::missing): the one with the body's byte at `offset`. The
    /// draft takes the bytes of the whole slice; they must be of the very body that the record is
    /// of.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::TooLarge`] when the record is not in slices or has no such byte.
    pub fn refill(&self, record: &Record, offset: u64) -> Result<Pending, Refused> {
        let (key, range) = record.slice_at(offset).ok_or(Refused::TooLarge)?;
        let draft = Draft::new(&key, &[], range.end - range.start);
        let home = self.inner.logs.borrow().volume_of(record.segment());
        let stamps = Stamps::now(Kind::Slice, None).at_home(home);
        Ok(self.pending(Filling::Record(self.inner.reserve(stamps, draft)?)))
    }

    /// Publishes an object of which nothing is there yet; its length must be known, and be above
    /// [`Writer::slice_bytes`]. What is [missing](crate::Record::missing) of it comes by
    /// [`Writer::refill`], in any order, and counts as evicted until then.
    ///
    /// # Errors
    /// [`WriteError`]; [`WriteError::Incomplete`] for a length that is unknown or needs no slices.
    pub async fn outline(&self, draft: Draft<'_>) -> Result<Committed, WriteError> {
        if draft.body_len.is_none_or(|len| len <= self.slice_bytes()) {
            return Err(WriteError::Incomplete);
        }
        self.publish_root(draft, None).await
    }

    /// Publishes a record with another head, tags and life over the body of one in slices, which is
    /// not written again; what is missing of it stays so. `None` when `record` is not in slices.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is published then.
    pub async fn rehead(
        &self,
        record: &Record,
        draft: Draft<'_>,
    ) -> Option<Result<Committed, WriteError>> {
        let root = record.root()?;
        let home = self.inner.logs.borrow().volume_of(record.segment());
        let draft = Draft { body_len: Some(root.body_bytes), ..draft };
        Some(self.publish_root(draft, Some((root, home))).await)
    }

    async fn publish_root(
        &self,
        draft: Draft<'_>,
        body: Option<(Root, usize)>,
    ) -> Result<Committed, WriteError> {
        let sliced = self.inner.begin_outline(draft).map_err(in_mid_body)?;
        let mut pending = self.pending(Filling::Slices(Box::new(sliced)));
        let committed = match &mut pending.filling {
            Filling::Slices(sliced) => self.inner.complete_outline(sliced, body).await,
            Filling::Record(_) => Err(WriteError::Foreign),
        };
        drop(pending);
        self.inner.tend().await;
        committed
    }

    /// Bytes of a slice of a body of known length that can be fetched again; a shorter body is one
    /// record.
    pub fn slice_bytes(&self) -> u64 {
        u64::from(self.inner.shared.slicing.slice_bytes)
    }

    /// As [`Writer::begin`], but reclaims first where that would be refused for want of a clean
    /// segment; waits for a sync then.
    ///
    /// # Errors
    /// [`Refused`]; nothing could be reclaimed, either.
    pub async fn begin_or_reclaim(&self, draft: Draft<'_>) -> Result<Pending, Refused> {
        match self.begin(draft) {
            Err(Refused::NoCleanSegment) => {
                self.make_room().await;
                self.begin(draft)
            }
            begun => begun,
        }
    }

    /// Takes the next bytes of the body. Waits when the pool is empty or a full block is being
    /// written.
    ///
    /// # Errors
    /// [`WriteError`]; the draft is lost then, but for [`WriteError::TooLong`], which takes
    /// nothing.
    pub async fn append(&self, pending: &mut Pending, bytes: &[u8]) -> Result<(), WriteError> {
        match self.own(pending)? {
            Filling::Record(draft) => {
                draft.enter()?;
                let appended = self.inner.append(draft, bytes).await;
                draft.leave();
                appended
            }
            Filling::Slices(sliced) => self.inner.append_slices(sliced, bytes).await,
        }
    }

    /// Writes what is staged, so that [`Pending::written`] covers all that was appended; of a body
    /// of unknown length, all whole slices. Not a sync.
    ///
    /// # Errors
    /// [`WriteError`]; the draft is lost then.
    pub async fn flush(&self, pending: &mut Pending) -> Result<(), WriteError> {
        match self.own(pending)? {
            Filling::Record(draft) => {
                draft.enter()?;
                let flushed = self.inner.write_staged(draft).await;
                draft.leave();
                flushed
            }
            Filling::Slices(sliced) => self.inner.flush_slices(sliced).await,
        }
    }

    /// Completes the record and publishes it: from now on lookups find it, and it survives the
    /// death of the process. Power loss it survives once its segment is sealed.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is published then.
    pub async fn commit(&self, mut pending: Pending) -> Result<Committed, WriteError> {
        let committed = match self.own(&mut pending)? {
            Filling::Record(draft) => {
                draft.enter()?;
                self.inner.complete(draft).await
            }
            Filling::Slices(sliced) => self.inner.complete_slices(sliced).await,
        };
        drop(pending);
        self.inner.tend().await;
        if committed.is_ok() {
            self.inner.shared.counters.committed.fetch_add(1, Ordering::Relaxed);
        }
        committed
    }

    /// Gives the draft up. Dropping it does the same, but leaves it to later calls to write the
    /// header that lets recovery pass over the extent.
    pub async fn abandon(&self, pending: Pending) {
        let draft = match &pending.filling {
            Filling::Record(draft) => Some(Rc::clone(draft)),
            Filling::Slices(sliced) => sliced.current(),
        };
        drop(pending);
        if let Some(draft) = draft {
            // A failure here is one of the device, which has been counted.
            let _ = self.inner.write_fronts(&draft).await;
        }
        self.inner.tend().await;
    }

    /// Makes everything that was committed durable, with footers and an image of the index for a
    /// quick recovery. The open segment goes on taking records. Call it before a planned end;
    /// writing the image takes as long as the device takes for `index_slots` × 16 bytes.
    ///
    /// # Errors
    /// [`WriteError`]; what was not durable before may still not be.
    pub async fn seal(&self) -> Result<(), WriteError> {
        self.inner.turn(true).await?;
        // Its failure is counted, and makes the next open slower, nothing else.
        let _ = self.inner.dump_now().await;
        Ok(())
    }

    /// Whether a disk is behind with its writes, so that calls that wait for one may take longer
    /// than [`Config::write_patience`](crate::Config::write_patience): who cannot wait does not.
    pub fn is_behind(&self) -> bool {
        self.inner.is_behind()
    }

    /// Reclaims until a clean segment is there; `false` when pins or the device prevent it.
    pub async fn make_room(&self) -> bool {
        // A volume that cannot be turned has no clean segment in the end.
        let _ = self.inner.turn(false).await;
        self.inner.disk_for().is_some_and(|v| self.inner.logs.borrow().log(v).has_clean())
    }

    /// Seals, reclaims, and writes images of the index in the background for as long as it is
    /// polled; it never ends. With it running, `commit` and its like leave this work to it. Spawn
    /// it beside the fill tasks.
    pub async fn maintain(&self) {
        let _maintained = Maintained::new(&self.inner.maintained);
        loop {
            // Failures are counted, and end in the device going offline.
            let _ = self.inner.turn(false).await;
            if self.inner.is_dump_due() {
                let _ = self.inner.dump_step().await;
                continue;
            }
            let due = || (self.inner.is_turn_due() || self.inner.is_dump_due()).then_some(());
            self.inner.wait_until(due).await;
        }
    }

    fn pending(&self, filling: Filling) -> Pending {
        Pending { filling, owner: Rc::clone(&self.inner) as Rc<dyn DraftOwner> }
    }

    /// The state of a draft of this writer.
    fn own<'p>(&self, pending: &'p mut Pending) -> Result<&'p mut Filling, WriteError> {
        let ours = std::ptr::addr_eq(Rc::as_ptr(&pending.owner), Rc::as_ptr(&self.inner));
        if ours { Ok(&mut pending.filling) } else { Err(WriteError::Foreign) }
    }
}

impl<D: Device> Inner<D> {
    pub(crate) async fn append(
        &self,
        draft: &Rc<OpenDraft>,
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        self.check(draft)?;
        let received = draft.received.get() + bytes.len() as u64;
        if received > u64::from(draft.layout.body_bytes) {
            return Err(WriteError::TooLong);
        }
        draft.received.set(received);
        if let Some(work) = draft.work.borrow_mut().as_mut() {
            work.sums.update(bytes);
        }
        self.stage_prefix(draft).await?;
        self.stage(draft, bytes).await
    }

    /// Writes the rest of the record and publishes it.
    pub(crate) async fn complete(&self, draft: &Rc<OpenDraft>) -> Result<Committed, WriteError> {
        self.check(draft)?;
        if draft.received.get() != u64::from(draft.layout.body_bytes) {
            return Err(WriteError::Incomplete);
        }
        self.stage_prefix(draft).await?;
        let work = draft.work.borrow_mut().take().ok_or(WriteError::Interrupted)?;
        let layout = draft.layout;
        let pad = (layout.sums_at - layout.body_at - layout.body_bytes) as usize;
        let mut ending = vec![0; pad];
        let sums = work.sums.finish();
        let mut mac = work.mac;
        mac.update(&sums);
        ending.extend_from_slice(&sums);
        ending.extend_from_slice(&mac.finish());
        self.stage(draft, &ending).await?;
        self.write_staged(draft).await?;
        self.write_fronts(draft).await?;
        self.publish(draft)
    }

    async fn stage_prefix(&self, draft: &Rc<OpenDraft>) -> Result<(), WriteError> {
        let prefix = draft.work.borrow_mut().as_mut().map(|work| std::mem::take(&mut work.prefix));
        self.stage(draft, &prefix.unwrap_or_default()).await
    }

    /// The last step has no await: from the check to the index nothing can come between.
    fn publish(&self, draft: &OpenDraft) -> Result<Committed, WriteError> {
        self.check(draft)?;
        if draft.written_to.get() != draft.layout.mac().end {
            return Err(WriteError::Interrupted);
        }
        let mut logs = self.logs.borrow_mut();
        let place = draft.place();
        let index = &self.shared.index;
        let published = match draft.copy_of {
            _ if draft.outranked.get() || self.is_purged(draft) => false,
            Some((original, frequency)) => {
                let copy = place.with_frequency(frequency);
                index.replace(draft.key_hash, original, copy)
            }
            None => {
                index.insert(draft.key_hash, place);
                self.outrank_drafts(draft.key_hash, draft.sequence);
                true
            }
        };
        logs.segment_mut(draft.segment).lines.push(FooterLine {
            key_hash: draft.key_hash,
            sequence: draft.sequence,
            at: draft.layout.at,
            extent_bytes: draft.layout.extent_bytes,
        });
        Ok(Committed { sequence: draft.sequence, published })
    }

    /// Whether a purge of a prefix, a tag or everything has come since the draft began.
    fn is_purged(&self, draft: &OpenDraft) -> bool {
        if draft.kind == Kind::Slice {
            // A purge meets its root.
            return false;
        }
        let tags = Tags::new(&draft.tags);
        self.shared.purges.standing(&draft.key, tags, draft.sequence) == Standing::Purged
    }

    /// Takes a key out of the index and out of the hands of open drafts.
    pub(crate) fn outrank(&self, hash: u128) -> bool {
        self.outrank_drafts(hash, u64::MAX);
        self.shared.index.remove(hash)
    }

    /// Purges a key softly, in the index and in the hands of open drafts.
    pub(crate) fn soften(&self, hash: u128) -> bool {
        let (drafts, slicing) = (self.drafts.borrow(), self.slicing.borrow());
        for (_, sequence) in self.draft_keys.borrow().range((hash, 0)..=(hash, u64::MAX)) {
            if let Some(open) = drafts.get(sequence) {
                open.draft.softened.set(true);
            }
            if let Some(outranked) = slicing.get(sequence) {
                // Its root would have a later sequence than the purge.
                outranked.set(true);
            }
        }
        self.shared.index.set_soft(hash)
    }

    /// Drafts of a key below a sequence may complete, but will not be published.
    fn outrank_drafts(&self, hash: u128, below: u64) {
        let (drafts, slicing) = (self.drafts.borrow(), self.slicing.borrow());
        for (_, sequence) in self.draft_keys.borrow().range((hash, 0)..(hash, below)) {
            if let Some(open) = drafts.get(sequence) {
                open.draft.outranked.set(true);
            }
            if let Some(outranked) = slicing.get(sequence) {
                outranked.set(true);
            }
        }
    }

    /// Whether the draft can go on.
    pub(crate) fn check(&self, draft: &OpenDraft) -> Result<(), WriteError> {
        if let Some(error) = draft.broken.get() {
            return Err(error);
        }
        self.check_segment(draft.segment, draft.generation)
    }

    /// Whether a segment takes writes under this generation.
    pub(crate) fn check_segment(&self, segment: u32, generation: u64) -> Result<(), WriteError> {
        if self.shared.volume_of(segment).is_offline() {
            return Err(WriteError::Offline);
        }
        let logs = self.logs.borrow();
        let segment = logs.segment(segment);
        if segment.generation != generation {
            return Err(WriteError::Reclaimed);
        }
        if segment.state.takes_writes() { Ok(()) } else { Err(WriteError::Device) }
    }
}

impl<D: Device> DraftOwner for Inner<D> {
    fn end(&self, draft: &OpenDraft) {
        let ended = self.drafts.borrow_mut().remove(&draft.sequence);
        self.draft_keys.borrow_mut().remove(&(draft.key_hash, draft.sequence));
        if ended.is_some() {
            self.logs
                .borrow_mut()
                .of_segment(draft.segment)
                .end_draft(draft.segment, draft.generation);
        }
        draft.work.borrow_mut().take();
        drop(ended);
        self.changed.notify();
    }

    fn end_slices(&self, sliced: &Sliced) {
        self.forget_slices(sliced);
    }

    fn store(&self) -> u128 {
        self.shared.uuid
    }
}

impl<D: Device> Drop for Inner<D> {
    fn drop(&mut self) {
        let mut logs = self.logs.replace(Logs::nothing());
        for volume in self.area_orphans() {
            logs.purges.lose(volume);
        }
        let holes = !self.fronts.borrow().is_empty() || !self.drafts.borrow().is_empty();
        logs.end_term(holes, &self.shared);
        self.shared.return_logs(logs);
    }
}

/// Says that maintenance runs, for as long as it lives.
struct Maintained<'a>(&'a Cell<bool>);

impl<'a> Maintained<'a> {
    fn new(flag: &'a Cell<bool>) -> Self {
        flag.set(true);
        Self(flag)
    }
}

impl Drop for Maintained<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Blocks for headers and footers.
const CONTROL_BLOCKS: usize = 2;
