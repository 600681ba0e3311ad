//! TLS listeners: their certificates, when these are read again, and what is counted of
//! handshakes.
//!
//! Certificates are read at start, on SIGHUP, and when one of their files has changed. Bad files
//! change nothing: what was read before stays in force, and the log says why. No connection and no
//! handshake that has begun is touched.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use longhold_gateway::reject::{self, Answer, Persistence};
use longhold_telemetry::{Counter, Gauge, WorkerCounters};
use longhold_tls::layer::{Report, Reporter};
use longhold_tls::{
    Acceptor, CertificateFiles, ClientAuthentication, Fault, LoadError, ServerSettings, Version,
    Versions,
};
use longhold_transport::Now;

use crate::config::checked::{ClientAuth, Listener, ListenerTls, RecordLayer, TlsVersion};
use crate::config::units::Millis;

/// The acceptors of all listeners.
#[derive(Debug)]
pub struct Acceptors {
    /// In the order of the config; `None` for plain listeners.
    all: Vec<Option<Arc<Acceptor>>>,
    ticks: AtomicU32,
    /// What was wrong with the files last, so that it is said once.
    said: Mutex<String>,
    /// Staples that hold no more, and of which that was said.
    stale: Mutex<Vec<PathBuf>>,
}

impl Acceptors {
    /// Reads and checks the files of all listeners.
    ///
    /// # Errors
    /// [`LoadError`] with the file that is not in order.
    pub fn load(listeners: &[Listener]) -> Result<Self, LoadError> {
        let acceptor = |listener: &Listener| -> Result<_, LoadError> {
            let Some(tls) = &listener.tls else { return Ok(None) };
            Ok(Some(Arc::new(Acceptor::new(settings(tls))?)))
        };
        let all = listeners.iter().map(acceptor).collect::<Result<_, _>>()?;
        Ok(Self { all, ticks: AtomicU32::new(0), said: Mutex::default(), stale: Mutex::default() })
    }

    /// In the order of the config; `None` for plain listeners.
    #[must_use]
    pub fn all(&self) -> &[Option<Arc<Acceptor>>] {
        &self.all
    }

    /// Whether any listener is secured.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.all.iter().any(Option::is_some)
    }

    /// Reads all files again.
    pub fn reload(&self) {
        for acceptor in self.all.iter().flatten() {
            self.tell(acceptor.reload());
        }
    }

    /// To be called each second: reads the files again of which one has changed.
    pub fn tick(&self) {
        if !self.ticks.fetch_add(1, Ordering::Relaxed).is_multiple_of(LOOK_EVERY) {
            return;
        }
        for acceptor in self.all.iter().flatten().filter(|acceptor| acceptor.is_outdated()) {
            self.tell(acceptor.reload());
        }
        self.tell_of_staples();
    }

    /// Says once of each staple that it holds no more.
    fn tell_of_staples(&self) {
        let all = self.all.iter().flatten();
        let stale: Vec<PathBuf> = all.flat_map(|acceptor| acceptor.stale_staples()).collect();
        let mut said = self.stale.lock().unwrap_or_else(PoisonError::into_inner);
        for path in stale.iter().filter(|path| !said.contains(path)) {
            let file = path.display();
            tracing::warn!(%file, "an OCSP response holds no more and is not stapled");
        }
        *said = stale;
    }

    fn tell(&self, outcome: Result<(), LoadError>) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(()) => {
                said.clear();
                tracing::info!("certificates were read again");
            }
            Err(fault) => {
                let text = fault.to_string();
                if *said != text {
                    tracing::error!(%fault, "certificates stay as they were");
                    *said = text;
                }
            }
        }
    }
}

/// What a listener's config means to its acceptor.
#[must_use]
pub fn settings(tls: &ListenerTls) -> ServerSettings {
    let files = tls.certificates.iter().map(|files| CertificateFiles {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        ocsp: files.ocsp.clone(),
        names: Vec::new(),
    });
    let client_ca = tls.client_ca.clone().unwrap_or_default();
    ServerSettings {
        certificates: files.collect(),
        client_authentication: match tls.client_auth {
            ClientAuth::Off => ClientAuthentication::None,
            ClientAuth::Optional => ClientAuthentication::Optional(client_ca),
            ClientAuth::Required => ClientAuthentication::Required(client_ca),
        },
        versions: match tls.min_version {
            TlsVersion::Tls12 => Versions::Both,
            TlsVersion::Tls13 => Versions::Tls13Only,
        },
        record_layer: match tls.record_layer {
            RecordLayer::Own => longhold_tls::RecordLayer::Own,
            RecordLayer::Rustls => longhold_tls::RecordLayer::Rustls,
        },
        ticket_rotation: tls.ticket_rotation.map(Millis::duration),
        ..ServerSettings::default()
    }
}

