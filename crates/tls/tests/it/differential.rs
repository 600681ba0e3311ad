//! Our record layer against rustls's own ends: any data, any cuts, key updates from either side,
//! naps of ours, and the end (TL-4, TL-5, TL-8).

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use longhold_tls::{
    Acceptor, ClientSettings, Connector, Next, Opened, Role, Session, TrafficSecrets, Trust,
};
use proptest::prelude::*;
use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::ConnectionState;
use rustls::{CipherSuite, Connection, ExtractedSecrets, KeyLog, ServerConnection};

use crate::pair::Identity;
use crate::peers;

/// One end of ours, one of rustls, and the wire between them.
struct Line {
    ours: Option<Session>,
    theirs: Connection,
    to_ours: Vec<u8>,
    to_theirs: Vec<u8>,
    said: Vec<u8>,
    heard: Vec<u8>,
}

/// What may happen on the line.
#[derive(Clone, Debug)]
enum Event {
    TheySay(Vec<u8>),
    WeSay(Vec<u8>),
    TheyUpdate,
    WeUpdate(bool),
    WeNap,
    /// So many bytes of what is under way reach us.
    Deliver(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let data = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            (any::<u8>(), 0usize..70_000).prop_map(|(byte, length)| vec![byte; length]),
        ]
    };
    prop_oneof![
        3 => data().prop_map(Event::TheySay),
        3 => data().prop_map(Event::WeSay),
        1 => Just(Event::TheyUpdate),
        1 => any::<bool>().prop_map(Event::WeUpdate),
        2 => Just(Event::WeNap),
        3 => (0usize..20_000).prop_map(Event::Deliver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn both_ends_hear_what_the_other_says(
        events in prop::collection::vec(event(), 1..40),
        suite in prop::sample::select(SUITES.as_slice()),
        role in prop::sample::select([Role::Server, Role::Client].as_slice()),
        fragment in prop::option::of(64usize..5000),
    ) {
        let mut line = match role {
            Role::Server => Line::to_rustls_client(suite, fragment),
            Role::Client => Line::to_rustls_server(suite),
        };
        prop_assert_eq!(line.ours.as_ref().unwrap().suite(), u16::from(suite));
        let mut they_said = Vec::new();
        let mut we_said = Vec::new();
        for event in events {
            match event {
                Event::TheySay(data) => {
                    line.they_say(&data);
                    they_said.extend(data);
                }
                Event::WeSay(data) => {
                    line.we_say(&data);
                    we_said.extend(data);
                }
                Event::TheyUpdate => line.theirs.refresh_traffic_keys().unwrap(),
                Event::WeUpdate(and_peer) => line.ours.as_mut().unwrap().update_keys(and_peer),
                Event::WeNap => line.nap(),
                Event::Deliver(bytes) => line.deliver(bytes),
            }
        }
        line.end();
        prop_assert!(line.heard == they_said, "we heard something else");
        prop_assert!(line.said == we_said, "they heard something else");
    }
}

impl Line {
    fn to_rustls_client(suite: CipherSuite, fragment: Option<usize>) -> Self {
        let identity = Identity::new(&["edge.example"]);
        let mut config = peers::client_config(&identity, &rustls::version::TLS13, Some(suite));
        config.max_fragment_size = fragment;
        let name = "edge.example".try_into().unwrap();
        let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let acceptor = Acceptor::new(identity.settings()).unwrap();
        Self::shake(acceptor.begin().unwrap(), Connection::Client(client))
    }

    fn to_rustls_server(suite: CipherSuite) -> Self {
        let identity = Identity::new(&["edge.example"]);
        let server: ServerConnection = peers::server(&identity, Some(suite));
        let trust = Trust::Roots(identity.certificate());
        let settings = ClientSettings { trust, ..ClientSettings::default() };
        let connector = Connector::new(&settings).unwrap();
        Self::shake(connector.begin("edge.example").unwrap(), Connection::Server(server))
    }

    fn shake(mut ours: longhold_tls::Handshake, mut theirs: Connection) -> Self {
        let (mut to_ours, mut to_theirs) = (Vec::new(), Vec::new());
        if ours.role() == Role::Client {
            ours.advance(&mut [], &mut to_theirs).unwrap();
        }
        loop {
            read_all(&mut theirs, &mut to_theirs);
            while theirs.wants_write() {
                theirs.write_tls(&mut to_ours).unwrap();
            }
            let progress = ours.advance(&mut to_ours, &mut to_theirs).unwrap();
            to_ours.drain(..progress.consumed);
            if progress.next == Next::Finish {
                break;
            }
        }
        read_all(&mut theirs, &mut to_theirs);
        let ours = Some(ours.finish().unwrap());
        Self { ours, theirs, to_ours, to_theirs, said: Vec::new(), heard: Vec::new() }
    }

    fn they_say(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let written = self.theirs.writer().write(data).unwrap();
            data = &data[written..];
            self.flush();
        }
    }

    fn flush(&mut self) {
        while self.theirs.wants_write() {
            self.theirs.write_tls(&mut self.to_ours).unwrap();
        }
    }

    fn we_say(&mut self, data: &[u8]) {
        let ours = self.ours.as_mut().unwrap();
        let mut output = vec![0; 30_000];
        let mut rest = data;
        while !rest.is_empty() {
            let half = rest.len() / 2;
            let sealed = ours.seal(&[&rest[..half], &rest[half..]], &mut output).unwrap();
            self.to_theirs.extend_from_slice(&output[..sealed.written]);
            rest = &rest[sealed.taken..];
        }
        self.they_read();
    }

    fn they_read(&mut self) {
        let mut chunk = [0; 4096];
        loop {
            read_all(&mut self.theirs, &mut self.to_theirs);
            while let Ok(count @ 1..) = self.theirs.reader().read(&mut chunk) {
                self.said.extend_from_slice(&chunk[..count]);
            }
            if self.to_theirs.is_empty() {
                return;
            }
        }
    }

    fn nap(&mut self) {
        let ours = self.ours.take().unwrap();
        self.ours = Some(match ours.park() {
            Ok(parked) => Session::wake(parked).unwrap(),
            Err(ours) => {
                assert!(ours.owes(), "nothing else keeps it from resting");
                ours
            }
        });
    }

    fn deliver(&mut self, bytes: usize) {
        self.flush();
        let rest = self.to_ours.split_off(bytes.min(self.to_ours.len()));
        self.we_read();
        self.to_ours.extend(rest);
    }

    fn we_read(&mut self) {
        loop {
            let used = match self.ours.as_mut().unwrap().open(&mut self.to_ours).unwrap() {
                Opened::Data { data, consumed } => {
                    self.heard.extend_from_slice(&self.to_ours[data]);
                    consumed
                }
                Opened::Quiet { consumed } => consumed,
                Opened::Closed { .. } | Opened::More { .. } => return,
            };
            self.to_ours.drain(..used);
        }
    }

    /// Everything arrives, and both sides close.
    fn end(&mut self) {
        self.theirs.send_close_notify();
        self.flush();
        self.we_read();
        let ours = self.ours.as_mut().unwrap();
        assert!(ours.is_peer_closed());
        ours.close_notify();
        let mut output = [0; 256];
        let written = ours.control(&mut output);
        self.to_theirs.extend_from_slice(&output[..written]);
        self.they_read();
        assert_eq!(self.theirs.reader().read(&mut [0; 8]).unwrap(), 0, "no close_notify");
    }
}

