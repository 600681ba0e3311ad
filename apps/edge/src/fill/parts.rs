//! Parts: a head or a range that is asked for while the whole is not there, and 206 responses that
//! are stored and put together (RFC 9111 sections 3.3 and 3.4).
//!
//! ```text
//! 206 ─► whole?  ───────────────────────► stored as the whole
//!     ─► of a body longer than a slice ─► an outline, and the slices that it fills (`slices`)
//!     ─► else ──► a record of its own ──► joined to the part stored before, if both are of one
//! ```

use std::ops::Range;
use std::rc::Rc;

use longhold_gateway::coalesce::Joined;
use longhold_gateway::combine::{self, Union};
use longhold_gateway::deliver::{self, Shape};
use longhold_gateway::fetch::Disposition;
use longhold_gateway::forward::{Missing, Purpose};
use longhold_gateway::purge::Mark;
use longhold_gateway::relay;
use longhold_gateway::stored::{self, StoredHead};
use longhold_gateway::tags;
use longhold_http1::RequestHead;
use longhold_origin::{FetchError, RequestBody};
use longhold_policy::storable::NotStored;
use longhold_policy::validate::Validators;
use longhold_policy::{StoredMeta, freshen};
use longhold_store::{Draft, Pending, Record};
use longhold_telemetry::Counter;

use super::lead::{Answer, Lead, tell, unix_ms};
use super::lifetime::lifetime_ms;
use super::plane::{Open, Plane, Waiting};
use super::{FillJob, JobKind, request};
use crate::inbox::Event;
use crate::stored::response_of;

impl Plane {
    /// Asks the origin for what the client wants of the response, and no more.
    pub(super) async fn fill_partly(
        self: &Rc<Self>,
        job: FillJob,
        request: &RequestHead<'_>,
        (fetch_key, stored): (Vec<u8>, Option<&Record>),
    ) {
        if request.method == "HEAD" {
            return self.fill_head(job, request, stored).await;
        }
        let entry = match job.kind {
            JobKind::Fill { share: true } => range_key(&fetch_key, request),
            JobKind::Fill { .. }
            | JobKind::Revalidate
            | JobKind::Pass { .. }
            | JobKind::Tunnel(_)
            | JobKind::Stream
            | JobKind::Rest(_) => self.lone_key(&job.key),
        };
        let lead = match self.join(&entry, job, false) {
            Joined::Lead(id, job) => {
                Lead { id, entry, record_key: fetch_key, job, mark: self.mark() }
            }
            Joined::Waits => return,
            Joined::Attach(open, job) => return self.follow(&open, job, request),
        };
        let asking = self.fetch(&lead.job, request, Purpose::Part, RequestBody::Empty);
        match self.await_head(&lead, asking).await {
            Ok(answer) => self.dispose(lead, request, answer, stored).await,
            Err(error) => self.fail(lead, error),
        }
    }

    async fn fill_head(
        self: &Rc<Self>,
        job: FillJob,
        request: &RequestHead<'_>,
        stored: Option<&Record>,
    ) {
        let mark = self.mark();
        match self.fetch(&job, request, Purpose::Part, RequestBody::Empty).await {
            Ok(answer) => {
                if let Some(record) = stored {
                    self.freshen_by_head(mark, (request, &answer, &job), record).await;
                }
                self.stream_alone(job, answer, None).await;
            }
            Err(error) => {
                self.count_error(error);
                tell(&job, Event::Failed(error));
            }
        }
    }

    /// Has what is missing of a fresh response fetched, and no more. Gives the job back when that
    /// cannot be.
    pub(super) async fn complete(
        self: &Rc<Self>,
        job: FillJob,
        request: &RequestHead<'_>,
        (fetch_key, record): (Vec<u8>, &Record),
    ) -> Option<FillJob> {
        let Some(stored) = response_of(record, unix_ms()) else { return Some(job) };
        let is_whole = stored.meta.part.is_none();
        let body_len = record.body_len();
        match deliver::shape(request.method, &request.fields, &stored, body_len) {
            Shape::Whole if is_whole => self.assemble(job, record, 0..body_len).await,
            Shape::Part(part) if is_whole => self.assemble(job, record, part).await,
            Shape::Whole => self.complete_part(job, request, (fetch_key, record)).await,
            Shape::Part(_)
            | Shape::Parts(_)
            | Shape::NotModified
            | Shape::PreconditionFailed
            | Shape::Unsatisfiable => Some(job),
        }
    }