/// What somebody is told who has come in the clear to a port that speaks TLS: an answer of HTTP, if
/// these first bytes are a request of HTTP.
#[must_use]
pub fn answer_in_clear(first: &[u8], now: Now) -> Vec<u8> {
    let mut out = Vec::new();
    if METHODS.iter().any(|method| first.starts_with(method)) {
        let cause = "this port speaks TLS: ask by https://";
        let answer = Answer { status: 400, cause, retry_after_s: None };
        let persistence = Persistence { close: true, keep_alive: false };
        let is_head = first.starts_with(b"HEAD ");
        reject::write(&mut out, &answer, persistence, !is_head, now.unix_ms);
    }
    out
}

/// Counts what the layer reports, on its worker's thread.
pub fn reporter(counters: WorkerCounters) -> Reporter {
    Box::new(move |report| match report {
        Report::Begun => {
            counters.add(Counter::TlsBegun, 1);
            counters.raise(Gauge::TlsHandshakes, 1);
        }
        Report::Done(details) => {
            counters.lower(Gauge::TlsHandshakes, 1);
            let kind =
                if details.is_resumed { Counter::TlsDoneResumed } else { Counter::TlsDoneFull };
            counters.add(kind, 1);
            counters.add(
                match details.version {
                    Version::Tls12 => Counter::TlsSessions12,
                    Version::Tls13 => Counter::TlsSessions13,
                },
                1,
            );
        }
        Report::Failed(fault) => {
            counters.lower(Gauge::TlsHandshakes, 1);
            counters.add(failed_counter(*fault), 1);
        }
        Report::Left => {
            counters.lower(Gauge::TlsHandshakes, 1);
            counters.add(Counter::TlsFailedLeft, 1);
        }
        Report::TurnedAway => counters.add(Counter::TlsRefusedSource, 1),
        Report::Refused => counters.add(Counter::TlsRefusedPressure, 1),
        Report::Broken(_) => counters.add(Counter::TlsBrokenProtocol, 1),
        Report::RecordTimeout => counters.add(Counter::TlsBrokenTimeout, 1),
    })
}

/// The counter of a handshake that failed: its row has the fault's name.
const fn failed_counter(fault: Fault) -> Counter {
    match fault {
        Fault::NotTls => Counter::TlsFailedNotTls,
        Fault::Malformed => Counter::TlsFailedMalformed,
        Fault::UnexpectedMessage
        | Fault::TooManyEmptyRecords
        | Fault::TooManyKeyUpdates
        | Fault::TooManyMessages => Counter::TlsFailedUnexpectedMessage,
        Fault::BadRecord => Counter::TlsFailedBadRecord,
        Fault::RecordOverflow => Counter::TlsFailedRecordOverflow,
        Fault::IllegalParameter => Counter::TlsFailedIllegalParameter,
        Fault::Misbehaved => Counter::TlsFailedMisbehaved,
        Fault::HandshakeTooLong => Counter::TlsFailedTooLong,
        Fault::Incompatible => Counter::TlsFailedIncompatible,
        Fault::NoApplicationProtocol => Counter::TlsFailedNoApplicationProtocol,
        Fault::UnknownName => Counter::TlsFailedUnknownName,
        Fault::CertificateRequired => Counter::TlsFailedCertificateRequired,
        Fault::CertificateRefused => Counter::TlsFailedCertificateRefused,
        Fault::PeerAlert(_) => Counter::TlsFailedPeerAlert,
        Fault::Exhausted | Fault::Ended | Fault::Internal => Counter::TlsFailedInternal,
    }
}

/// How requests begin.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"PATCH ",
    b"DELETE ",
    b"OPTIONS ",
    b"CONNECT ",
    b"TRACE ",
];
/// Ticks between two looks at the files' times.
const LOOK_EVERY: u32 = 5;
