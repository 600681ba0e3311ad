//! The stage: a network, a secured transport with a caller that echoes, and clients.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use longhold_transport::sim::{self, Network, Profile, SimTransport};
use longhold_transport::{
    Completion, Config, IoFault, Parts, Payload, Token, Transport, TransportError,
};
use tempfile::TempDir;

use crate::layer::{Bounds, InFlight, LayerSettings, Report, Secured, Wire};
use crate::{
    Acceptor, CertificateFiles, ClientSettings, Connector, Handshake, Next, Opened, RecordLayer,
    ServerSettings, Session, Versions,
};

pub(super) const EDGE: &str = "10.0.0.1:443";
pub(super) const SLOTS: u32 = 64;

/// Bytes to be sent.
pub(super) struct Text {
    pub(super) bytes: Vec<u8>,
    sent: usize,
}

impl Text {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, sent: 0 }
    }

    pub(super) fn is_done(&self) -> bool {
        self.sent == self.bytes.len()
    }
}

impl Payload for Text {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        // In three pieces, so that records span them.
        let rest = &self.bytes[self.sent..];
        let (front, back) = rest.split_at(rest.len() / 3);
        parts.push(front);
        parts.push(back);
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.sent += sent_bytes;
        assert!(self.sent <= self.bytes.len(), "more is told than there was");
    }
}

/// What the caller has seen of one connection.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) token: Option<Token>,
    pub(super) secured: Option<Result<(), IoFault>>,
    pub(super) received: Vec<u8>,
    pub(super) ended: Option<Result<(), IoFault>>,
    pub(super) sends_told: usize,
    pub(super) wakes: usize,
    pub(super) closed: bool,
}

pub(super) type Edge = Secured<SimTransport<Wire<Text>>, Text>;

pub(super) struct Stage {
    pub(super) net: Network,
    pub(super) edge: Edge,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) reports: Rc<RefCell<Vec<Report>>>,
    /// By the client's port.
    pub(super) seen: HashMap<u16, Seen>,
    ports: HashMap<u32, u16>,
    generation: u32,
    /// What is received is sent back.
    pub(super) echoes: bool,
    pub(super) connector: Connector,
    next_port: u16,
    _files: TempDir,
}

pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) profile: Profile,
    pub(super) record_layer: RecordLayer,
    pub(super) versions: Versions,
    pub(super) in_flight_max: u32,
    pub(super) inputs_max: u32,
    pub(super) bounds: Bounds,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            profile: Profile::default(),
            record_layer: RecordLayer::Own,
            versions: Versions::Both,
            in_flight_max: 64,
            inputs_max: 64,
            bounds: Bounds::default(),
        }
    }
}

/// A certificate for `edge.test` in a folder of its own.
pub(super) fn certificate() -> (TempDir, CertificateFiles) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["edge.test".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (folder, CertificateFiles { certificate, key, ocsp: None, names: Vec::new() })
}

