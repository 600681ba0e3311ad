//! Open tunnels: what has happened on either half, told to their machine, and its orders carried
//! out.
//!
//! ```text
//! Readable ─► borrow a buffer ─► receive ─► send to the other half ─► park
//! ```
//! Both halves are awake or parked together. A parked one holds its slot, a park, and with its
//! partner 24 bytes more (ED-1).

use longhold_conn::deadline::Flow;
use longhold_conn::tunnel::{Event, Kind, Order, Over, Passed, Relay as Machine, Side};
use longhold_conn::{CloseReason, State};
use longhold_telemetry::{Counter, Gauge};
use longhold_transport::{Buffer, IoFault, Token, Transport};

use super::Worker;
use super::tunnels::{Awake, Pair, Tunnel};
use crate::outgoing::{Outgoing, Piece};

/// What comes of a deadline on a tunnel.
pub(super) enum Due {
    /// Not yet: look again then, ms.
    Later(u64),
    /// It is over.
    Over(Counter, CloseReason),
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// The tunnel that a connection is half of, while it is open (ED-2).
    pub(super) fn pair_of(&self, token: Token) -> Option<Pair> {
        let cell = self.slots.get(token.slot)?;
        let partner = cell.partner()?;
        if cell.generation() != token.generation {
            return None;
        }
        let across = self.slots.get(partner)?;
        let other = Token { slot: partner, generation: across.generation() };
        let side = cell.half()?.side;
        let (client, origin, record) = match side {
            Side::Client => (token, other, across.record()),
            Side::Origin => (other, token, cell.record()),
        };
        Some(Pair { client, origin, side, place: record? })
    }

    pub(super) fn on_half_readable(&mut self, pair: Pair, event: Event) {
        if self.rouse(&pair) {
            self.tell(&pair, event);
        }
    }

    pub(super) fn on_half_received(
        &mut self,
        pair: Pair,
        mut buffer: Buffer,
        result: Result<usize, IoFault>,
    ) {
        let event = match result {
            Ok(0) => self.end_of(&pair),
            Ok(received) => {
                self.counters
                    .add(Counter::DownstreamReceivedBytes, self.of_client(&pair, received));
                self.look_at(&pair, &mut buffer)
            }
            Err(_) => Event::Failed,
        };
        self.touch(&pair);
        let order = self.step(&pair, event);
        if order == Order::Send {
            return self.send_across(pair, Outgoing::new(Some(buffer), Piece::None));
        }
        self.io.recycle(buffer);
        self.carry_out(&pair, order);
    }

    /// Bytes that count as a client's.
    fn of_client(&self, pair: &Pair, bytes: usize) -> u64 {
        if pair.side == Side::Client { bytes as u64 } else { 0 }
    }

    /// The stream's end is an end only where its framing says so.
    fn end_of(&self, pair: &Pair) -> Event {
        let watched = self.tunnels.get(pair.place).and_then(|tunnel| tunnel.watched.as_ref());
        match watched {
            Some(watched) if pair.side == Side::Origin && !watched.watch.ends_with_connection() => {
                Event::Failed
            }
            Some(_) | None => Event::End,
        }
    }

    /// Bytes have come: of a stream those that belong to it are left in the buffer.
    fn look_at(&mut self, pair: &Pair, buffer: &mut Buffer) -> Event {
        let limits = self.shared.limits;
        let most = self.shared.drain_bytes_max;
        let tunnel = self.tunnels.get_mut(pair.place);
        let Some(watched) = tunnel.and_then(|tunnel| tunnel.watched.as_mut()) else {
            return Event::Received;
        };
        match pair.side {
            Side::Client => {
                watched.discarded_bytes += buffer.len() as u64;
                if watched.discarded_bytes > most { Event::Failed } else { Event::Received }
            }
            Side::Origin => match watched.watch.pass(buffer.filled(), &limits) {
                Ok(Passed::All) => Event::Received,
                Ok(Passed::Last(0)) => Event::End,
                Ok(Passed::Last(len)) => {
                    buffer.truncate(len);
                    Event::ReceivedLast
                }
                Err(_) => Event::Failed,
            },
        }
    }

    pub(super) fn on_half_sent(
        &mut self,
        sink: Pair,
        payload: Outgoing,
        result: Result<usize, IoFault>,
    ) {
        let source = sink.at(sink.side.other());
        let now_ms = self.now_ms();
        match result {
            Ok(sent) => {
                self.count_sent(&source, sent as u64);
                if let Some(awake) = self.awake(&source) {
                    awake.flows[source.side as usize].advance(sent as u64, now_ms);
                }
                if payload.remaining_bytes() > 0 {
                    self.io.send(sink.token(sink.side), payload);
                    self.schedule_tunnel(&source);
                    return;
                }
                self.drop_buffer(payload.into_buffer());
                self.touch(&source);
                self.tell(&source, Event::Sent);
            }
            Err(_) => {
                self.drop_buffer(payload.into_buffer());
                self.tell(&source, Event::Refused);
            }
        }
    }

