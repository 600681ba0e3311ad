//! News from the fill plane, brought to the exchange that waits for it (ED-3).

use std::sync::Arc;

use longhold_conn::{BodyLength, CloseReason};
use longhold_gateway::deliver::Shape;
use longhold_gateway::outcome::{CacheOutcome, Outcome};
use longhold_gateway::reject::Persistence;
use longhold_gateway::relay::{self, Relay};
use longhold_http1::{self as http1, RequestHead};
use longhold_origin::{DownloadReader, FetchError, Next};
use longhold_policy::reuse;
use longhold_store::{Extent, Record, Window};
use longhold_telemetry::Counter;
use longhold_transport::Transport;

use super::Worker;
use super::active::{Body, Phase};
use super::deliver::{Asked, Delivered};
use super::exchange::{Found, Held};
use super::pages::Resume;
use crate::fill::{FillHead, JobKind};
use crate::inbox::{Event, ExchangeId};
use crate::outgoing::{Outgoing, Piece};
use crate::stored::response_of;

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Takes everything out of the inbox.
    pub(super) fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.scratch.events);
        self.inbox.take(&mut events);
        for (exchange, event) in events.drain(..) {
            self.on_event(exchange, event);
        }
        self.scratch.events = events;
    }

    fn on_event(&mut self, exchange: ExchangeId, event: Event) {
        let Some(index) = self.active_of(exchange.token) else { return };
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.serial != exchange.serial {
            return;
        }
        match event {
            Event::BodyMoved => self.pump(index),
            Event::UploadMoved => self.on_upload_moved(index),
            Event::PagesIn => self.on_pages_in(index),
            Event::Interim { status, fields } => self.on_interim(index, status, &fields),
            Event::Rest(rest) => self.on_rest(index, rest),
            Event::Failed(_) if active.refetching => self.break_off(index),
            Event::Failed(_) if active.phase == Phase::AwaitsSocket => self.refuse_socket(index),
            Event::Taken(taken) => {
                if active.phase == Phase::AwaitsFill {
                    self.on_taken(index, taken);
                }
            }
            Event::Head { .. } | Event::UseStored { .. } | Event::AskAlone | Event::Failed(_) => {
                // Else the exchange answered by itself in the meantime.
                if active.phase == Phase::AwaitsFill {
                    self.on_news(index, event);
                }
            }
        }
    }

    /// The fill plane answers, or its answer is looked at again.
    pub(super) fn on_news(&mut self, index: u32, news: Event) {
        match news {
            Event::Head { head, body, collapsed } => self.on_head(index, head, body, collapsed),
            Event::UseStored { answered, collapsed } => {
                self.on_use_stored(index, answered, collapsed);
            }
            Event::AskAlone => self.ask_alone(index),
            Event::Failed(error) => self.on_failed(index, error),
            Event::BodyMoved
            | Event::UploadMoved
            | Event::PagesIn
            | Event::Rest(_)
            | Event::Taken(_)
            | Event::Interim { .. } => {}
        }
    }

    fn on_upload_moved(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.upload.as_ref().is_some_and(|upload| upload.is_abandoned()) {
            // Nobody wants the rest: it is read and thrown away, within the bound.
            active.upload = None;
        }
        self.advance(index);
    }

    /// The origin answered.
    fn on_head(
        &mut self,
        index: u32,
        head: Arc<FillHead>,
        body: DownloadReader<Extent>,
        collapsed: bool,
    ) {
        let Some(held) = self.take_held(index) else { return };
        if reuse::is_failure(head.status) {
            match self.serve_stale(index, &held, Some(head.status)) {
                Delivered::Sent => return self.keep_held(index, || held),
                Delivered::Unusable => {}
                Delivered::Cold(cold) if self.page_in(index, &cold) => {
                    let news = Resume::News(Event::Head { head, body, collapsed });
                    return self.hold_for_pages(index, held, news);
                }
                Delivered::Cold(_) => {}
            }
        }
        let limits = self.shared.limits;
        let bytes = Arc::clone(&held.head);
        let Ok(Some(request)) = http1::parse_request(&bytes, &limits) else {
            return self.answer(index, 500, "the request was lost inside the edge", None);
        };
        let outcome = Outcome {
            status: head.status,
            cache: Some(CacheOutcome::Fwd(held.fwd)),
            fwd_status: None,
            stored: head.stored && !collapsed,
            collapsed,
        };
        self.relay(index, &head, (&request, held), (body, outcome));
    }

    fn relay(
        &mut self,
        index: u32,
        head: &FillHead,
        (request, held): (&RequestHead<'_>, Box<Held>),
        (mut body, mut outcome): (DownloadReader<Extent>, Outcome),
    ) {
        let fields: Vec<(&str, &[u8])> =
            head.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let asked = (request.method, &*request.fields);
        let shape = match held.passes {
            // The origin has seen conditions and range.
            true => Shape::Whole,
            false => relay::shape(asked, (head.status, &fields), head.body_len),
        };
        outcome.status = shape.status(head.status);
        outcome.fwd_status = Some(head.fwd_status).filter(|status| *status != outcome.status);
        let length = length_of(&shape, held.facts.is_head, head);
        let mut end = None;
        if let Shape::Part(part) = &shape {
            body.skip_to(part.start);
            end = Some(part.end);
        }
        let mut first = Next::Pending;
        if !held.facts.is_head && !matches!(length, BodyLength::None | BodyLength::Known(0)) {
            // What is already there goes out with the head.
            let window_bytes = self.shared.send_window_bytes;
            let wanted = end.map_or(window_bytes, |end| window_bytes.min(end - body.position()));
            first = body.next(wanted as usize);
        }
        let mut cold = None;
        let piece = match first {
            Next::Bytes(bytes) => Piece::Staged(bytes),
            Next::Extent { extent, range } => {
                match self.store.extent_window(&extent, range.clone()) {
                    Some(Window::Ready(slice)) => Piece::Stored(slice),
                    // The head need not wait for it.
                    Some(Window::Cold(_)) => {
                        cold = Some((extent, range));
                        Piece::None
                    }
                    // It has left the store already, as memory turns.
                    None => return self.ask_again(index, held),
                }
            }
            Next::Failed(error) => return self.fail(index, held, error),
            Next::Pending | Next::End => Piece::None,
        };
        let Some(active) = self.actives.get_mut(index) else { return };
        let plan = active.conn.start_response(outcome.status, length);
        active.outcome = outcome;
        let mut out = std::mem::take(&mut self.scratch.head);
        out.clear();
        let relay = Relay {
            status: head.status,
            shape: (&shape, head.body_len.unwrap_or(0)),
            fields: &fields,
            via_version: head.via_version,
            framing: plan.framing,
            outcome,
            ttl_s: head.ttl_s,
            detail: head.detail,
            persistence: Persistence { close: plan.close, keep_alive: plan.keep_alive_field },
            now_ms: self.now.unix_ms,
        };
        relay::write_head(&mut out, &relay);
        active.body = if plan.send_body && length != BodyLength::Known(0) {
            let chunked = plan.framing == http1::BodyFraming::Chunked;
            Body::Growing { reader: body, chunked, cold, end }
        } else {
            Body::Done
        };
        self.keep_relayed(index, held, head);
        self.send_head(index, &out, piece);
        self.scratch.head = out;
    }

    /// The store has it now.
    fn on_use_stored(&mut self, index: u32, answered: Option<u16>, collapsed: bool) {
        let validated = answered.is_some();
        let Some(held) = self.take_held(index) else { return };
        let limits = self.shared.limits;
        let head = Arc::clone(&held.head);
        let Ok(Some(request)) = http1::parse_request(&head, &limits) else {
            return self.answer(index, 500, "the request was lost inside the edge", None);
        };
        let mut key = held.key.clone();
        let cold = match self.find(&mut key, &request.fields, held.site.rule) {
            Found::Nothing(_) => None,
            Found::Cold(cold) => Some(cold),
            Found::Response(record) if !(validated || self.is_fresh(&record, &held)) => None,
            Found::Response(record) => {
                let cache = if held.asked > 0 && (validated || collapsed) {
                    CacheOutcome::Fwd(held.fwd)
                } else {
                    CacheOutcome::Hit
                };
                // Whatever form its client gets.
                let fwd_status = answered;
                let cache = Some(cache);
                let outcome = Outcome { status: 0, cache, fwd_status, stored: false, collapsed };
                let asked =
                    Asked { method: request.method, fields: &request.fields, facts: &held.facts };
                match self.deliver(index, record, &asked, outcome) {
                    Delivered::Sent => return self.keep_held(index, || held),
                    Delivered::Unusable => None,
                    Delivered::Cold(cold) => Some(cold),
                }
            }
        };
        if let Some(cold) = cold {
            let news = Resume::News(Event::UseStored { answered, collapsed });
            return self.await_pages(index, held, &cold, news);
        }
        // Gone again (reclaimed, displaced, purged) between the news and the look.
        self.ask_again(index, held);
    }

    fn is_fresh(&self, record: &Record, held: &Held) -> bool {
        let Some(stored) = response_of(record, self.now.unix_ms) else { return false };
        reuse::decide(&held.facts.directives, &stored.meta, self.now.unix_ms).serves()
    }

    fn ask_alone(&mut self, index: u32) {
        if let Some(held) = self.take_held(index) {
            self.ask_again(index, held);
        }
    }

    /// Asks once more, now for itself alone; the tries of one exchange are bounded.
    fn ask_again(&mut self, index: u32, held: Box<Held>) {
        if held.asked < ASKED_MAX {
            self.ask(index, held, JobKind::Fill { share: false });
        } else {
            self.answer(index, 503, "the cache changed too often under this request", Some(1));
        }
    }

    /// No response from the origin: a stale one where the rules allow it, or the error.
    fn on_failed(&mut self, index: u32, error: FetchError) {
        if let Some(held) = self.take_held(index) {
            self.fail(index, held, error);
        }
    }

    fn fail(&mut self, index: u32, held: Box<Held>, error: FetchError) {
        match self.serve_stale(index, &held, None) {
            Delivered::Sent => return self.keep_held(index, || held),
            Delivered::Unusable => {}
            Delivered::Cold(cold) if self.page_in(index, &cold) => {
                return self.hold_for_pages(index, held, Resume::News(Event::Failed(error)));
            }
            Delivered::Cold(_) => {}
        }
        let cause = error.to_string();
        let retry_after_s = (error.status() == 503).then_some(1);
        self.answer(index, error.status(), &cause, retry_after_s);
        if let Some(active) = self.actives.get_mut(index) {
            active.outcome.cache = Some(CacheOutcome::Fwd(held.fwd));
        }
    }

    /// Serves a stale stored response after a failure (RFC 5861 section 4, RFC 9111 section 4.2.4):
    /// the origin's status, or no answer at all.
    fn serve_stale(&mut self, index: u32, held: &Held, fwd_status: Option<u16>) -> Delivered {
        if held.passes {
            return Delivered::Unusable;
        }
        let limits = self.shared.limits;
        let Ok(Some(request)) = http1::parse_request(&held.head, &limits) else {
            return Delivered::Unusable;
        };
        let mut key = held.key.clone();
        let record = match self.find(&mut key, &request.fields, held.site.rule) {
            Found::Response(record) => record,
            Found::Nothing(_) => return Delivered::Unusable,
            Found::Cold(cold) => return Delivered::Cold(cold),
        };
        let directives = &held.facts.directives;
        let now_ms = self.now.unix_ms;
        let may_serve = response_of(&record, now_ms)
            .is_some_and(|stored| reuse::may_serve_on_error(directives, &stored.meta, now_ms));
        if !may_serve {
            return Delivered::Unusable;
        }
        let outcome = Outcome {
            status: 0,
            cache: Some(CacheOutcome::Fwd(held.fwd)),
            fwd_status,
            stored: false,
            collapsed: false,
        };
        let asked = Asked { method: request.method, fields: &request.fields, facts: &held.facts };
        let delivered = self.deliver(index, record, &asked, outcome);
        if matches!(delivered, Delivered::Sent) {
            self.counters.add(Counter::RequestsStaleIfError, 1);
        }
        delivered
    }

    pub(super) fn take_held(&mut self, index: u32) -> Option<Box<Held>> {
        let active = self.actives.get_mut(index)?;
        let token = active.token;
        let held = active.held.take();
        if held.is_none() {
            self.close(token, CloseReason::IoFault);
        }
        held
    }
}

/// The length of a relayed body, as the head will tell it.
fn length_of(shape: &Shape, is_head: bool, head: &FillHead) -> BodyLength {
    let length = if is_head { head.declared_len } else { head.body_len };
    match (shape, length) {
        (Shape::NotModified, _) => BodyLength::None,
        (Shape::Whole, _) if head.status == 304 => BodyLength::None,
        (Shape::Whole, Some(length)) => BodyLength::Known(length),
        (Shape::Whole, None) => BodyLength::Unknown,
        (Shape::Part(part), _) => BodyLength::Known(part.end - part.start),
        (Shape::Parts(_) | Shape::PreconditionFailed | Shape::Unsatisfiable, _) => {
            BodyLength::Known(0)
        }
    }
}

/// Asking: once with others, and a few times alone.
const ASKED_MAX: u8 = 4;
