//! Large bodies slice by slice: what is missing of one is asked of the origin in the store's own
//! slices, on the condition that it has not changed, and stored where it belongs.
//!
//! ```text
//! first range ─► as asked ─► 206 ─► outline of the whole ─► slices that lie within it
//! next ones  ─► slice there? ─► from the store                    ▲
//!                      └─ no ─► Range, If-Range ─► 206 ─► slice ──┘
//! ```
//! Requests that want bytes of one slice share its fetch. A slice that has begun to come is stored
//! to its end, whoever has gone: that bounds what a client who leaves costs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use longhold_gateway::fetch::Disposition;
use longhold_gateway::forward::{Missing, Purpose};
use longhold_gateway::stored::{self, StoredHead};
use longhold_http1::{self as http1, RequestHead};
use longhold_origin::fill::pump;
use longhold_origin::{
    Download, DownloadGuard, DownloadReader, FetchError, Next, RequestBody, StagingShare,
};
use longhold_policy::validate::Validators;
use longhold_policy::{StoredMeta, part, reuse};
use longhold_store::{Extent, Pending, Record};
use longhold_telemetry::Counter;
use tokio::sync::Notify;

use super::intake::Intake;
use super::keep::Plan;
use super::lead::{Answer, Lead, unix_ms};
use super::plane::{Open, Plane, attach};
use super::rest::Rest;
use super::{FillHead, FillJob, JobKind, request};
use crate::stored::response_of;

/// Slices on their way, by the number of the body and their place in it. Bounded by the requests
/// that want them. What was stored anew after a purge has another number (FL-2).
pub(super) type Slices = BTreeMap<(u64, u64), Arc<Download<Extent>>>;

/// A reader of a slice, with what it has read ahead.
struct SliceReader {
    reader: DownloadReader<Extent>,
    moved: Arc<Notify>,
    ahead: Option<Next<Extent>>,
}

impl SliceReader {
    async fn next(&mut self) -> Next<Extent> {
        if let Some(next) = self.ahead.take() {
            return next;
        }
        loop {
            match self.reader.next(WINDOW_BYTES as usize) {
                Next::Pending => self.moved.notified().await,
                next @ (Next::Bytes(_) | Next::Extent { .. } | Next::End | Next::Failed(_)) => {
                    return next;
                }
            }
        }
    }
}

/// Why a body is not given to its end.
enum Cut {
    /// Nobody reads it any more.
    Unread,
    /// What had come has left the store again.
    Lost,
    Failed(FetchError),
}

/// A body that one client reads, of stored bytes and of such as come.
pub(super) struct Assembly<'a> {
    plane: &'a Rc<Plane>,
    job: &'a FillJob,
    record: &'a Record,
    pub(super) body: Arc<Download<Extent>>,
    at: u64,
    end: u64,
    /// The first slice that was missing, if it was, and where that begins to be wanted.
    first: Option<SliceReader>,
    hole: u64,
    /// Tells its reader, should the task end before it has.
    _guard: DownloadGuard<Extent>,
}

impl Plane {
    /// Sends the bytes `wanted` of a stored response that lacks some of them: what is there from
    /// the store, the rest as it comes. Gives the job back when the origin does not go along.
    pub(super) async fn assemble(
        self: &Rc<Self>,
        job: FillJob,
        record: &Record,
        wanted: Range<u64>,
    ) -> Option<FillJob> {
        let Some(stored) = response_of(record, unix_ms()) else { return Some(job) };
        if !can_be_cut(record, &stored, wanted.start) || job.reply.is_none() {
            return Some(job);
        }
        // Before anything is promised: that the origin still has this very response.
        let Ok(assembly) = self.begin_assembly(&job, record, wanted).await else {
            return Some(job);
        };
        self.promise(&job, (record, &stored), &assembly.body);
        assembly.run().await;
        None
    }

