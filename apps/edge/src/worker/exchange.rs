//! From a request's head to what answers it: the store, the fill plane, or the edge itself.

use std::sync::Arc;

use longhold_conn::BodyLength;
use longhold_gateway::lookup::{self, Served, Verdict};
use longhold_gateway::outcome::{Fwd, Outcome};
use longhold_gateway::plan::{self, Facts, Plan};
use longhold_gateway::reject::{self, Answer, Persistence};
use longhold_gateway::rules::{RuleId, SiteRef};
use longhold_gateway::stored::{self, RecordHead};
use longhold_gateway::{Field, forward, key, tunnel};
use longhold_http1::{self as http1, BodyFraming, RequestHead, Version};
use longhold_origin::Upload;
use longhold_store::{self as store, PageIn, Record};
use longhold_telemetry::Counter;
use longhold_transport::Transport;

use super::Worker;
use super::active::{Body, Leaving, Phase};
use super::deliver::{Asked, Delivered, hit};
use super::pages::Resume;
use crate::fill::interest::Interest;
use crate::fill::rest::Rest;
use crate::fill::{FillJob, JobKind, ReplyTo};
use crate::inbox::{Event, ExchangeId};
use crate::node;
use crate::outgoing::{Outgoing, Piece};
use crate::stored::response_of;

/// What an exchange keeps while it waits for the fill plane.
pub(super) struct Held {
    /// Primary key; empty when the request has none.
    pub(super) key: Vec<u8>,
    /// The request's head, to be parsed again when the answer is here.
    pub(super) head: Arc<[u8]>,
    pub(super) facts: Facts,
    pub(super) fwd: Fwd,
    pub(super) site: SiteRef,
    /// It is forwarded as it is: nothing stored answers it.
    pub(super) passes: bool,
    /// How to know the response that is relayed, should some of it leave the store on the way.
    pub(super) relayed: Option<Rest>,
    /// How often the fill plane has been asked for this exchange.
    pub(super) asked: u8,
    /// Ends with the exchange, which the fill plane hears.
    interest: Interest,
}

impl Held {
    /// What is kept of a request whose head is at the front of `raw`.
    pub(super) fn of(
        (head, raw): (&RequestHead<'_>, &[u8]),
        key: &[u8],
        (facts, site, fwd): (Facts, SiteRef, Fwd),
    ) -> Box<Self> {
        let head = Arc::from(raw.get(..head.head_bytes).unwrap_or(raw));
        let (key, interest) = (Vec::from(key), Interest::new());
        let (passes, relayed, asked) = (false, None, 0);
        Box::new(Self { key, head, facts, fwd, site, passes, relayed, asked, interest })
    }
}

/// What a lookup found.
pub(super) enum Found {
    /// A response; its record head decodes.
    Response(Record),
    /// Nothing, and RFC 9211's word for it.
    Nothing(Fwd),
    /// Something that is not in memory.
    Cold(PageIn),
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// A whole head has arrived. `raw` starts with it.
    pub(super) fn on_request(&mut self, index: u32, head: &RequestHead<'_>, raw: &[u8]) {
        self.open_exchange(index, head);
        let (plan, facts) = plan::plan(head);
        if let Plan::Reject(status) = plan {
            return self.answer(index, status, "this method is not offered here", None);
        }
        if plan == Plan::AnswerOptions {
            return self.answer(index, 204, "", None);
        }
        // RFC 9110 section 7.4: what was asked for over another scheme's connection is not here.
        let scheme = self.scheme(index);
        if head.target.scheme.is_some_and(|said| !said.eq_ignore_ascii_case(scheme)) {
            return self.answer(index, 421, "this listener serves another scheme", None);
        }
        let Some(site) = self.shared.sites.find(head.target.authority) else {
            return self.answer(index, 421, "no site is configured for this host", None);
        };
        self.set_idle(index, site);
        if !self.shared.redirects.is_empty() && self.send_elsewhere(index, head) {
            return;
        }
        if self.shared.rules.has(site) {
            return self.on_ruled(index, site, (plan, facts), (head, raw));
        }
        self.route(index, (plan, facts), SiteRef::plain(site), (head, raw));
    }

