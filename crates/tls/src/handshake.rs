//! A handshake in flight: bytes in, bytes out, until it is a [`Session`] or a [`Fault`].
//!
//! rustls does the work; it is given one record at a time, so that at the end no byte of
//! application data has entered it, and the record layer takes over exactly at a record's border.

use std::sync::Arc;

use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use crate::acceptor::server_of;
use crate::capture::{self, Capture};
use crate::driver::{Driver, Output, Peer};
use crate::fault::{Alert, Fault};
use crate::frame::Header;
use crate::limits::{HANDSHAKE_BYTES_MAX, HANDSHAKE_RECORDS_MAX, HEADER_BYTES};
use crate::preference;
use crate::resumption::TicketSink;
use crate::session::{Session, records_from_secrets};
use crate::{RecordLayer, Role, Version};

/// A handshake in flight. About 4 KiB on the heap, beside what the peer has sent of a message
/// that is not whole (at most [`HANDSHAKE_BYTES_MAX`]).
pub struct Handshake {
    driver: Driver,
    capture: Capture,
    record_layer: RecordLayer,
    /// Whether a client's tickets are worth keeping.
    wants_tickets: bool,
    /// What goes on instead if the client's first record says that it would rather not have AES.
    alternative: Option<Arc<ServerConfig>>,
    seen_bytes: usize,
    seen_records: u32,
    fault: Option<Fault>,
}

/// How far a handshake has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that were used: whole records only. The rest belongs to the caller, who
    /// brings it again, at the front, with more behind it.
    pub consumed: usize,
    /// What comes next.
    pub next: Next,
}

/// What a handshake waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// More input: so many bytes from the start of what was not consumed.
    Read {
        /// Bytes, the unconsumed ones included; at most [`crate::limits::RECORD_BYTES_MAX`].
        wanted: usize,
    },
    /// Nothing: [`Handshake::finish`] makes the session. What was not consumed is its input.
    Finish,
}

/// What a handshake came to, for logs and for the rules of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The version.
    pub version: Version,
    /// The cipher suite's number (IANA).
    pub suite: u16,
    /// The key exchange group's number (IANA), none in a resumption without one.
    pub group: Option<u16>,
    /// Whether a ticket was used.
    pub is_resumed: bool,
    /// Whether the client had to send its hello twice.
    pub is_retried: bool,
    /// Whether the peer showed a certificate that was found good.
    pub is_peer_verified: bool,
    /// The name that the client asked for (server role).
    pub server_name: Option<Box<str>>,
}

impl Handshake {
    pub(crate) fn new(peer: Peer, record_layer: RecordLayer, wants_tickets: bool) -> Self {
        Self {
            driver: Driver::new(peer),
            capture: Capture::default(),
            record_layer,
            wants_tickets,
            alternative: None,
            seen_bytes: 0,
            seen_records: 0,
            fault: None,
        }
    }

    pub(crate) fn with_alternative(self, alternative: Option<Arc<ServerConfig>>) -> Self {
        Self { alternative, ..self }
    }

    /// Which side we are.
    pub fn role(&self) -> Role {
        if self.driver.is_client() { Role::Client } else { Role::Server }
    }

