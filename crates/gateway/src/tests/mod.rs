//! Tests of the gateway, by topic; each names the invariant that it holds.

mod coalesce;
mod combine;
mod deliver;
mod explain;
mod fetch;
mod forward;
mod key;
mod purge;
mod recent;
mod rules;
mod site;
mod stored;
mod tunnel;
mod unshared;

use longhold_http1::{Limits, RequestHead, parse_request};

/// Parses a whole request head or fails the test.
fn parse(bytes: &[u8]) -> RequestHead<'_> {
    match parse_request(bytes, &Limits::default()) {
        Ok(Some(head)) => head,
        other => panic!("not a head: {other:?}"),
    }
}
