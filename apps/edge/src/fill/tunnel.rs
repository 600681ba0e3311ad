//! Exchanges after which a worker takes over the origin's connection: tunnels, endless responses.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use longhold_gateway::forward::{Client, Purpose};
use longhold_gateway::tunnel::{self, Ask};
use longhold_http1::{self as http1, RequestHead};
use longhold_origin::{
    Exchanged, FetchError, Framing, Handover, OriginRequest, RawAnswer, RequestBody,
};
use longhold_telemetry::Counter;
use longhold_tls::Session;

use super::lead::{Answer, tell};
use super::pass::while_asked;
use super::plane::Plane;
use super::{FillHead, FillJob, request};
use crate::inbox::Event;
use crate::node;

/// An origin's connection on its way to the worker, whose transport gives it the socket itself.
pub struct Taken {
    /// By what the tunnel was asked for; `None` for an endless response.
    pub ask: Option<Ask>,
    /// The head that was answered.
    pub head: FillHead,
    /// What follows it, of an endless response.
    pub framing: Framing,
    /// What has come behind it already.
    pub early: Bytes,
    /// The origin's address.
    pub peer: SocketAddr,
    /// The TLS session on it, which goes on in the worker's transport.
    pub session: Option<Box<Session>>,
    /// Under what the transport tells of the socket.
    pub ticket: u64,
}

impl Plane {
    /// Asks the origin for a tunnel (`Some`), or for what may be an endless response, and hands its
    /// connection over, or streams what it answers instead.
    pub(super) async fn take_over(self: &Rc<Self>, job: FillJob, ask: Option<Ask>) {
        let bytes = Arc::clone(&job.head);
        let Ok(Some(request)) = http1::parse_request(&bytes, &self.parts.limits) else {
            return tell(&job, Event::Failed(FetchError::BadTarget));
        };
        match while_asked(&job, self.exchange(&job, &request, ask)).await {
            Err(error) => {
                self.count_error(error);
                tell(&job, Event::Failed(error));
            }
            Ok(Exchanged::Connection(handover)) => self.give(&job, handover, ask),
            Ok(Exchanged::Response(response)) => {
                let is_refused = u64::from(ask.is_some());
                self.parts.counters.add(Counter::TunnelsRefusedOrigin, is_refused);
                let mut fields = request::fields_of(&response);
                if let Some(rule) = self.rule(&job) {
                    rule.response.apply(&mut fields);
                }
                let answer = Answer { response, fields, is_coded: false, coder: None };
                self.stream_alone(job, answer, None).await;
            }
        }
    }

    async fn exchange(
        &self,
        job: &FillJob,
        head: &RequestHead<'_>,
        ask: Option<Ask>,
    ) -> Result<Exchanged, FetchError> {
        let pool = self.parts.pools.get(job.site.number).ok_or(FetchError::Unreachable)?;
        let rule = self.parts.tunnels.get(job.site.number).ok_or(FetchError::Unreachable)?;
        let request = match ask {
            None => request::build(head, job, Purpose::Pass, RequestBody::Empty)?,
            Some(ask) => {
                let client = Client { peer: job.peer, scheme: job.scheme, node: node::id() };
                let fields = request::gather(|emit| {
                    tunnel::fields(head, (ask, rule), &client, emit);
                })?;
                let method = Method::from_bytes(head.method.as_bytes());
                let path_and_query = match ask {
                    Ask::Connect => head.target.authority.to_owned(),
                    Ask::WebSocket | Ask::Other => request::path_of(head),
                };
                OriginRequest {
                    method: method.map_err(|_| FetchError::BadTarget)?,
                    path_and_query,
                    fields,
                    body: RequestBody::Empty,
                    on_interim: job.reply.clone().map(request::relay_interim),
                }
            }
        };
        self.parts.counters.add(Counter::OriginFetches, 1);
        let takes = |answer: &RawAnswer<'_>| match ask {
            None => Ok(tunnel::is_stream(answer.status, answer.fields)),
            Some(ask) => {
                let version = match answer.is_http10 {
                    true => http1::Version::Http10,
                    false => http1::Version::Http11,
                };
                let answered = (answer.status, version);
                tunnel::opens((ask, rule), &head.fields, answered, answer.fields)
                    .map_err(|_| FetchError::BadResponse)
            }
        };
        pool.take_over(request, &takes).await
    }

    /// The worker hears of the head first, so that it knows what the socket is.
    fn give(&self, job: &FillJob, handover: Handover, ask: Option<Ask>) {
        let Some(reply) = &job.reply else { return };
        let ticket = self.next_ticket(reply.exchange.token.slot);
        let Handover { status, version, fields, framing, socket, session, peer, early } = handover;
        let mut fields = request::owned(&fields);
        if let Some(rule) = self.rule(job).filter(|_| ask.is_none()) {
            rule.response.apply(&mut fields);
        }
        let body_len = match framing {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked | Framing::UntilClose => None,
        };
        let head = FillHead {
            status: status.as_u16(),
            fwd_status: status.as_u16(),
            fields,
            via_version: if version == http::Version::HTTP_10 { "1.0" } else { "1.1" },
            body_len,
            declared_len: body_len,
            stored: false,
            ttl_s: None,
            detail: None,
        };
        let taken = Taken { ask, head, framing, early, peer, session, ticket };
        reply.post(Event::Taken(Box::new(taken)));
        if reply.inbox.adopt(socket, ticket).is_err() {
            reply.post(Event::Failed(FetchError::Exhausted));
        }
    }

    /// A number that no other handover to this worker's slot has had for long.
    fn next_ticket(&self, slot: u32) -> u64 {
        let count = self.handovers.get().wrapping_add(1);
        self.handovers.set(count);
        u64::from(slot) << 32 | u64::from(count)
    }
}
