//! One fill: look again, join or lead, fetch, and decide what the answer is worth.

use std::rc::Rc;
use std::sync::Arc;

use longhold_gateway::coalesce::{FillId, Joined};
use longhold_gateway::coding;
use longhold_gateway::fetch::{self, Disposition};
use longhold_gateway::forward::Purpose;
use longhold_gateway::lookup::{self, Served, Verdict};
use longhold_gateway::outcome::Fwd;
use longhold_gateway::purge::Mark;
use longhold_gateway::stored::StoredHead;
use longhold_gateway::{key, plan};
use longhold_http1::{self as http1, RequestHead};
use longhold_origin::fill::pump;
use longhold_origin::{Download, FetchError, OriginResponse, RequestBody};
use longhold_policy::directives::RequestDirectives;
use longhold_policy::storable::{Exchange, NotStored};
use longhold_policy::validate::Validators;
use longhold_policy::{StoredMeta, freshen, reuse};
use longhold_store::Record;
use longhold_telemetry::Counter;

use super::compress::{self, Coder};
use super::plane::{Lookup, Open, Plane, Selected, Waiting, attach};
use super::succession::Seat;
use super::{FillHead, FillJob, JobKind, parts, request};
use crate::inbox::Event;
use crate::stored::response_of;

/// A fetch that leads: its entry in the table and the exchange that asked, if one did.
pub(super) struct Lead {
    pub(super) id: FillId,
    /// Its key in the table.
    pub(super) entry: Vec<u8>,
    /// The key of the record that the request selects today.
    pub(super) record_key: Vec<u8>,
    pub(super) job: FillJob,
    /// When it began, among purges.
    pub(super) mark: Mark,
}

/// An origin's response with its fields taken out once.
pub(super) struct Answer {
    pub(super) response: OriginResponse,
    pub(super) fields: Vec<(String, Vec<u8>)>,
    /// Its head says that the body is coded here.
    pub(super) is_coded: bool,
    /// What codes it, if there is a body.
    pub(super) coder: Option<Coder>,
}

impl Answer {
    /// Bytes of the body that goes out, where they are known.
    pub(super) fn body_len(&self) -> Option<u64> {
        if self.is_coded { None } else { self.response.body.length() }
    }

    /// `Content-Length` as declared, also where no body follows.
    pub(super) fn declared_len(&self) -> Option<u64> {
        if self.is_coded { None } else { request::declared_len(&self.response) }
    }
}

/// A fetch that is to be made. Its job's head has been parsed.
pub(super) enum Begun {
    /// Of the whole, by its leader; `validate` says whether the record may be confirmed instead.
    Whole { lead: Lead, record: Option<Record>, validate: bool },
    /// Of no more than the client wants.
    Part { job: FillJob, fetch_key: Vec<u8>, record: Option<Record> },
    /// Of what the client wants and a fresh record lacks.
    Rest { job: FillJob, fetch_key: Vec<u8>, record: Record },
}

impl Begun {
    fn job(&self) -> &FillJob {
        match self {
            Self::Whole { lead, .. } => &lead.job,
            Self::Part { job, .. } | Self::Rest { job, .. } => job,
        }
    }
}

/// What the origin said to a fetch.
enum Asked {
    /// The stored response still holds (304).
    Confirmed(Answer),
    /// This is the response.
    Answered(Answer),
}

impl Plane {
    /// Takes up a job that fills or freshens, as far as nothing is to be waited for: one that
    /// follows another's fetch, or finds what it wants, costs no task. With `seat` it is a
    /// follower's that leads now; else it leads or follows, as may be.
    pub(super) fn begin_fill(self: &Rc<Self>, job: FillJob, seat: Option<Seat>) -> Option<Begun> {
        let completes = matches!(job.kind, JobKind::Fill { share: true }) && seat.is_none();
        self.take_up(job, seat, completes)
    }

