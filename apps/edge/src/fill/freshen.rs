//! 304: the stored response is confirmed, its fields are brought up to date (RFC 9111 section
//! 4.3.4), and it is written anew under its key.

use std::rc::Rc;

use longhold_gateway::stored::{self, StoredHead};
use longhold_http1::RequestHead;
use longhold_policy::freshen;
use longhold_policy::storable::{self, Exchange};
use longhold_store::Record;
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
        let fields = request::borrowed(&merged);
        let exchange = Exchange {
            method: request.method,
            request: &request.fields,
            status: stored.meta.status,
            response: &fields,
            request_time_ms: answer.response.request_time_ms,
            response_time_ms: answer.response.response_time_ms,
        };
        // FL-2: a purge in between forbids the old body a new life.
        let current = self.is_current(&lead.entry, lead.id);
        match storable::evaluate(&exchange) {
            Ok(meta) if current => {
                let mut head = Vec::new();
                stored::encode_response(&meta, &fields, None, &mut head);
                if self.copy(record, &head, lifetime_ms(&meta, unix_ms())).await {
                    self.parts.counters.add(Counter::StoreStored, 1);
                }
            }
            // No longer storable: this once it was confirmed, the next request asks anew.
            Ok(_) | Err(_) => {}
        }
        let followers = self.table.borrow_mut().end(&lead.entry, lead.id);
        for job in &followers {
            tell(job, Event::UseStored { validated: true, collapsed: true });
        }
        tell(&lead.job, Event::UseStored { validated: true, collapsed: false });
    }

    /// Writes `record` again with another head. The body goes window by window, so that a large
    /// one never lies in memory.
    async fn copy(&self, record: &Record, head: &[u8], lifetime_ms: Option<u64>) -> bool {
        let body_len = record.body_len();
        let tags: Vec<u64> = record.tags().collect();
        let draft = longhold_store::Draft::new(record.key(), head, body_len);
        let draft = longhold_store::Draft { tags: &tags, lifetime_ms, ..draft };
        let Some(mut pending) = self.begin(draft).await else { return false };
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