    /// Begins to put the bytes `wanted` together: the first that are missing have begun to come.
    pub(super) async fn begin_assembly<'a>(
        self: &'a Rc<Self>,
        job: &'a FillJob,
        record: &'a Record,
        wanted: Range<u64>,
    ) -> Result<Assembly<'a>, FetchError> {
        let hole = record.missing(wanted.clone()).map_or(wanted.end, |hole| hole.start);
        let first = match hole < wanted.end {
            true => Some(self.open_slice(job, record, hole).await?),
            false => None,
        };
        let body = Arc::new(Download::with_share(self.share(wanted.end - wanted.start)));
        body.set_start(wanted.start);
        body.set_length(wanted.end);
        let (at, end, _guard) = (wanted.start, wanted.end, body.guard());
        Ok(Assembly { plane: self, job, record, body, at, end, first, hole, _guard })
    }

    /// The head of a stored response for one whose body is assembled.
    fn promise(
        &self,
        job: &FillJob,
        (record, stored): (&Record, &StoredHead<'_>),
        body: &Arc<Download<Extent>>,
    ) {
        let lines = stored::field_lines(stored.lines);
        let mut fields: Vec<(String, Vec<u8>)> =
            lines.map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        // Ours comes again with the head that is sent.
        let via = fields.pop_if(|(name, _)| name == "Via");
        let is_old = via.is_some_and(|(_, value)| value.starts_with(b"1.0"));
        // RFC 9111 section 5.1: some of it comes from the store.
        let age_s = reuse::age_s(&stored.meta, unix_ms());
        fields.push(("Age".to_owned(), age_s.to_string().into_bytes()));
        let head = FillHead {
            status: stored.meta.status,
            fwd_status: 206,
            via_version: if is_old { "1.0" } else { "1.1" },
            body_len: Some(record.body_len()),
            declared_len: Some(record.body_len()),
            fields,
            stored: false,
            ttl_s: None,
            detail: None,
        };
        self.give_head(job, head, body);
    }

    fn give_head(&self, job: &FillJob, head: FillHead, body: &Arc<Download<Extent>>) {
        let open = Open {
            head: Arc::new(head),
            body: Arc::clone(body),
            nominated: Rc::from(""),
            variant: Rc::from([]),
            tags: Rc::from([]),
            meta: StoredMeta::default(),
        };
        if let Some(reply) = &job.reply {
            attach(reply, &open, false);
        }
    }

    pub(super) fn share(&self, body_len: u64) -> StagingShare {
        let bytes = (self.parts.window_bytes as u64).min(body_len).max(1) as usize;
        let share = self.parts.budget.take(bytes);
        share.unwrap_or_else(|| self.parts.budget.take_small())
    }

    /// A reader at the byte `at` of a body, in a slice that is on its way or is asked for now; its
    /// first bytes have come.
    async fn open_slice(
        self: &Rc<Self>,
        job: &FillJob,
        record: &Record,
        at: u64,
    ) -> Result<SliceReader, FetchError> {
        let slice = record.slice_range(at).ok_or(FetchError::Truncated)?;
        let body = self.slice(job, record, &slice).ok_or(FetchError::BadResponse)?;
        let moved = Arc::new(Notify::new());
        let told = Arc::clone(&moved);
        let reader = body.attach(Arc::new(move || told.notify_one()));
        // The store has given it up, and memory does not keep it for one who comes late.
        let mut reader = reader.map_err(|_| FetchError::Abandoned)?;
        reader.skip_to(at - slice.start);
        let mut reader = SliceReader { reader, moved, ahead: None };
        match reader.next().await {
            Next::Failed(error) => Err(error),
            next @ (Next::Bytes(_) | Next::Extent { .. } | Next::Pending | Next::End) => {
                reader.ahead = Some(next);
                Ok(reader)
            }
        }
    }

    /// The slice on its way; the first who wants it has it fetched.
    fn slice(
        self: &Rc<Self>,
        job: &FillJob,
        record: &Record,
        slice: &Range<u64>,
    ) -> Option<Arc<Download<Extent>>> {
        let stored = response_of(record, unix_ms())?;
        let missing = Missing::new(slice, &stored.validators())?;
        let key = (record.body_number()?, slice.start);
        if let Some(body) = self.slices.borrow().get(&key) {
            return Some(Arc::clone(body));
        }
        let body = Arc::new(Download::with_share(self.share(slice.end - slice.start)));
        body.set_length(slice.end - slice.start);
        self.slices.borrow_mut().insert(key, Arc::clone(&body));
        let own = FillJob {
            kind: JobKind::Fill { share: true },
            key: job.key.clone(),
            head: Arc::clone(&job.head),
            site: job.site,
            peer: job.peer,
            scheme: job.scheme,
            reply: None,
            asker: None,
        };
        let (plane, coming) = (Rc::clone(self), Arc::clone(&body));
        let wanted = (Vec::from(record.key()), key.0, slice.clone());
        self.track(async move {
            let guard = coming.guard();
            let outcome = plane.fetch_slice(&own, (wanted, missing), &coming).await;
            plane.slices.borrow_mut().remove(&key);
            if let Err(error) = outcome {
                plane.count_error(error);
                coming.fail(error);
            }
            drop(guard);
        });
        Some(body)
    }

    /// Fetches a slice, and stores it where it belongs.
    async fn fetch_slice(
        self: &Rc<Self>,
        job: &FillJob,
        ((record_key, number, slice), missing): ((Vec<u8>, u64, Range<u64>), Missing),
        body: &Arc<Download<Extent>>,
    ) -> Result<(), FetchError> {
        let parsed = http1::parse_request(&job.head, &self.parts.limits);
        let Ok(Some(request)) = parsed else { return Err(FetchError::BadTarget) };
        let purpose = Purpose::Missing(&missing);
        let answer = self.fetch(job, &request, purpose, RequestBody::Empty).await?;
        // Another head may stand over it by now, but not another body.
        let record = self.parts.reader.lookup(&record_key);
        let record = record.filter(|record| record.body_number() == Some(number));
        let record = record.ok_or(FetchError::Abandoned)?;
        if !self.is_slice(job, (&request, &answer), (&record, &slice)) {
            if answer.response.status.is_success() {
                // RFC 9111 section 3.4: no part of another goes with it.
                let _ = self.parts.writer.remove(&record_key).await;
            }
            return Err(FetchError::BadResponse);
        }
        let pending = self.parts.writer.refill(&record, slice.start).ok();
        if let Some(pending) = &pending {
            let extent = pending.extent();
            let grain_bytes = extent.grain();
            body.set_extent(extent, grain_bytes);
        }
        let mut intake = Intake::new(self, body, pending);
        let mut origin = answer.response.body;
        while let Some(piece) = intake.beside(origin.next()).await {
            let bytes = piece?;
            self.parts.counters.add(Counter::OriginReceivedBytes, bytes.len() as u64);
            intake.take(bytes).await?;
        }
        let (ended, committed) = intake.end(|| true).await;
        self.parts.counters.add(Counter::StoreSlices, u64::from(committed));
        ended
    }

    /// Whether an answer has the very slice of a record that it was asked for.
    fn is_slice(
        &self,
        job: &FillJob,
        (request, answer): (&RequestHead<'_>, &Answer),
        (record, slice): (&Record, &Range<u64>),
    ) -> bool {
        let Some(stored) = response_of(record, unix_ms()) else { return false };
        let part = match self.disposition(job, request, answer) {
            Disposition::Store { meta, .. } => meta.part,
            // What must not be stored must not be shared, either (FL-1).
            Disposition::Alone(_) => None,
        };
        let is_asked = part
            .is_some_and(|part| part.range() == *slice && part.complete_len() == record.body_len());
        let fields = request::borrowed(&answer.fields);
        is_asked
            && answer.response.body.length() == Some(slice.end - slice.start)
            && part::may_combine(&stored.validators(), &Validators::of(&fields))
    }

    /// The first part of a large body: it goes to the one who asked, and as far as it fills slices
    /// of the whole, into the store.
    pub(super) async fn keep_slices(
        self: &Rc<Self>,
        lead: Lead,
        request: &RequestHead<'_>,
        answer: Answer,
        (meta, nominated): (StoredMeta, String),
    ) {
        let Some(part) = meta.part else { return };
        let whole = StoredMeta { part: None, ..meta };
        let mut answer = answer;
        if !answer.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(ACCEPT_RANGES)) {
            // RFC 9110 section 14.3: it does, and whoever completes the body will want to know.
            answer.fields.push((ACCEPT_RANGES.to_owned(), b"bytes".to_vec()));
        }
        let plan = self.plan_record(&lead, request, &answer, (&whole, &nominated));
        let record = self.outline(&lead, (&plan, &answer), part.complete_len()).await;
        if self.has_purged(lead.mark, &lead.job.key, &plan.tags) {
            return self.give_purged(lead, answer).await;
        }
        // Those that waited find the outline.
        self.release(&lead);
        let Answer { mut response, fields, .. } = answer;
        let body_len = part.range().end - part.range().start;
        let body = Arc::new(Download::with_share(self.share(body_len)));
        let guard = body.guard();
        body.set_length(body_len);
        let head = FillHead {
            status: response.status.as_u16(),
            fwd_status: response.status.as_u16(),
            via_version: request::via_version(&response),
            body_len: Some(body_len),
            declared_len: Some(body_len),
            fields,
            stored: record.is_some(),
            ttl_s: record.is_some().then(|| reuse::ttl_s(&whole, unix_ms())),
            detail: record.is_none().then_some("no-room"),
        };
        self.give_head(&lead.job, head, &body);
        let mut tee = Tee { at: part.range().start, end: part.range().end, open: None };
        let mut is_read = lead.job.reply.is_some();
        let outcome = loop {
            match response.body.next().await {
                Some(Ok(bytes)) => {
                    self.parts.counters.add(Counter::OriginReceivedBytes, bytes.len() as u64);
                    // Its reader first, who need not wait for the store.
                    is_read = is_read && body.push(bytes.clone()).await.is_ok();
                    if let Some(record) = &record {
                        tee.take(self, record, &bytes).await;
                    }
                    if !is_read && tee.open.is_none() {
                        break Err(FetchError::Abandoned);
                    }
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        };
        match outcome.and_then(|()| body.finish()) {
            Ok(()) => {}
            Err(error) => {
                self.count_error(error);
                body.fail(error);
            }
        }
        drop(guard);
    }

    /// The record of which a part has come: the one that is stored, or a new outline.
    async fn outline(
        self: &Rc<Self>,
        lead: &Lead,
        (plan, answer): (&Plan, &Answer),
        complete_len: u64,
    ) -> Option<Record> {
        let fields = request::borrowed(&answer.fields);
        let is_same = |record: &Record| {
            response_of(record, unix_ms()).is_some_and(|stored| {
                stored.meta.part.is_none()
                    && record.body_len() == complete_len
                    && part::may_combine(&stored.validators(), &Validators::of(&fields))
            })
        };
        let known = self.parts.reader.lookup(&plan.key).filter(is_same);
        if known.is_some() {
            return known;
        }
        if !self.put_base(plan).await || self.has_purged(lead.mark, &lead.job.key, &plan.tags) {
            return None;
        }
        let outlined = self.parts.writer.outline(plan.draft(Some(complete_len))).await;
        self.parts.counters.add(Counter::StoreStored, u64::from(outlined.is_ok()));
        outlined.ok()?;
        self.parts.reader.lookup(&plan.key).filter(is_same)
    }
}

impl Assembly<'_> {
    /// Gives all of it, and says how that ended.
    pub(super) async fn run(mut self) {
        match self.give().await {
            Ok(()) => {
                // Its length was promised, and has come.
                let _ = self.body.finish();
            }
            Err(Cut::Unread) => {}
            Err(Cut::Lost) => self.go_past().await,
            Err(Cut::Failed(error)) => self.body.fail(error),
        }
    }

    /// The store loses it faster than its client reads: the origin gives the rest, past the store.
    async fn go_past(&self) {
        let stored = response_of(self.record, unix_ms());
        let validators = stored.as_ref().map(StoredHead::validators);
        let (wanted, complete_len) = (self.at..self.end, self.record.body_len());
        let rest = validators.and_then(|own| Rest::new(&own, wanted, complete_len));
        let asked = match &rest {
            Some(rest) => tokio::select! {
                biased;
                asked = self.plane.ask_rest(self.job, rest) => asked,
                () = self.body.abandoned() => return,
            },
            None => Err(FetchError::Truncated),
        };
        let carried = match asked {
            Ok(mut origin) => pump(&mut origin, &self.body).await,
            Err(error) => {
                self.body.fail(error);
                Err(error)
            }
        };
        match carried {
            Ok(carried) => self.plane.parts.counters.add(Counter::OriginReceivedBytes, carried),
            Err(error) => self.plane.count_error(error),
        }
    }

    async fn give(&mut self) -> Result<(), Cut> {
        while self.at < self.end {
            if let Some(reader) = self.first.take_if(|_| self.at == self.hole) {
                self.give_slice(reader).await?;
                continue;
            }
            // Anew each time: its reader may be slow, and what was there gone.
            let there = self.stored_to();
            if self.at < there {
                self.give_stored(there).await?;
            } else {
                let reader = self.plane.open_slice(self.job, self.record, self.at).await;
                self.give_slice(reader.map_err(cut_by)?).await?;
            }
        }
        Ok(())
    }

    /// Up to where nothing is missing; not beyond the slice that waits.
    fn stored_to(&self) -> u64 {
        let end = if self.first.is_some() { self.hole } else { self.end };
        self.record.missing(self.at..end).map_or(end, |hole| hole.start)
    }

    /// One window of what is stored.
    async fn give_stored(&mut self, end: u64) -> Result<(), Cut> {
        let piece = self.record.piece(self.at, WINDOW_BYTES.min(end - self.at));
        let piece = piece.map_err(|_| Cut::Lost)?;
        // Copied, so that a file that was cut is an error.
        let mut copy = vec![0; piece.len()];
        piece.copy_to(0, &mut copy).map_err(|_| Cut::Lost)?;
        drop(piece);
        self.push(Bytes::from(copy)).await
    }

    /// All that is wanted of a slice that comes.
    async fn give_slice(&mut self, mut reader: SliceReader) -> Result<(), Cut> {
        let slice = self.record.slice_range(self.at).ok_or(Cut::Failed(FetchError::Truncated))?;
        let end = slice.end.min(self.end);
        while self.at < end {
            let mut bytes = match reader.next().await {
                Next::Bytes(bytes) => bytes,
                Next::Extent { extent, range } => {
                    let found = self.plane.parts.reader.extent(&extent, range);
                    let found = found.ok_or(Cut::Lost)?;
                    let mut copy = vec![0; found.len()];
                    found.copy_to(0, &mut copy).map_err(|_| Cut::Lost)?;
                    Bytes::from(copy)
                }
                Next::Failed(error) => return Err(cut_by(error)),
                Next::End | Next::Pending => return Err(Cut::Failed(FetchError::Truncated)),
            };
            bytes.truncate((end - self.at) as usize);
            self.push(bytes).await?;
        }
        Ok(())
    }

    async fn push(&mut self, bytes: Bytes) -> Result<(), Cut> {
        let len = bytes.len() as u64;
        self.body.push(bytes).await.map_err(|_| Cut::Unread)?;
        self.at += len;
        Ok(())
    }
}

/// Slices of a body that are stored as its bytes pass by.
struct Tee {
    at: u64,
    /// Nothing comes from here on.
    end: u64,
    /// The slice that is being filled, and its end.
    open: Option<(Pending, u64)>,
}

impl Tee {
    async fn take(&mut self, plane: &Plane, record: &Record, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(slice) = record.slice_range(self.at) else { return };
            if self.open.is_none() && slice.start == self.at && slice.end <= self.end {
                let is_missing = !record.holds(slice.clone());
                let begun = is_missing.then(|| plane.parts.writer.refill(record, self.at).ok());
                self.open = begun.flatten().map(|pending| (pending, slice.end));
            }
            let (now, later) = bytes.split_at(bytes.len().min((slice.end - self.at) as usize));
            let mut is_written = true;
            if let Some((pending, _)) = &mut self.open {
                is_written = plane.parts.writer.append(pending, now).await.is_ok();
            }
            self.at += now.len() as u64;
            bytes = later;
            if let Some((pending, _)) = self.open.take_if(|(_, end)| !is_written || self.at == *end)
            {
                let committed = is_written && plane.parts.writer.commit(pending).await.is_ok();
                let counter =
                    if committed { Counter::StoreSlices } else { Counter::StoreWriteErrors };
                plane.parts.counters.add(counter, 1);
            }
        }
    }
}

/// Why a body whose slice does not come is cut.
fn cut_by(error: FetchError) -> Cut {
    // Its record is gone, so that there was nowhere to put it.
    let is_lost = error == FetchError::Abandoned;
    if is_lost { Cut::Lost } else { Cut::Failed(error) }
}

/// Whether what is missing of a stored response, from this byte on, can be had slice by slice.
pub(super) fn can_be_cut(record: &Record, stored: &StoredHead<'_>, from: u64) -> bool {
    let is_sliced = record.slice_range(from).is_some();
    is_sliced && stored.validators().is_strong() && knows_ranges(stored)
}

/// Whether the origin said that it takes requests for ranges of this (RFC 9110 section 14.3): one
/// that does not would send the whole for each slice.
fn knows_ranges(stored: &StoredHead<'_>) -> bool {
    let mut lines = stored.fields().filter(|(name, _)| name.eq_ignore_ascii_case(ACCEPT_RANGES));
    lines.any(|(_, value)| value.eq_ignore_ascii_case(b"bytes"))
}

const ACCEPT_RANGES: &str = "accept-ranges";

const WINDOW_BYTES: u64 = 256 * 1024;