    /// With `completes`, what is stored in part is used, and the rest fetched.
    fn take_up(
        self: &Rc<Self>,
        job: FillJob,
        seat: Option<Seat>,
        completes: bool,
    ) -> Option<Begun> {
        let bytes = Arc::clone(&job.head);
        let limits = self.parts.limits;
        let Ok(Some(request)) = http1::parse_request(&bytes, &limits) else {
            self.vacate(seat, || Event::Failed(FetchError::BadTarget));
            tell(&job, Event::Failed(FetchError::BadTarget));
            return None;
        };
        let Lookup { selected, fetch_key } = self.look_up(&job, &request);
        let (record, missed) = match selected {
            Selected::Response(record) => (Some(record), Fwd::Miss),
            Selected::Nothing(fwd) => (None, fwd),
        };
        let stored = record.as_ref().and_then(|record| response_of(record, unix_ms()));
        let (_, facts) = plan::plan(&request);
        let background = matches!(job.kind, JobKind::Revalidate);
        let wants_shared = matches!(job.kind, JobKind::Fill { share: true });
        // RFC 9111 section 3.3: what is incomplete answers only what it has all of.
        let lacks = match (&record, &stored) {
            (Some(record), Some(stored)) => !parts::covers(record, stored, &request),
            (Some(_), None) | (None, _) => false,
        };
        let verdict = lookup::judge(&facts, stored.as_ref(), missed, unix_ms());
        let can_validate = stored.as_ref().is_some_and(StoredHead::can_validate);
        let validate = match verdict {
            // Another fetch has brought it since the worker looked.
            Verdict::Serve(served)
                if !(lacks || (background && served == Served::WhileRevalidate)) =>
            {
                let found = || Event::UseStored { answered: None, collapsed: true };
                self.vacate(seat, found);
                tell(&job, Event::UseStored { answered: None, collapsed: false });
                return None;
            }
            Verdict::Serve(Served::WhileRevalidate) => can_validate && (wants_shared || background),
            Verdict::Serve(_) | Verdict::GatewayTimeout => false,
            // Nothing comes of confirming what lacks something to one who has no part in the rest.
            Verdict::Fetch { validate, .. } => validate && (wants_shared || background || !lacks),
        };
        let record = match (record, verdict) {
            (Some(record), Verdict::Serve(Served::Fresh | Served::MaxStale))
                if completes && lacks =>
            {
                return Some(Begun::Rest { job, fetch_key, record });
            }
            (record, _) => record,
        };
        // A head or a range is read off a fetch of the whole; by itself it asks for no more.
        let is_partial = facts.is_head || (facts.is_ranged && !validate);
        let shares = wants_shared
            && self.table.borrow().is_filling(&fetch_key)
            && !self.is_unshared(&fetch_key, &request);
        if is_partial && !shares {
            return Some(Begun::Part { job, fetch_key, record });
        }
        let lead = match seat {
            Some(Seat { id, entry }) => {
                Lead { id, entry, record_key: fetch_key, job, mark: self.mark() }
            }
            None => self.lead(job, (&request, is_partial), fetch_key)?,
        };
        Some(Begun::Whole { lead, record, validate })
    }

    /// Goes on with what has begun, to its end.
    pub(super) async fn fill(self: &Rc<Self>, begun: Begun) {
        let limits = self.parts.limits;
        let bytes = Arc::clone(&begun.job().head);
        let Ok(Some(request)) = http1::parse_request(&bytes, &limits) else { return };
        let (lead, record, validate) = match begun {
            Begun::Part { job, fetch_key, record } => {
                return self.fill_partly(job, &request, (fetch_key, record.as_ref())).await;
            }
            Begun::Rest { job, fetch_key, record } => {
                if let Some(job) = self.complete(job, &request, (fetch_key, &record)).await
                    && let Some(begun) = self.take_up(job, None, false)
                {
                    Box::pin(self.fill(begun)).await;
                }
                return;
            }
            Begun::Whole { lead, record, validate } => (lead, record, validate),
        };
        let stored = record.as_ref().and_then(|record| response_of(record, unix_ms()));
        let validators = stored.as_ref().filter(|_| validate).map(StoredHead::validators);
        let asking = self.ask_origin(&lead, &request, validators.as_ref());
        match (self.await_head(&lead, asking).await, &record, &stored) {
            (Ok(Asked::Confirmed(confirmed)), Some(record), Some(stored)) => {
                self.freshen(lead, (&request, &confirmed), record, stored).await;
            }
            (Ok(Asked::Confirmed(answer) | Asked::Answered(answer)), record, _) => {
                self.dispose(lead, &request, answer, record.as_ref()).await;
            }
            (Err(error), _, _) => self.fail(lead, error),
        }
    }

    /// Asks the origin for the response, or whether the stored one still holds.
    async fn ask_origin(
        &self,
        lead: &Lead,
        request: &RequestHead<'_>,
        validators: Option<&Validators<'_>>,
    ) -> Result<Asked, FetchError> {
        let purpose = validators.map_or(Purpose::Fill, Purpose::Validate);
        let mut answer = self.fetch(&lead.job, request, purpose, RequestBody::Empty).await?;
        match validators {
            Some(asked) if answer.response.status == http::StatusCode::NOT_MODIFIED => {
                if self.rule(&lead.job).is_some_and(|rule| rule.compress.is_some()) {
                    coding::weaken_update(&mut answer.fields, asked.etag);
                }
                if freshen::is_about(asked, &request::borrowed(&answer.fields)) {
                    return Ok(Asked::Confirmed(answer));
                }
            }
            Some(_) | None => return Ok(Asked::Answered(answer)),
        }
        // RFC 9111 section 4.3.4: it confirms something else; ask again without conditions.
        drop(answer);
        let answer = self.fetch(&lead.job, request, Purpose::Fill, RequestBody::Empty).await?;
        Ok(Asked::Answered(answer))
    }

