//! An established session, on our record layer or on rustls's.

use std::ops::Range;

use rustls::{ConnectionTrafficSecrets, ExtractedSecrets};

use crate::capture::TrafficSecrets;
use crate::driver::Driver;
use crate::fallback::Fallback;
use crate::fault::Fault;
use crate::keys::{Keys, Secret};
use crate::parked::{Parked, WakeError};
use crate::record::{Direction, Records, UpdateRequest};
use crate::suite::Suite;
use crate::{RecordLayer, Role, Version};

/// An established TLS session: it opens what came and seals what goes. It knows no socket.
///
/// What it owes by itself ([`Session::control`]) goes out before anything that is sealed later;
/// [`Session::seal`] sees to that when it is called first.
pub struct Session {
    inner: Inner,
}

#[expect(
    clippy::large_enum_variant,
    reason = "our own is the usual one, and waking allocates least"
)]
enum Inner {
    Own(Records),
    Rustls(Box<Fallback>),
}

/// What was in the record at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// Application data, in the input's own bytes; never empty.
    Data {
        /// Where the data lies in the input.
        data: Range<usize>,
        /// Bytes of the input that are used up, the data's among them.
        consumed: usize,
    },
    /// Nothing for the caller. [`Session::control`] may have something to send now.
    Quiet {
        /// Bytes of the input that are used up.
        consumed: usize,
    },
    /// The peer sends nothing more: its close_notify has come. What still comes is ignored.
    Closed {
        /// Bytes of the input that are used up.
        consumed: usize,
    },
    /// The record is not whole: bring so many bytes from its start.
    More {
        /// Bytes from the start of the input, at most [`crate::limits::RECORD_BYTES_MAX`].
        wanted: usize,
    },
}

/// What [`Session::seal`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Plaintext bytes that are in the output now, from the front of the parts.
    pub taken: usize,
    /// Bytes of the output that are to be sent.
    pub written: usize,
}

impl Session {
    pub(crate) const fn on_records(records: Records) -> Self {
        Self { inner: Inner::Own(records) }
    }

    pub(crate) fn on_rustls(driver: Driver) -> Self {
        Self { inner: Inner::Rustls(Box::new(Fallback::new(driver))) }
    }

    /// The session that was parked. Derives nothing yet: each direction's key is made when it is
    /// first used.
    ///
    /// # Errors
    /// [`WakeError`] if there is no session in the form, or it is damaged.
    #[expect(clippy::needless_pass_by_value, reason = "a parked session is woken once")]
    pub fn wake(parked: Parked) -> Result<Self, WakeError> {
        Records::wake(&parked).map(Self::on_records)
    }

    /// All that the session is, in 128 bytes; the keys are wiped.
    ///
    /// # Errors
    /// The session itself, where it cannot rest: it is TLS 1.2 or rustls's, it is broken, it owes
    /// something ([`Session::owes`]), or part of a message is held.
    #[expect(clippy::result_large_err, reason = "the session goes on where it was")]
    pub fn park(self) -> Result<Parked, Self> {
        match self.inner {
            Inner::Own(records) => records.park().map_err(Self::on_records),
            Inner::Rustls(_) => Err(self),
        }
    }

    /// A TLS 1.3 session on our record layer whose handshake another rustls made: `secrets` from
    /// its key log, `extracted` from its `dangerous_into_kernel_connection` or
    /// `dangerous_extract_secrets`, `suite` its number (IANA). No record may have been taken in
    /// by halves.
    ///
    /// # Errors
    /// [`Fault::Incompatible`] if the suite is none of TLS 1.3; [`Fault::Internal`] if the secrets
    /// do not lead to the extracted keys (TL-5).
    pub fn from_secrets(
        role: Role,
        suite: u16,
        secrets: &TrafficSecrets,
        extracted: &ExtractedSecrets,
    ) -> Result<Self, Fault> {
        records_from_secrets(role, suite, secrets, extracted).map(Self::on_records)
    }

    /// Opens the record at the front of `input`, in place. One record a call; no allocation on our
    /// record layer but for messages that are cut over records.
    ///
    /// # Errors
    /// [`Fault`] if the peer broke a rule or gave up. The session is over; [`Session::control`]
    /// has the alert for the peer, if there is one to send.
    pub fn open(&mut self, input: &mut [u8]) -> Result<Opened, Fault> {
        match &mut self.inner {
            Inner::Own(records) => records.open(input),
            Inner::Rustls(fallback) => fallback.open(input),
        }
    }

    /// Seals as much of `parts` as `output` takes, behind what the session owes. All of `written`
    /// goes to the peer, in this order, whatever `taken` is. An output that has at least
    /// [`crate::limits::CONTROL_BYTES_MAX`] + [`crate::limits::SEALED_EXTRA_BYTES_MAX`] + 1 bytes
    /// always takes something.
    ///
    /// # Errors
    /// [`Fault::Ended`] after [`Session::close_notify`] or a fault; [`Fault::Exhausted`] if the
    /// keys may protect no more (TLS 1.2).
    pub fn seal(&mut self, parts: &[&[u8]], output: &mut [u8]) -> Result<Sealed, Fault> {
        match &mut self.inner {
            Inner::Own(records) => records.seal(parts, output),
            Inner::Rustls(fallback) => fallback.seal(parts, output),
        }
    }

