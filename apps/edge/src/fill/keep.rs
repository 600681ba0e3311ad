//! A response that is stored: it streams to its readers as it goes into the store.
//!
//! What the store has written leaves memory, and readers that lag go on from there. With a known
//! length that is nearly all that came; without one, the slices that are full (`GATHERED_BYTES_MAX`
//! each), for the store reserves a place when it knows how much goes there.

use std::rc::Rc;
use std::sync::Arc;

use longhold_gateway::stored::{self, VaryBase};
use longhold_gateway::tags;
use longhold_http1::RequestHead;
use longhold_origin::{Download, FetchError, OriginBody};
use longhold_policy::validate::Validators;
use longhold_policy::{StoredMeta, reuse};
use longhold_store::{Draft, Extent, GATHERED_BYTES_MAX, Pending, Refused};
use longhold_telemetry::Counter;

use super::compress::Coder;
use super::intake::Intake;
use super::lead::{Answer, Lead, unix_ms};
use super::lifetime::lifetime_ms;
use super::plane::{Open, Plane, Waiting, attach};
use super::{FillHead, request};

/// What will be stored, and under which keys.
pub(super) struct Plan {
    pub(super) key: Vec<u8>,
    head: Vec<u8>,
    /// What it can be purged by beside its key.
    pub(super) tags: Vec<u64>,
    /// A vary base to write under the primary key before the variant, so that a fetch of another
    /// variant in the meantime takes the same one.
    base: Option<Vec<u8>>,
    /// Largest body that is stored here.
    object_bytes_max: u64,
    /// How long the record is of use.
    lifetime_ms: Option<u64>,
    /// What is lost of it on its way to a client can be had again.
    can_refetch: bool,
}

impl Plan {
    /// Whether a body of this length may be stored, as far as it is known.
    fn fits(&self, length: Option<u64>) -> bool {
        length.is_none_or(|length| length <= self.object_bytes_max)
    }

    /// Why a storable response is not stored.
    fn unstored_detail(&self, length: Option<u64>) -> &'static str {
        if self.fits(length) { "no-room" } else { "too-large" }
    }

    pub(super) fn draft(&self, body_len: Option<u64>) -> Draft<'_> {
        let Self { lifetime_ms, can_refetch, .. } = *self;
        let draft = Draft { lifetime_ms, can_refetch, ..Draft::growing(&self.key, &self.head) };
        Draft { body_len, tags: &self.tags, ..draft }
    }
}

impl Plane {
    /// Stores and shares a response.
    pub(super) async fn keep(
        self: &Rc<Self>,
        lead: Lead,
        request: &RequestHead<'_>,
        answer: Answer,
        (meta, nominated): (StoredMeta, String),
    ) {
        let plan = self.plan_record(&lead, request, &answer, (&meta, &nominated));
        let (length, declared_len) = (answer.body_len(), answer.declared_len());
        let (body, pending) = self.open_body(&plan, length).await;
        if self.has_purged(lead.mark, &lead.job.key, &plan.tags) {
            // The draft, if there is one, is abandoned with its owner.
            drop((body, pending));
            return self.give_purged(lead, answer).await;
        }
        let Answer { mut response, fields, mut coder, .. } = answer;
        let guard = body.guard();
        // Else another leader's head came first, and its response is the stored one.
        let stored = pending.is_some() && self.is_current(&lead.entry, lead.id);
        let head = FillHead {
            status: response.status.as_u16(),
            fwd_status: response.status.as_u16(),
            via_version: request::via_version(&response),
            body_len: length,
            declared_len,
            fields,
            stored,
            ttl_s: stored.then(|| reuse::ttl_s(&meta, unix_ms())),
            detail: (!stored).then(|| match &pending {
                Some(_) => "overtaken",
                None => plan.unstored_detail(length),
            }),
        };
        if let Some(detail) = head.detail {
            self.note_unstored(&lead.job, detail, "");
        }
        let mut variant = Vec::new();
        if !nominated.is_empty() {
            longhold_gateway::key::write_nominated(&nominated, &request.fields, &mut variant);
        }
        let open = Open {
            head: Arc::new(head),
            body: Arc::clone(&body),
            meta,
            nominated: Rc::from(nominated.as_str()),
            variant: Rc::from(variant),
            tags: Rc::from(plan.tags.as_slice()),
        };
        self.publish(&lead, &open);
        let mut intake = Intake::new(self, &body, pending);
        if !stored {
            intake.give_up();
        }
        if !stored && lead.job.reply.is_none() {
            // Background work whose result nobody keeps.
            return;
        }
        let source = (&mut response.body, &mut coder);
        let outcome = self.carry(source, &plan, &mut intake).await;
        self.conclude(lead, intake, outcome).await;
        drop(guard);
    }

