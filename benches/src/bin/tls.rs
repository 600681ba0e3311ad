//! `tls`: what TLS costs a server's processor: handshakes, records by size, and waking.
//!
//! Each figure stands beside rustls's own server, as it is used everywhere else (buffered, its own
//! tickets), on the same settings, in the same run, turn by turn; the quickest round of each
//! counts. Only the server's side is timed, in this thread's processor time: the client is rustls
//! in both cases, and its work falls between the clock's readings.
//!
//! `cargo xtask bench tls` runs it and prints a table.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use longhold_tls::{Acceptor, CertificateFiles, Handshake, Next, Opened, ServerSettings, Session};
use rustix::time::{ClockId, clock_gettime};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConfig};
use rustls::{ServerConnection, SupportedCipherSuite};
use serde_json::{Value, json};

/// Measures TLS on one core.
#[derive(Parser)]
#[command(name = "tls", about)]
struct Arguments {
    /// Rounds; the quickest one counts.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Handshakes of one round.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    handshakes: u32,
    /// Bytes that one round of a record case moves.
    #[arg(long, default_value_t = 16 << 20)]
    bytes: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // glibc gives large blocks back to the kernel until it has freed one so large: what comes
    // first would pay for page faults that a server does not have.
    drop(std::hint::black_box(vec![1_u8; LARGEST_BLOCK_BYTES]));
    let folder = tempfile::tempdir().context("no scratch folder")?;
    let site = Site::new(folder.path())?;
    let mut rows = Vec::new();
    for suite in [CipherSuite::TLS13_AES_128_GCM_SHA256, CipherSuite::TLS13_AES_256_GCM_SHA384] {
        for resumed in [false, true] {
            rows.push(handshakes(&site, suite, resumed, &arguments)?);
        }
    }
    for suite in SUITES {
        for bytes in SIZES {
            rows.push(sealing(&site, suite, bytes, &arguments)?);
        }
        for bytes in SIZES {
            rows.push(opening(&site, suite, bytes, &arguments)?);
        }
        rows.push(waking(&site, suite, &arguments)?);
    }
    let (_, client, _) = shake_ours(&site, &site.client(None, false)?)?;
    let agreed = client.negotiated_cipher_suite().context("no suite")?.suite();
    println!("{}", serde_json::to_string(&json!({ "rows": rows, "agreed": name(agreed) }))?);
    Ok(())
}

/// A server of ours and one of rustls's, with the same certificate (P-256).
struct Site {
    acceptor: Acceptor,
    rustls: Arc<ServerConfig>,
    roots: RootCertStore,
}

impl Site {
    fn new(folder: &Path) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let certificate = folder.join("cert.pem");
        let key = folder.join("key.pem");
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        let chain = vec![CertificateDer::from_pem_file(&certificate)?];
        let mut roots = RootCertStore::empty();
        roots.add(chain.first().context("no certificate")?.clone())?;
        let mut config = ServerConfig::builder_with_provider(provider(None))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_file(&key)?)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        config.send_tls13_tickets = 1;
        let files = CertificateFiles { certificate, key, ..CertificateFiles::default() };
        let settings = ServerSettings { certificates: vec![files], ..ServerSettings::default() };
        Ok(Self { acceptor: Acceptor::new(settings)?, rustls: Arc::new(config), roots })
    }

    fn client(&self, suite: Option<CipherSuite>, resumes: bool) -> Result<Arc<ClientConfig>> {
        let mut config = ClientConfig::builder_with_provider(provider(suite))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

/// One server under the clock.
trait Server {
    fn take(&mut self, wire: &mut Vec<u8>, answer: &mut Vec<u8>) -> Result<()>;
}

struct Ours(Option<Handshake>, Option<Session>);

impl Server for Ours {
    fn take(&mut self, wire: &mut Vec<u8>, answer: &mut Vec<u8>) -> Result<()> {
        let Some(mut handshake) = self.0.take() else {
            return Ok(());
        };
        let progress = handshake.advance(wire, answer)?;
        wire.drain(..progress.consumed);
        match progress.next {
            Next::Read { .. } => self.0 = Some(handshake),
            Next::Finish => self.1 = Some(handshake.finish()?),
        }
        Ok(())
    }
}

struct Theirs(ServerConnection);

impl Server for Theirs {
    fn take(&mut self, wire: &mut Vec<u8>, answer: &mut Vec<u8>) -> Result<()> {
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            self.0.read_tls(&mut rest)?;
            self.0.process_new_packets()?;
        }
        wire.clear();
        while self.0.wants_write() {
            self.0.write_tls(answer)?;
        }
        Ok(())
    }
}