    /// Whether there is something to send that nobody asked for: an answer to a key update, an
    /// alert, a close_notify.
    pub fn owes(&self) -> bool {
        match &self.inner {
            Inner::Own(records) => records.owes(),
            Inner::Rustls(fallback) => fallback.owes(),
        }
    }

    /// Writes what is owed; the bytes written, which go to the peer. With room for
    /// [`crate::limits::CONTROL_BYTES_MAX`] nothing is left owed.
    pub fn control(&mut self, output: &mut [u8]) -> usize {
        match &mut self.inner {
            Inner::Own(records) => records.control(output),
            Inner::Rustls(fallback) => fallback.control(output),
        }
    }

    /// Ends our direction: a close_notify is owed, and nothing more is sealed.
    pub fn close_notify(&mut self) {
        match &mut self.inner {
            Inner::Own(records) => records.close_notify(),
            Inner::Rustls(fallback) => fallback.close_notify(),
        }
    }

    /// A key update is owed, which asks the peer for one too if `and_peer`. Sessions do so by
    /// themselves in time (RFC 8446, section 5.5); this is for those who want it sooner. Nothing
    /// happens where the record layer is rustls's.
    pub fn update_keys(&mut self, and_peer: bool) {
        let request = if and_peer { UpdateRequest::Requested } else { UpdateRequest::NotRequested };
        match &mut self.inner {
            Inner::Own(records) => records.update_keys(request),
            Inner::Rustls(_) => {}
        }
    }

    /// Which side we are.
    pub fn role(&self) -> Role {
        match &self.inner {
            Inner::Own(records) => records.role(),
            Inner::Rustls(fallback) => fallback.role(),
        }
    }

    /// The version.
    pub fn version(&self) -> Version {
        match &self.inner {
            Inner::Own(_) => Version::Tls13,
            Inner::Rustls(fallback) => fallback.version(),
        }
    }

    /// The cipher suite's number (IANA).
    pub fn suite(&self) -> u16 {
        match &self.inner {
            Inner::Own(records) => records.suite().number(),
            Inner::Rustls(fallback) => fallback.suite(),
        }
    }

    /// Whose record layer this is.
    pub fn record_layer(&self) -> RecordLayer {
        match &self.inner {
            Inner::Own(_) => RecordLayer::Own,
            Inner::Rustls(_) => RecordLayer::Rustls,
        }
    }

    /// The peer's close_notify has come.
    pub fn is_peer_closed(&self) -> bool {
        match &self.inner {
            Inner::Own(records) => records.is_peer_closed(),
            Inner::Rustls(fallback) => fallback.is_peer_closed(),
        }
    }

    /// Nothing more can be sealed: our close_notify is owed or sent, or the session is broken.
    pub fn is_closed(&self) -> bool {
        match &self.inner {
            Inner::Own(records) => records.is_closed(),
            Inner::Rustls(fallback) => fallback.is_closed(),
        }
    }
}

/// Both directions from what a handshake said and what it extracted (TL-5).
pub(crate) fn records_from_secrets(
    role: Role,
    suite: u16,
    secrets: &TrafficSecrets,
    extracted: &ExtractedSecrets,
) -> Result<Records, Fault> {
    let suite = Suite::from_number(suite).ok_or(Fault::Incompatible)?;
    let (tx, rx) = match role {
        Role::Server => (&secrets.server, &secrets.client),
        Role::Client => (&secrets.client, &secrets.server),
    };
    let tx = direction(suite, tx, &extracted.tx)?;
    let rx = direction(suite, rx, &extracted.rx)?;
    Ok(Records::new(role, suite, tx, rx))
}

fn direction(
    suite: Suite,
    secret: &[u8],
    (sequence, keys): &(u64, ConnectionTrafficSecrets),
) -> Result<Direction, Fault> {
    let secret = Secret::new(suite, secret).ok_or(Fault::Internal)?;
    let (keys_suite, key, iv) = match keys {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (Suite::Aes128Gcm, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (Suite::Aes256Gcm, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
            (Suite::ChaCha20Poly1305, key, iv)
        }
        _ => return Err(Fault::Incompatible),
    };
    let material = secret.key_and_iv(suite)?;
    let is_same = keys_suite == suite && material.is(suite, key.as_ref(), iv.as_ref());
    if !is_same || *sequence >= suite.records_max() {
        return Err(Fault::Internal);
    }
    let keys = Keys::from_material(suite, &material)?;
    Ok(Direction::with_keys(secret, *sequence, keys))
}