    /// On with a request whose site is known, and the rule that holds there.
    pub(super) fn route(
        &mut self,
        index: u32,
        (plan, facts): (Plan, Facts),
        site: SiteRef,
        (head, raw): (&RequestHead<'_>, &[u8]),
    ) {
        if (head.upgrade || plan == Plan::Connect)
            && self.ask_tunnel(index, (facts, site), (head, raw))
        {
            return;
        }
        match plan {
            Plan::Lookup => self.look_up(index, head, (facts, site), raw),
            Plan::Pass(fwd) => self.pass(index, head, (facts, site, fwd), raw),
            Plan::Connect => self.answer(index, 501, "this method is not offered here", None),
            Plan::AnswerOptions | Plan::Reject(_) => {}
        }
    }

    /// How the client of an active connection reached us.
    fn scheme(&self, index: u32) -> &'static str {
        let slot = self.actives.get(index).and_then(|active| self.slots.get(active.token.slot));
        slot.map_or("http", |slot| self.shared.scheme(slot.listener()))
    }

    fn open_exchange(&mut self, index: u32, head: &RequestHead<'_>) {
        let started_us = self.now.monotonic_us;
        let logged = self.log.is_some();
        let Some(active) = self.actives.get_mut(index) else { return };
        if let Some(slot) = self.slots.get(active.token.slot) {
            active.serial = slot.add_request();
        }
        active.outcome = Outcome::local(0);
        active.paged = 0;
        active.continue_since_ms = None;
        active.leaving = Leaving::No;
        active.draft.is_http10 = head.version == Version::Http10;
        let mut parts: [&[u8]; 5] = [&[]; 5];
        if logged {
            parts = [
                head.method.as_bytes(),
                head.target.raw.as_bytes(),
                head.target.authority.as_bytes(),
                field(&head.fields, "referer"),
                field(&head.fields, "user-agent"),
            ];
        }
        active.draft.open(parts, started_us);
        active.draft.received_bytes = head.head_bytes as u64;
    }

    /// From now on the connection may rest as long as the site allows.
    fn set_idle(&mut self, index: u32, site: usize) {
        let Some(active) = self.actives.get(index) else { return };
        let number = active.token.slot;
        let Some(slot) = self.slots.get(number) else { return };
        match self.shared.idle_ms.get(site) {
            Some(idle_ms) if *idle_ms != slot.idle_ms() => {
                slot.set_idle_ms(*idle_ms);
                // The wheel may hold a later moment than the new one.
                self.wheel.schedule(&self.slots, number, self.now_ms() + idle_ms);
            }
            Some(_) | None => {}
        }
    }

    fn look_up(
        &mut self,
        index: u32,
        head: &RequestHead<'_>,
        (facts, site): (Facts, SiteRef),
        raw: &[u8],
    ) {
        let mut key = std::mem::take(&mut self.scratch.key);
        let now_ms = self.now.unix_ms;
        let scheme = self.scheme(index);
        let verdict = if key::write_primary(&mut key, scheme, &head.target).is_ok() {
            let found = self.find(&mut key, &head.fields, site.rule);
            let (stored, missed) = match &found {
                Found::Response(record) => (response_of(record, now_ms), Fwd::Miss),
                Found::Nothing(fwd) => (None, *fwd),
                Found::Cold(_) => (None, Fwd::Miss),
            };
            match (lookup::judge(&facts, stored.as_ref(), missed, now_ms), found) {
                (_, Found::Cold(cold)) => {
                    let held = Held::of((head, raw), &key, (facts, site, Fwd::Miss));
                    self.scratch.key = key;
                    return self.await_pages(index, held, &cold, Resume::LookUp);
                }
                (Verdict::Serve(served), Found::Response(record)) => {
                    let asked = Asked { method: head.method, fields: &head.fields, facts: &facts };
                    match self.deliver(index, record, &asked, hit()) {
                        Delivered::Sent => {
                            self.on_served(index, served, (&key, site), (head, raw));
                            let why = (facts, site, Fwd::Partial);
                            self.keep_held(index, || Held::of((head, raw), &key, why));
                            self.scratch.key = key;
                            return;
                        }
                        Delivered::Cold(cold) => {
                            let held = Held::of((head, raw), &key, (facts, site, Fwd::Miss));
                            self.scratch.key = key;
                            return self.await_pages(index, held, &cold, Resume::LookUp);
                        }
                        // It is incomplete, or failed its checks: it is no answer.
                        Delivered::Unusable => lookup::judge(&facts, None, Fwd::Partial, now_ms),
                    }
                }
                (verdict, _) => verdict,
            }
        } else {
            key.clear();
            Verdict::Fetch { fwd: Fwd::Bypass, validate: false, share: false }
        };
        match verdict {
            Verdict::GatewayTimeout => {
                let cause = "only-if-cached: nothing suitable is stored";
                self.answer(index, 504, cause, None);
            }
            Verdict::Fetch { .. } if forward::is_loop(&head.fields, node::id()) => {
                self.answer(index, 508, LOOP, None);
            }
            Verdict::Fetch { fwd, share, .. } => {
                let streams = tunnel::asks_for_stream(head);
                let passes = key.is_empty() || streams;
                let mut held = Held::of((head, raw), &key, (facts, site, fwd));
                held.passes = passes;
                let alone = self.shared.rules.get(site.rule).is_some_and(|rule| rule.alone);
                let kind = if streams {
                    JobKind::Stream
                } else if passes {
                    JobKind::Pass { upload: None, length: None }
                } else {
                    JobKind::Fill { share: share && !alone }
                };
                self.ask(index, held, kind);
            }
            Verdict::Serve(_) => {}
        }
        self.scratch.key = key;
    }

