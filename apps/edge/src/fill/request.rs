//! From a client's head to the origin's request, and from the origin's head to ours.

use std::sync::atomic::{AtomicU32, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use longhold_gateway::forward::{self, Client, Purpose};
use longhold_http1::{RequestHead, TargetForm, target};
use longhold_origin::{FetchError, OnInterim, OriginRequest, OriginResponse, RequestBody};

use super::{FillJob, ReplyTo};
use crate::inbox::Event;
use crate::node;

/// Builds the origin's request; bodies are added by the caller.
pub(super) fn build(
    head: &RequestHead<'_>,
    job: &FillJob,
    purpose: Purpose<'_>,
    body: RequestBody,
) -> Result<OriginRequest, FetchError> {
    let method = Method::from_bytes(head.method.as_bytes()).map_err(|_| FetchError::BadTarget)?;
    let client = Client { peer: job.peer, scheme: job.scheme, node: node::id() };
    let fields = gather(|emit| forward::fields(head, purpose, &client, emit))?;
    let path_and_query = match head.target.form {
        TargetForm::Asterisk => "*".to_owned(),
        TargetForm::Origin | TargetForm::Absolute | TargetForm::Authority => path_of(head),
    };
    let on_interim = job.reply.clone().map(relay_interim);
    Ok(OriginRequest { method, path_and_query, fields, body, on_interim })
}

/// The fields that `tell` hands out, as the origin client takes them.
pub(super) fn gather(
    tell: impl FnOnce(&mut dyn FnMut(&str, &[u8])),
) -> Result<HeaderMap, FetchError> {
    let mut fields = HeaderMap::with_capacity(FIELDS_USUAL);
    let mut refused = false;
    tell(&mut |name, value| {
        let name = HeaderName::from_bytes(name.as_bytes());
        match (name, HeaderValue::from_bytes(value)) {
            (Ok(name), Ok(value)) => {
                fields.append(name, value);
            }
            (Err(_), _) | (_, Err(_)) => refused = true,
        }
    });
    if refused { Err(FetchError::BadTarget) } else { Ok(fields) }
}

/// Hands interim responses to the one who asked; those beyond [`INTERIM_MAX`] are left out, because
/// none is needed to understand the final one.
pub(super) fn relay_interim(reply: ReplyTo) -> OnInterim {
    let relayed = AtomicU32::new(0);
    OnInterim::new(move |status, fields| {
        if relayed.fetch_add(1, Ordering::Relaxed) < INTERIM_MAX {
            reply.post(Event::Interim { status, fields: owned(fields) });
        }
    })
}

/// Interim responses of one fetch that are relayed.
const INTERIM_MAX: u32 = 64;

/// Field lines of a usual request, and the edge's own.
const FIELDS_USUAL: usize = 24;

/// Path and query in the normal form that the cache key has: what is stored under a key is the
/// answer to a request for just that. A target without a normal form has no key; it goes out as it
/// came.
pub(super) fn path_of(head: &RequestHead<'_>) -> String {
    let mut normal = Vec::with_capacity(head.target.path_and_query.len());
    let made = target::normalise_path(&head.target, &mut normal).ok();
    made.and_then(|()| String::from_utf8(normal).ok())
        .unwrap_or_else(|| head.target.path_and_query.to_owned())
}

/// The response's fields as owned pairs, in order.
pub(super) fn fields_of(response: &OriginResponse) -> Vec<(String, Vec<u8>)> {
    owned(&response.fields)
}

pub(super) fn owned(fields: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let pairs = fields.iter();
    pairs.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// The same fields, borrowed.
pub(super) fn borrowed(fields: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

/// `1.0` or `1.1`, for `Via`.
pub(super) fn via_version(response: &OriginResponse) -> &'static str {
    if response.version == http::Version::HTTP_10 { "1.0" } else { "1.1" }
}

/// `Content-Length` as declared.
pub(super) fn declared_len(response: &OriginResponse) -> Option<u64> {
    response.fields.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}
