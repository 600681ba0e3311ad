//! Our record layer of TLS 1.3 (RFC 8446, sections 5, 6 and 7.2), after the handshake.
//!
//! `open` takes one record at a time off the wire, `seal` makes records of what is to be sent,
//! `control` writes what the session owes by itself: key updates, alerts, close_notify. Keys are
//! derived when first needed and fall with the session.
//!
//! Not here: handshakes, TLS 1.2, sockets and buffers.

mod open;
mod seal;

use crate::Role;
use crate::fault::{Alert, Fault};
use crate::keys::{Keys, SECRET_BYTES_MAX, Secret};
use crate::parked::{FLAG_CLIENT, FLAG_CLOSED, FLAG_PEER_CLOSED, Parked, State, WakeError};
use crate::resumption::TicketSink;
use crate::suite::Suite;

/// An established TLS 1.3 session on our record layer.
pub(crate) struct Records {
    suite: Suite,
    role: Role,
    tx: Direction,
    rx: Direction,
    /// A part of a handshake message whose rest comes in another record.
    partial: Vec<u8>,
    key_updates: u8,
    empty_records: u8,
    messages: u8,
    peer_closed: bool,
    closed: bool,
    owed: Owed,
    fault: Option<Fault>,
    /// Where a client's tickets go, while it is still interested.
    tickets: Option<TicketSink>,
}

/// What this side has to say by itself, in the order in which it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Owed {
    key_update: Option<UpdateRequest>,
    alert: Option<Alert>,
}

/// The one byte of a key update (RFC 8446, section 4.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpdateRequest {
    NotRequested = 0,
    Requested = 1,
}

/// One direction: its secret, its next record's number, and its keys once they are needed.
pub(crate) struct Direction {
    pub(crate) secret: Secret,
    pub(crate) sequence: u64,
    keys: Option<Keys>,
}

impl Direction {
    pub(crate) const fn new(secret: Secret, sequence: u64) -> Self {
        Self { secret, sequence, keys: None }
    }

    /// The same, with the keys at hand: a handshake's first request mostly comes at once.
    pub(crate) const fn with_keys(secret: Secret, sequence: u64, keys: Keys) -> Self {
        Self { secret, sequence, keys: Some(keys) }
    }

    fn keys(&mut self, suite: Suite) -> Result<&Keys, Fault> {
        if self.keys.is_none() {
            self.keys = Some(Keys::new(suite, &self.secret)?);
        }
        self.keys.as_ref().ok_or(Fault::Internal)
    }

    /// Nothing can be protected or opened any more.
    fn forget(&mut self) {
        self.secret = Secret::from_padded([0; SECRET_BYTES_MAX]);
        self.keys = None;
    }

    /// The next generation of the secret; its records count from zero.
    fn update(&mut self, suite: Suite) -> Result<(), Fault> {
        self.secret = self.secret.next(suite)?;
        self.sequence = 0;
        self.keys = None;
        Ok(())
    }
}

impl Records {
    pub(crate) fn new(role: Role, suite: Suite, tx: Direction, rx: Direction) -> Self {
        Self {
            suite,
            role,
            tx,
            rx,
            partial: Vec::new(),
            key_updates: 0,
            empty_records: 0,
            messages: 0,
            peer_closed: false,
            closed: false,
            owed: Owed::default(),
            fault: None,
            tickets: None,
        }
    }

    pub(crate) fn keep_tickets(&mut self, sink: TicketSink) {
        self.tickets = Some(sink);
    }

    /// # Errors
    /// [`WakeError`] if the parked form holds no session.
    pub(crate) fn wake(parked: &Parked) -> Result<Self, WakeError> {
        let state = parked.decode()?;
        let role = if state.flags & FLAG_CLIENT == 0 { Role::Server } else { Role::Client };
        let tx = Direction::new(state.tx_secret, state.tx_sequence);
        let rx = Direction::new(state.rx_secret, state.rx_sequence);
        Ok(Self {
            key_updates: state.key_updates,
            empty_records: state.empty_records,
            messages: state.messages,
            peer_closed: state.flags & FLAG_PEER_CLOSED != 0,
            closed: state.flags & FLAG_CLOSED != 0,
            ..Self::new(role, state.suite, tx, rx)
        })
    }

    /// The parked form, or the session again where it is in the middle of something: part of a
    /// message is held, something is owed, or it is broken.
    #[expect(clippy::result_large_err, reason = "the session goes on where it was")]
    pub(crate) fn park(self) -> Result<Parked, Self> {
        if self.fault.is_some() || self.owes() || !self.partial.is_empty() {
            return Err(self);
        }
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        Ok(Parked::encode(&State {
            suite: self.suite,
            flags: flag(self.role == Role::Client, FLAG_CLIENT)
                | flag(self.peer_closed, FLAG_PEER_CLOSED)
                | flag(self.closed, FLAG_CLOSED),
            key_updates: self.key_updates,
            empty_records: self.empty_records,
            messages: self.messages,
            tx_secret: self.tx.secret,
            rx_secret: self.rx.secret,
            tx_sequence: self.tx.sequence,
            rx_sequence: self.rx.sequence,
        }))
    }

    pub(crate) fn suite(&self) -> Suite {
        self.suite
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn is_peer_closed(&self) -> bool {
        self.peer_closed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether `control` has something to write.
    pub(crate) fn owes(&self) -> bool {
        self.owed != Owed::default()
    }

    /// Nothing more will be sealed; the close_notify is owed.
    pub(crate) fn close_notify(&mut self) {
        if !self.closed && self.fault.is_none() {
            self.closed = true;
            self.owed.alert = Some(Alert::CLOSE_NOTIFY);
        }
    }

    /// A key update of our own is owed, and with it perhaps the wish that the peer does the same.
    pub(crate) fn update_keys(&mut self, request: UpdateRequest) {
        if !self.closed && self.fault.is_none() {
            self.owed.key_update = Some(request);
        }
    }

    /// The session is broken; its alert is owed.
    fn fail(&mut self, fault: Fault) -> Fault {
        self.fault = Some(fault);
        self.partial = Vec::new();
        let alert = fault.alert().filter(|_| !self.closed);
        self.owed = Owed { key_update: None, alert };
        self.closed = true;
        self.rx.forget();
        self.forget_if_silent();
        fault
    }

    /// RFC 8446, 6.2: a broken session forgets its secrets, once its alert has been said.
    fn forget_if_silent(&mut self) {
        if self.fault.is_some() && !self.owes() {
            self.tx.forget();
        }
    }
}

#[cfg(test)]
mod tests;