    /// Counts a stale answer, and has it renewed where the rules say so.
    fn on_served(
        &mut self,
        index: u32,
        served: Served,
        (key, site): (&[u8], SiteRef),
        request: (&RequestHead<'_>, &[u8]),
    ) {
        match served {
            Served::Fresh => {}
            Served::MaxStale => self.counters.add(Counter::RequestsMaxStale, 1),
            Served::WhileRevalidate => {
                self.counters.add(Counter::RequestsStaleWhileRevalidate, 1);
                self.revalidate(index, key, request, site);
            }
        }
    }

    /// Looks up once more what a request asked for whose pages are in now.
    pub(super) fn look_up_again(&mut self, index: u32) {
        let Some(held) = self.take_held(index) else { return };
        let limits = self.shared.limits;
        let Ok(Some(request)) = http1::parse_request(&held.head, &limits) else {
            return self.answer(index, 500, "the request was lost inside the edge", None);
        };
        self.look_up(index, &request, (held.facts, held.site), &held.head);
    }

    /// Looks `key` (the primary key) up, and the variant that the request selects under this rule.
    /// Leaves `key` as it was.
    pub(super) fn find(&mut self, key: &mut Vec<u8>, request: &[Field<'_>], rule: RuleId) -> Found {
        let record = match self.store.find(key) {
            store::Found::Record(record) => record,
            store::Found::Cold(cold) => return Found::Cold(cold),
            store::Found::Miss => {
                self.counters.add(Counter::StoreMisses, 1);
                return Found::Nothing(Fwd::UriMiss);
            }
        };
        let primary_len = key.len();
        let rules = &self.shared.rules;
        let found = match stored::decode(record.head()) {
            Some(RecordHead::Response(_)) if rules.fits(rule, "") => Found::Response(record),
            Some(RecordHead::Vary(base)) if rules.fits(rule, base.nominated) => {
                key::append_variant(key, base.id, base.nominated, request);
                match self.store.find(key) {
                    store::Found::Record(variant) => Found::Response(variant),
                    store::Found::Cold(cold) => Found::Cold(cold),
                    store::Found::Miss => Found::Nothing(Fwd::VaryMiss),
                }
            }
            Some(RecordHead::Response(_) | RecordHead::Vary(_)) | None => {
                Found::Nothing(Fwd::UriMiss)
            }
        };
        key.truncate(primary_len);
        match &found {
            Found::Response(_) => self.counters.add(Counter::StoreHits, 1),
            Found::Nothing(_) => self.counters.add(Counter::StoreMisses, 1),
            Found::Cold(_) => {}
        }
        found
    }

    /// Forwards a request as it is, body and all.
    fn pass(
        &mut self,
        index: u32,
        head: &RequestHead<'_>,
        (facts, site, fwd): (Facts, SiteRef, Fwd),
        raw: &[u8],
    ) {
        if forward::is_loop(&head.fields, node::id()) {
            return self.answer(index, 508, LOOP, None);
        }
        let mut primary = Vec::new();
        // Without a key nothing is invalidated, and nothing could have been stored.
        let _ = key::write_primary(&mut primary, self.scheme(index), &head.target);
        self.shared.rules.canonical_key(site.number, &mut primary);
        let mut held = Held::of((head, raw), &primary, (facts, site, fwd));
        held.passes = true;
        let length = match head.framing {
            BodyFraming::None => Some(0),
            BodyFraming::Length(length) => Some(length),
            BodyFraming::Chunked | BodyFraming::UntilClose => None,
        };
        let upload = plan::has_content(head.framing).then(|| {
            let reply = self.reply_to(index);
            let moved = Arc::new(move || {
                if let Some(reply) = &reply {
                    reply.post(Event::UploadMoved);
                }
            });
            Arc::new(Upload::new(self.shared.upload_window_bytes, moved))
        });
        if let Some(active) = self.actives.get_mut(index) {
            active.upload = upload.clone();
        }
        let kind = match tunnel::asks_for_stream(head) {
            true => JobKind::Stream,
            false => JobKind::Pass { upload, length },
        };
        self.ask(index, held, kind);
        self.await_continue(index);
    }

    /// Asks the fill plane; over its bound the client is told when to come back.
    pub(super) fn ask(&mut self, index: u32, mut held: Box<Held>, kind: JobKind) {
        let Some(job) = self.job_of(index, &held, kind) else { return };
        let Some(active) = self.actives.get_mut(index) else { return };
        held.asked += 1;
        active.held = Some(held);
        active.phase = Phase::AwaitsFill;
        if self.fills.submit(job).is_err() {
            self.counters.add(Counter::FillRefused, 1);
            let cause = "the edge has too many fetches waiting; try again later";
            self.answer(index, 503, cause, Some(1));
        }
    }

    /// What the fill plane is to do for an exchange.
    pub(super) fn job_of(&self, index: u32, held: &Held, kind: JobKind) -> Option<FillJob> {
        let reply = self.reply_to(index)?;
        let slot = self.slots.get(self.actives.get(index)?.token.slot)?;
        Some(FillJob {
            kind,
            key: held.key.clone(),
            head: Arc::clone(&held.head),
            site: held.site,
            peer: slot.peer(),
            scheme: self.shared.scheme(slot.listener()),
            reply: Some(reply),
            asker: Some(held.interest.asker()),
        })
    }

    /// One background fetch for a response that was served stale (RFC 5861 section 3). When the
    /// fill plane has much to do it is left out: a later request asks again.
    fn revalidate(
        &mut self,
        index: u32,
        key: &[u8],
        (head, raw): (&RequestHead<'_>, &[u8]),
        site: SiteRef,
    ) {
        // The answer to a HEAD could not replace what is stored.
        if head.method != "GET" {
            return;
        }
        let Some(active) = self.actives.get(index) else { return };
        let Some(slot) = self.slots.get(active.token.slot) else { return };
        let job = FillJob {
            kind: JobKind::Revalidate,
            key: Vec::from(key),
            head: Arc::from(raw.get(..head.head_bytes).unwrap_or(raw)),
            site,
            peer: slot.peer(),
            scheme: self.shared.scheme(slot.listener()),
            reply: None,
            asker: None,
        };
        if self.fills.submit_background(job).is_err() {
            self.counters.add(Counter::FillRefused, 1);
        }
    }

    /// Answers by the edge itself and ends the exchange's interest in the fill plane.
    pub(super) fn answer(
        &mut self,
        index: u32,
        status: u16,
        cause: &str,
        retry_after_s: Option<u32>,
    ) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if let Some(upload) = active.upload.take() {
            upload.abort();
        }
        active.held = None;
        active.body = Body::Done;
        active.outcome = Outcome::local(status);
        let answer = Answer { status, cause, retry_after_s };
        let length = match status {
            204 => BodyLength::None,
            _ => BodyLength::Known(reject::body_len(&answer)),
        };
        let plan = active.conn.start_response(status, length);
        let persistence = Persistence { close: plan.close, keep_alive: plan.keep_alive_field };
        let mut head = std::mem::take(&mut self.scratch.head);
        head.clear();
        reject::write(&mut head, &answer, persistence, plan.send_body, self.now.unix_ms);
        self.send_head(index, &head, Piece::None);
        self.scratch.head = head;
    }

    pub(super) fn reply_to(&self, index: u32) -> Option<ReplyTo> {
        let active = self.actives.get(index)?;
        let exchange = ExchangeId { token: active.token, serial: active.serial };
        Some(ReplyTo { inbox: Arc::clone(&self.inbox), exchange })
    }
}

fn field<'a>(fields: &[Field<'a>], name: &str) -> &'a [u8] {
    fields
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map_or(&[], |(_, value)| value)
}

/// RFC 9110 section 7.6.3.
pub(super) const LOOP: &str =
    "the request has come back here: an origin of this edge leads to the edge";
