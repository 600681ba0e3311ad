//! From a request for a tunnel, or for an endless response, to an open one.
//!
//! ```text
//! request ─► fill plane: the origin's answer ─┬► a response like any other
//!                                             └► Taken, and its socket by way of the transport
//!            both are here ─► the head goes to the client, and what came early to either side
//! ```
//! Until then the client's bytes behind its request stay where they are, in one buffer at most;
//! should no tunnel come of it, they are its next request (CN-5).

use longhold_conn::tunnel::{Begin, Kind, Passed, Relay as Machine, Rest, Side, Watch};
use longhold_conn::{CloseReason, Half};
use longhold_gateway::deliver::Shape;
use longhold_gateway::forward;
use longhold_gateway::outcome::{CacheOutcome, Fwd, Outcome};
use longhold_gateway::plan::Facts;
use longhold_gateway::reject::Persistence;
use longhold_gateway::relay::{self, Relay};
use longhold_gateway::rules::SiteRef;
use longhold_gateway::tunnel::{self, Ask, Asked};
use longhold_http1::{BodyFraming, Chunked, RequestHead};
use longhold_origin::{FetchError, Framing};
use longhold_telemetry::{Counter, Gauge};
use longhold_transport::{Buffer, IoFault, Token, Transport};

use super::active::{Active, Leaving, Phase};
use super::exchange::{Held, LOOP};
use super::tunnels::{Tunnel, Watched};
use super::{Worker, output};
use crate::fill::JobKind;
use crate::fill::tunnel::Taken;
use crate::node;
use crate::outgoing::{Outgoing, Piece};

