//! Bytes that leave: heads, windows of stored bodies, growing bodies, and the end of an exchange.

use std::collections::VecDeque;
use std::ops::Range;

use longhold_conn::deadline::Flow;
use longhold_conn::{After, CloseReason};
use longhold_gateway::outcome::{CacheOutcome, Fwd};
use longhold_origin::Next;
use longhold_store::{PageIn, PinnedSlice, ReadError, Record, Window};
use longhold_telemetry::access_log::Record as LogRecord;
use longhold_telemetry::{Counter, Histogram};
use longhold_transport::{Buffer, IoFault, Security, Token, Transport};

use super::active::{Body, Line, Link, Phase};
use super::{Worker, fault_reason};
use crate::outgoing::{Outgoing, Piece};

/// The next thing to send, or why there is nothing.
enum Pumped {
    Send(Outgoing),
    /// This must be paged in first.
    Page(PageIn),
    /// The body's producer will tell when there is more.
    Wait,
    /// These bytes of the body have left the store.
    Lost(Range<u64>),
    /// All is sent.
    Finished,
    /// The body cannot be completed: the connection must not look as if it were.
    Broken(CloseReason),
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Sends the head of a response together with the first piece of its body.
    pub(super) fn send_head(&mut self, index: u32, head: &[u8], piece: Piece) {
        let pooled = self.io.buffer();
        let Some(active) = self.actives.get_mut(index) else { return self.drop_buffer(pooled) };
        active.phase = Phase::Responding;
        let token = active.token;
        let chunked = matches!(active.body, Body::Growing { chunked: true, .. });
        let (mut buffer, unused) = filled(pooled, head);
        self.drop_buffer(unused);
        let outgoing = match piece {
            Piece::Stored(slice) if !chunked && slice.len() <= COPIED_BYTES_MAX => {
                match copied(&mut buffer, &slice) {
                    Ok(true) => Outgoing::new(Some(buffer), Piece::None),
                    Ok(false) => Outgoing::new(Some(buffer), Piece::Stored(slice)),
                    Err(_) => {
                        self.io.recycle(buffer);
                        self.counters.add(Counter::StoreReadErrors, 1);
                        return self.close(token, CloseReason::StoreFault);
                    }
                }
            }
            Piece::None | Piece::Stored(_) | Piece::Staged(_) => Outgoing::new(Some(buffer), piece),
        };
        self.send(index, if chunked { outgoing.as_chunk() } else { outgoing });
    }

    /// Hands `outgoing` to the transport, or queues it behind the interim response in flight.
    pub(super) fn send(&mut self, index: u32, outgoing: Outgoing) {
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.sending {
            active.queued = Some(outgoing);
            return;
        }
        active.sending = true;
        active.tx_flow = Flow::start(now_ms);
        self.io.send(active.token, outgoing);
        self.rest_early(index);
    }

    pub(super) fn on_sent(
        &mut self,
        token: Token,
        payload: Outgoing,
        result: Result<usize, IoFault>,
    ) {
        let Some(index) = self.active_of(token) else {
            self.drop_buffer(payload.into_buffer());
            return;
        };
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        active.sending = false;
        match result {
            Ok(sent) => {
                active.tx_flow.advance(sent as u64, now_ms);
                active.draft.sent_bytes += sent as u64;
                self.counters.add(Counter::DownstreamSentBytes, sent as u64);
                if payload.remaining_bytes() > 0 {
                    active.sending = true;
                    self.io.send(token, payload);
                    self.schedule(index);
                    return;
                }
                self.drop_buffer(payload.into_buffer());
                self.pump(index);
            }
            Err(fault) => {
                if fault == IoFault::BadMemory {
                    payload.report_fault();
                    self.counters.add(Counter::StoreReadErrors, 1);
                }
                self.drop_buffer(payload.into_buffer());
                self.close(token, fault_reason(fault));
            }
        }
    }