/// Runs a handshake; nanoseconds of the server, its making not among them.
fn shake(client: &mut ClientConnection, server: &mut dyn Server) -> Result<u64> {
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let mut spent = 0;
    while client.is_handshaking() || client.wants_write() {
        while client.wants_write() {
            client.write_tls(&mut to_server)?;
        }
        let begin = cpu_nanoseconds();
        server.take(&mut to_server, &mut to_client)?;
        spent += cpu_nanoseconds() - begin;
        let mut rest = to_client.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest)?;
            client.process_new_packets()?;
        }
        to_client.clear();
    }
    Ok(spent)
}

fn connect(client: &Arc<ClientConfig>) -> Result<ClientConnection> {
    Ok(ClientConnection::new(Arc::clone(client), NAME.try_into()?)?)
}

fn shake_ours(site: &Site, client: &Arc<ClientConfig>) -> Result<(u64, ClientConnection, Session)> {
    let mut client = connect(client)?;
    let begin = cpu_nanoseconds();
    let mut server = Ours(Some(site.acceptor.begin()?), None);
    let made = cpu_nanoseconds() - begin;
    let spent = made + shake(&mut client, &mut server)?;
    Ok((spent, client, server.1.context("no session")?))
}

fn shake_theirs(
    site: &Site,
    client: &Arc<ClientConfig>,
) -> Result<(u64, ClientConnection, ServerConnection)> {
    let mut client = connect(client)?;
    let begin = cpu_nanoseconds();
    let mut server = Theirs(ServerConnection::new(Arc::clone(&site.rustls))?);
    let made = cpu_nanoseconds() - begin;
    let spent = made + shake(&mut client, &mut server)?;
    Ok((spent, client, server.0))
}

fn handshakes(
    site: &Site,
    suite: CipherSuite,
    resumed: bool,
    arguments: &Arguments,
) -> Result<Value> {
    let to_ours = site.client(Some(suite), resumed)?;
    let to_theirs = site.client(Some(suite), resumed)?;
    let (mut ours, mut theirs) = (Quickest::new(), Quickest::new());
    let mut kinds = 0;
    for _ in 0..arguments.rounds {
        let (mut our_round, mut their_round) = (0, 0);
        for _ in 0..arguments.handshakes {
            let (spent, client, session) = shake_ours(site, &to_ours)?;
            our_round += spent + ending(session);
            kinds += u32::from(client.handshake_kind() == Some(rustls::HandshakeKind::Resumed));
            let (spent, _, server) = shake_theirs(site, &to_theirs)?;
            their_round += spent + ending(server);
        }
        ours.note(our_round);
        theirs.note(their_round);
    }
    let all = arguments.rounds * arguments.handshakes;
    let expected = if resumed { all - 1 } else { 0 };
    ensure!(kinds == expected, "{kinds} of {all} handshakes were resumed");
    let case = if resumed { "handshake, resumed" } else { "handshake, full (P-256)" };
    Ok(row(case, name(suite), ours.per(arguments.handshakes), theirs.per(arguments.handshakes)))
}

/// Nanoseconds of the end of a connection: rustls's holds until then what ours gives up at the
/// handshake's end.
fn ending<T>(connection: T) -> u64 {
    let begin = cpu_nanoseconds();
    drop(connection);
    cpu_nanoseconds() - begin
}