    /// Stores a part, as far as it can be, and gives it to those who asked for it.
    pub(super) async fn keep_part(
        self: &Rc<Self>,
        lead: Lead,
        request: &RequestHead<'_>,
        answer: Answer,
        (meta, nominated, replaced): (StoredMeta, String, Option<&Record>),
    ) {
        let Some(part) = meta.part else {
            return self.keep(lead, request, answer, (meta, nominated)).await;
        };
        let (range, complete_len) = (part.range(), part.complete_len());
        let is_true = answer.response.body.length() == Some(range.end - range.start);
        // Variants are worth more than a part that does not vary, and a whole response, stale as it
        // may be, more than any.
        let has_variants = nominated.is_empty() && lead.record_key != lead.job.key;
        let is_spared = self.parts.pressure.spares_memory();
        if is_spared || !is_true || has_variants || replaced.is_some_and(is_complete) {
            return self.hand_over(lead, answer, NotStored::Part).await;
        }
        let meta = StoredMeta { status: 200, ..meta };
        if range == (0..complete_len) {
            // RFC 9111 section 3.4: all of it is there.
            let meta = StoredMeta { part: None, ..meta };
            return self.keep(lead, request, answer, (meta, nominated)).await;
        }
        let is_strong = Validators::of(&request::borrowed(&answer.fields)).is_strong();
        let is_large = complete_len > self.parts.writer.slice_bytes();
        if is_strong && is_large && complete_len <= self.object_bytes_max(&lead.job) {
            return self.keep_slices(lead, request, answer, (meta, nominated)).await;
        }
        let older = replaced.and_then(|record| self.parts.reader.lookup(record.key()));
        let (mark, primary) = (lead.mark, lead.job.key.clone());
        self.keep(lead, request, answer, (meta, nominated)).await;
        if let Some(older) = older {
            self.combine((mark, &primary), &older).await;
        }
    }

    /// Joins the part that was just stored to an older one that it took the place of, unless a
    /// purge since `mark`, when that was still there, concerns either (FL-2).
    async fn combine(&self, (mark, primary): (Mark, &[u8]), older: &Record) {
        let Some(newer) = self.parts.reader.lookup(older.key()) else { return };
        let now_ms = unix_ms();
        let heads = (response_of(older, now_ms), response_of(&newer, now_ms));
        let (Some(was), Some(is)) = heads else { return };
        let Some(part) = is.meta.part.filter(|_| newer.sequence() != older.sequence()) else {
            return;
        };
        let Some(union) = combine::union(&was, part, &is.validators()) else { return };
        let received: Vec<_> = is.fields().collect();
        let plan = Combined::new((older.key(), &was), (&is.meta, &received), &union);
        let Some(mut pending) = self.begin(plan.draft(older.key())).await else { return };
        let held: Vec<u64> = older.tags().chain(plan.tags.iter().copied()).collect();
        let written = !self.has_purged(mark, primary, &held)
            && self.copy_range(&mut pending, older, within(&was, &union.before)).await
            && self.copy_range(&mut pending, &newer, 0..newer.body_len()).await
            && self.copy_range(&mut pending, older, within(&was, &union.behind)).await;
        if !written {
            return self.parts.writer.abandon(pending).await;
        }
        let committed = self.parts.writer.commit(pending).await.is_ok();
        self.parts.counters.add(Counter::StoreStored, u64::from(committed));
    }