    /// Carries the body from the origin to its readers and into the store.
    async fn carry(
        &self,
        (source, coder): (&mut OriginBody, &mut Option<Coder>),
        plan: &Plan,
        intake: &mut Intake<'_>,
    ) -> Result<(), FetchError> {
        let mut carried = 0;
        loop {
            let next = match coder {
                None => intake.beside(source.next()).await,
                Some(coder) => intake.beside(coder.next(source)).await,
            };
            let Some(bytes) = next.transpose()? else { return Ok(()) };
            let len = bytes.len() as u64;
            let received = coder.as_mut().map_or(len, Coder::take_received);
            self.parts.counters.add(Counter::OriginReceivedBytes, received);
            carried += len;
            if !plan.fits(Some(carried)) && intake.is_storing() {
                self.parts.counters.add(Counter::StoreRefused, 1);
                intake.give_up();
            }
            intake.take(bytes).await?;
        }
    }

    /// Works out the record's key and head, and whether a new vary base is due.
    pub(super) fn plan_record(
        &self,
        lead: &Lead,
        request: &RequestHead<'_>,
        answer: &Answer,
        (meta, nominated): (&StoredMeta, &str),
    ) -> Plan {
        let mut head = Vec::new();
        let fields = request::borrowed(&answer.fields);
        let via = request::via_version(&answer.response);
        stored::encode_response(meta, &fields, Some(via), &mut head);
        let lifetime_ms = lifetime_ms(meta, unix_ms());
        let object_bytes_max = self.object_bytes_max(&lead.job);
        let can_refetch = Validators::of(&fields).is_strong();
        let mut key = lead.job.key.clone();
        if nominated.is_empty() {
            let tags = tags::of_response(&key, &fields);
            let base = None;
            return Plan { key, head, tags, base, object_bytes_max, lifetime_ms, can_refetch };
        }
        let known = self.parts.reader.lookup(&key);
        let known = known.as_ref().and_then(|record| match stored::decode(record.head())? {
            stored::RecordHead::Vary(base) if base.nominated == nominated => Some(base.id),
            stored::RecordHead::Vary(_) | stored::RecordHead::Response(_) => None,
        });
        let id = known.unwrap_or_else(|| self.next_base_id());
        let base = known.is_none().then(|| {
            let mut base = Vec::new();
            stored::encode_vary(&VaryBase { id, nominated }, &mut base);
            base
        });
        longhold_gateway::key::append_variant(&mut key, id, nominated, &request.fields);
        let tags = tags::of_response(&key, &fields);
        Plan { key, head, tags, base, object_bytes_max, lifetime_ms, can_refetch }
    }

    /// Makes the body's window and its place in the store, as far as there is room for either.
    async fn open_body(
        self: &Rc<Self>,
        plan: &Plan,
        length: Option<u64>,
    ) -> (Arc<Download<Extent>>, Option<Pending>) {
        // A short body takes no more of the budget than it has bytes.
        let window_bytes = self.parts.window_bytes;
        let wanted = match length {
            Some(length) => window_bytes.min(length as usize).max(1),
            None => window_bytes.max(GATHERED_BYTES_MAX as usize),
        };
        let share = self.parts.budget.take(wanted);
        let share = share.unwrap_or_else(|| self.parts.budget.take_small());
        let body = Arc::new(Download::with_share(share));
        if let Some(length) = length {
            body.set_length(length);
        }
        let is_spared = self.parts.pressure.spares_memory();
        if is_spared || !plan.fits(length) || !body.is_granted() || !self.put_base(plan).await {
            self.parts.counters.add(Counter::StoreRefused, 1);
            return (body, None);
        }
        let pending = self.begin(plan.draft(length)).await;
        if let Some(pending) = &pending {
            let extent = pending.extent();
            let grain_bytes = extent.grain();
            body.set_extent(extent, grain_bytes);
        }
        (body, pending)
    }

