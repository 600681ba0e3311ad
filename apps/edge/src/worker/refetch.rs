//! A part of a body has left the store before it was sent: the fill plane is asked for the rest, of
//! this very response.
//!
//! ```text
//! window ── gone ─► Responding, refetching ── Rest ─► pump
//!            │                └────── Failed ─► broken off
//!            └ no strong validator, no room in the queue ─► broken off
//! ```
//! A client is never given bytes of another response: broken off in the open, it asks again.

use std::ops::Range;

use longhold_conn::CloseReason;
use longhold_origin::DownloadReader;
use longhold_policy::validate::Validators;
use longhold_store::Extent;
use longhold_telemetry::Counter;
use longhold_transport::Transport;

use super::Worker;
use super::active::{Body, Link};
use super::exchange::Held;
use crate::fill::rest::Rest;
use crate::fill::{FillHead, JobKind};
use crate::outgoing::Outgoing;
use crate::stored::response_of;

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Keeps the request of a stored response under way whose slices may go one by one. Most are in
    /// one record, which stays.
    pub(super) fn keep_held(&mut self, index: u32, held: impl FnOnce() -> Box<Held>) {
        let Some(active) = self.actives.get_mut(index) else { return };
        let is_sliced = match &active.body {
            Body::Stored { record, at, .. } => record.slice_range(*at).is_some(),
            Body::Parts { record, .. } => record.slice_range(0).is_some(),
            Body::Growing { .. } | Body::Done => false,
        };
        if is_sliced {
            active.held = Some(held());
        }
    }

    /// The same for one that is being stored while it is sent.
    pub(super) fn keep_relayed(&mut self, index: u32, mut held: Box<Held>, head: &FillHead) {
        let Some(active) = self.actives.get_mut(index) else { return };
        let is_growing = matches!(active.body, Body::Growing { chunked: false, .. });
        let whole_len = head.body_len.filter(|_| head.stored && is_growing && !held.passes);
        held.relayed = whole_len.and_then(|len| {
            let fields: Vec<(&str, &[u8])> =
                head.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
            Rest::new(&Validators::of(&fields), 0..len, len)
        });
        active.held = held.relayed.is_some().then_some(held);
    }

    /// Asks for the bytes `lost`, which go on to the end of the body or of its part.
    pub(super) fn refetch(&mut self, index: u32, lost: Range<u64>) {
        let job = self.actives.get(index).and_then(|active| {
            let held = active.held.as_ref().filter(|held| !held.facts.directives.only_if_cached)?;
            let rest = match &active.body {
                Body::Stored { record, .. } | Body::Parts { record, .. } => {
                    let stored = response_of(record, self.now.unix_ms)?;
                    let is_whole = stored.meta.part.is_none();
                    Rest::new(&stored.validators(), lost, record.body_len()).filter(|_| is_whole)?
                }
                Body::Growing { .. } => held.relayed.as_ref()?.at(lost),
                Body::Done => return None,
            };
            self.job_of(index, held, JobKind::Rest(rest))
        });
        let Some(job) = job else { return self.break_off(index) };
        if self.fills.submit(job).is_err() {
            self.counters.add(Counter::FillRefused, 1);
            return self.break_off(index);
        }
        if let Some(active) = self.actives.get_mut(index) {
            active.refetching = true;
        }
    }

    /// The rest comes.
    pub(super) fn on_rest(&mut self, index: u32, rest: DownloadReader<Extent>) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if !std::mem::take(&mut active.refetching) {
            return;
        }
        let end = match &mut active.body {
            Body::Stored { end, .. } => *end,
            Body::Growing { end, .. } => {
                let whole = active.held.as_ref().and_then(|held| held.relayed.as_ref());
                let Some(end) = end.or(whole.map(Rest::complete_len)) else {
                    return self.break_off(index);
                };
                end
            }
            Body::Parts { links, .. } => {
                if let Some(Link::Stored(range)) = links.front() {
                    let end = range.end;
                    links.pop_front();
                    links.push_front(Link::Coming(rest, end));
                }
                return self.pump(index);
            }
            Body::Done => return,
        };
        active.body = Body::Growing { reader: rest, chunked: false, cold: None, end: Some(end) };
        self.pump(index);
    }

    /// There is no rest: the client must not take what it has for all.
    pub(super) fn break_off(&mut self, index: u32) {
        let Some(token) = self.actives.get(index).map(|active| active.token) else { return };
        self.counters.add(Counter::StoreReadErrors, 1);
        self.close(token, CloseReason::StoreFault);
    }
}