    /// A client wants all of what is stored in part: what is missing at one end is fetched. Gives
    /// the job back when that cannot be.
    pub(super) async fn complete_part(
        self: &Rc<Self>,
        job: FillJob,
        request: &RequestHead<'_>,
        (fetch_key, record): (Vec<u8>, &Record),
    ) -> Option<FillJob> {
        let Some(stored) = response_of(record, unix_ms()) else { return Some(job) };
        let (_, complete_len) = stored.held(record.body_len());
        let gap = combine::gap(&stored).filter(|_| complete_len <= self.parts.writer.slice_bytes());
        let Some(gap) = gap else { return Some(job) };
        let Some(missing) = Missing::new(&gap, &stored.validators()) else { return Some(job) };
        let lead = self.lead(job, (request, false), fetch_key)?;
        let asking = self.fetch_gap(&lead, request, &missing);
        let answer = match self.await_head(&lead, asking).await {
            Ok(answer) => answer,
            Err(error) => {
                self.fail(lead, error);
                return None;
            }
        };
        let found = self.disposition(&lead.job, request, &answer);
        let fields = request::borrowed(&answer.fields);
        let validators = Validators::of(&fields);
        match found {
            Disposition::Store { meta, .. } if meta.part.is_some_and(|p| p.range() == gap) => {
                let union = meta.part.and_then(|part| combine::union(&stored, part, &validators));
                if let Some(union) = union {
                    drop(fields);
                    self.fill_gap(lead, answer, (record, &stored), (&meta, &union)).await;
                    return None;
                }
            }
            Disposition::Store { .. } | Disposition::Alone(_) => {}
        }
        drop(fields);
        // It has changed, or an error came: that is the answer, unless it is about the range.
        match answer.response.status.as_u16() {
            206 | 304 | 412 | 416 => {
                drop(answer);
                let asking = self.fetch(&lead.job, request, Purpose::Fill, RequestBody::Empty);
                match self.await_head(&lead, asking).await {
                    Ok(answer) => self.dispose(lead, request, answer, Some(record)).await,
                    Err(error) => self.fail(lead, error),
                }
            }
            _ => self.dispose(lead, request, answer, Some(record)).await,
        }
        None
    }

    async fn fetch_gap(
        &self,
        lead: &Lead,
        request: &RequestHead<'_>,
        missing: &Missing,
    ) -> Result<Answer, FetchError> {
        self.fetch(&lead.job, request, Purpose::Missing(missing), RequestBody::Empty).await
    }

