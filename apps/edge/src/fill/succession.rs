//! Leaders that fail or are slow, followers that wait too long, and keys that nobody should wait
//! for.

use std::pin::pin;
use std::rc::Rc;

use longhold_gateway::coalesce::{FillId, HandedOn};
use longhold_gateway::fetch;
use longhold_gateway::purge::Scope;
use longhold_http1::RequestHead;
use longhold_origin::FetchError;
use longhold_policy::storable::NotStored;
use longhold_policy::{StoredMeta, reuse};
use longhold_telemetry::Counter;
use tokio::time::{Instant, sleep_until};

use super::lead::{Lead, tell, unix_ms};
use super::plane::{Plane, Waiting};
use crate::inbox::Event;

/// The place of a leader, for a follower that takes it.
pub(super) struct Seat {
    pub(super) id: FillId,
    /// The key in the table.
    pub(super) entry: Vec<u8>,
}

impl Plane {
    /// The origin's answer to a leader. While it does not come, followers are let go or lead beside
    /// this one, as the config has it.
    pub(super) async fn await_head<T>(
        self: &Rc<Self>,
        lead: &Lead,
        asking: impl Future<Output = T>,
    ) -> T {
        let waits = self.parts.waits;
        let begun = Instant::now();
        let mut asking = pin!(asking);
        let mut look_again = begun + waits.leader.min(waits.follower);
        loop {
            tokio::select! {
                biased;
                answer = &mut asking => return answer,
                () = sleep_until(look_again) => look_again = self.look_after(lead, begun),
            }
        }
    }

    /// Lets go who has waited too long, and seats a second leader beside a slow one; says when to
    /// look again.
    fn look_after(self: &Rc<Self>, lead: &Lead, begun: Instant) -> Instant {
        let waits = self.parts.waits;
        let now = Instant::now();
        let is_due = |waiting: &Waiting| waiting.since + waits.follower <= now;
        let leaving = self.table.borrow_mut().leave(&lead.entry, is_due);
        self.parts.counters.add(Counter::FollowersLeft, leaving.len() as u64);
        for Waiting { job, .. } in leaving {
            self.go_alone(job);
        }
        let slow_at = begun + waits.leader;
        if slow_at <= now {
            let seated = self.table.borrow_mut().take_over(&lead.entry, lead.id, can_lead);
            if let Some((id, waiting)) = seated {
                self.parts.counters.add(Counter::TakeoversSlow, 1);
                self.seat(lead, id, waiting);
            }
        }
        let longest = self.table.borrow().longest_waiting(&lead.entry).map(|first| first.since);
        let leaves_at = longest.map_or(now + waits.follower, |since| since + waits.follower);
        let looks_at = if now < slow_at { slow_at } else { now + waits.leader };
        leaves_at.min(looks_at)
    }

    /// Lets a follower lead.
    fn seat(self: &Rc<Self>, lead: &Lead, id: FillId, Waiting { job, .. }: Waiting) {
        let seat = Seat { id, entry: lead.entry.clone() };
        self.spawn_fill(job, Some(seat));
    }

    /// A leader has got no response: the next in line tries where that may help, else all who wait
    /// are told.
    pub(super) fn fail(self: &Rc<Self>, lead: Lead, error: FetchError) {
        self.count_error(error);
        let waiting = if is_of_request(error) {
            let handed = self.table.borrow_mut().hand_on(&lead.entry, lead.id, can_lead);
            match handed {
                HandedOn::Others => Vec::new(),
                HandedOn::Next(id, next) => {
                    self.parts.counters.add(Counter::TakeoversFailed, 1);
                    self.seat(&lead, id, next);
                    Vec::new()
                }
                HandedOn::Ended(waiting) => waiting,
            }
        } else {
            self.table.borrow_mut().end(&lead.entry, lead.id)
        };
        for job in waiting.iter().map(|waiting| &waiting.job).chain([&lead.job]) {
            tell(job, Event::Failed(error));
        }
    }

