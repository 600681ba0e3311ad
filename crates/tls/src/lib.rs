//! TLS for connections that mostly rest: handshakes by rustls, a record layer of our own, and a
//! parked form of 128 bytes.
//!
//! **What it is.** An [`Acceptor`] (server: certificates by name, tickets, client certificates,
//! reload) or a [`Connector`] (client) begins a [`Handshake`]: bytes in, bytes out. It ends in a
//! [`Session`], which opens and seals records, or in a [`Fault`] with its alert. A TLS 1.3 session
//! that rests becomes a [`Parked`]: both traffic secrets, both sequence numbers, the suite, and
//! nothing else. Its keys are derived when it wakes and wiped when it parks.
//!
//! [`layer::Secured`] makes of these a transport that secures connections, over one that does not.
//!
//! **What it is not.** It knows no sockets, no buffers but the caller's, no deadlines and no
//! connection limits: those are the caller's. It offers no early data, no post-handshake
//! authentication, no renegotiation, no TLS below 1.2. TLS 1.2, and TLS 1.3 by choice
//! ([`RecordLayer::Rustls`]), stay on rustls's record layer behind the same [`Session`]; such a
//! session does not park. Nothing here is secret from who can read the process's memory: the
//! parked form holds traffic secrets in the clear.
//!
//! ```text
//!  Acceptor ─ begin ─► Handshake ── advance ─┬─► Fault (+ alert)
//!  Connector ┘          rustls, ≤ 64 KiB in  │
//!                                            └─► Session ── park ──► Parked, 128 B
//!                                                open · seal · control   │
//!                                                    ▲                   │
//!                                                    └────── wake ───────┘
//! ```
//!
//! # Invariants
//! - **TL-1** A parked session is 128 bytes of plain data, and no memory outside of them.
//! - **TL-2** Secrets and keys are wiped where they lay: at park, at the end of a session, at a
//!   key update, when a handshake falls, and in a table's cell when it is taken. (A value that
//!   moves may leave a copy on the stack, which nothing in safe Rust can wipe.)
//! - **TL-3** No sequence number protects two records under one key, whatever becomes of the
//!   record; and no key protects more records than its suite allows.
//! - **TL-4** Parking and waking change nothing that a peer could see: not the numbers, not the
//!   counters against floods, not who has closed. The form is canonical.
//! - **TL-5** The record layer takes over only with secrets that lead to the very keys that the
//!   handshake uses, at a record's border, at the handshake's numbers.
//! - **TL-6** Plaintext comes out of authenticated records only. After a fault nothing is opened
//!   and nothing is sealed but its one alert; after close_notify nothing is sealed.
//! - **TL-7** A peer causes no panic, no unbounded memory and no unbounded work: its handshake is
//!   bounded in bytes and records, its messages after it in size and number, its empty records and
//!   its key updates in number ([`limits`]).
//! - **TL-8** Both record layers agree: what one seals the other opens, and what breaks the RFC's
//!   rules is refused by ours.
//! - **TL-9** A reload changes all files or none, and no connection or handshake that has begun.
//!
//! Unsafe code: none.
//!
//! # Example
//! ```
//! use longhold_tls::{Acceptor, CertificateFiles, ClientSettings, Connector, Next, Opened};
//! use longhold_tls::{ServerSettings, Session};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let made = rcgen::generate_simple_self_signed(["edge.example".to_owned()]).unwrap();
//! # let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
//! # std::fs::write(&certificate, made.cert.pem()).unwrap();
//! # std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
//! let files = CertificateFiles { certificate, key, ..Default::default() };
//! let settings = ServerSettings { certificates: vec![files], ..Default::default() };
//! let mut server = Acceptor::new(settings).unwrap().begin().unwrap();
//! let connector = Connector::new(&ClientSettings::default()).unwrap();
//! let mut client = connector.begin("edge.example").unwrap();
//!
//! let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
//! client.advance(&mut [], &mut to_server).unwrap();
//! while server.advance(&mut to_server, &mut to_client).unwrap().next != Next::Finish {
//!     to_server.clear();
//!     client.advance(&mut to_client, &mut to_server).unwrap();
//! }
//! let (mut client, server) = (client.finish().unwrap(), server.finish().unwrap());
//!
//! // The server's side rests in 128 bytes until something comes.
//! let Ok(parked) = server.park() else { unreachable!("it owes nothing") };
//! let mut wire = [0; 100];
//! let sealed = client.seal(&[b"GET ", b"/"], &mut wire).unwrap();
//! let mut server = Session::wake(parked).unwrap();
//! let opened = server.open(&mut wire[..sealed.written]).unwrap();
//! let Opened::Data { data, .. } = opened else { unreachable!("it was data") };
//! assert_eq!(&wire[data], b"GET /");
//! ```

mod acceptor;
mod capture;
mod certificates;
mod connector;
mod driver;
mod fallback;
mod fault;
mod frame;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handshake;
mod keys;
pub mod layer;
pub mod limits;
mod parked;
mod preference;
mod record;
mod resumption;
mod session;
mod staple;
mod suite;
mod tickets;

pub use acceptor::{Acceptor, ClientAuthentication, ServerSettings, TICKET_ROTATION_DEFAULT};
pub use capture::TrafficSecrets;
pub use certificates::{CertificateFiles, LoadError};
pub use connector::{ClientSettings, Connector, Trust};
pub use fault::{Alert, Fault};
pub use handshake::{Details, Handshake, Next, Progress};
pub use parked::{PARKED_BYTES, Parked, ParkedTable, WORDS as PARKED_WORDS, WakeError};
pub use session::{Opened, Sealed, Session};
pub use suite::Suite;

/// Which side of a connection we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We were connected to.
    Server,
    /// We have connected.
    Client,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// TLS 1.2 (RFC 5246).
    Tls12,
    /// TLS 1.3 (RFC 8446).
    Tls13,
}

impl Version {
    /// Its name, as nginx and Apache log it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls12 => "TLSv1.2",
            Self::Tls13 => "TLSv1.3",
        }
    }

    fn of(version: rustls::ProtocolVersion) -> Option<Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "rustls speaks no other")]
        match version {
            rustls::ProtocolVersion::TLSv1_2 => Some(Self::Tls12),
            rustls::ProtocolVersion::TLSv1_3 => Some(Self::Tls13),
            _ => None,
        }
    }
}

/// Which versions are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 and TLS 1.3.
    #[default]
    Both,
    /// TLS 1.3 alone.
    Tls13Only,
    /// TLS 1.2 alone: for tests and for clients that imitate old ones.
    Tls12Only,
}

impl Versions {
    fn of_rustls(self) -> &'static [&'static rustls::SupportedProtocolVersion] {
        match self {
            Self::Both => &BOTH,
            Self::Tls13Only => &TLS13_ONLY,
            Self::Tls12Only => &TLS12_ONLY,
        }
    }
}

static BOTH: [&rustls::SupportedProtocolVersion; 2] =
    [&rustls::version::TLS13, &rustls::version::TLS12];
static TLS13_ONLY: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
static TLS12_ONLY: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];

/// Whose record layer carries TLS 1.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RecordLayer {
    /// Ours: sessions park in 128 bytes.
    #[default]
    Own,
    /// rustls's: sessions do not park, and cost some kilobytes each.
    Rustls,
}