    /// Takes the whole records at the front of `input` and appends to `output` what is to be sent
    /// to the peer: also after a fault, and also when the handshake is done. A client begins by
    /// advancing without input.
    ///
    /// Costs up to a signature and a key exchange; allocates.
    ///
    /// # Errors
    /// [`Fault`] if the handshake failed; it is over then, and `output` ends with the alert.
    pub fn advance(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> Result<Progress, Fault> {
        if self.fault.is_some() {
            return Err(Fault::Ended);
        }
        let result = self.advance_records(input, output);
        if let Err(fault) = result {
            self.fault = Some(fault);
        }
        result
    }

    fn advance_records(
        &mut self,
        input: &mut [u8],
        output: &mut Vec<u8>,
    ) -> Result<Progress, Fault> {
        let mut consumed = 0;
        if input.is_empty() {
            self.feed(&mut [], output)?;
        }
        while self.driver.common().is_handshaking() {
            let rest = input.get_mut(consumed..).unwrap_or_default();
            let Some(header) = Header::read(rest) else {
                return Ok(Progress { consumed, next: Next::Read { wanted: HEADER_BYTES } });
            };
            if !header.is_plausible() {
                return Err(self.refuse_header(rest, output));
            }
            let wanted = header.record_bytes();
            let Some(record) = rest.get_mut(..wanted) else {
                return Ok(Progress { consumed, next: Next::Read { wanted } });
            };
            self.count(wanted).map_err(|fault| self.refuse(fault, output))?;
            if let Some(config) = self.alternative.take()
                && preference::is_chacha_first(record)
            {
                self.driver = Driver::new(server_of(config)?);
            }
            self.feed(record, output)?;
            consumed += wanted;
        }
        if self.driver.held_bytes() > 0 {
            // RFC 8446, 5.1: a message before a key change ends its record.
            return Err(Fault::UnexpectedMessage);
        }
        Ok(Progress { consumed, next: Next::Finish })
    }

    /// Bounds what the peer may send (TL-7).
    fn count(&mut self, bytes: usize) -> Result<(), Fault> {
        self.seen_bytes += bytes;
        self.seen_records += 1;
        let is_long = self.seen_bytes > HANDSHAKE_BYTES_MAX;
        let is_scattered = self.seen_records > HANDSHAKE_RECORDS_MAX;
        if is_long || is_scattered { Err(Fault::HandshakeTooLong) } else { Ok(()) }
    }

    fn feed(&mut self, record: &mut [u8], output: &mut Vec<u8>) -> Result<(), Fault> {
        let Self { driver, capture, .. } = self;
        let mut other = Output::default();
        let begin = output.len();
        let verdict = capture::during(capture, || driver.feed(record, output, &mut other));
        if let Err(error) = verdict {
            if self.capture.name_refused {
                output.truncate(begin);
                return Err(alert_in_clear(Fault::UnknownName, output));
            }
            self.driver.last_words(output);
            let fault = Fault::from_rustls(&error);
            // rustls does not say all of its faults to the peer.
            return Err(if output.len() == begin { self.refuse(fault, output) } else { fault });
        }
        if other.peer_closed {
            return Err(Fault::PeerAlert(Alert::CLOSE_NOTIFY));
        }
        // No application data: the loop above ends with the record that ends the handshake.
        if other.data.is_empty() { Ok(()) } else { Err(Fault::Internal) }
    }

    /// A header that cannot be TLS's. rustls says so too, and makes the alert.
    fn refuse_header(&mut self, rest: &mut [u8], output: &mut Vec<u8>) -> Fault {
        let header = rest.get_mut(..HEADER_BYTES).unwrap_or_default();
        let is_first = self.seen_records == 0;
        match self.feed(header, output) {
            Err(fault) if is_first && fault == Fault::Malformed => Fault::NotTls,
            Err(fault) => fault,
            Ok(()) => self.refuse(Fault::RecordOverflow, output),
        }
    }

    /// Ends the handshake by a rule of ours. The peer is told while it can still be told in the
    /// clear; later only rustls has the keys to tell it.
    fn refuse(&self, fault: Fault, output: &mut Vec<u8>) -> Fault {
        let is_clear = self.driver.common().protocol_version().is_none();
        if is_clear { alert_in_clear(fault, output) } else { fault }
    }

    /// What the handshake came to so far; none before the version and suite are known.
    pub fn details(&self) -> Option<Details> {
        let common = self.driver.common();
        let kind = common.handshake_kind();
        Some(Details {
            version: Version::of(common.protocol_version()?)?,
            suite: u16::from(common.negotiated_cipher_suite()?.suite()),
            group: common.negotiated_key_exchange_group().map(|group| u16::from(group.name())),
            is_resumed: kind == Some(HandshakeKind::Resumed),
            is_retried: kind == Some(HandshakeKind::FullWithHelloRetryRequest),
            is_peer_verified: common.peer_certificates().is_some(),
            server_name: self.capture.server_name.clone(),
        })
    }

    /// The session, once [`Handshake::advance`] has said [`Next::Finish`].
    ///
    /// # Errors
    /// [`Fault::Ended`] if the handshake failed or is not done; [`Fault::Internal`] if the secrets
    /// that it said are not those that it uses (TL-5).
    pub fn finish(self) -> Result<Session, Fault> {
        if self.fault.is_some() || self.driver.common().is_handshaking() {
            return Err(Fault::Ended);
        }
        let is_tls13 = self.driver.common().protocol_version() == Some(ProtocolVersion::TLSv1_3);
        if self.record_layer == RecordLayer::Rustls || !is_tls13 {
            return Ok(Session::on_rustls(self.driver));
        }
        let role = self.role();
        let number = self.driver.common().negotiated_cipher_suite().map(|suite| suite.suite());
        let (extracted, rest) =
            self.driver.into_secrets().map_err(|error| Fault::from_rustls(&error))?;
        let suite = number.map_or(0, u16::from);
        let mut records = records_from_secrets(role, suite, &self.capture.secrets, &extracted)?;
        if let Some(rest) = rest.filter(|_| self.wants_tickets) {
            records.keep_tickets(TicketSink::new(rest));
        }
        Ok(Session::on_records(records))
    }
}

/// An alert before there are keys.
fn alert_in_clear(fault: Fault, output: &mut Vec<u8>) -> Fault {
    if let Some(Alert(description)) = fault.alert() {
        output.extend_from_slice(&[21, 3, 3, 0, 2, 2, description]);
    }
    fault
}
