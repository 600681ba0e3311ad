//! Handshakes: what is agreed on, what is refused in which words, and how the bytes may come.

use longhold_tls::limits::{HANDSHAKE_BYTES_MAX, HANDSHAKE_RECORDS_MAX};
use longhold_tls::{
    Acceptor, Alert, ClientAuthentication, ClientSettings, Connector, Details, Fault, Handshake,
    Next, RecordLayer, Role, ServerSettings, Trust, Version, Versions,
};

use crate::pair::{Ends, Identity, open_all, seal_all, shake};

const NAME: &str = "edge.example";

/// A server, and what its clients trust.
struct Scene {
    identity: Identity,
    acceptor: Acceptor,
}

impl Scene {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        let identity = Identity::new(&[NAME, "*.star.example"]);
        let mut settings = identity.settings();
        change(&mut settings);
        let acceptor = Acceptor::new(settings).expect("settings");
        Self { identity, acceptor }
    }

    fn server(&self) -> Handshake {
        self.acceptor.begin().expect("a handshake")
    }

    fn client(&self, change: impl FnOnce(&mut ClientSettings)) -> Connector {
        let trust = Trust::Roots(self.identity.certificate());
        let mut settings = ClientSettings { trust, ..ClientSettings::default() };
        change(&mut settings);
        Connector::new(&settings).expect("settings")
    }

    fn shake(&self, connector: &Connector, name: &str) -> Result<Ends, (Fault, &'static str)> {
        shake(connector.begin(name).expect("a handshake"), self.server())
    }

    /// What the server says of a handshake with this client.
    fn details(&self, connector: &Connector) -> Details {
        let ends = self.shake(connector, NAME).expect("a session");
        ends.server_details
    }
}

#[test]
fn best_of_both_is_agreed_on() {
    let scene = Scene::new();
    let details = scene.details(&scene.client(|_| {}));
    let expected = Details {
        version: Version::Tls13,
        // AES-128-GCM, though the client would begin with AES-256-GCM.
        suite: 0x1301,
        // X25519MLKEM768: safe from those who record now and break later.
        group: Some(0x11ec),
        is_resumed: false,
        is_retried: false,
        is_peer_verified: false,
        server_name: Some(NAME.into()),
    };
    assert_eq!(details, expected);
}

/// Its order is followed only where it begins with ChaCha20-Poly1305: it has no instructions for
/// AES then.
#[test]
fn aes_128_is_preferred_unless_the_client_would_rather_not_have_aes() {
    use rustls::CipherSuite;
    const AES_128: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
    const AES_256: CipherSuite = CipherSuite::TLS13_AES_256_GCM_SHA384;
    const CHACHA: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
    let scene = Scene::new();
    let trust = Trust::Roots(scene.identity.certificate());
    for (offered, expected) in [
        (&[AES_256, AES_128, CHACHA][..], AES_128),
        (&[AES_128, CHACHA], AES_128),
        (&[AES_256, CHACHA], AES_256),
        (&[CHACHA, AES_256, AES_128], CHACHA),
        (&[CHACHA], CHACHA),
    ] {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        let place = |suite| offered.iter().position(|known| *known == suite);
        provider.cipher_suites.retain(|suite| place(suite.suite()).is_some());
        provider.cipher_suites.sort_by_key(|suite| place(suite.suite()));
        let settings = ClientSettings { trust: trust.clone(), ..ClientSettings::default() };
        let client = Connector::with_provider(&settings, provider.into()).expect("settings");
        let mut ends = scene.shake(&client, NAME).expect("a session");
        assert_eq!(ends.server_details.suite, u16::from(expected), "of {offered:?}");
        ends.talk();
    }
}

#[test]
fn old_clients_get_tls_12_unless_it_is_refused() {
    for record_layer in [RecordLayer::Own, RecordLayer::Rustls] {
        let scene = Scene::with(|settings| settings.record_layer = record_layer);
        let old = scene.client(|settings| settings.versions = Versions::Tls12Only);
        let mut ends = scene.shake(&old, NAME).expect("a session");
        assert_eq!(ends.server_details.version, Version::Tls12);
        assert_eq!(ends.server.version(), Version::Tls12);
        assert_eq!(ends.server.record_layer(), RecordLayer::Rustls, "ours is for TLS 1.3");
        ends.talk();
        assert!(ends.server.park().is_err(), "TLS 1.2 does not park");

        let scene = Scene::with(|settings| settings.versions = Versions::Tls13Only);
        let old = scene.client(|settings| settings.versions = Versions::Tls12Only);
        assert_eq!(scene.shake(&old, NAME).err(), Some((Fault::Incompatible, "server")));
    }
}