/// A head and a body, as a hit's answer is.
fn sealing(site: &Site, suite: CipherSuite, bytes: usize, arguments: &Arguments) -> Result<Value> {
    let client = site.client(Some(suite), false)?;
    let (_, _, mut ours) = shake_ours(site, &client)?;
    let (_, _, mut theirs) = shake_theirs(site, &client)?;
    theirs.set_buffer_limit(None);
    let head = vec![b'h'; HEAD_BYTES];
    let body = vec![b'b'; bytes];
    let mut window = vec![0; WINDOW_BYTES];
    let mut wire = Vec::with_capacity(2 * WINDOW_BYTES);
    let answers = answers(arguments, bytes);
    let (mut our_best, mut their_best) = (Quickest::new(), Quickest::new());
    for _ in 0..arguments.rounds {
        our_best.time(|| {
            for _ in 0..answers {
                let mut parts = [head.as_slice(), body.as_slice()];
                while parts.iter().any(|part| !part.is_empty()) {
                    let mut taken = ours.seal(&parts, &mut window)?.taken;
                    for part in &mut parts {
                        let gone = taken.min(part.len());
                        *part = part.get(gone..).unwrap_or_default();
                        taken -= gone;
                    }
                    std::hint::black_box(&window);
                }
            }
            Ok(())
        })?;
        their_best.time(|| {
            for _ in 0..answers {
                theirs.writer().write_all(&head)?;
                theirs.writer().write_all(&body)?;
                while theirs.wants_write() {
                    wire.clear();
                    theirs.write_tls(&mut wire)?;
                    std::hint::black_box(&wire);
                }
            }
            Ok(())
        })?;
    }
    Ok(row(&format!("seal {bytes}"), name(suite), our_best.per(answers), their_best.per(answers)))
}

fn opening(site: &Site, suite: CipherSuite, bytes: usize, arguments: &Arguments) -> Result<Value> {
    let config = site.client(Some(suite), false)?;
    let (_, mut our_client, mut ours) = shake_ours(site, &config)?;
    let (_, mut their_client, mut theirs) = shake_theirs(site, &config)?;
    let messages = answers(arguments, bytes);
    let (mut our_best, mut their_best) = (Quickest::new(), Quickest::new());
    let mut target = vec![0; 64 << 10];
    for _ in 0..arguments.rounds {
        let mut wire = say(&mut our_client, bytes, messages)?;
        our_best.time(|| open_ours(&mut ours, &mut wire, &mut target))?;
        let wire = say(&mut their_client, bytes, messages)?;
        their_best.time(|| open_theirs(&mut theirs, &wire, &mut target))?;
    }
    let case = format!("open {bytes}");
    Ok(row(&case, name(suite), our_best.per(messages), their_best.per(messages)))
}

/// What a client says: so many messages of so many bytes, as they are on the wire.
fn say(client: &mut ClientConnection, bytes: usize, messages: u32) -> Result<Vec<u8>> {
    client.set_buffer_limit(None);
    let message = vec![b'm'; bytes];
    let mut wire = Vec::new();
    for _ in 0..messages {
        client.writer().write_all(&message)?;
        while client.wants_write() {
            client.write_tls(&mut wire)?;
        }
    }
    Ok(wire)
}

/// Opens in place, and copies out as a transport does.
fn open_ours(session: &mut Session, wire: &mut [u8], target: &mut [u8]) -> Result<()> {
    let mut rest = wire;
    loop {
        let used = match session.open(rest)? {
            Opened::Data { data, consumed } => {
                let plain = rest.get(data).context("no data")?;
                target.get_mut(..plain.len()).context("no room")?.copy_from_slice(plain);
                std::hint::black_box(&target);
                consumed
            }
            Opened::Quiet { consumed } => consumed,
            Opened::Closed { .. } | Opened::More { .. } => {
                ensure!(rest.is_empty(), "a record is left");
                return Ok(());
            }
        };
        rest = rest.get_mut(used..).context("no rest")?;
    }
}

