//! From a request that is not made to the job that a worker would hand over for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use longhold_gateway::rules::SiteRef;
use longhold_http1::parse_request;
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
    let Parsed { mut key, site } = parsed.map_err(|_| fault)?;
    let (_, head) = head_of(&ask.url, &ask.method, &ask.fields).ok_or(ExplainError::BadRequest)?;
    shared.rules.canonical_key(site, &mut key);
    let (site, head) = ruled(shared, site, head);
    let job = FillJob {
        kind: JobKind::Fill { share: true },
        key,
        head: Arc::from(head),
        site,
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        scheme,
        reply: None,
        asker: None,
    };
    let said = fills.explain(job).await.map_err(|_| ExplainError::Unavailable)?;
    said.ok_or(ExplainError::BadRequest)
}

/// The rule that holds for a request, and the request as it has it.
fn ruled(shared: &Shared, site: usize, head: Vec<u8>) -> (SiteRef, Vec<u8>) {
    let Ok(Some(request)) = parse_request(&head, &shared.limits) else {
        return (SiteRef::plain(site), head);
    };
    let id = shared.rules.find(site, &request, &mut Vec::new());
    let rule = shared.rules.get(id).filter(|rule| rule.rewrites(request.method));
    let rewritten = rule.map(|rule| {
        let mut out = Vec::new();
        rule.rewrite(&request, &mut out);
        out
    });
    (SiteRef { number: site, rule: id }, rewritten.unwrap_or(head))
}
