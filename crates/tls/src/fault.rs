//! Why a handshake or a session ended: one variant per rule, by whose fault it is, and the alert
//! that the peer is told (RFC 8446, section 6).

/// The one byte by which an alert says what happened (RFC 8446, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alert(pub u8);

impl Alert {
    /// The sender sends nothing more: the orderly end of its direction.
    pub const CLOSE_NOTIFY: Self = Self(0);
    /// A message came where it has no place.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// A record could not be authenticated.
    pub const BAD_RECORD_MAC: Self = Self(20);
    /// A record is longer than allowed.
    pub const RECORD_OVERFLOW: Self = Self(22);
    /// A field of a message has a value that it must not have.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// A message is not built as it must be.
    pub const DECODE_ERROR: Self = Self(50);
    /// The handshake is given up for a reason that is nobody's fault.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// The user gave up; a close_notify follows.
    pub const USER_CANCELED: Self = Self(90);
    /// No certificate for the name that was asked for.
    pub const UNRECOGNIZED_NAME: Self = Self(112);

    /// The name that the RFC gives it, in the RFC's spelling; `unknown` for the others.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            22 => "record_overflow",
            40 => "handshake_failure",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            109 => "missing_extension",
            110 => "unsupported_extension",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            _ => "unknown",
        }
    }
}

/// Why a handshake failed or a session broke. Nothing can be done with either afterwards, except
/// to send the alert that it still owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// The first bytes are no TLS record: most often plain HTTP.
    #[error("the first bytes are not TLS")]
    NotTls,
    /// A message is not built as the RFC says.
    #[error("a message is malformed")]
    Malformed,
    /// A message, record or content type came where it has no place.
    #[error("a message came where it has no place")]
    UnexpectedMessage,
    /// A record could not be authenticated.
    #[error("a record could not be authenticated")]
    BadRecord,
    /// A record, or what was in it, is longer than allowed.
    #[error("a record is too long")]
    RecordOverflow,
    /// A field has a value that it must not have.
    #[error("a field has an illegal value")]
    IllegalParameter,
    /// Another rule of the handshake was broken.
    #[error("a rule of the handshake was broken")]
    Misbehaved,
    /// More empty records in a row than [`crate::limits::EMPTY_RECORDS_MAX`].
    #[error("too many empty records")]
    TooManyEmptyRecords,
    /// More key updates without data than [`crate::limits::KEY_UPDATES_MAX`].
    #[error("too many key updates")]
    TooManyKeyUpdates,
    /// More messages without data than [`crate::limits::MESSAGES_MAX`].
    #[error("too many messages without data")]
    TooManyMessages,
    /// The peer's side of the handshake is longer than [`crate::limits::HANDSHAKE_BYTES_MAX`] or
    /// comes in more records than [`crate::limits::HANDSHAKE_RECORDS_MAX`].
    #[error("the handshake is too long")]
    HandshakeTooLong,
    /// No version, suite, group or signature in common.
    #[error("nothing in common with the peer")]
    Incompatible,
    /// No application protocol in common (RFC 7301).
    #[error("no application protocol in common")]
    NoApplicationProtocol,
    /// No certificate for the name that the client asked for.
    #[error("no certificate for the name")]
    UnknownName,
    /// A client certificate is required and none came.
    #[error("no client certificate")]
    CertificateRequired,
    /// The peer's certificate is not trusted, expired, or for another name.
    #[error("the peer's certificate was refused")]
    CertificateRefused,
    /// The peer gave up with this alert.
    #[error("the peer sent the alert {}", .0.name())]
    PeerAlert(Alert),
    /// The keys may protect no more records, or a sequence number would wrap.
    #[error("the keys are used up")]
    Exhausted,
    /// Something was asked of a session that has ended.
    #[error("the session has ended")]
    Ended,
    /// The library below failed for a reason of its own.
    #[error("internal failure")]
    Internal,
}