    /// Stores the whole, of what is stored and what comes, and tells those who wait to use it.
    async fn fill_gap(
        self: &Rc<Self>,
        lead: Lead,
        answer: Answer,
        (record, stored): (&Record, &StoredHead<'_>),
        (meta, union): (&StoredMeta, &Union),
    ) {
        let fields = request::borrowed(&answer.fields);
        let plan = Combined::new((record.key(), stored), (meta, &fields), union);
        drop(fields);
        let Some(mut pending) = self.begin(plan.draft(record.key())).await else {
            // The whole is had anew, for each who wants it.
            let waiting = self.table.borrow_mut().dissolve(&lead.entry, lead.id);
            waiting.into_iter().for_each(|Waiting { job, .. }| self.go_alone(job));
            return self.go_alone(lead.job);
        };
        let mut outcome = Ok(());
        let mut body = answer.response.body;
        let held: Vec<u64> = record.tags().chain(plan.tags.iter().copied()).collect();
        if self.has_purged(lead.mark, &lead.job.key, &held) {
            self.parts.writer.abandon(pending).await;
            self.release(&lead);
            return self.go_alone(lead.job);
        }
        let mut stands = self.copy_range(&mut pending, record, within(stored, &union.before)).await;
        while let Some(piece) = body.next().await {
            match piece {
                Ok(bytes) => {
                    self.parts.counters.add(Counter::OriginReceivedBytes, bytes.len() as u64);
                    stands &= self.parts.writer.append(&mut pending, &bytes).await.is_ok();
                }
                Err(error) => outcome = Err(error),
            }
        }
        stands =
            stands && self.copy_range(&mut pending, record, within(stored, &union.behind)).await;
        if let Err(error) = outcome {
            self.parts.writer.abandon(pending).await;
            return self.fail(lead, error);
        }
        let stored = stands && self.parts.writer.commit(pending).await.is_ok();
        let counter = if stored { Counter::StoreStored } else { Counter::StoreWriteErrors };
        self.parts.counters.add(counter, 1);
        let followers = self.table.borrow_mut().dissolve(&lead.entry, lead.id);
        for follower in &followers {
            tell(&follower.job, Event::UseStored { answered: None, collapsed: true });
        }
        tell(&lead.job, Event::UseStored { answered: Some(206), collapsed: false });
    }

    /// Appends bytes of a stored body, window by window.
    pub(super) async fn copy_range(
        &self,
        pending: &mut Pending,
        record: &Record,
        range: Range<u64>,
    ) -> bool {
        let mut at = range.start;
        let mut copy = Vec::new();
        while at < range.end {
            // Copied twice, so that a file that was cut is an error.
            let Ok(piece) = record.piece(at, COPY_WINDOW_BYTES.min(range.end - at)) else {
                return false;
            };
            copy.resize(piece.len(), 0);
            if piece.copy_to(0, &mut copy).is_err()
                || self.parts.writer.append(pending, &copy).await.is_err()
            {
                return false;
            }
            at += piece.len() as u64;
        }
        true
    }
}

/// What is written of two parts.
struct Combined {
    head: Vec<u8>,
    tags: Vec<u64>,
    lifetime_ms: Option<u64>,
    body_len: u64,
}

impl Combined {
    /// The newer one's fields replace those of the older (RFC 9111 section 3.4).
    fn new(
        (key, older): (&[u8], &StoredHead<'_>),
        (meta, newer): (&StoredMeta, &[(&str, &[u8])]),
        union: &Union,
    ) -> Self {
        let mut merged: Vec<(String, Vec<u8>)> = Vec::new();
        let old: Vec<_> = older.fields().collect();
        freshen::merge(&old, newer, &mut |name, value| {
            merged.push((name.to_owned(), value.to_vec()));
        });
        let fields = request::borrowed(&merged);
        let meta = union.meta(meta);
        let mut head = Vec::new();
        stored::encode_response(&meta, &fields, None, &mut head);
        let tags = tags::of_response(key, &fields);
        let lifetime_ms = lifetime_ms(&meta, unix_ms());
        Self { head, tags, lifetime_ms, body_len: union.range.end - union.range.start }
    }

    fn draft<'a>(&'a self, key: &'a [u8]) -> Draft<'a> {
        let draft = Draft::new(key, &self.head, self.body_len);
        Draft { tags: &self.tags, lifetime_ms: self.lifetime_ms, ..draft }
    }
}

/// Whether a record has all that a request wants of its response.
pub(super) fn covers(record: &Record, stored: &StoredHead<'_>, request: &RequestHead<'_>) -> bool {
    let (held, complete_len) = stored.held(record.body_len());
    let shape = deliver::shape(request.method, &request.fields, stored, complete_len);
    let is_there =
        |part: &Range<u64>| deliver::within(&held, part).is_some_and(|range| record.holds(range));
    request.method == "HEAD"
        || (is_there(&shape.body(complete_len)) && shape.parts().iter().all(is_there))
}

/// Whether nothing is missing of a stored response.
fn is_complete(record: &Record) -> bool {
    let stored = response_of(record, 0);
    stored.is_some_and(|stored| stored.meta.part.is_none()) && record.holds(0..record.body_len())
}

/// A range of the whole as bytes of the record; what is not held is empty.
fn within(stored: &StoredHead<'_>, range: &Range<u64>) -> Range<u64> {
    let held = stored.meta.part.map_or(0..u64::MAX, |part| part.range());
    deliver::within(&held, range).unwrap_or(0..0)
}

/// The table's key of a fetch of a part: those that want just this part of it, on the same
/// condition, share it. No base has the id that it begins with, so it is no variant's key, and a
/// purge of the primary key finds it.
fn range_key(fetch_key: &[u8], request: &RequestHead<'_>) -> Vec<u8> {
    let mut key = Vec::from(fetch_key);
    key.push(0);
    key.extend_from_slice(&[0xFF; 8]);
    for (name, value) in request.fields.iter() {
        if ["range", "if-range"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
            // A zero byte is in neither.
            key.extend_from_slice(value);
            key.push(name.len() as u8);
            key.push(0);
        }
    }
    key
}

/// Whether a request is served sooner by a fetch in progress than by its own: it wants the whole,
/// or nothing of the body, or a range that is there or about to come.
pub(super) fn is_near(open: &Open, request: &RequestHead<'_>) -> bool {
    let is_ranged = request.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("range"));
    if request.method == "HEAD" || !is_ranged {
        return true;
    }
    let fields = request::borrowed(&open.head.fields);
    let asked = (request.method, &*request.fields);
    match relay::shape(asked, (open.head.status, &fields), open.head.body_len) {
        Shape::Part(part) => part.start <= open.body.received_bytes() + NEAR_BYTES,
        // Without a length nobody knows where the range ends, or whether it begins.
        Shape::Whole => open.head.body_len.is_some(),
        Shape::Parts(_) | Shape::NotModified | Shape::PreconditionFailed | Shape::Unsatisfiable => {
            true
        }
    }
}

/// So many bytes of a body are soon there.
const NEAR_BYTES: u64 = 4 << 20;

const COPY_WINDOW_BYTES: u64 = 256 * 1024;
