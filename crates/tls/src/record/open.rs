//! Off the wire: one record is authenticated and decrypted in place, and what is in it is obeyed.

use std::ops::Range;

use aws_lc_rs::aead::Aad;

use super::{Records, UpdateRequest};
use crate::fault::{Alert, Fault};
use crate::frame::{Header, content};
use crate::limits::{
    CIPHERTEXT_BYTES_MAX, EMPTY_RECORDS_MAX, HEADER_BYTES, KEY_UPDATES_MAX, MESSAGE_BYTES_MAX,
    MESSAGES_MAX, PLAINTEXT_BYTES_MAX,
};
use crate::{Opened, Role};

impl Records {
    /// Opens the record at the front of `input`, in place.
    ///
    /// # Errors
    /// [`Fault`] if the peer broke a rule or gave up; the session is over then (TL-6).
    pub(crate) fn open(&mut self, input: &mut [u8]) -> Result<Opened, Fault> {
        if self.fault.is_some() {
            return Err(Fault::Ended);
        }
        if self.peer_closed {
            // RFC 8446, 6.1: what comes after the closure alert is ignored.
            return Ok(Opened::Closed { consumed: input.len() });
        }
        self.open_record(input).map_err(|fault| self.fail(fault))
    }

    fn open_record(&mut self, input: &mut [u8]) -> Result<Opened, Fault> {
        let Some(header) = Header::read(input) else {
            return Ok(Opened::More { wanted: HEADER_BYTES });
        };
        // RFC 8446, 5: everything is protected from here on; a change_cipher_spec is allowed only
        // before the peer's Finished.
        if header.content_type != content::APPLICATION_DATA {
            return Err(Fault::UnexpectedMessage);
        }
        // RFC 8446, 5.2.
        if header.body_bytes > CIPHERTEXT_BYTES_MAX {
            return Err(Fault::RecordOverflow);
        }
        let consumed = header.record_bytes();
        let Some(body) = input.get_mut(HEADER_BYTES..consumed) else {
            return Ok(Opened::More { wanted: consumed });
        };
        let inner = self.decrypt(header, body)?;
        let data = HEADER_BYTES..HEADER_BYTES + inner.content_bytes;
        let bytes = input.get(data.clone()).ok_or(Fault::Internal)?;
        match inner.content_type {
            content::APPLICATION_DATA => self.on_data(data, consumed),
            content::ALERT => self.on_alert(bytes, consumed),
            content::HANDSHAKE => {
                self.on_handshake(bytes)?;
                Ok(Opened::Quiet { consumed })
            }
            _ => Err(Fault::UnexpectedMessage),
        }
    }

    /// RFC 8446, 5.2 and 5.3: authenticates, decrypts, and takes the padding off.
    fn decrypt(&mut self, header: Header, body: &mut [u8]) -> Result<Inner, Fault> {
        let sequence = self.rx.sequence;
        // RFC 8446, 5.3: a sequence number does not wrap.
        let next_sequence =
            sequence.checked_add(1).filter(|&next| next < u64::MAX).ok_or(Fault::Exhausted)?;
        let keys = self.rx.keys(self.suite)?;
        let nonce = keys.nonce(sequence);
        let plain = keys
            .aead
            .open_in_place(nonce, Aad::from(header.bytes()), body)
            .map_err(|_unspecified| Fault::BadRecord)?;
        self.rx.sequence = next_sequence;
        Inner::read(plain)
    }

    fn on_data(&mut self, data: Range<usize>, consumed: usize) -> Result<Opened, Fault> {
        self.refuse_interleaved()?;
        if data.is_empty() {
            if self.empty_records >= EMPTY_RECORDS_MAX {
                return Err(Fault::TooManyEmptyRecords);
            }
            self.empty_records += 1;
            return Ok(Opened::Quiet { consumed });
        }
        self.empty_records = 0;
        self.key_updates = 0;
        self.messages = 0;
        Ok(Opened::Data { data, consumed })
    }

    /// RFC 8446, 6: two bytes, the first of which means nothing.
    fn on_alert(&mut self, bytes: &[u8], consumed: usize) -> Result<Opened, Fault> {
        self.refuse_interleaved()?;
        let [_level, description] = *bytes else {
            return Err(Fault::Malformed);
        };
        match Alert(description) {
            Alert::CLOSE_NOTIFY => {
                self.peer_closed = true;
                Ok(Opened::Closed { consumed })
            }
            // A notice; the close_notify follows.
            Alert::USER_CANCELED => {
                self.count_message()?;
                Ok(Opened::Quiet { consumed })
            }
            alert => Err(Fault::PeerAlert(alert)),
        }
    }

