//! Parts: a head or a range that is asked for while the whole is not there.

use std::rc::Rc;

use longhold_gateway::coalesce::Joined;
use longhold_gateway::deliver::Shape;
use longhold_gateway::forward::Purpose;
use longhold_gateway::relay;
use longhold_http1::RequestHead;
use longhold_origin::RequestBody;

use super::lead::{Lead, tell};
use super::plane::{Open, Plane};
use super::{FillJob, JobKind, request};
use crate::inbox::Event;

impl Plane {
    /// Asks the origin for what the client wants of the response, and no more.
    pub(super) async fn fill_partly(
        self: &Rc<Self>,
        job: FillJob,
        request: &RequestHead<'_>,
        fetch_key: Vec<u8>,
    ) {
        if request.method == "HEAD" {
            return self.fill_head(job, request).await;
        }
        let entry = match job.kind {
            JobKind::Fill { share: true } => range_key(&fetch_key, request),
            JobKind::Fill { .. } | JobKind::Revalidate | JobKind::Pass { .. } => {
                self.lone_key(&job.key)
            }
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
            Ok(answer) => self.dispose(lead, request, answer, None).await,
            Err(error) => self.fail(lead, error),
        }
    }

    async fn fill_head(self: &Rc<Self>, job: FillJob, request: &RequestHead<'_>) {
        match self.fetch(&job, request, Purpose::Part, RequestBody::Empty).await {
            Ok(answer) => self.stream_alone(job, answer, None).await,
            Err(error) => {
                self.count_error(error);
                tell(&job, Event::Failed(error));
            }
        }
    }
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
        Shape::NotModified | Shape::PreconditionFailed | Shape::Unsatisfiable => true,
    }
}

/// So many bytes of a body are soon there.
const NEAR_BYTES: u64 = 4 << 20;
