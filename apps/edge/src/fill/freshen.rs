//! 304: the stored response is confirmed, its fields are brought up to date (RFC 9111 section
//! 4.3.4), and it is written anew under its key.

use std::rc::Rc;

use longhold_gateway::coding;
use longhold_gateway::stored::{self, StoredHead};
use longhold_gateway::tags;
use longhold_http1::RequestHead;
use longhold_policy::freshen;
use longhold_policy::storable::{self, Exchange};
use longhold_store::{Draft, Record};
use longhold_telemetry::Counter;

use super::lead::{Answer, Lead, tell, unix_ms};
use super::lifetime::lifetime_ms;
use super::plane::Plane;
use super::request;
use crate::inbox::Event;

impl Plane {
    /// Freshens `record` with the origin's 304 and tells all who wait to use it.
    pub(super) async fn freshen(
        self: &Rc<Self>,
        lead: Lead,
        (request, answer): (&RequestHead<'_>, &Answer),
        record: &Record,
        stored: &StoredHead<'_>,
    ) {
        let mut merged: Vec<(String, Vec<u8>)> = Vec::new();
        let old: Vec<(&str, &[u8])> = stored.fields().collect();
        let update = request::borrowed(&answer.fields);
        freshen::merge(&old, &update, &mut |name, value| {
            merged.push((name.to_owned(), value.to_vec()));
        });
        if self.rule(&lead.job).is_some_and(|rule| rule.compress.is_some()) {
            coding::mark_merged(&mut merged, &old);
        }
        let fields = request::borrowed(&merged);
        let exchange = Exchange {
            method: request.method,
            request: &request.fields,
            status: stored.meta.status,
            response: &fields,
            request_time_ms: answer.response.request_time_ms,
            response_time_ms: answer.response.response_time_ms,
        };
        let tags = tags::of_response(record.key(), &fields);
        // When it is no longer storable: this once it was confirmed, the next request asks anew.
        if let Ok(meta) = storable::evaluate(&exchange, &self.storing(&lead.job)) {
            let mut head = Vec::new();
            stored::encode_response(&meta, &fields, None, &mut head);
            let lifetime_ms = lifetime_ms(&meta, unix_ms());
            let draft = Draft { tags: &tags, lifetime_ms, ..Draft::growing(record.key(), &head) };
            if self.copy(&lead, record, draft).await {
                self.parts.counters.add(Counter::StoreStored, 1);
            }
        }
        let held: Vec<u64> = record.tags().chain(tags).collect();
        if self.has_purged(lead.mark, &lead.job.key, &held) {
            self.release(&lead);
        }
        let followers = self.table.borrow_mut().dissolve(&lead.entry, lead.id);
        for follower in &followers {
            // RFC 9111 section 4: it was confirmed for one request. Another may have it if it is
            // fresh now; what is to be validated each time is validated by each.
            tell(&follower.job, Event::UseStored { validated: false, collapsed: true });
        }
        tell(&lead.job, Event::UseStored { validated: true, collapsed: false });
    }

    /// Writes `record` again as `draft` says, unless a purge has come since the validation began
    /// (FL-2): it forbids the old body a new life. The body goes window by window, so that a large
    /// one never lies in memory.
    async fn copy(&self, lead: &Lead, record: &Record, draft: Draft<'_>) -> bool {
        let body_len = record.body_len();
        let held: Vec<u64> = record.tags().chain(draft.tags.iter().copied()).collect();
        let draft = Draft { body_len: Some(body_len), ..draft };
        let Some(mut pending) = self.begin(draft).await else { return false };
        if self.has_purged(lead.mark, &lead.job.key, &held) {
            self.parts.writer.abandon(pending).await;
            return false;
        }
        let mut at = 0;
        let mut copy = vec![0; COPY_WINDOW_BYTES.min(body_len) as usize];
        while at < body_len {
            // Copied twice, so that a file that was cut is an error.
            let mut copied = 0;
            if let Ok(piece) = record.piece(at, COPY_WINDOW_BYTES)
                && let bytes = &mut copy[..piece.len()]
                && piece.copy_to(0, bytes).is_ok()
                && self.parts.writer.append(&mut pending, bytes).await.is_ok()
            {
                copied = bytes.len() as u64;
            }
            if copied == 0 {
                self.parts.counters.add(Counter::StoreWriteErrors, 1);
                self.parts.writer.abandon(pending).await;
                return false;
            }
            at += copied;
        }
        self.parts.writer.commit(pending).await.is_ok()
    }
}

const COPY_WINDOW_BYTES: u64 = 256 * 1024;