    /// Sends what comes next, if anything can be sent now.
    pub(super) fn pump(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        if active.sending {
            return;
        }
        let token = active.token;
        if !active.interim.is_empty() {
            let interim = std::mem::take(&mut active.interim);
            return self.send(index, Outgoing::new(None, Piece::Staged(interim.into())));
        }
        if let Some(outgoing) = active.queued.take() {
            return self.send(index, outgoing);
        }
        match active.phase {
            Phase::Reading | Phase::AwaitsFill | Phase::AwaitsPages | Phase::Lingering => return,
            Phase::AwaitsSocket => return self.open_tunnel(index),
            Phase::Responding if active.paging || active.refetching => return,
            Phase::Responding => {}
        }
        match self.next_piece(index) {
            Pumped::Send(outgoing) => {
                self.send(index, outgoing);
                self.prefetch(index);
                self.schedule(index);
            }
            Pumped::Page(cold) => {
                self.page_in_next(index, &cold);
                self.schedule(index);
            }
            Pumped::Wait => self.schedule(index),
            Pumped::Lost(lost) => {
                self.refetch(index, lost);
                self.schedule(index);
            }
            Pumped::Finished => self.finish(index),
            Pumped::Broken(reason) => self.close(token, reason),
        }
    }

    fn next_piece(&mut self, index: u32) -> Pumped {
        let window_bytes = self.shared.send_window_bytes;
        let Some(active) = self.actives.get_mut(index) else { return Pumped::Wait };
        match &mut active.body {
            Body::Done => Pumped::Finished,
            Body::Stored { record, at, end } => {
                let slice = match record.window(*at, window_bytes.min(*end - *at)) {
                    Ok(Window::Ready(slice)) => slice,
                    Ok(Window::Cold(cold)) => return Pumped::Page(cold),
                    Err(ReadError::Missing) => return Pumped::Lost(*at..*end),
                    Err(_) => {
                        self.counters.add(Counter::StoreReadErrors, 1);
                        return Pumped::Broken(CloseReason::StoreFault);
                    }
                };
                *at += slice.len() as u64;
                if *at == *end {
                    active.body = Body::Done;
                }
                Pumped::Send(Outgoing::new(None, Piece::Stored(slice)))
            }
            Body::Parts { record, links } => {
                let next = next_part(record, links, window_bytes);
                let broken = matches!(next, Pumped::Broken(CloseReason::StoreFault));
                self.counters.add(Counter::StoreReadErrors, u64::from(broken));
                next
            }
            Body::Growing { reader, chunked, cold, end } => {
                let chunked = *chunked;
                let left = end.map_or(window_bytes, |end| end.saturating_sub(reader.position()));
                let next = match cold.take() {
                    Some((extent, range)) => Next::Extent { extent, range },
                    None if left == 0 => Next::End,
                    None => reader.next(window_bytes.min(left) as usize),
                };
                let piece = match next {
                    Next::Bytes(bytes) => Piece::Staged(bytes),
                    Next::Extent { extent, range } => {
                        match self.store.extent_window(&extent, range.clone()) {
                            Some(Window::Ready(slice)) => Piece::Stored(slice),
                            Some(Window::Cold(page_in)) => {
                                *cold = Some((extent, range));
                                return Pumped::Page(page_in);
                            }
                            None => {
                                let end = end.or(extent.body_len());
                                return Pumped::Lost(range.start..end.unwrap_or(range.end));
                            }
                        }
                    }
                    Next::Pending => return Pumped::Wait,
                    Next::Failed(_) => return Pumped::Broken(CloseReason::OriginFailed),
                    Next::End if left > 0 && end.is_some() => {
                        return Pumped::Broken(CloseReason::OriginFailed);
                    }
                    Next::End => {
                        active.body = Body::Done;
                        if chunked {
                            return Pumped::Send(Outgoing::last_chunk());
                        }
                        return Pumped::Finished;
                    }
                };
                let outgoing = Outgoing::new(None, piece);
                Pumped::Send(if chunked { outgoing.as_chunk() } else { outgoing })
            }
        }
    }

