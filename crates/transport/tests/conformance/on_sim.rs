//! The suite on a simulated network: as it comes, and with everything left to chance.

use std::net::SocketAddr;

use longhold_transport::sim::{Client, Network, Profile, Server, SimTransport};
use longhold_transport::{Adoptee, BoundListener, Config};

use crate::driver::{Peer, Rig};
use crate::payload::Pieces;

/// A network that is quick and whole.
pub(crate) struct Smooth(Sim);

/// A network with short reads and writes and delays.
pub(crate) struct Rough(Sim);

struct Sim {
    network: Network,
    transport: SimTransport<Pieces>,
    server: Option<Server>,
}

impl Sim {
    fn new(config: &Config, profile: Profile) -> Self {
        let network = Network::with_profile(1, Profile { strict: false, ..profile });
        Self { transport: network.transport(config), network, server: None }
    }
}

pub(crate) struct SimPeer(Client);

impl Peer for SimPeer {
    fn local_address(&self) -> SocketAddr {
        self.0.local_address()
    }

    fn write(&mut self, bytes: &[u8]) {
        assert_eq!(self.0.write(bytes), bytes.len());
    }

    fn try_write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        let bytes = self.0.read();
        let is_over = bytes.is_empty() && (self.0.is_ended() || self.0.is_reset());
        (!is_over).then_some(bytes)
    }

    fn half_close(&mut self) {
        self.0.half_close();
    }

    fn reset(self) {
        self.0.reset();
    }
}

macro_rules! rig {
    ($rig:ident, $profile:expr) => {
        impl Rig for $rig {
            type Transport = SimTransport<Pieces>;
            type Peer = SimPeer;
            const BLOCKING_BYTES: usize = 4 * WINDOW_BYTES;

            fn new(config: &Config) -> Self {
                Self(Sim::new(config, $profile))
            }

            fn restart(&mut self, config: &Config) {
                self.0.transport = self.0.network.transport(config);
            }

            fn transport(&mut self) -> &mut SimTransport<Pieces> {
                &mut self.0.transport
            }

            fn bind(&mut self) -> BoundListener {
                self.0.network.bind(([192, 0, 2, 1], 0).into())
            }

            fn connect(&mut self, to: SocketAddr) -> SimPeer {
                SimPeer(self.0.network.connect(([198, 51, 100, 9], 0).into(), to))
            }

            fn serve(&mut self) -> SocketAddr {
                let server = self.0.network.serve(([203, 0, 113, 5], 0).into());
                self.0.server.insert(server).address()
            }

            fn accept_outbound(&mut self) -> SimPeer {
                SimPeer(self.0.server.as_ref().and_then(Server::accept).expect("nobody connected"))
            }

            fn stream(&mut self) -> (Adoptee, SimPeer) {
                let (stream, client) = self.0.network.stream(([203, 0, 113, 5], 0).into());
                (stream.into(), SimPeer(client))
            }

            fn refusing_address(&mut self) -> SocketAddr {
                ([203, 0, 113, 6], 1).into()
            }
        }
    };
}

rig!(Smooth, Profile { window_bytes: WINDOW_BYTES, ..Profile::default() });
rig!(Rough, Profile { window_bytes: WINDOW_BYTES, short_bytes_max: 5_000, ..Profile::ROUGH });

crate::suite::conformance!(smooth, super::Smooth);
crate::suite::conformance!(rough, super::Rough);

const WINDOW_BYTES: usize = 64 << 10;