fn open_theirs(server: &mut ServerConnection, wire: &[u8], target: &mut [u8]) -> Result<()> {
    let mut rest = wire;
    while !rest.is_empty() {
        server.read_tls(&mut rest)?;
        server.process_new_packets()?;
        while let Ok(1..) = server.reader().read(target) {
            std::hint::black_box(&target);
        }
    }
    Ok(())
}

/// A request and its answer on a session that wakes for them, and on one that never rests. The
/// row's second figure is the latter: rustls has nothing to compare with.
fn waking(site: &Site, suite: CipherSuite, arguments: &Arguments) -> Result<Value> {
    let config = site.client(Some(suite), false)?;
    let (_, mut client, session) = shake_ours(site, &config)?;
    let mut session = Some(session);
    let mut output = vec![0; 4096];
    let mut target = vec![0; 4096];
    let (mut waking, mut steady) = (Quickest::new(), Quickest::new());
    let body = [b'b'; 1024];
    for _ in 0..arguments.rounds {
        let wire = say(&mut client, REQUEST_BYTES, WAKES)?;
        let record = wire.len() / WAKES as usize;
        let mut wires = [wire, say(&mut client, REQUEST_BYTES, WAKES)?];
        for (wire, rests) in wires.iter_mut().zip([true, false]) {
            let best = if rests { &mut waking } else { &mut steady };
            best.time(|| {
                for request in wire.chunks_exact_mut(record) {
                    let mut awake = session.take().context("no session")?;
                    open_ours(&mut awake, request, &mut target)?;
                    std::hint::black_box(awake.seal(&[&body], &mut output)?);
                    if rests {
                        let parked = awake.park().ok().context("it cannot rest")?;
                        awake = Session::wake(std::hint::black_box(parked))?;
                    }
                    session = Some(awake);
                }
                Ok(())
            })?;
        }
    }
    Ok(row("request on waking, 1 KiB", name(suite), waking.per(WAKES), steady.per(WAKES)))
}

/// The quickest round.
struct Quickest(u64);

impl Quickest {
    const fn new() -> Self {
        Self(u64::MAX)
    }

    fn note(&mut self, nanoseconds: u64) {
        self.0 = self.0.min(nanoseconds);
    }

    fn time(&mut self, round: impl FnOnce() -> Result<()>) -> Result<()> {
        let begin = cpu_nanoseconds();
        round()?;
        self.note(cpu_nanoseconds() - begin);
        Ok(())
    }

    fn per(&self, count: u32) -> f64 {
        self.0 as f64 / f64::from(count)
    }
}

fn row(case: &str, suite: &str, ours: f64, other: f64) -> Value {
    let ratio = ours / other;
    json!({ "case": case, "suite": suite, "ours_ns": ours, "other_ns": other, "ratio": ratio })
}

fn answers(arguments: &Arguments, bytes: usize) -> u32 {
    u32::try_from(arguments.bytes / bytes).unwrap_or(u32::MAX).max(1)
}

fn provider(suite: Option<CipherSuite>) -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    let is_wanted = |known: &SupportedCipherSuite| suite.is_none_or(|it| known.suite() == it);
    provider.cipher_suites.retain(is_wanted);
    Arc::new(provider)
}

fn name(suite: CipherSuite) -> &'static str {
    suite.as_str().and_then(|name| name.strip_prefix("TLS13_")).unwrap_or("?")
}

fn cpu_nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

const NAME: &str = "edge.example";
const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];
const SIZES: [usize; 3] = [1 << 10, 16 << 10, 1 << 20];
const LARGEST_BLOCK_BYTES: usize = 30 << 20;
const HEAD_BYTES: usize = 300;
const WINDOW_BYTES: usize = 256 << 10;
const REQUEST_BYTES: usize = 200;
const WAKES: u32 = 2000;
