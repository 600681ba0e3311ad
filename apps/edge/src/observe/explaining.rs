//! From a request that is not made to the job that a worker would hand over for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;

use super::purging::{Parsed, head_of, parse};
use crate::admin::{ExplainAsk, ExplainError, PurgeError};
use crate::fill::{FillJob, FillPort, JobKind};
use crate::shared::Shared;

/// Explains what would become of the request.
pub(super) async fn carry_out(
    ask: ExplainAsk,
    fills: FillPort,
    shared: &Shared,
) -> Result<Value, ExplainError> {
    // First without method and fields, to tell a faulty URL from what else may be faulty.
    let (scheme, head) = head_of(&ask.url, "GET", &[]).ok_or(ExplainError::BadUrl)?;
    let parsed = parse(scheme, &head, shared);
    let is_foreign = matches!(parsed, Err(PurgeError::NoSite));
    let fault = if is_foreign { ExplainError::NoSite } else { ExplainError::BadUrl };
    let Parsed { key, site } = parsed.map_err(|_| fault)?;
    let (_, head) = head_of(&ask.url, &ask.method, &ask.fields).ok_or(ExplainError::BadRequest)?;
    let job = FillJob {
        kind: JobKind::Fill { share: true },
        key,
        head: Arc::from(head),
        site,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        scheme,
        reply: None,
    };
    let said = fills.explain(job).await.map_err(|_| ExplainError::Unavailable)?;
    said.ok_or(ExplainError::BadRequest)
}