#[test]
fn certificate_is_found_by_name() {
    let scene = Scene::new();
    let client = scene.client(|_| {});
    for (name, is_fine) in [
        (NAME, true),
        ("a.star.example", true),
        ("a.b.star.example", false),
        ("star.example", false),
        ("other.example", false),
        ("127.0.0.1", false),
    ] {
        let refused = (Fault::CertificateRefused, "client");
        let expected = if is_fine { None } else { Some(refused) };
        assert_eq!(scene.shake(&client, name).err(), expected, "{name}");
    }
}

#[test]
fn unknown_names_are_refused_where_they_are_to_be() {
    let scene = Scene::with(|settings| settings.refuse_unknown_names = true);
    let client = scene.client(|settings| settings.trust = Trust::Anything);
    assert!(scene.shake(&client, NAME).is_ok());
    assert!(scene.shake(&client, "127.0.0.1").is_ok(), "a client that asks for no name");
    assert_eq!(scene.shake(&client, "other.example").err(), Some((Fault::UnknownName, "server")));
    // And the client is told so (RFC 6066, section 3).
    let mut handshake = client.begin("other.example").unwrap();
    let (mut hello, mut answer) = (Vec::new(), Vec::new());
    handshake.advance(&mut [], &mut hello).unwrap();
    scene.server().advance(&mut hello, &mut answer).unwrap_err();
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 112]);
    let told = handshake.advance(&mut answer, &mut hello);
    assert_eq!(told, Err(Fault::PeerAlert(Alert::UNRECOGNIZED_NAME)));
}

#[test]
fn protocols_have_one_in_common_or_none_is_named() {
    let scene = Scene::new();
    for (protocols, is_fine) in
        [(&["http/1.1"][..], true), (&["h2", "http/1.1"], true), (&[], true), (&["h2"], false)]
    {
        let client = scene.client(|settings| {
            settings.protocols = protocols.iter().map(|&name| name.to_owned()).collect();
        });
        let expected = (!is_fine).then_some((Fault::NoApplicationProtocol, "server"));
        assert_eq!(scene.shake(&client, NAME).err(), expected, "{protocols:?}");
    }
}

#[test]
fn tickets_resume_on_both_record_layers() {
    for record_layer in [RecordLayer::Own, RecordLayer::Rustls] {
        for versions in [Versions::Tls13Only, Versions::Tls12Only] {
            let scene = Scene::with(|settings| settings.record_layer = record_layer);
            let client = scene.client(|settings| {
                settings.record_layer = record_layer;
                settings.versions = versions;
                settings.resumption_servers = 4;
            });
            let mut first = scene.shake(&client, NAME).expect("a session");
            assert!(!first.server_details.is_resumed);
            first.talk();
            let mut second = scene.shake(&client, NAME).expect("a session");
            assert!(second.server_details.is_resumed, "{record_layer:?} {versions:?}");
            assert_eq!(second.server_details.server_name.as_deref(), Some(NAME));
            second.talk();
        }
    }
}

/// One ticket a handshake, which the client may use once.
#[test]
fn one_ticket_is_given_for_each_handshake() {
    let scene = Scene::new();
    let client = scene.client(|settings| settings.resumption_servers = 4);
    let mut ends = scene.shake(&client, NAME).expect("a session");
    ends.talk();
    let resumed: Vec<bool> = (0..2)
        .map(|_| scene.shake(&client, NAME).expect("a session").server_details.is_resumed)
        .collect();
    assert_eq!(resumed, [true, false], "the second handshake's ticket was never read");
}

#[test]
fn no_tickets_where_none_are_wanted() {
    let scene = Scene::with(|settings| settings.ticket_rotation = None);
    let client = scene.client(|settings| settings.resumption_servers = 4);
    scene.shake(&client, NAME).expect("a session").talk();
    assert!(!scene.details(&client).is_resumed);
}