    /// Leads the fetch of `fetch_key`, or hands the job to the one that does.
    pub(super) fn lead(
        self: &Rc<Self>,
        job: FillJob,
        (request, is_partial): (&RequestHead<'_>, bool),
        fetch_key: Vec<u8>,
    ) -> Option<Lead> {
        let record_key = fetch_key.clone();
        let shares = match job.kind {
            JobKind::Fill { share: true } => !self.is_unshared(&fetch_key, request),
            JobKind::Revalidate => true,
            JobKind::Fill { share: false }
            | JobKind::Pass { .. }
            | JobKind::Tunnel(_)
            | JobKind::Stream
            | JobKind::Rest(_) => false,
        };
        let entry = if shares { fetch_key } else { self.lone_key(&job.key) };
        // FL-4: nobody waits for background work, so it does not, either; a stale response that is
        // asked for often would leave a job here for each request.
        if job.reply.is_none() && self.table.borrow().is_filling(&entry) {
            return None;
        }
        match self.join(&entry, job, !is_partial) {
            Joined::Lead(id, job) => Some(Lead { id, entry, record_key, job, mark: self.mark() }),
            Joined::Waits => None,
            Joined::Attach(open, job) => {
                self.follow(&open, job, request);
                None
            }
        }
    }

    /// Sends a request to the site's origin.
    pub(super) async fn fetch(
        &self,
        job: &FillJob,
        head: &RequestHead<'_>,
        purpose: Purpose<'_>,
        body: RequestBody,
    ) -> Result<Answer, FetchError> {
        let pool = self.parts.pools.get(job.site.number).ok_or(FetchError::Unreachable)?;
        let origin_request = request::build(head, job, purpose, body)?;
        self.parts.counters.add(Counter::OriginFetches, 1);
        let response = pool.fetch(origin_request).await?;
        let fields = request::fields_of(&response);
        let mut answer = Answer { response, fields, is_coded: false, coder: None };
        if let Some(rule) = self.rule(job) {
            rule.response.apply(&mut answer.fields);
            self.begin_coding(job, head, &mut answer);
        }
        Ok(answer)
    }

    /// Stores and shares the response, or gives it to the asker alone.
    pub(super) async fn dispose(
        self: &Rc<Self>,
        lead: Lead,
        request: &RequestHead<'_>,
        answer: Answer,
        replaced: Option<&Record>,
    ) {
        let status = answer.response.status.as_u16();
        let disposition = if reuse::is_failure(status) && may_stand_in(replaced, request) {
            Disposition::Alone(NotStored::Failure)
        } else {
            self.disposition(&lead.job, request, &answer)
        };
        match disposition {
            Disposition::Store { meta, mut nominated } => {
                if let Some(rule) = self.rule(&lead.job) {
                    rule.add_key_names(&mut nominated);
                }
                self.keep_part(lead, request, answer, (meta, nominated, replaced)).await;
            }
            Disposition::Alone(reason) => {
                if replaced.is_some() && fetch::ends_reuse(reason, status) {
                    // Should the removal fail, the record goes on asking for validation.
                    let (plane, key) = (Rc::clone(self), lead.record_key.clone());
                    let removal = async move { plane.parts.writer.remove(&key).await };
                    let _ = self.within_patience_of_task(removal).await;
                }
                self.remember_unshared(&lead.record_key, reason, status);
                self.hand_over(lead, answer, reason).await;
            }
        }
    }

    /// What may become of a response.
    pub(super) fn disposition(
        &self,
        job: &FillJob,
        request: &RequestHead<'_>,
        answer: &Answer,
    ) -> Disposition {
        let fields = request::borrowed(&answer.fields);
        let exchange = Exchange {
            method: request.method,
            request: &request.fields,
            status: answer.response.status.as_u16(),
            response: &fields,
            request_time_ms: answer.response.request_time_ms,
            response_time_ms: answer.response.response_time_ms,
        };
        fetch::dispose(&exchange, &self.storing(job))
    }

    /// The response is for the asker alone; those that waited fetch on their own.
    pub(super) async fn hand_over(self: &Rc<Self>, lead: Lead, answer: Answer, reason: NotStored) {
        let followers = self.table.borrow_mut().dissolve(&lead.entry, lead.id);
        for Waiting { job, .. } in followers {
            self.go_alone(job);
        }
        if lead.job.reply.is_some() {
            self.note_unstored(&lead.job, reason.name(), reason.clause());
            self.stream_alone(lead.job, answer, Some(reason.name())).await;
        }
    }

    /// Streams a response that is not stored to the one who asked.
    pub(super) async fn stream_alone(
        &self,
        job: FillJob,
        answer: Answer,
        detail: Option<&'static str>,
    ) {
        let (body_len, declared_len) = (answer.body_len(), answer.declared_len());
        let Answer { mut response, fields, coder, .. } = answer;
        let body = Arc::new(Download::new(self.parts.window_bytes));
        let guard = body.guard();
        if let Some(length) = body_len {
            body.set_length(length);
        }
        let head = FillHead {
            status: response.status.as_u16(),
            fwd_status: response.status.as_u16(),
            via_version: request::via_version(&response),
            body_len,
            declared_len,
            fields,
            stored: false,
            ttl_s: None,
            detail,
        };
        let open = Open {
            head: Arc::new(head),
            body: Arc::clone(&body),
            meta: StoredMeta::default(),
            nominated: Rc::from(""),
            variant: Rc::from([]),
            tags: Rc::from([]),
        };
        if let Some(reply) = &job.reply {
            attach(reply, &open, false);
        }
        // A client that goes away ends the origin's work at once, not at its next byte.
        let carried = match coder {
            None => pump(&mut response.body, &body).await,
            Some(mut coder) => compress::pump(&mut response.body, &mut coder, &body).await,
        };
        match carried {
            Ok(carried) => self.parts.counters.add(Counter::OriginReceivedBytes, carried),
            Err(error) => self.count_error(error),
        }
        drop(guard);
    }

    /// Joins a follower to a body that grows, where its request selects it and may be answered with
    /// it: one response answers several requests only where it could be reused for each (RFC 9111
    /// section 4, FL-1). What must be validated each time is its asker's alone.
    pub(super) fn follow(self: &Rc<Self>, open: &Open, job: FillJob, request: &RequestHead<'_>) {
        let mut variant = Vec::new();
        if !open.nominated.is_empty() {
            key::write_nominated(&open.nominated, &request.fields, &mut variant);
        }
        let directives = RequestDirectives::from_fields(&request.fields);
        let is_theirs = variant[..] == open.variant[..]
            && reuse::decide(&directives, &open.meta, unix_ms()).serves();
        match &job.reply {
            Some(reply) if is_theirs && parts::is_near(open, request) => {
                attach(reply, open, true);
            }
            Some(_) => self.go_alone(job),
            None => {}
        }
    }

    /// The same for one that waited while the head was not there yet.
    pub(super) fn follow_late(self: &Rc<Self>, open: &Open, job: FillJob) {
        let bytes = Arc::clone(&job.head);
        let limits = self.parts.limits;
        match http1::parse_request(&bytes, &limits) {
            Ok(Some(request)) => self.follow(open, job, &request),
            Ok(None) | Err(_) => tell(&job, Event::Failed(FetchError::BadTarget)),
        }
    }

    /// Starts a follower's own fetch.
    pub(super) fn go_alone(self: &Rc<Self>, job: FillJob) {
        if job.reply.is_some() {
            self.spawn(FillJob { kind: JobKind::Fill { share: false }, ..job });
        }
    }

    /// A table key for a fetch that nobody may join, which a purge of `primary` still finds: too
    /// short to be a variant's.
    pub(super) fn lone_key(&self, primary: &[u8]) -> Vec<u8> {
        let id = self.next_base_id().to_le_bytes();
        let mut key = Vec::with_capacity(primary.len() + 8);
        key.extend_from_slice(primary);
        key.push(0);
        key.extend_from_slice(&id[..7]);
        key
    }
}

/// Whether a stored response may be served in place of an error, so that the error must not take
/// its place (RFC 9111 section 4.3.3).
fn may_stand_in(replaced: Option<&Record>, request: &RequestHead<'_>) -> bool {
    let now_ms = unix_ms();
    let directives = RequestDirectives::from_fields(&request.fields);
    let stored = replaced.and_then(|record| response_of(record, now_ms));
    stored.is_some_and(|stored| reuse::may_serve_on_error(&directives, &stored.meta, now_ms))
}

/// Leaves news for the job's exchange, if one waits.
pub(super) fn tell(job: &FillJob, event: Event) {
    if let Some(reply) = &job.reply {
        reply.post(event);
    }
}

pub(super) fn unix_ms() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_millis() as u64)
}
