//! A request that is forwarded as it is, and what an unsafe method leaves invalid behind it.

use std::rc::Rc;
use std::sync::Arc;

use longhold_gateway::coalesce::Joined;
use longhold_gateway::fetch::{self, Disposition};
use longhold_gateway::forward::Purpose;
use longhold_gateway::purge::{Mark, Scope};
use longhold_gateway::tags;
use longhold_http1::{self as http1, RequestHead};
use longhold_origin::{FetchError, RequestBody};
use longhold_policy::invalidate;
use longhold_policy::storable::{self, Exchange, NotStored};
use longhold_store::Mode;

use super::lead::{Answer, Lead, tell};
use super::plane::Plane;
use super::{FillJob, JobKind, request};
use crate::inbox::Event;

impl Plane {
    /// Forwards one request and streams its response to the one who asked.
    pub(super) async fn pass(self: &Rc<Self>, job: FillJob) {
        let bytes = Arc::clone(&job.head);
        let limits = self.parts.limits;
        let Ok(Some(request)) = http1::parse_request(&bytes, &limits) else {
            return tell(&job, Event::Failed(FetchError::BadTarget));
        };
        let body = match &job.kind {
            JobKind::Pass { upload: Some(upload), length } => {
                RequestBody::Stream { body: Arc::clone(upload), length: *length }
            }
            JobKind::Pass { upload: None, .. }
            | JobKind::Fill { .. }
            | JobKind::Revalidate
            | JobKind::Tunnel(_)
            | JobKind::Stream
            | JobKind::Rest(_) => RequestBody::Empty,
        };
        let mark = self.mark();
        let asking = self.fetch(&job, &request, Purpose::Pass, body);
        let answer = match while_asked(&job, asking).await {
            Ok(answer) => answer,
            Err(error) => {
                self.count_error(error);
                return tell(&job, Event::Failed(error));
            }
        };
        let status = answer.response.status.as_u16();
        if job.key.is_empty() || !invalidate::applies(request.method, status) {
            return self.stream_alone(job, answer, None).await;
        }
        let tags = tags::of_response(&job.key, &request::borrowed(&answer.fields));
        let purged = self.has_purged(mark, &job.key, &tags);
        let mark = self.invalidate(&job, &answer).await;
        match self.dispose_post(&job, &request, &answer) {
            // What a purge has overtaken is nobody's but the asker's (FL-2).
            Disposition::Store { meta, nominated } if !purged => {
                if let Some(lead) = self.lead_alone(job, mark) {
                    self.keep(lead, &request, answer, (meta, nominated)).await;
                }
            }
            Disposition::Store { .. } | Disposition::Alone(_) => {
                self.stream_alone(job, answer, None).await;
            }
        }
    }

    /// RFC 9111 section 4.4, before the client hears of the change. Of what is on its way
    /// while the change is made nobody knows which state it shows: it is not stored, either.
    /// Other purges from the mark on concern the answer itself.
    async fn invalidate(self: &Rc<Self>, job: &FillJob, answer: &Answer) -> Mark {
        let mut keys = fetch::invalidated(&job.key, &request::borrowed(&answer.fields));
        // The target's own key is in that form already.
        for key in keys.iter_mut().skip(1) {
            self.parts.rules.canonical_key(job.site.number, key);
        }
        let scopes: Vec<Scope> = keys.into_iter().map(Scope::Key).collect();
        // A removal that cannot be written leaves the index entry out all the same.
        self.purge_marked(&scopes, Mode::Hard).await.0
    }

    /// Whether the response to a POST is the answer to later GETs of its target, too (RFC 9110
    /// section 9.3.3). Where a site has rules of its own, those for GET would have to be asked:
    /// there it is not.
    fn dispose_post(
        &self,
        job: &FillJob,
        request: &RequestHead<'_>,
        answer: &Answer,
    ) -> Disposition {
        if request.method != "POST" || self.parts.rules.has(job.site.number) {
            return Disposition::Alone(NotStored::Method);
        }
        let fields = request::borrowed(&answer.fields);
        let exchange = Exchange {
            method: request.method,
            request: &request.fields,
            status: answer.response.status.as_u16(),
            response: &fields,
            request_time_ms: answer.response.request_time_ms,
            response_time_ms: answer.response.response_time_ms,
        };
        fetch::dispose_post(&exchange, &job.key, &storable::Rules::default())
    }

    /// A leader that nobody follows.
    fn lead_alone(self: &Rc<Self>, job: FillJob, mark: Mark) -> Option<Lead> {
        let entry = self.lone_key(&job.key);
        let record_key = job.key.clone();
        match self.join(&entry, job, false) {
            Joined::Lead(id, job) => Some(Lead { id, entry, record_key, job, mark }),
            // Its key is nobody else's.
            Joined::Waits | Joined::Attach(..) => None,
        }
    }
}

/// The answer to what is asked for one exchange alone, as long as that waits for it.
pub(super) async fn while_asked<T>(
    job: &FillJob,
    asking: impl Future<Output = Result<T, FetchError>>,
) -> Result<T, FetchError> {
    let Some(asker) = &job.asker else { return asking.await };
    tokio::select! {
        biased;
        answer = asking => answer,
        () = asker.gone() => Err(FetchError::Abandoned),
    }
}