#[test]
fn client_certificates_are_asked_for_and_judged() {
    let clients = Identity::new(&["client.example"]);
    let strangers = Identity::new(&["stranger.example"]);
    let required = ClientAuthentication::Required(clients.certificate());
    let optional = ClientAuthentication::Optional(clients.certificate());
    for record_layer in [RecordLayer::Own, RecordLayer::Rustls] {
        for versions in [Versions::Tls13Only, Versions::Tls12Only] {
            for (authentication, shown, expected) in [
                (&required, Some(&clients), Ok(true)),
                (&required, None, Err(Fault::CertificateRequired)),
                (&required, Some(&strangers), Err(Fault::CertificateRefused)),
                (&optional, Some(&clients), Ok(true)),
                (&optional, None, Ok(false)),
                (&optional, Some(&strangers), Err(Fault::CertificateRefused)),
                (&ClientAuthentication::None, Some(&clients), Ok(false)),
            ] {
                let scene = Scene::with(|settings| {
                    settings.client_authentication = authentication.clone();
                    settings.record_layer = record_layer;
                });
                let client = scene.client(|settings| {
                    settings.versions = versions;
                    settings.certificate = shown.map(|it| (it.certificate(), it.key()));
                });
                let found = match scene.shake(&client, NAME) {
                    Ok(ends) => Ok(ends.server_details.is_peer_verified),
                    Err((fault, side)) => {
                        assert_eq!(side, "server");
                        Err(fault)
                    }
                };
                assert_eq!(found, expected, "{authentication:?} {versions:?}");
            }
        }
    }
}

/// A staple goes to the client as it is in the file.
#[test]
fn ocsp_response_is_stapled() {
    let staple = [0x30, 0x0a, 0x0a, 1, 0, 0x04, 5, b'a', b'b', b'c', b'd', b'e'];
    let scene = Scene::with(|settings| {
        let path = settings.certificates[0].certificate.with_file_name("staple");
        std::fs::write(&path, staple).expect("written");
        settings.certificates[0].ocsp = Some(path);
    });
    let mut client = crate::peers::client(&scene.identity, &rustls::version::TLS12);
    let mut flights = Vec::new();
    client.write_tls(&mut flights).expect("written");
    let mut answer = Vec::new();
    scene.server().advance(&mut flights, &mut answer).expect("a flight");
    // In TLS 1.2 the flight is in the clear: CertificateStatus, type ocsp, the response.
    assert!(answer.windows(staple.len()).any(|window| window == staple), "no staple in the flight");
}

/// TL-9.
#[test]
fn reload_changes_everything_or_nothing() {
    let scene = Scene::new();
    let client = scene.client(|_| {});
    let under_way = scene.server();
    assert!(!scene.acceptor.is_outdated());

    // A key without its certificate: nothing changes.
    let other = Identity::new(&[NAME]);
    std::fs::copy(other.key(), scene.identity.key()).expect("copied");
    assert!(scene.acceptor.is_outdated());
    let error = scene.acceptor.reload().unwrap_err();
    assert!(error.to_string().contains("is not the key of"), "{error}");
    assert!(scene.shake(&client, NAME).is_ok(), "the old certificate is still shown");
    assert!(scene.acceptor.is_outdated(), "it is still not what is in force");

    // The certificate as well: new handshakes show it, the one under way the old one.
    std::fs::copy(other.certificate(), scene.identity.certificate()).expect("copied");
    scene.acceptor.reload().expect("in order");
    assert!(!scene.acceptor.is_outdated());
    assert_eq!(scene.shake(&client, NAME).err(), Some((Fault::CertificateRefused, "client")));
    assert!(shake(client.begin(NAME).unwrap(), under_way).is_ok());
    let client = scene.client(|_| {});
    assert!(scene.shake(&client, NAME).is_ok());
}

#[test]
fn tickets_outlive_a_reload_unless_the_rules_for_clients_change() {
    let clients = Identity::new(&["client.example"]);
    let scene = Scene::new();
    let client = scene.client(|settings| {
        settings.trust = Trust::Anything;
        settings.resumption_servers = 4;
        settings.certificate = Some((clients.certificate(), clients.key()));
    });
    scene.shake(&client, NAME).expect("a session").talk();
    scene.identity.renew(&[NAME]);
    scene.acceptor.reload().expect("in order");
    let mut ends = scene.shake(&client, NAME).expect("a session");
    assert!(ends.server_details.is_resumed);
    ends.talk();
    let mut settings = scene.acceptor.settings();
    settings.client_authentication = ClientAuthentication::Required(clients.certificate());
    scene.acceptor.replace(settings).expect("in order");
    let ends = scene.shake(&client, NAME).expect("a session");
    let details = ends.server_details;
    assert!(!details.is_resumed && details.is_peer_verified, "resumed past the new rule");
}