impl Fault {
    /// The word for logs, metrics and the admin plane; never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTls => "not-tls",
            Self::Malformed => "malformed",
            Self::UnexpectedMessage => "unexpected-message",
            Self::BadRecord => "bad-record",
            Self::RecordOverflow => "record-overflow",
            Self::IllegalParameter => "illegal-parameter",
            Self::Misbehaved => "misbehaved",
            Self::TooManyEmptyRecords => "empty-records",
            Self::TooManyKeyUpdates => "key-updates",
            Self::TooManyMessages => "messages",
            Self::HandshakeTooLong => "handshake-too-long",
            Self::Incompatible => "incompatible",
            Self::NoApplicationProtocol => "no-application-protocol",
            Self::UnknownName => "unknown-name",
            Self::CertificateRequired => "certificate-required",
            Self::CertificateRefused => "certificate-refused",
            Self::PeerAlert(_) => "peer-alert",
            Self::Exhausted => "exhausted",
            Self::Ended => "ended",
            Self::Internal => "internal",
        }
    }

    /// The alert that an established session tells the peer, none where it has nothing to say:
    /// an alert is not answered with one (RFC 8446, section 6.2).
    pub(crate) const fn alert(self) -> Option<Alert> {
        match self {
            Self::NotTls | Self::Malformed => Some(Alert::DECODE_ERROR),
            Self::UnexpectedMessage
            | Self::TooManyEmptyRecords
            | Self::TooManyKeyUpdates
            | Self::TooManyMessages
            | Self::HandshakeTooLong => Some(Alert::UNEXPECTED_MESSAGE),
            Self::BadRecord => Some(Alert::BAD_RECORD_MAC),
            Self::RecordOverflow => Some(Alert::RECORD_OVERFLOW),
            Self::IllegalParameter | Self::Misbehaved => Some(Alert::ILLEGAL_PARAMETER),
            Self::UnknownName => Some(Alert::UNRECOGNIZED_NAME),
            Self::Incompatible
            | Self::NoApplicationProtocol
            | Self::CertificateRequired
            | Self::CertificateRefused
            | Self::Exhausted
            | Self::Internal => Some(Alert::INTERNAL_ERROR),
            Self::PeerAlert(_) | Self::Ended => None,
        }
    }

    /// What rustls says, in our words.
    pub(crate) fn from_rustls(error: &rustls::Error) -> Self {
        use rustls::{InvalidMessage, PeerMisbehaved};
        #[expect(clippy::wildcard_enum_match_arm, reason = "rustls may add variants at any time")]
        match error {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NotTls,
            rustls::Error::InvalidMessage(InvalidMessage::MessageTooLarge)
            | rustls::Error::PeerSentOversizedRecord => Self::RecordOverflow,
            rustls::Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
                Self::HandshakeTooLong
            }
            rustls::Error::InvalidMessage(_) => Self::Malformed,
            rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. } => Self::UnexpectedMessage,
            rustls::Error::NoCertificatesPresented => Self::CertificateRequired,
            rustls::Error::DecryptError => Self::BadRecord,
            rustls::Error::PeerIncompatible(_) => Self::Incompatible,
            rustls::Error::PeerMisbehaved(PeerMisbehaved::TooManyEmptyFragments) => {
                Self::TooManyEmptyRecords
            }
            rustls::Error::PeerMisbehaved(PeerMisbehaved::TooManyKeyUpdateRequests) => {
                Self::TooManyKeyUpdates
            }
            rustls::Error::PeerMisbehaved(_) => Self::Misbehaved,
            rustls::Error::AlertReceived(alert) => Self::PeerAlert(Alert(u8::from(*alert))),
            rustls::Error::InvalidCertificate(_) => Self::CertificateRefused,
            rustls::Error::NoApplicationProtocol => Self::NoApplicationProtocol,
            _ => Self::Internal,
        }
    }
}