impl Stage {
    pub(super) fn new(plan: Plan) -> Self {
        let net = Network::with_profile(plan.seed, plan.profile);
        let config = Config { slots: SLOTS, buffers: 64, ..Config::default() };
        let (files, certificate) = certificate();
        let acceptor = Acceptor::new(ServerSettings {
            certificates: vec![certificate],
            record_layer: plan.record_layer,
            ..ServerSettings::default()
        })
        .unwrap();
        let connector = Connector::new(&ClientSettings {
            versions: plan.versions,
            ..ClientSettings::default()
        })
        .unwrap();
        let in_flight = Arc::new(InFlight::new(plan.in_flight_max));
        let reports = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&reports);
        let settings = LayerSettings {
            bounds: Bounds { in_flight: Arc::clone(&in_flight), ..plan.bounds },
            inputs_max: plan.inputs_max,
            reporter: Box::new(move |report| told.borrow_mut().push(report.clone())),
            ..LayerSettings::default()
        };
        let mut edge: Edge = Secured::new(net.transport(&config), settings);
        let listener = edge.listen(net.bind(address(EDGE))).unwrap();
        edge.secure_listener(listener, Arc::new(acceptor));
        Self {
            net,
            edge,
            in_flight,
            reports,
            seen: HashMap::new(),
            ports: HashMap::new(),
            generation: 0,
            echoes: true,
            connector,
            next_port: 1024,
            _files: files,
        }
    }

    pub(super) fn client(&mut self) -> Client {
        let raw = self.raw_client();
        let handshake = self.connector.begin("edge.test").unwrap();
        Client::new(raw, handshake)
    }

    pub(super) fn raw_client(&mut self) -> sim::Client {
        self.next_port += 1;
        self.net.connect(SocketAddr::from(([10, 0, 0, 2], self.next_port)), address(EDGE))
    }

    pub(super) fn seen(&mut self, port: u16) -> &mut Seen {
        self.seen.entry(port).or_default()
    }

    /// Runs the edge until nothing can happen before `ms` of virtual time have passed.
    pub(super) fn run_for_ms(&mut self, ms: u64) {
        self.net.run_for(ms * 1000);
        let mut completions = Vec::new();
        loop {
            match self.edge.wait(None, &mut completions) {
                Ok(()) => {}
                Err(TransportError::Idle) => return,
                Err(fault) => panic!("{fault}"),
            }
            for completion in completions.drain(..) {
                self.handle(completion);
            }
        }
    }

    /// One turn of the edge.
    pub(super) fn turn(&mut self, completions: &mut Vec<Completion<Text>>) {
        self.edge.wait(Some(0), completions).unwrap();
        for completion in completions.drain(..) {
            self.handle(completion);
        }
    }

    /// Runs the edge and the client by turns until both are quiet.
    pub(super) fn play(&mut self, client: &mut Client) {
        for _ in 0..100_000 {
            let moved = client.pump();
            self.run_for_ms(20);
            if !moved && client.raw.unread_bytes() == 0 {
                return;
            }
        }
        panic!("it does not come to an end");
    }

    pub(super) fn send(&mut self, port: u16, bytes: Vec<u8>) {
        let token = self.seen(port).token.unwrap();
        self.edge.send(token, Text::new(bytes));
    }

    fn handle(&mut self, completion: Completion<Text>) {
        match completion {
            Completion::Accepted { slot, peer, .. } => {
                self.generation += 1;
                let token = Token::new(slot, self.generation);
                self.ports.insert(slot, peer.port());
                self.seen(peer.port()).token = Some(token);
                self.edge.park(token);
            }
            Completion::Secured { token, result } => {
                self.of(token).secured = Some(result);
                if result.is_err() {
                    self.edge.close(token);
                }
            }
            Completion::Readable { token } => {
                self.of(token).wakes += 1;
                let buffer = self.edge.buffer().unwrap();
                self.edge.receive(token, buffer);
            }
            Completion::Received { token, buffer, result } => {
                let bytes = buffer.filled().to_vec();
                self.edge.recycle(buffer);
                match result {
                    Ok(n) if n > 0 => {
                        assert_eq!(n, bytes.len());
                        self.of(token).received.extend_from_slice(&bytes);
                        match self.echoes {
                            true => self.edge.send(token, Text::new(bytes)),
                            false => self.edge.park(token),
                        }
                    }
                    ended => {
                        self.of(token).ended = Some(ended.map(|_| ()));
                        self.edge.close(token);
                    }
                }
            }
            Completion::Sent { token, payload, result } => match result {
                Ok(_) => {
                    self.of(token).sends_told += 1;
                    match payload.sent < payload.bytes.len() {
                        true => self.edge.send(token, payload),
                        false => self.edge.park(token),
                    }
                }
                Err(_) => self.edge.close(token),
            },
            Completion::Closed { token } => self.of(token).closed = true,
            Completion::Unparked { .. } | Completion::ShutDown { .. } => {}
            other @ (Completion::AcceptFailed { .. }
            | Completion::Connected { .. }
            | Completion::Woken) => panic!("{:?}", std::mem::discriminant(&other)),
        }
    }

    fn of(&mut self, token: Token) -> &mut Seen {
        let port = self.ports[&token.slot];
        let seen = self.seen.entry(port).or_default();
        assert_eq!(seen.token, Some(token), "of another connection");
        seen
    }

    /// Nothing is held for connections that rest, and nothing of those that are gone.
    pub(super) fn assert_at_rest(&self) {
        assert_eq!(self.edge.held(), (0, 0), "connections awake, inputs out");
        assert_eq!(self.in_flight.count(), 0, "handshakes in flight");
    }

    /// All slots are free and every buffer is back.
    pub(super) fn assert_clean(&mut self) {
        self.assert_at_rest();
        assert_eq!(self.edge.below().open_count(), 0);
        assert_eq!(self.edge.below().buffers_out(), 0);
        assert!(self.seen.values().all(|seen| seen.token.is_none() || seen.closed));
    }
}