/// Gives rustls what is on the wire, until it wants its plaintext fetched first.
fn read_all(connection: &mut Connection, wire: &mut Vec<u8>) {
    let mut rest = wire.as_slice();
    while !rest.is_empty() && connection.read_tls(&mut rest).is_ok_and(|count| count > 0) {
        connection.process_new_packets().unwrap();
    }
    let left = rest.len();
    wire.drain(..wire.len() - left);
}

/// The secrets of a handshake that a rustls client made, as a tunnel's origin side has them.
pub(crate) fn client_secrets() -> (Vec<(String, Vec<u8>)>, ExtractedSecrets, u16) {
    let identity = Identity::new(&["edge.example"]);
    let log = Arc::new(Log::default());
    let mut config = peers::client_config(&identity, &rustls::version::TLS13, None);
    config.key_log = Arc::clone(&log) as _;
    config.enable_secret_extraction = true;
    let name = "edge.example".try_into().unwrap();
    let mut client = UnbufferedClientConnection::new(Arc::new(config), name).unwrap();
    let mut server = Acceptor::new(identity.settings()).unwrap().begin().unwrap();
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    loop {
        let status = client.process_tls_records(&mut to_client);
        let discard = status.discard;
        let mut is_done = false;
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other state has a place here")]
        match status.state.unwrap() {
            ConnectionState::EncodeTlsData(mut data) => {
                let mut record = vec![0; 20_000];
                let written = data.encode(&mut record).unwrap();
                to_server.extend_from_slice(&record[..written]);
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            ConnectionState::BlockedHandshake => {
                let progress = server.advance(&mut to_server, &mut to_client).unwrap();
                to_server.drain(..progress.consumed);
            }
            ConnectionState::WriteTraffic(_) => is_done = true,
            state => panic!("{state:?}"),
        }
        to_client.drain(..discard);
        if is_done {
            break;
        }
    }
    let suite = client.negotiated_cipher_suite().unwrap().suite();
    let (extracted, _) = client.dangerous_into_kernel_connection().unwrap();
    let secrets = log.0.lock().unwrap().clone();
    (secrets, extracted, u16::from(suite))
}

#[derive(Debug, Default)]
struct Log(Mutex<Vec<(String, Vec<u8>)>>);

impl KeyLog for Log {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        assert_eq!(TrafficSecrets::is_wanted(label), label.contains("_TRAFFIC_SECRET_0"));
        self.0.lock().unwrap().push((label.to_owned(), secret.to_vec()));
    }
}

const SUITES: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS13_AES_256_GCM_SHA384,
    CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
];