    /// The response is sent to its last byte: log it, then on to the next head, or away.
    fn finish(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        let token = active.token;
        let after = active.conn.end_response();
        active.phase = Phase::Reading;
        active.held = None;
        active.refetching = false;
        active.place = None;
        active.drained_bytes = 0;
        if let Some(upload) = active.upload.take() {
            upload.abort();
        }
        self.close_draft(
            index,
            match after {
                After::Close | After::Linger => Some(CloseReason::ResponseEnded),
                After::NextRequest | After::DrainBody => None,
            },
        );
        match after {
            After::NextRequest | After::DrainBody => self.advance(index),
            After::Close => self.close(token, CloseReason::ResponseEnded),
            After::Linger => self.linger(index),
        }
    }

    /// Closes our half and reads on for a while, so that a peer that still sends gets to read the
    /// answer before a reset wipes it out (RFC 9112 section 9.6).
    pub(super) fn linger(&mut self, index: u32) {
        let now_ms = self.now_ms();
        let Some(active) = self.actives.get_mut(index) else { return };
        active.phase = Phase::Lingering;
        active.linger_since_ms = now_ms;
        let token = active.token;
        self.io.shutdown(token);
        self.schedule(index);
    }

    pub(super) fn on_shut_down(&mut self, token: Token) {
        if let Some(index) = self.active_of(token) {
            self.advance(index);
        }
    }

    /// Counts the exchange and writes its log line; `close` says why the connection ends with it.
    pub(super) fn close_draft(&mut self, index: u32, close: Option<CloseReason>) {
        let unix_ms = self.now.unix_ms;
        let now_us = self.now.monotonic_us;
        let Some(active) = self.actives.get_mut(index) else { return };
        if !active.draft.is_open {
            return;
        }
        active.draft.is_open = false;
        let duration_us = now_us.saturating_sub(active.draft.started_us);
        let outcome = active.outcome;
        if outcome.status > 0 {
            self.counters.add(Counter::of_response(outcome.status), 1);
        }
        if let Some(cache) = outcome.cache {
            self.counters.add(cache_counter(cache), 1);
            let histogram = match cache {
                CacheOutcome::Hit => Histogram::RequestHit,
                CacheOutcome::Fwd(_) => Histogram::RequestMiss,
            };
            self.counters.observe(histogram, duration_us);
        }
        if outcome.collapsed {
            self.counters.add(Counter::RequestsCoalesced, 1);
        }
        let Some(log) = &mut self.log else { return };
        let Some(slot) = self.slots.get(active.token.slot) else { return };
        let line = active.draft.line(outcome);
        let client = (slot.peer(), self.io.security(active.token));
        let record = log_record(&line, client, (unix_ms, duration_us), close);
        if !log.push(&record) {
            self.counters.add(Counter::AccessLogDropped, 1);
        }
    }

    /// Writes the log line of a tunnel that is over.
    pub(super) fn log_tunnel(&mut self, client: u32, line: &Line<'_>, close: CloseReason) {
        let duration_us = self.now.monotonic_us.saturating_sub(line.started_us);
        let times = (self.now.unix_ms, duration_us);
        let Some(log) = &mut self.log else { return };
        let Some(slot) = self.slots.get(client) else { return };
        let token = Token::new(client, slot.generation());
        let client = (slot.peer(), self.io.security(token));
        if !log.push(&log_record(line, client, times, Some(close))) {
            self.counters.add(Counter::AccessLogDropped, 1);
        }
    }
}

