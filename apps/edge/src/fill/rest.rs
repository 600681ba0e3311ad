//! The rest of a response under way, of which a part has left the store before its client had it.
//!
//! ```text
//! rest ─► the same response is stored ─► put together of what is there and of slices (`slices`)
//!      └► else ─► Range, If-Range ─► 206 of the same ─► past the store
//!                                └─► anything else ─► none: the response is broken off
//! ```
//! Its head has promised one representation. So nothing goes on with it but parts that have the
//! same strong validator and are parts of the same length (RFC 9110 section 15.3.7.3).

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use longhold_gateway::forward::{Missing, Purpose};
use longhold_http1::{self as http1, RequestHead};
use longhold_origin::fill::pump;
use longhold_origin::{Download, FetchError, OriginBody, RequestBody};
use longhold_policy::part;
use longhold_policy::validate::Validators;
use longhold_store::{Extent, Record};
use longhold_telemetry::Counter;

use super::lead::{Answer, tell, unix_ms};
use super::pass::while_asked;
use super::plane::{Plane, Selected};
use super::slices::can_be_cut;
use super::{FillJob, request};
use crate::inbox::Event;
use crate::stored::response_of;

/// What is wanted of a response whose head has been sent, and how to know that response.
#[derive(Clone, Debug)]
pub struct Rest {
    wanted: Range<u64>,
    complete_len: u64,
    etag: Option<Vec<u8>>,
    last_modified: Option<Vec<u8>>,
    date_s: Option<u64>,
}

impl Rest {
    /// The bytes `wanted` of a body of `complete_len`; `None` without a strong validator, by which
    /// alone two parts are known to be of one (RFC 9111 section 3.4).
    #[must_use]
    pub fn new(validators: &Validators<'_>, wanted: Range<u64>, complete_len: u64) -> Option<Self> {
        validators.is_strong().then(|| Self {
            wanted,
            complete_len,
            etag: validators.etag.map(Vec::from),
            last_modified: validators.last_modified.map(Vec::from),
            date_s: validators.date_s,
        })
    }

    /// Other bytes of the same response.
    #[must_use]
    pub fn at(&self, wanted: Range<u64>) -> Self {
        Self { wanted, ..self.clone() }
    }

    /// Length of the whole body.
    #[must_use]
    pub fn complete_len(&self) -> u64 {
        self.complete_len
    }

    fn validators(&self) -> Validators<'_> {
        Validators {
            etag: self.etag.as_deref(),
            last_modified: self.last_modified.as_deref(),
            date_s: self.date_s,
        }
    }

    /// Whether an answer has these very bytes of this very response.
    fn is_in(&self, answer: &Answer) -> bool {
        let fields = request::borrowed(&answer.fields);
        let is_part = answer.response.status == http::StatusCode::PARTIAL_CONTENT;
        let has_range = part::of(&fields).is_some_and(|part| {
            part.range() == self.wanted && part.complete_len() == self.complete_len
        });
        is_part
            && has_range
            && !answer.is_coded
            && answer.response.body.length() == Some(self.wanted.end - self.wanted.start)
            && part::may_combine(&self.validators(), &Validators::of(&fields))
    }
}

impl Plane {
    /// Gives the rest of a response to the exchange that has begun to send it, or tells it that
    /// there is none.
    pub(super) async fn give_rest(self: &Rc<Self>, job: FillJob, rest: Rest) {
        if let Err(error) = self.find_rest(&job, &rest).await {
            self.count_error(error);
            self.parts.counters.add(Counter::RefetchesBroken, 1);
            tell(&job, Event::Failed(error));
        }
    }

    async fn find_rest(self: &Rc<Self>, job: &FillJob, rest: &Rest) -> Result<(), FetchError> {
        if let Some(record) = self.record_of_rest(job, rest) {
            match self.begin_assembly(job, &record, rest.wanted.clone()).await {
                Ok(assembly) => {
                    self.hand_rest(job, &assembly.body);
                    assembly.run().await;
                    return Ok(());
                }
                // It has left the store meanwhile.
                Err(FetchError::Abandoned) => {}
                Err(error) => return Err(error),
            }
        }
        let mut origin = while_asked(job, self.ask_rest(job, rest)).await?;
        let body = Arc::new(Download::with_share(self.share(rest.wanted.end - rest.wanted.start)));
        let guard = body.guard();
        body.set_start(rest.wanted.start);
        body.set_length(rest.wanted.end);
        self.hand_rest(job, &body);
        // Its reader hears of a failure by the body.
        match pump(&mut origin, &body).await {
            Ok(carried) => self.parts.counters.add(Counter::OriginReceivedBytes, carried),
            Err(error) => self.count_error(error),
        }
        drop(guard);
        Ok(())
    }

    /// The record of the same response, if it is stored and what it lacks can be put into it.
    fn record_of_rest(&self, job: &FillJob, rest: &Rest) -> Option<Record> {
        let request = self.request_of(job).ok()?;
        let Selected::Response(record) = self.look_up(job, &request).selected else { return None };
        let stored = response_of(&record, unix_ms())?;
        let is_same = stored.meta.part.is_none()
            && record.body_len() == rest.complete_len
            && part::may_combine(&stored.validators(), &rest.validators())
            && can_be_cut(&record, &stored, rest.wanted.start);
        is_same.then_some(record)
    }

    /// Asks the origin for the rest of a response, if it still has this very one.
    pub(super) async fn ask_rest(
        &self,
        job: &FillJob,
        rest: &Rest,
    ) -> Result<OriginBody, FetchError> {
        let request = self.request_of(job)?;
        let missing = Missing::new(&rest.wanted, &rest.validators());
        let missing = missing.ok_or(FetchError::BadResponse)?;
        let purpose = Purpose::Missing(&missing);
        let answer = self.fetch(job, &request, purpose, RequestBody::Empty).await?;
        match rest.is_in(&answer) {
            true => Ok(answer.response.body),
            false => Err(FetchError::BadResponse),
        }
    }

    fn request_of<'a>(&self, job: &'a FillJob) -> Result<RequestHead<'a>, FetchError> {
        let parsed = http1::parse_request(&job.head, &self.parts.limits);
        parsed.ok().flatten().ok_or(FetchError::BadTarget)
    }

    fn hand_rest(&self, job: &FillJob, body: &Arc<Download<Extent>>) {
        let Some(reply) = &job.reply else { return };
        let news = reply.clone();
        match body.attach(Arc::new(move || news.post(Event::BodyMoved))) {
            Ok(reader) => {
                self.parts.counters.add(Counter::RefetchesContinued, 1);
                reply.post(Event::Rest(reader));
            }
            Err(_) => reply.post(Event::Failed(FetchError::Stopped)),
        }
    }
}
