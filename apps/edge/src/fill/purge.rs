//! Purges: what they take from fetches in progress, and what they are to the store (FL-2).
//!
//! ```text
//! purge ─► journal ─► fetches in progress lose their key ─► store ─ durable ─► those that waited
//!                                                                              ask again
//! fetch ─► mark ─ … ─► head, tags ─► draft ─► purged since the mark? ─► stored and shared, or not
//! ```
//! A draft that is open when a purge comes is the store's to forget: it counts as older. So what
//! is asked after `begin` leaves no gap: a purge lies in the journal, or came to an open draft.

use std::rc::Rc;

use longhold_gateway::purge::{Mark, Scope};
use longhold_gateway::stored::{self, RecordHead};
use longhold_gateway::tags;
use longhold_store::{Mode, Purge, WriteError};
use longhold_telemetry::Counter;

use super::lead::{Answer, Lead};
use super::plane::{Plane, Waiting};

impl Plane {
    /// Purges; in force at once, durable when it returns (GW-5). Yields how many of the keys that
    /// were named were stored.
    pub(super) async fn purge(
        self: &Rc<Self>,
        scopes: &[Scope],
        mode: Mode,
    ) -> Result<u64, WriteError> {
        self.purge_marked(scopes, mode).await.1
    }

    /// As [`Plane::purge`], with the mark of the moment at which it was in force: what the caller
    /// has fetched is not concerned by it, and by all that comes after.
    pub(super) async fn purge_marked(
        self: &Rc<Self>,
        scopes: &[Scope],
        mode: Mode,
    ) -> (Mark, Result<u64, WriteError>) {
        let mut waiting = Vec::new();
        for scope in scopes {
            self.journal.borrow_mut().note(scope.clone());
            self.unshared.borrow_mut().forget(scope);
            waiting.append(&mut self.table.borrow_mut().revoke(scope, |open| &open.tags));
        }
        let mark = self.mark();
        let mut purges = Vec::with_capacity(scopes.len());
        let mut varying_count = 0;
        for scope in scopes {
            match scope {
                Scope::Key(key) if mode == Mode::Soft && self.is_varying(key) => {
                    purges.push(Purge::Tag(tags::of_primary(key)));
                    varying_count += 1;
                }
                Scope::Key(key) => purges.push(Purge::Key(key)),
                Scope::Prefix(prefix) => purges.push(Purge::Prefix(prefix)),
                Scope::Tag(tag) => purges.extend([Purge::Tag(*tag), Purge::Tag(tags::MANY)]),
                Scope::All => purges.push(Purge::All),
            }
        }
        let purged = self.parts.writer.purge(&purges, mode).await;
        for Waiting { job, .. } in waiting {
            self.spawn(job);
        }
        (mark, purged.map(|purged| purged.found + varying_count))
    }

    /// Now, as a fetch that begins remembers it.
    pub(super) fn mark(&self) -> Mark {
        self.journal.borrow().mark()
    }

    /// Whether a purge has come since `mark` that concerns a response under this key with these
    /// tags. Asked once a draft is open: a purge that comes later finds the draft.
    pub(super) fn has_purged(&self, mark: Mark, key: &[u8], tags: &[u64]) -> bool {
        self.journal.borrow().has_purged(mark, key, tags)
    }

    /// A purge has overtaken a response. It is for the asker alone, who asked before the purge;
    /// those that waited ask again.
    pub(super) async fn give_purged(self: &Rc<Self>, lead: Lead, answer: Answer) {
        self.release(&lead);
        if lead.job.reply.is_some() {
            self.note_unstored(&lead.job, "purged", "");
            self.stream_alone(lead.job, answer, Some("purged")).await;
        }
    }

    /// Ends a fetch that a purge has overtaken: those that waited ask again.
    pub(super) fn release(self: &Rc<Self>, lead: &Lead) {
        self.parts.counters.add(Counter::FetchesPurged, 1);
        let waiting = self.table.borrow_mut().dissolve(&lead.entry, lead.id);
        for Waiting { job, .. } in waiting {
            self.spawn(job);
        }
    }

    /// Whether a vary base lies under the key. With its base gone a variant cannot be found; to be
    /// stale, each must be marked itself.
    fn is_varying(&self, primary: &[u8]) -> bool {
        self.parts.reader.lookup(primary).is_some_and(|record| {
            matches!(stored::decode(record.head()), Some(RecordHead::Vary(_)))
        })
    }
}