    fn count_sent(&mut self, source: &Pair, sent: u64) {
        let told = self.tunnels.get_mut(source.place).and_then(|tunnel| tunnel.told.as_mut());
        match source.side {
            Side::Client => {
                told.into_iter().for_each(|told| told.received_bytes += sent);
                self.counters.add(Counter::TunnelBytesToOrigin, sent);
            }
            Side::Origin => {
                told.into_iter().for_each(|told| told.sent_bytes += sent);
                self.counters.add(Counter::TunnelBytesToClient, sent);
                self.counters.add(Counter::DownstreamSentBytes, sent);
            }
        }
    }

    pub(super) fn on_half_shut_down(&mut self, sink: Pair) {
        self.tell(&sink.at(sink.side.other()), Event::ShutDown);
    }

    /// A buffer has come for a half that waited for one; it is given back when that waits no more.
    pub(super) fn feed_half(&mut self, pair: &Pair, buffer: Buffer) {
        let side = pair.side as usize;
        let waits = self.awake(pair).is_some_and(|awake| std::mem::take(&mut awake.starving[side]));
        if waits {
            self.io.receive(pair.token(pair.side), buffer);
        } else {
            self.io.recycle(buffer);
        }
    }

    /// Sends to the side across from `source` what came from it.
    pub(super) fn send_across(&mut self, source: Pair, payload: Outgoing) {
        let now_ms = self.now_ms();
        if let Some(awake) = self.awake(&source) {
            awake.flows[source.side as usize] = Flow::start(now_ms);
        }
        self.io.send(source.token(source.side.other()), payload);
        self.schedule_tunnel(&source);
    }

    fn tell(&mut self, pair: &Pair, event: Event) {
        let order = self.step(pair, event);
        self.carry_out(pair, order);
    }

    fn step(&mut self, pair: &Pair, event: Event) -> Order {
        self.awake(pair).map_or(Order::Nothing, |awake| awake.relay.handle(pair.side, event))
    }

    fn kind_of(&self, pair: &Pair) -> Kind {
        let half = self.slots.get(pair.client.slot).and_then(|cell| cell.half());
        half.map_or(Kind::Tunnel, |half| half.kind)
    }

    fn awake(&mut self, pair: &Pair) -> Option<&mut Awake> {
        self.tunnels.get_mut(pair.place)?.awake.as_deref_mut()
    }

    fn carry_out(&mut self, pair: &Pair, order: Order) {
        let token = pair.token(pair.side);
        match order {
            Order::Nothing => {}
            Order::Park | Order::Discard => self.io.park(token),
            Order::Receive => self.receive_half(pair),
            Order::ShutDown => self.io.shutdown(pair.token(pair.side.other())),
            Order::Close(over) => {
                let reason = reason_of(self.kind_of(pair), over);
                return self.close(pair.client, reason);
            }
            // Only who has the bytes sends them.
            Order::Send => {}
        }
        self.settle(pair);
    }

    fn receive_half(&mut self, pair: &Pair) {
        let token = pair.token(pair.side);
        if let Some(buffer) = self.io.buffer() {
            return self.io.receive(token, buffer);
        }
        let side = pair.side as usize;
        let was = self
            .awake(pair)
            .is_some_and(|awake| std::mem::replace(&mut awake.starving[side], true));
        if !was {
            self.counters.add(Counter::BuffersExhausted, 1);
            self.starved.push_back(token);
        }
    }

    /// Rests the tunnel once nothing is under way but parks.
    fn settle(&mut self, pair: &Pair) {
        let Some(awake) = self.awake(pair) else { return };
        if !awake.relay.is_quiet() {
            return;
        }
        let rest = awake.relay.rest();
        for token in [pair.client, pair.origin] {
            let Some(cell) = self.slots.get(token.slot) else { return };
            cell.set_rest(rest);
            if cell.move_state(State::Active, State::Parked).is_err() {
                return self.close(pair.client, CloseReason::Overload);
            }
            self.counters.lower(Gauge::ConnectionsActive, 1);
            self.counters.raise(Gauge::ConnectionsParked, 1);
        }
        if self.kind_of(pair) == Kind::Stream && rest.origin_ended {
            self.schedule_tunnel(pair);
        }
        let retired = self.tunnels.get_mut(pair.place).and_then(|tunnel| tunnel.awake.take());
        self.tunnels.retire(retired);
    }

    /// Wakes a parked tunnel; false when somebody outside has ordered its close, which comes.
    fn rouse(&mut self, pair: &Pair) -> bool {
        if self.awake(pair).is_some() {
            return true;
        }
        let mut rest = None;
        for token in [pair.client, pair.origin] {
            let Some(cell) = self.slots.get(token.slot) else { return false };
            if cell.move_state(State::Parked, State::Active).is_err() {
                return false;
            }
            self.counters.lower(Gauge::ConnectionsParked, 1);
            self.counters.raise(Gauge::ConnectionsActive, 1);
            rest = cell.half();
        }
        let Some(half) = rest else { return false };
        let awake = Some(self.tunnels.awaken(Machine::wake(half.kind, half.rest)));
        if let Some(tunnel) = self.tunnels.get_mut(pair.place) {
            tunnel.awake = awake;
        }
        true
    }