/// A client of this crate's own handshake and session.
pub(super) struct Client {
    pub(super) raw: sim::Client,
    handshake: Option<Handshake>,
    pub(super) session: Option<Session>,
    input: Vec<u8>,
    output: Vec<u8>,
    pub(super) received: Vec<u8>,
    pub(super) is_closed: bool,
    begun: bool,
}

impl Client {
    pub(super) fn new(raw: sim::Client, handshake: Handshake) -> Self {
        Self {
            raw,
            handshake: Some(handshake),
            session: None,
            input: Vec::new(),
            output: Vec::new(),
            received: Vec::new(),
            is_closed: false,
            begun: false,
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.raw.local_address().port()
    }

    /// Moves bytes both ways; whether any moved.
    pub(super) fn pump(&mut self) -> bool {
        let came = self.raw.read();
        let mut moved = !came.is_empty();
        self.input.extend(came);
        if let Some(handshake) = &mut self.handshake {
            if self.begun && self.input.is_empty() {
                return self.flush() || moved;
            }
            self.begun = true;
            let progress = handshake.advance(&mut self.input, &mut self.output).unwrap();
            self.input.drain(..progress.consumed);
            if progress.next == Next::Finish {
                self.session = self.handshake.take().map(|done| done.finish().unwrap());
            }
        }
        if let Some(session) = &mut self.session {
            loop {
                let consumed = match session.open(&mut self.input).unwrap() {
                    Opened::Data { data, consumed } => {
                        self.received.extend_from_slice(&self.input[data]);
                        consumed
                    }
                    Opened::Quiet { consumed } => consumed,
                    Opened::Closed { consumed } => {
                        self.is_closed = true;
                        consumed
                    }
                    Opened::More { .. } => break,
                };
                self.input.drain(..consumed);
                if self.is_closed {
                    break;
                }
            }
        }
        self.say_owed();
        moved |= self.flush();
        moved
    }

    /// Queues what the session owes.
    pub(super) fn say_owed(&mut self) {
        if let Some(session) = &mut self.session {
            let mut control = [0; 512];
            let written = session.control(&mut control);
            self.output.extend_from_slice(&control[..written]);
        }
    }

    fn flush(&mut self) -> bool {
        let sent = self.raw.write(&self.output);
        self.output.drain(..sent);
        sent > 0
    }

    /// Seals and queues.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        let sealed = self.seal(bytes);
        self.output.extend(sealed);
    }

    /// Sealed bytes that are not queued.
    pub(super) fn seal(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let session = self.session.as_mut().unwrap();
        let mut records = Vec::new();
        while !bytes.is_empty() {
            let mut room = vec![0; 20_000];
            let sealed = session.seal(&[bytes], &mut room).unwrap();
            records.extend_from_slice(&room[..sealed.written]);
            bytes = &bytes[sealed.taken..];
        }
        records
    }
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Bytes that differ everywhere, so that a shifted or repeated piece shows.
pub(super) fn body(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}