    /// A seat is not needed after all: those who wait are told the same as its owner.
    pub(super) fn vacate(&self, seat: Option<Seat>, news: impl Fn() -> Event) {
        let Some(Seat { id, entry }) = seat else { return };
        for Waiting { job, .. } in self.table.borrow_mut().dissolve(&entry, id) {
            tell(&job, news());
        }
    }

    /// Whether this request waits for no other: the last response was for its asker alone.
    pub(super) fn is_unshared(&self, fetch_key: &[u8], request: &RequestHead<'_>) -> bool {
        let is_known = self.unshared_reason(fetch_key, request).is_some();
        self.parts.counters.add(Counter::RequestsUnshared, u64::from(is_known));
        is_known
    }

    /// Why the last response to such a request was for its asker alone, where that is remembered.
    pub(super) fn unshared_reason(
        &self,
        fetch_key: &[u8],
        request: &RequestHead<'_>,
    ) -> Option<NotStored> {
        let unshared = self.unshared.borrow();
        if unshared.is_empty() {
            return None;
        }
        let now_ms = unix_ms();
        let of_all = unshared.recall(fetch_key, now_ms);
        let of_credentials = || unshared.recall(&credentials_key(fetch_key), now_ms);
        of_all.or_else(|| has_credentials(request).then(of_credentials).flatten())
    }

    /// A response is stored. One that is never to be used without validation is its asker's alone
    /// all the same (FL-1), and nobody need wait for the next one.
    pub(super) fn note_stored(&self, (primary, fetch_key): (&[u8], &[u8]), meta: &StoredMeta) {
        if reuse::is_validated_each_time(meta) {
            self.remember_unshared(fetch_key, NotStored::NoUse, meta.status);
        } else {
            self.unshared.borrow_mut().forget(&Scope::Key(primary.to_vec()));
        }
    }

    /// A response was for its asker alone. Where that says something of the next ones, they need
    /// not wait for each other to learn the same; an error of the origin's (5xx) says nothing.
    pub(super) fn remember_unshared(&self, fetch_key: &[u8], reason: NotStored, status: u16) {
        let until_ms = unix_ms() + self.parts.waits.unshared.as_millis() as u64;
        let mut unshared = self.unshared.borrow_mut();
        if reason == NotStored::Authorization {
            unshared.remember(&credentials_key(fetch_key), reason, until_ms);
        } else if fetch::is_of_resource(reason) && status < 500 {
            unshared.remember(fetch_key, reason, until_ms);
        }
    }
}

fn can_lead(waiting: &Waiting) -> bool {
    waiting.can_lead && waiting.job.asker.as_ref().is_none_or(|asker| !asker.is_gone())
}

/// Whether the failure may be due to the one request that was sent, or to its connection. The
/// others are the origin's as a whole, or the edge's: whoever asks next would meet them again.
fn is_of_request(error: FetchError) -> bool {
    match error {
        FetchError::Reset
        | FetchError::NoResponse
        | FetchError::BadResponse
        | FetchError::HeadTooLarge
        | FetchError::Truncated
        | FetchError::UploadAborted
        | FetchError::BadTarget
        | FetchError::Abandoned => true,
        FetchError::ConnectRefused
        | FetchError::ConnectTimeout
        | FetchError::Unreachable
        | FetchError::ConnectFault
        | FetchError::Exhausted
        | FetchError::Dns
        | FetchError::TlsCertificate
        | FetchError::TlsHandshake
        | FetchError::FirstByteTimeout
        | FetchError::ReadTimeout
        | FetchError::PoolFull
        | FetchError::QueueTimeout
        | FetchError::Stopped
        | FetchError::TunnelUnsupported => false,
    }
}

fn has_credentials(request: &RequestHead<'_>) -> bool {
    request.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
}

/// Under which key it is remembered that answers to credentials are not shared (RFC 9111 section
/// 3.5). No variant's key is so short behind its zero byte.
fn credentials_key(fetch_key: &[u8]) -> Vec<u8> {
    [fetch_key, b"\0auth"].concat()
}