    /// Its idle time begins anew, on both halves: others look at either.
    fn touch(&self, pair: &Pair) {
        for token in [pair.client, pair.origin] {
            if let Some(cell) = self.slots.get(token.slot) {
                cell.touch(self.now_ms());
            }
        }
    }

    fn schedule_tunnel(&mut self, pair: &Pair) {
        if let Due::Later(at_ms) = self.due(pair, 0) {
            self.wheel.schedule(&self.slots, pair.client.slot, at_ms);
        }
    }

    /// The deadline of a tunnel, which lies on its client's slot (ED-4), has come up.
    pub(super) fn on_tunnel_due(&mut self, pair: &Pair) {
        match self.due(pair, self.now_ms()) {
            Due::Later(at_ms) => self.wheel.schedule(&self.slots, pair.client.slot, at_ms),
            Due::Over(counter, reason) => {
                self.counters.add(counter, 1);
                self.close(pair.client, reason);
            }
        }
    }

    /// What is due first: a send that takes too long, silence, or the end of all tunnels' time.
    fn due(&self, pair: &Pair, now_ms: u64) -> Due {
        let timeouts = &self.shared.timeouts;
        let opened_ms = self.slots.get(pair.origin.slot).map_or(0, |cell| cell.accepted_ms());
        let silent = self.idle_deadline_ms(pair.client.slot);
        let mut first = (silent, Counter::DeadlinesIdle, CloseReason::IdleTimeout);
        let mut add = |at_ms, counter, reason| {
            if at_ms < first.0 {
                first = (at_ms, counter, reason);
            }
        };
        if let Some(lifetime_ms) = self.shared.tunnel_lifetime_ms {
            let over_ms = opened_ms + lifetime_ms;
            add(over_ms, Counter::DeadlinesTunnel, CloseReason::TunnelLifetime);
        }
        let client = self.slots.get(pair.client.slot);
        let half = client.and_then(|cell| cell.half());
        let awake = self.tunnels.get(pair.place).and_then(|tunnel| tunnel.awake.as_ref());
        for side in Side::BOTH {
            if let Some(awake) = awake.filter(|awake| awake.relay.is_sending(side)) {
                let slow_ms = awake.flows[side as usize].deadline_ms(timeouts);
                add(slow_ms, Counter::DeadlinesSend, CloseReason::SendTimeout);
            }
        }
        // A stream's last byte is sent: what is left is the client's to close.
        let has_ended = match awake {
            Some(awake) => awake.relay.rest().origin_ended,
            None => half.is_some_and(|half| half.rest.origin_ended),
        };
        if has_ended && half.is_some_and(|half| half.kind == Kind::Stream) {
            let at_ms = client.map_or(0, |cell| cell.last_active_ms()) + timeouts.linger_ms;
            add(at_ms, Counter::DeadlinesLinger, CloseReason::ResponseEnded);
        }
        let (at_ms, counter, reason) = first;
        if now_ms < at_ms { Due::Later(at_ms) } else { Due::Over(counter, reason) }
    }

    /// One half closes: the other goes with it, and what was kept of the tunnel is told.
    pub(super) fn part(&mut self, pair: &Pair, reason: CloseReason) {
        for token in [pair.client, pair.origin] {
            if let Some(cell) = self.slots.get(token.slot) {
                cell.unpair();
            }
        }
        let Tunnel { told, watched, awake } = self.tunnels.close(pair.place);
        self.tunnels.retire(awake);
        self.counters.lower(Gauge::TunnelsOpen, 1);
        self.counters.lower(Gauge::StreamsOpen, u64::from(watched.is_some()));
        if let Some(told) = told {
            self.log_tunnel(pair.client.slot, &told.line(), reason);
        }
        self.close(pair.token(pair.side.other()), reason);
    }
}

impl Pair {
    /// The same tunnel, named by this side.
    pub(super) const fn at(self, side: Side) -> Self {
        Self { side, ..self }
    }
}

const fn reason_of(kind: Kind, over: Over) -> CloseReason {
    match (over, kind) {
        (Over::Ended(Side::Client), _) => CloseReason::PeerClosed,
        (Over::Ended(Side::Origin), Kind::Tunnel) => CloseReason::OriginClosed,
        (Over::Ended(Side::Origin), Kind::Stream) => CloseReason::ResponseEnded,
        (Over::Failed(Side::Client), _) => CloseReason::PeerReset,
        (Over::Failed(Side::Origin), _) => CloseReason::OriginFailed,
    }
}