/// A client that was let in without a certificate is not let in again by its ticket.
#[test]
fn tickets_fall_when_certificates_become_required() {
    let clients = Identity::new(&["client.example"]);
    let path = clients.certificate();
    let optional = ClientAuthentication::Optional(path.clone());
    let scene = Scene::with(|settings| settings.client_authentication = optional);
    let client = scene.client(|settings| settings.resumption_servers = 4);
    for is_resumed in [false, true] {
        let mut ends = scene.shake(&client, NAME).expect("a session");
        assert_eq!(ends.server_details.is_resumed, is_resumed);
        ends.talk();
    }
    let mut settings = scene.acceptor.settings();
    settings.client_authentication = ClientAuthentication::Required(path);
    scene.acceptor.replace(settings).expect("in order");
    let refused = scene.shake(&client, NAME).err();
    assert_eq!(refused, Some((Fault::CertificateRequired, "server")));
}

/// What is no TLS is told apart, and by its first bytes.
#[test]
fn other_protocols_are_told_apart() {
    let scene = Scene::new();
    for first in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-x\r\n", b"\0\0\0\0\0", b"\xff\xff\xff\xff\xff"]
    {
        let mut output = Vec::new();
        let fault = scene.server().advance(&mut first.to_vec(), &mut output).unwrap_err();
        assert_eq!(fault, Fault::NotTls, "{first:?}");
        assert_eq!(output.first(), Some(&21), "an alert: {output:?}");
    }
    let mut output = Vec::new();
    let progress = scene.server().advance(&mut b"GET ".to_vec(), &mut output).unwrap();
    assert_eq!(progress.next, Next::Read { wanted: 5 }, "four bytes say nothing");
}

/// TL-7: however a flight is cut, the handshake comes to the same end.
#[test]
fn bytes_may_come_one_by_one() {
    for record_layer in [RecordLayer::Own, RecordLayer::Rustls] {
        let scene = Scene::with(|settings| settings.record_layer = record_layer);
        let connector = scene.client(|_| {});
        let mut client = connector.begin(NAME).unwrap();
        let mut server = scene.server();
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        client.advance(&mut [], &mut to_server).unwrap();
        drip(&mut server, &mut to_server, &mut to_client);
        drip(&mut client, &mut to_client, &mut to_server);
        drip(&mut server, &mut to_server, &mut to_client);
        let mut ends = Ends::of(client, server, to_server, to_client);
        ends.talk();
    }
}

/// Gives a handshake its input byte by byte, and asserts what it asks for.
fn drip(handshake: &mut Handshake, input: &mut Vec<u8>, output: &mut Vec<u8>) {
    let mut pending = Vec::new();
    let mut wanted = 5;
    for byte in std::mem::take(input) {
        pending.push(byte);
        let progress = handshake.advance(&mut pending, output).unwrap();
        pending.drain(..progress.consumed);
        match progress.next {
            Next::Read { wanted: more } => {
                assert!(more > pending.len());
                assert!(progress.consumed == 0 || pending.is_empty());
                assert!(progress.consumed > 0 || more >= wanted, "it asks for less than before");
                wanted = more;
            }
            Next::Finish => assert!(pending.is_empty()),
        }
    }
    *input = pending;
}

/// The client's first request may come in one piece with the end of its handshake.
#[test]
fn data_behind_the_handshake_is_left_for_the_session() {
    for record_layer in [RecordLayer::Own, RecordLayer::Rustls] {
        for versions in [Versions::Tls13Only, Versions::Tls12Only] {
            let scene = Scene::with(|settings| settings.record_layer = record_layer);
            let connector = scene.client(|settings| settings.versions = versions);
            let mut client = connector.begin(NAME).unwrap();
            let mut server = scene.server();
            let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
            client.advance(&mut [], &mut to_server).unwrap();
            loop {
                let used = server.advance(&mut to_server, &mut to_client).unwrap();
                to_server.drain(..used.consumed);
                if used.next == Next::Finish {
                    break;
                }
                let used = client.advance(&mut to_client, &mut to_server).unwrap();
                to_client.drain(..used.consumed);
                if used.next == Next::Finish && versions == Versions::Tls13Only {
                    let mut session = client.finish().unwrap();
                    to_server.extend(seal_all(&mut session, b"GET / HTTP/1.1\r\n\r\n"));
                    let used = server.advance(&mut to_server, &mut to_client).unwrap();
                    assert_eq!(used.next, Next::Finish);
                    to_server.drain(..used.consumed);
                    let mut session = server.finish().unwrap();
                    let plain = open_all(&mut session, &mut to_server).unwrap();
                    assert_eq!(plain, b"GET / HTTP/1.1\r\n\r\n");
                    break;
                }
            }
        }
    }
}

