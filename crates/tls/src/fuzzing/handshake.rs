//! Any bytes as what a client, or a server, says in a handshake.

use crate::limits::{HANDSHAKE_BYTES_MAX, RECORD_BYTES_MAX};
use crate::{
    Acceptor, CertificateFiles, ClientSettings, Connector, Handshake, Next, RecordLayer,
    ServerSettings,
};

/// The first byte says which role and record layer; the rest comes off the wire, cut in two
/// (TL-7).
pub fn fuzz_handshake(ends: &Ends, input: &[u8]) {
    let [setup, cut, wire @ ..] = input else {
        return;
    };
    let cut = wire.len() * usize::from(*cut) / 256;
    let mut handshake = ends.begin(*setup);
    let mut output = Vec::new();
    if setup & 1 != 0 {
        handshake.advance(&mut [], &mut output).expect("a client begins by itself");
    }
    let mut pending = wire[..cut].to_vec();
    for rest in [&wire[cut..], &[]] {
        let Ok(progress) = handshake.advance(&mut pending, &mut output) else {
            assert!(handshake.advance(&mut pending, &mut output).is_err(), "it came back to life");
            assert!(handshake.finish().is_err());
            return;
        };
        assert!(progress.consumed <= pending.len());
        pending.drain(..progress.consumed);
        match progress.next {
            Next::Read { wanted } => {
                assert!(wanted > pending.len() && wanted <= RECORD_BYTES_MAX);
            }
            // A script cannot know the keys that the other side has just made.
            Next::Finish => panic!("a handshake came to an end by itself"),
        }
        pending.extend_from_slice(rest);
    }
    assert!(output.len() <= OUTPUT_BYTES_MAX && wire.len() - pending.len() <= HANDSHAKE_BYTES_MAX);
}

/// Servers and clients of both record layers.
pub struct Ends([(Acceptor, Connector); 2]);

impl Ends {
    /// Ends that show this certificate (PEM), which has this key (PEM).
    ///
    /// # Panics
    /// If they are not in order.
    pub fn new(certificate: &str, key: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("longhold-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        let files = CertificateFiles {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            ..CertificateFiles::default()
        };
        std::fs::write(&files.certificate, certificate).expect("written");
        std::fs::write(&files.key, key).expect("written");
        let ends = [RecordLayer::Own, RecordLayer::Rustls].map(|record_layer| {
            let certificates = vec![files.clone()];
            let settings = ServerSettings { certificates, record_layer, ..Default::default() };
            let acceptor = Acceptor::new(settings).expect("settings");
            let settings = ClientSettings { record_layer, ..Default::default() };
            (acceptor, Connector::new(&settings).expect("settings"))
        });
        std::fs::remove_dir_all(&folder).expect("removed");
        Self(ends)
    }

    fn begin(&self, setup: u8) -> Handshake {
        let [own, rustls] = &self.0;
        let (acceptor, connector) = if setup & 2 == 0 { own } else { rustls };
        if setup & 1 == 0 {
            acceptor.begin().expect("a handshake")
        } else {
            connector.begin("edge.example").expect("a handshake")
        }
    }
}

/// A flight with a short chain.
const OUTPUT_BYTES_MAX: usize = 8 << 10;