/// A buffer that holds `head`: the pooled one, or one of its own size; then the other is left over.
pub(super) fn filled(pooled: Option<Buffer>, head: &[u8]) -> (Buffer, Option<Buffer>) {
    if let Some(mut buffer) = pooled {
        if buffer.extend_from_slice(head) {
            return (buffer, None);
        }
        return (filled(None, head).0, Some(buffer));
    }
    let mut buffer = Buffer::with_capacity(head.len());
    buffer.extend_from_slice(head);
    (buffer, None)
}

/// What comes next of a body in parts.
fn next_part(record: &Record, links: &mut VecDeque<Link>, window_bytes: u64) -> Pumped {
    let piece = match links.front_mut() {
        None => return Pumped::Finished,
        Some(Link::Text(text)) => {
            let text = std::mem::take(text);
            links.pop_front();
            Piece::Staged(text)
        }
        Some(Link::Stored(range)) => {
            let wanted = window_bytes.min(range.end - range.start);
            let slice = match record.window(range.start, wanted) {
                Ok(Window::Ready(slice)) => slice,
                Ok(Window::Cold(cold)) => return Pumped::Page(cold),
                Err(ReadError::Missing) => return Pumped::Lost(range.clone()),
                Err(_) => return Pumped::Broken(CloseReason::StoreFault),
            };
            range.start += slice.len() as u64;
            if range.is_empty() {
                links.pop_front();
            }
            Piece::Stored(slice)
        }
        Some(Link::Coming(reader, end)) => {
            let left = end.saturating_sub(reader.position());
            let bytes = match reader.next(window_bytes.min(left) as usize) {
                Next::Bytes(bytes) => bytes,
                Next::Pending => return Pumped::Wait,
                Next::Failed(_) | Next::End | Next::Extent { .. } => {
                    return Pumped::Broken(CloseReason::OriginFailed);
                }
            };
            if reader.position() >= *end {
                links.pop_front();
            }
            Piece::Staged(bytes)
        }
    };
    Pumped::Send(Outgoing::new(None, piece))
}

/// Copies a short body behind its head, if there is room: one piece of memory costs the kernel less
/// than two.
fn copied(buffer: &mut Buffer, body: &PinnedSlice) -> Result<bool, ReadError> {
    let mut read = Ok(());
    let fits = buffer.extend_with(body.len(), |spare| read = body.copy_to(0, spare));
    read.map(|()| fits)
}

fn log_record<'a>(
    line: &Line<'a>,
    (peer, security): (std::net::SocketAddr, Security),
    (unix_ms, duration_us): (u64, u64),
    close: Option<CloseReason>,
) -> LogRecord<'a> {
    let [method, target, host, referer, user_agent] = line.parts;
    LogRecord {
        unix_ms,
        peer,
        method,
        target,
        host,
        protocol: if line.is_http10 { "HTTP/1.0" } else { "HTTP/1.1" },
        tls: security.version,
        suite: security.suite,
        status: line.outcome.status,
        received_bytes: line.received_bytes,
        sent_bytes: line.sent_bytes,
        duration_us,
        cache: line.outcome.word(),
        close: close.map_or("", CloseReason::name),
        referer,
        user_agent,
    }
}

pub(super) fn cache_counter(cache: CacheOutcome) -> Counter {
    match cache {
        CacheOutcome::Hit => Counter::RequestsHit,
        CacheOutcome::Fwd(fwd) => match fwd {
            Fwd::Bypass => Counter::RequestsBypass,
            Fwd::Method => Counter::RequestsMethod,
            Fwd::UriMiss => Counter::RequestsUriMiss,
            Fwd::VaryMiss => Counter::RequestsVaryMiss,
            Fwd::Miss => Counter::RequestsMiss,
            Fwd::Request => Counter::RequestsRequest,
            Fwd::Stale => Counter::RequestsStale,
            Fwd::Partial => Counter::RequestsPartial,
        },
    }
}

/// Largest stored body that is copied behind its head instead of being sent from the mapping.
const COPIED_BYTES_MAX: usize = 4096;
