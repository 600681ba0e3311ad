//! A request that is forwarded as it is, and what an unsafe method leaves invalid behind it.

use std::rc::Rc;
use std::sync::Arc;

use longhold_gateway::forward::Purpose;
use longhold_gateway::purge::Scope;
use longhold_http1 as http1;
use longhold_origin::{FetchError, RequestBody};
use longhold_policy::invalidate;
use longhold_store::Mode;

use super::lead::tell;
use super::plane::Plane;
use super::{FillJob, JobKind};
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
            JobKind::Pass { upload: None, .. } | JobKind::Fill { .. } | JobKind::Revalidate => {
                RequestBody::Empty
            }
        };
        let answer = match self.fetch(&job, &request, Purpose::Pass, body).await {
            Ok(answer) => answer,
            Err(error) => {
                self.count_error(error);
                return tell(&job, Event::Failed(error));
            }
        };
        let status = answer.response.status.as_u16();
        // RFC 9111 section 4.4, before the client hears of the change.
        if !job.key.is_empty() && invalidate::applies(request.method, status) {
            // A removal that cannot be written leaves the index entry out all the same.
            let _ = self.purge(&[Scope::Key(job.key.clone())], Mode::Hard).await;
        }
        self.stream_alone(job, answer, None).await;
    }
}