    /// Messages after the handshake: any number in a record, or one over several (RFC 8446, 5.1).
    fn on_handshake(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Err(Fault::UnexpectedMessage);
        }
        if self.partial.is_empty() {
            return self.on_messages(bytes);
        }
        let mut held = std::mem::take(&mut self.partial);
        if held.len() + bytes.len() > MESSAGE_BYTES_MAX + PLAINTEXT_BYTES_MAX {
            return Err(Fault::TooManyMessages);
        }
        held.extend_from_slice(bytes);
        self.on_messages(&held)
    }

    fn on_messages(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let Some(message) = self.first_message(bytes)? else {
                self.partial.extend_from_slice(bytes);
                return Ok(());
            };
            let rest = bytes.get(message.total_bytes()..).unwrap_or_default();
            match message.kind {
                KEY_UPDATE => self.on_key_update(message.body, rest)?,
                NEW_SESSION_TICKET => self.on_ticket(message.body)?,
                _ => return Err(Fault::UnexpectedMessage),
            }
            bytes = rest;
        }
        Ok(())
    }

    /// The message at the front, once it is whole. What has no place here is refused by its first
    /// bytes, so a server never holds more than a key update.
    fn first_message<'a>(&self, bytes: &'a [u8]) -> Result<Option<Message<'a>>, Fault> {
        let Some(&kind) = bytes.first() else {
            return Ok(None);
        };
        // RFC 8446, 4.6: a client is sent tickets; it never offered post-handshake authentication.
        let has_place = kind == KEY_UPDATE || kind == NEW_SESSION_TICKET && self.is_client();
        if !has_place {
            return Err(Fault::UnexpectedMessage);
        }
        let Some(&[_, high, middle, low]) = bytes.first_chunk::<MESSAGE_HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == KEY_UPDATE && length != 1 {
            return Err(Fault::Malformed);
        }
        if length > MESSAGE_BYTES_MAX {
            return Err(Fault::TooManyMessages);
        }
        let body = bytes.get(MESSAGE_HEADER_BYTES..MESSAGE_HEADER_BYTES + length);
        Ok(body.map(|body| Message { kind, body }))
    }

    /// RFC 8446, 4.6.3 and 7.2.
    fn on_key_update(&mut self, body: &[u8], rest: &[u8]) -> Result<(), Fault> {
        let request = match body {
            [0] => UpdateRequest::NotRequested,
            [1] => UpdateRequest::Requested,
            [_] => return Err(Fault::IllegalParameter),
            _ => return Err(Fault::Malformed),
        };
        // RFC 8446, 5.1: a message before a key change ends its record.
        if !rest.is_empty() {
            return Err(Fault::UnexpectedMessage);
        }
        if self.key_updates >= KEY_UPDATES_MAX {
            return Err(Fault::TooManyKeyUpdates);
        }
        self.key_updates += 1;
        self.rx.update(self.suite)?;
        // One answer for all requests that came before it is sent; it asks for nothing, whatever
        // was to be asked before.
        if request == UpdateRequest::Requested && !self.closed {
            self.owed.key_update = Some(UpdateRequest::NotRequested);
        }
        Ok(())
    }

    /// RFC 8446, 4.6.1. Kept where the client wants to resume, else passed over.
    fn on_ticket(&mut self, body: &[u8]) -> Result<(), Fault> {
        self.count_message()?;
        if let Some(sink) = &mut self.tickets {
            sink.keep(body)?;
            if sink.is_full() {
                self.tickets = None;
            }
        }
        Ok(())
    }

    fn count_message(&mut self) -> Result<(), Fault> {
        if self.messages >= MESSAGES_MAX {
            return Err(Fault::TooManyMessages);
        }
        self.messages += 1;
        Ok(())
    }

    /// RFC 8446, 5.1: nothing comes between the records of one handshake message.
    fn refuse_interleaved(&self) -> Result<(), Fault> {
        if self.partial.is_empty() { Ok(()) } else { Err(Fault::UnexpectedMessage) }
    }

    fn is_client(&self) -> bool {
        self.role == Role::Client
    }
}

/// What was in a record.
#[derive(Clone, Copy, Debug)]
struct Inner {
    content_type: u8,
    content_bytes: usize,
}

impl Inner {
    /// RFC 8446, 5.2 and 5.4: content, its type, zeros.
    fn read(plain: &[u8]) -> Result<Self, Fault> {
        if plain.len() > PLAINTEXT_BYTES_MAX + 1 {
            return Err(Fault::RecordOverflow);
        }
        let content_bytes =
            plain.iter().rposition(|&byte| byte != 0).ok_or(Fault::UnexpectedMessage)?;
        let content_type = *plain.get(content_bytes).ok_or(Fault::Internal)?;
        Ok(Self { content_type, content_bytes })
    }
}

/// A message after the handshake.
struct Message<'a> {
    kind: u8,
    body: &'a [u8],
}

impl Message<'_> {
    fn total_bytes(&self) -> usize {
        MESSAGE_HEADER_BYTES + self.body.len()
    }
}

const NEW_SESSION_TICKET: u8 = 4;
/// Handshake type of a key update.
pub(super) const KEY_UPDATE: u8 = 24;
const MESSAGE_HEADER_BYTES: usize = 4;