/// An origin's connection that was handed over to an exchange.
pub(super) struct Opening {
    taken: Box<Taken>,
    /// `None` until the transport has told of it.
    socket: Option<Token>,
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Asks for a tunnel where the request does, and its site lets it through; false when it is to
    /// be answered like any other.
    pub(super) fn ask_tunnel(
        &mut self,
        index: u32,
        (facts, site): (Facts, SiteRef),
        (head, raw): (&RequestHead<'_>, &[u8]),
    ) -> bool {
        let Some(rule) = self.shared.tunnels.get(site.number) else { return false };
        let ask = match tunnel::asked(head, rule) {
            Asked::Nothing => return false,
            Asked::Refused(refusal) => {
                self.counters.add(Counter::TunnelsRefusedClient, 1);
                self.answer(index, refusal.status, refusal.cause, None);
                return true;
            }
            Asked::Tunnel(ask) => ask,
        };
        if forward::is_loop(&head.fields, node::id()) {
            self.answer(index, 508, LOOP, None);
        } else if self.is_draining() || self.shared.pressure.refuses_newcomers() {
            self.counters.add(Counter::TunnelsRefusedRoom, 1);
            self.answer(index, 503, "the edge takes no new connections now", Some(1));
        } else {
            let mut held = Held::of((head, raw), &[], (facts, site, Fwd::Bypass));
            held.passes = true;
            self.ask(index, held, JobKind::Tunnel(ask));
        }
        true
    }

    /// The origin's connection comes to this exchange.
    pub(super) fn on_taken(&mut self, index: u32, taken: Box<Taken>) {
        let Some(active) = self.actives.get_mut(index) else { return };
        active.phase = Phase::AwaitsSocket;
        active.opening = Some(Opening { taken, socket: None });
    }

    /// The transport has a socket of the fill plane's, or could not take it. The word to whom it
    /// belongs was left before it.
    pub(super) fn on_connected(&mut self, ticket: u64, result: Result<u32, IoFault>) {
        self.take_events();
        let asker = self.slots.get((ticket >> 32) as u32).and_then(|cell| {
            let index = cell.active()?;
            let opening = self.actives.get(index)?.opening.as_ref()?;
            (opening.taken.ticket == ticket && opening.socket.is_none()).then_some(index)
        });
        let slot = match (result, asker) {
            (Ok(slot), _) => slot,
            (Err(_), Some(index)) => return self.refuse_socket(index),
            (Err(_), None) => return,
        };
        let (peer, listener) = asker.map_or(NOBODY, |index| self.between(index));
        let Some(cell) = self.slots.get(slot) else { return };
        if cell.open(peer, listener, self.now_ms()).is_err() {
            return;
        }
        let token = Token { slot, generation: cell.generation() };
        self.books.open(slot);
        self.counters.add(Counter::ConnectionsAdopted, 1);
        self.counters.raise(Gauge::ConnectionsActive, 1);
        if self.is_draining() {
            self.close(token, CloseReason::Drained);
            return asker.into_iter().for_each(|index| self.refuse_socket(index));
        }
        match asker.and_then(|index| Some((index, self.actives.get_mut(index)?))) {
            Some((index, active)) => {
                let mut session = None;
                if let Some(opening) = &mut active.opening {
                    opening.socket = Some(token);
                    session = opening.taken.session.take();
                }
                match (session, self.adopt_session) {
                    (Some(session), Some(adopt)) => {
                        cell.set_secure();
                        self.counters.raise(Gauge::TlsConnections, 1);
                        adopt(&mut self.io, token, *session);
                    }
                    // Bytes under a session that nobody here can go on with.
                    (Some(_), None) => return self.refuse_socket(index),
                    (None, _) => {}
                }
                self.pump(index);
            }
            // The exchange has ended meanwhile.
            None => self.close(token, CloseReason::OriginClosed),
        }
    }

    /// Whose connection it is, and by which listener its partner came.
    fn between(&self, index: u32) -> (std::net::SocketAddr, u16) {
        let Some(active) = self.actives.get(index) else { return NOBODY };
        let peer = active.opening.as_ref().map_or(NOBODY.0, |opening| opening.taken.peer);
        (peer, self.slots.get(active.token.slot).map_or(0, |cell| cell.listener()))
    }

    /// There is no room for the origin's connection, or no time.
    pub(super) fn refuse_socket(&mut self, index: u32) {
        self.counters.add(Counter::TunnelsRefusedRoom, 1);
        let opening = self.actives.get_mut(index).and_then(|active| active.opening.take());
        self.drop_opening(opening, CloseReason::Overload);
        let error = FetchError::Exhausted;
        self.answer(index, error.status(), &error.to_string(), Some(1));
    }

    /// The exchange has ended before the tunnel was open.
    pub(super) fn drop_opening(&mut self, opening: Option<Opening>, reason: CloseReason) {
        if let Some(socket) = opening.and_then(|opening| opening.socket) {
            self.close(socket, reason);
        }
    }

    /// Opens the tunnel once its socket is here; nothing is on its way to the client then.
    pub(super) fn open_tunnel(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        let Some(Opening { socket: Some(origin), .. }) = active.opening else { return };
        if self.is_draining() {
            return self.refuse_socket(index);
        }
        let Some(active) = self.actives.get_mut(index) else { return };
        let client = active.token;
        let Some(Opening { mut taken, .. }) = active.opening.take() else { return };
        let held = active.held.take();
        let kind = if taken.ask.is_some() { Kind::Tunnel } else { Kind::Stream };
        let outcome = Outcome {
            cache: Some(CacheOutcome::Fwd(held.as_ref().map_or(Fwd::Bypass, |held| held.fwd))),
            ..Outcome::local(taken.head.status)
        };
        let phrases = &mut self.tunnels.phrases;
        let told = self.log.is_some().then(|| phrases.tell(&active.draft, outcome));
        let Some(mut active) = self.actives.close(index) else { return };
        self.count_opening(&taken, outcome);
        let head = self.opening_head(&taken, kind, outcome);
        let input = self.take_input(&mut active, kind);
        let begin = begin_of(&active, input.is_some(), kind);
        let mut watch = watch_of(kind, taken.framing);
        let last = self.cut_early(&mut taken, watch.as_mut());
        let from_origin = if last { Begin::EarlyLast } else { Begin::Early };
        let watched = watch.map(|watch| Box::new(Watched { watch, discarded_bytes: 0 }));
        let awake = Some(self.tunnels.awaken(Machine::open(kind, begin, from_origin)));
        let place = self.tunnels.open(Tunnel { told, watched, awake });
        self.pair(kind, (client, origin), place, held.map_or(0, |held| held.site.number));
        self.begin_tunnel((client, origin), (begin, active.watched), (head, taken), input);
    }

    /// From now on the two are halves of one tunnel.
    fn pair(&self, kind: Kind, (client, origin): (Token, Token), place: u32, site: usize) {
        let (Some(here), Some(there)) = (self.slots.get(client.slot), self.slots.get(origin.slot))
        else {
            return;
        };
        here.set_active(None);
        here.pair(origin.slot, Half { side: Side::Client, kind, rest: Rest::default() });
        there.pair(client.slot, Half { side: Side::Origin, kind, rest: Rest::default() });
        there.set_record(place);
        here.set_idle_ms(self.shared.tunnel_idle_ms.get(site).copied().unwrap_or(0));
        here.touch(self.now_ms());
    }

    /// Sends what is to be sent first, both ways, and listens to the client.
    fn begin_tunnel(
        &mut self,
        (client, origin): (Token, Token),
        (begin, watched): (Begin, bool),
        (head, taken): (Buffer, Box<Taken>),
        input: Option<Buffer>,
    ) {
        let Some(pair) = self.pair_of(client) else { return };
        let opening = Outgoing::new(Some(head), Piece::Staged(taken.early));
        self.send_across(pair.at(Side::Origin), opening);
        match begin {
            Begin::Early | Begin::EarlyLast => {
                let early = Outgoing::new(input, Piece::None);
                self.send_across(pair.at(Side::Client), early);
            }
            Begin::Ended => self.io.shutdown(origin),
            Begin::Parked if !watched => self.io.park(client),
            Begin::Parked | Begin::Receiving => {}
        }
    }

    /// What the client has sent behind its request. The client of a stream has nothing to say.
    fn take_input(&mut self, active: &mut Active, kind: Kind) -> Option<Buffer> {
        let input = active.input.take();
        if kind == Kind::Tunnel && input.as_ref().is_some_and(|input| !input.is_empty()) {
            return input;
        }
        self.drop_buffer(input);
        None
    }

    /// Leaves of what came early what belongs to the response; whether that is all of it.
    fn cut_early(&self, taken: &mut Taken, watch: Option<&mut Watch>) -> bool {
        let Some(watch) = watch else { return false };
        match watch.pass(&taken.early, &self.shared.limits) {
            Ok(Passed::All) => false,
            Ok(Passed::Last(len)) => {
                taken.early.truncate(len);
                true
            }
            // The next look says the same, and ends it.
            Err(_) => {
                taken.early.clear();
                false
            }
        }
    }

    fn opening_head(&mut self, taken: &Taken, kind: Kind, outcome: Outcome) -> Buffer {
        let fields: Vec<(&str, &[u8])> =
            taken.head.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let mut out = std::mem::take(&mut self.scratch.head);
        out.clear();
        match kind {
            Kind::Tunnel => {
                tunnel::write_opening(&mut out, taken.head.status, &fields, taken.head.via_version);
            }
            Kind::Stream => {
                let framing = match taken.framing {
                    Framing::None => BodyFraming::Length(0),
                    Framing::Length(length) => BodyFraming::Length(length),
                    Framing::Chunked => BodyFraming::Chunked,
                    Framing::UntilClose => BodyFraming::UntilClose,
                };
                relay::write_head(
                    &mut out,
                    &Relay {
                        status: taken.head.status,
                        shape: (&Shape::Whole, 0),
                        fields: &fields,
                        via_version: taken.head.via_version,
                        framing,
                        outcome,
                        ttl_s: None,
                        detail: None,
                        // Its end is the connection's: what the client sends meanwhile is not read.
                        persistence: Persistence { close: true, keep_alive: false },
                        now_ms: self.now.unix_ms,
                    },
                );
            }
        }
        let (buffer, unused) = output::filled(self.io.buffer(), &out);
        self.drop_buffer(unused);
        self.scratch.head = out;
        buffer
    }

    fn count_opening(&mut self, taken: &Taken, outcome: Outcome) {
        let counters = &self.counters;
        counters.add(Counter::of_response(outcome.status), 1);
        if let Some(cache) = outcome.cache {
            counters.add(output::cache_counter(cache), 1);
        }
        counters.add(
            match taken.ask {
                Some(Ask::WebSocket) => Counter::TunnelsOpenedWebsocket,
                Some(Ask::Other) => Counter::TunnelsOpenedOther,
                Some(Ask::Connect) => Counter::TunnelsOpenedConnect,
                None => Counter::TunnelsOpenedStream,
            },
            1,
        );
        counters.raise(Gauge::TunnelsOpen, 1);
        counters.raise(Gauge::StreamsOpen, u64::from(taken.ask.is_none()));
    }
}

/// How the client's side begins.
fn begin_of(active: &Active, has_input: bool, kind: Kind) -> Begin {
    let has_ended = kind == Kind::Tunnel && active.leaving != Leaving::No;
    match (has_input, has_ended) {
        (true, false) => Begin::Early,
        (true, true) => Begin::EarlyLast,
        (false, true) => Begin::Ended,
        (false, false) if active.receiving => Begin::Receiving,
        (false, false) => Begin::Parked,
    }
}

fn watch_of(kind: Kind, framing: Framing) -> Option<Watch> {
    let watch = match framing {
        Framing::None => Watch::Length(0),
        Framing::Length(length) => Watch::Length(length),
        Framing::Chunked => Watch::Chunked(Chunked::new()),
        Framing::UntilClose => Watch::UntilClose,
    };
    (kind == Kind::Stream).then_some(watch)
}

/// Of a socket that nobody waits for.
const NOBODY: (std::net::SocketAddr, u16) =
    (std::net::SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::UNSPECIFIED, 0)), 0);