/// TL-7.
#[test]
fn flight_is_bounded_in_bytes_and_records() {
    let scene = Scene::new();
    let mut hello = Vec::new();
    scene.client(|_| {}).begin(NAME).unwrap().advance(&mut [], &mut hello).unwrap();
    let body = &hello[5..];
    // In records of one byte.
    let mut pieces: Vec<u8> = body.iter().flat_map(|&byte| [22, 3, 1, 0, 1, byte]).collect();
    let mut output = Vec::new();
    let fault = scene.server().advance(&mut pieces, &mut output).unwrap_err();
    assert_eq!(fault, Fault::HandshakeTooLong);
    assert_eq!(output, [21, 3, 3, 0, 2, 2, 10]);
    assert!(body.len() > HANDSHAKE_RECORDS_MAX as usize, "the hello has not enough bytes");
    // In records that are few enough.
    let piece = body.len() / 200 + 1;
    let mut pieces: Vec<u8> = body
        .chunks(piece)
        .flat_map(|part| [&[22, 3, 1, 0, part.len() as u8], part].concat())
        .collect();
    scene.server().advance(&mut pieces, &mut output).expect("a hello in 200 records");
    // A message that never ends.
    let mut server = scene.server();
    let record = [&[22, 3, 1, 0x40, 0][..], &[1; 0x4000]].concat();
    let mut flood = [&[22, 3, 1, 0, 4, 1, 0, 0xff, 0xff][..], &record.repeat(8)].concat();
    assert!(flood.len() > HANDSHAKE_BYTES_MAX);
    let fault = server.advance(&mut flood, &mut output).unwrap_err();
    assert_eq!(fault, Fault::HandshakeTooLong);
}

/// TL-7: a flight with any one byte changed ends in a fault or in a handshake that fails later,
/// never in a panic; and whoever fails says why.
#[test]
fn changed_flights_end_in_faults() {
    let scene = Scene::new();
    let connector = scene.client(|_| {});
    let mut first = Vec::new();
    connector.begin(NAME).unwrap().advance(&mut [], &mut first).unwrap();
    for at in 0..first.len() {
        for flip in [1, 0x80, 0xff] {
            let mut hello = first.clone();
            hello[at] ^= flip;
            let mut output = Vec::new();
            let mut server = scene.server();
            match server.advance(&mut hello, &mut output) {
                Ok(progress) => assert!(matches!(progress.next, Next::Read { .. })),
                Err(fault) => {
                    assert_ne!(fault, Fault::Internal, "byte {at} ^ {flip}");
                    assert!(!output.is_empty(), "no alert for {fault:?} at {at} ^ {flip}");
                    assert_eq!(server.advance(&mut hello, &mut output), Err(Fault::Ended));
                    assert!(server.finish().is_err());
                }
            }
        }
    }
}

/// The same for what the server says.
#[test]
fn changed_answers_end_in_faults() {
    let scene = Scene::new();
    let connector = scene.client(|_| {});
    let length = answer_to(&scene, connector.begin(NAME).unwrap()).1.len();
    for at in (0..length).step_by(7) {
        let (mut client, mut answer) = answer_to(&scene, connector.begin(NAME).unwrap());
        if at >= answer.len() {
            continue;
        }
        answer[at] ^= 0x41;
        let mut output = Vec::new();
        if let Ok(progress) = client.advance(&mut answer, &mut output) {
            assert!(matches!(progress.next, Next::Read { .. }), "byte {at} was not noticed");
        }
    }
}

fn answer_to(scene: &Scene, mut client: Handshake) -> (Handshake, Vec<u8>) {
    let (mut hello, mut answer) = (Vec::new(), Vec::new());
    client.advance(&mut [], &mut hello).unwrap();
    scene.server().advance(&mut hello, &mut answer).unwrap();
    (client, answer)
}

#[test]
fn handshake_that_is_not_done_is_no_session() {
    let scene = Scene::new();
    assert_eq!(scene.server().role(), Role::Server);
    assert!(scene.server().details().is_none());
    assert!(matches!(scene.server().finish(), Err(Fault::Ended)));
    let client = scene.client(|_| {}).begin(NAME).unwrap();
    assert_eq!(client.role(), Role::Client);
    assert!(matches!(client.finish(), Err(Fault::Ended)));
}

#[test]
fn name_that_is_none_is_refused() {
    let scene = Scene::new();
    for name in ["", "a b", "-", "a..b"] {
        assert!(scene.client(|_| {}).begin(name).is_err(), "{name:?}");
    }
}