    /// Shares the head: with the asker always, with those that waited unless a purge came between.
    fn publish(self: &Rc<Self>, lead: &Lead, open: &Open) {
        // The asker first, so that a body which is not stored has its reader.
        if let Some(reply) = &lead.job.reply {
            attach(reply, open, false);
        }
        if !open.head.stored {
            let waiting = self.table.borrow_mut().dissolve(&lead.entry, lead.id);
            for Waiting { job, .. } in waiting {
                self.go_alone(job);
            }
            return;
        }
        let published = self.table.borrow_mut().publish(&lead.entry, lead.id, open.clone());
        if published.is_some() {
            self.note_stored((&lead.job.key, &lead.record_key), &open.meta);
        }
        for waiting in published.unwrap_or_default() {
            self.follow_late(open, waiting.job);
        }
    }

    /// The origin is done, or failed: commit or abandon, then tell the readers.
    async fn conclude(
        self: &Rc<Self>,
        lead: Lead,
        intake: Intake<'_>,
        outcome: Result<(), FetchError>,
    ) {
        match outcome {
            Ok(()) => {
                let is_current = || self.is_current(&lead.entry, lead.id);
                let (ended, committed) = intake.end(is_current).await;
                if let Err(error) = ended {
                    self.count_error(error);
                }
                self.parts.counters.add(Counter::StoreStored, u64::from(committed));
            }
            Err(error) => {
                self.count_error(error);
                intake.fail(error);
            }
        }
        // Nobody can wait for the head any more; later requests find the record.
        drop(self.table.borrow_mut().end(&lead.entry, lead.id));
    }

    /// Writes the plan's vary base, if it has one. A purge that comes after this takes it away
    /// again, and the variant is not stored then (FL-2).
    pub(super) async fn put_base(self: &Rc<Self>, plan: &Plan) -> bool {
        match (&plan.base, primary_of(&plan.key)) {
            (Some(base), Some(primary)) => {
                let (plane, base, primary) = (Rc::clone(self), base.clone(), Vec::from(primary));
                let put = async move { plane.put(&primary, &base).await };
                self.within_patience_of_task(put).await == Some(true)
            }
            (Some(_), None) | (None, _) => true,
        }
    }

    /// Reserves a record's place, if the governor has room for it; where no segment is clean, it
    /// waits for one to be reclaimed, as long as patience lasts.
    pub(super) async fn begin(&self, draft: Draft<'_>) -> Option<Pending> {
        let writer = &self.parts.writer;
        // What is larger comes slice by slice.
        let body_bytes = draft.body_len.unwrap_or(u64::from(GATHERED_BYTES_MAX));
        let at_once = body_bytes.min(writer.slice_bytes()) + draft.head.len() as u64;
        if !self.parts.pressure.admits_bytes(at_once) {
            self.parts.counters.add(Counter::StoreRefused, 1);
            return None;
        }
        let mut begun = writer.begin(draft);
        if matches!(begun, Err(Refused::NoCleanSegment)) && !self.room_is_late.get() {
            let made = self.within_patience(writer.begin_or_reclaim(draft)).await;
            self.room_is_late.set(made.is_none());
            begun = made.unwrap_or(begun);
        }
        self.room_is_late.set(self.room_is_late.get() && begun.is_err());
        let counter = match begun {
            Ok(pending) => return Some(pending),
            Err(Refused::Behind) => Counter::StoreBehind,
            Err(
                Refused::TooLarge
                | Refused::NoCleanSegment
                | Refused::TooManyDrafts
                | Refused::Offline,
            ) => Counter::StoreRefused,
        };
        self.parts.counters.add(counter, 1);
        None
    }

    /// Stores a record that is a head alone.
    async fn put(&self, key: &[u8], head: &[u8]) -> bool {
        let Some(pending) = self.begin(Draft::new(key, head, 0)).await else {
            return false;
        };
        let committed = self.parts.writer.commit(pending).await.is_ok();
        if !committed {
            self.parts.counters.add(Counter::StoreWriteErrors, 1);
        }
        committed
    }
}

/// The primary key within a variant's.
fn primary_of(variant: &[u8]) -> Option<&[u8]> {
    variant.split(|byte| *byte == 0).next()
}
