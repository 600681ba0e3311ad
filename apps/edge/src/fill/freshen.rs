//! 304: the stored response is confirmed, its fields are brought up to date (RFC 9111 section
//! 4.3.4), and it is written anew under its key. The answer to a HEAD can do the same.

use std::rc::Rc;

use longhold_gateway::coding;
use longhold_gateway::purge::Mark;
use longhold_gateway::stored::{self, StoredHead};
use longhold_gateway::tags;
use longhold_http1::RequestHead;
use longhold_policy::StoredMeta;
use longhold_policy::freshen::{self, ByHead};
use longhold_policy::storable::{self, Exchange};
use longhold_store::{Draft, Mode, Purge, Record};
use longhold_telemetry::Counter;

use super::lead::{Answer, Lead, tell, unix_ms};
use super::lifetime::lifetime_ms;
use super::plane::Plane;
use super::{FillJob, request};
use crate::inbox::Event;
use crate::stored::response_of;

impl Plane {
    /// Freshens `record` with the origin's 304 and tells all who wait to use it.
    pub(super) async fn freshen(
        self: &Rc<Self>,
        lead: Lead,
        (request, answer): (&RequestHead<'_>, &Answer),
        record: &Record,
        stored: &StoredHead<'_>,
    ) {
        let renewed = (request, answer, &lead.job);
        let tags = self.renew(lead.mark, renewed, (record, stored)).await;
        let held: Vec<u64> = record.tags().chain(tags).collect();
        if self.has_purged(lead.mark, &lead.job.key, &held) {
            self.release(&lead);
        }
        let followers = self.table.borrow_mut().dissolve(&lead.entry, lead.id);
        for follower in &followers {
            // RFC 9111 section 4: it was confirmed for one request. Another may have it if it is
            // fresh now; what is to be validated each time is validated by each.
            tell(&follower.job, Event::UseStored { answered: None, collapsed: true });
        }
        tell(&lead.job, Event::UseStored { answered: Some(304), collapsed: false });
    }

    /// The origin's answer to a HEAD freshens the stored response that it is about, or ends its
    /// freshness (RFC 9111 section 4.3.5).
    pub(super) async fn freshen_by_head(
        &self,
        mark: Mark,
        (request, answer, job): (&RequestHead<'_>, &Answer, &FillJob),
        record: &Record,
    ) {
        let Some(stored) = response_of(record, unix_ms()) else { return };
        let (_, body_len) = stored.held(record.body_len());
        let fields = request::borrowed(&answer.fields);
        let status = answer.response.status.as_u16();
        match freshen::by_head(&stored.validators(), body_len, status, &fields) {
            ByHead::Nothing => {}
            ByHead::Update => {
                self.renew(mark, (request, answer, job), (record, &stored)).await;
            }
            ByHead::Stale => {
                // Should it fail, the response lives as long as its origin said.
                let purges = [Purge::Key(record.key())];
                let _ = self.parts.writer.purge(&purges, Mode::Soft).await;
            }
        }
    }

    /// Writes a record anew with the fields that the origin sent for it. Yields its tags.
    async fn renew(
        &self,
        mark: Mark,
        (request, answer, job): (&RequestHead<'_>, &Answer, &FillJob),
        (record, stored): (&Record, &StoredHead<'_>),
    ) -> Vec<u64> {
        let mut merged: Vec<(String, Vec<u8>)> = Vec::new();
        let old: Vec<(&str, &[u8])> = stored.fields().collect();
        let update = request::borrowed(&answer.fields);
        freshen::merge(&old, &update, &mut |name, value| {
            merged.push((name.to_owned(), value.to_vec()));
        });
        if self.rule(job).is_some_and(|rule| rule.compress.is_some()) {
            coding::mark_merged(&mut merged, &old);
        }
        let fields = request::borrowed(&merged);
        let exchange = Exchange {
            method: "GET",
            request: &request.fields,
            status: stored.meta.status,
            response: &fields,
            request_time_ms: answer.response.request_time_ms,
            response_time_ms: answer.response.response_time_ms,
        };
        let tags = tags::of_response(record.key(), &fields);
        // When it is no longer storable: this once it was confirmed, the next request asks anew.
        if let Ok(meta) = storable::evaluate(&exchange, &self.storing(job)) {
            let meta = StoredMeta { part: stored.meta.part, ..meta };
            self.note_stored((&job.key, record.key()), &meta);
            let mut head = Vec::new();
            stored::encode_response(&meta, &fields, None, &mut head);
            let lifetime_ms = lifetime_ms(&meta, unix_ms());
            let draft = Draft { tags: &tags, lifetime_ms, ..Draft::growing(record.key(), &head) };
            if self.copy((mark, &job.key), record, draft).await {
                self.parts.counters.add(Counter::StoreStored, 1);
            }
        }
        tags
    }

    /// Writes `record` again as `draft` says, unless a purge has come since the validation began
    /// (FL-2): it forbids the old body a new life. A body in slices stays where it is; another goes
    /// window by window.
    async fn copy(
        &self,
        (mark, primary): (Mark, &[u8]),
        record: &Record,
        draft: Draft<'_>,
    ) -> bool {
        let body_len = record.body_len();
        let held: Vec<u64> = record.tags().chain(draft.tags.iter().copied()).collect();
        // A purge that comes behind this finds the draft, which is opened before any wait.
        if self.has_purged(mark, primary, &held) {
            return false;
        }
        if let Some(renewed) = self.parts.writer.rehead(record, draft).await {
            return renewed.is_ok();
        }
        let draft = Draft { body_len: Some(body_len), ..draft };
        let Some(mut pending) = self.begin(draft).await else { return false };
        if self.has_purged(mark, primary, &held) {
            self.parts.writer.abandon(pending).await;
            return false;
        }
        if !self.copy_range(&mut pending, record, 0..body_len).await {
            self.parts.counters.add(Counter::StoreWriteErrors, 1);
            self.parts.writer.abandon(pending).await;
            return false;
        }
        self.parts.writer.commit(pending).await.is_ok()
    }
}
