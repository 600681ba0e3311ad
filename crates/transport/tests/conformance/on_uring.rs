//! The suite over loopback, on the io_uring reactor: with one shard, and with many small ones.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use longhold_transport::uring::Reactor;
use longhold_transport::{Adoptee, BoundListener, Config, bind_listeners};

use crate::driver::{Peer, Rig};
use crate::payload::Pieces;

/// All slots on the main ring.
pub(crate) struct OneShard(Kernel);

/// Two slots per shard, so that almost everything runs on rings that nobody waits on.
pub(crate) struct ManyShards(Kernel);

struct Kernel {
    reactor: Reactor<Pieces>,
    server: Option<TcpListener>,
}

impl Kernel {
    fn new(config: &Config) -> Self {
        Self { reactor: Reactor::new(config).expect("io_uring"), server: None }
    }
}

pub(crate) struct Stream(TcpStream);

impl Stream {
    fn new(stream: TcpStream) -> Self {
        stream.set_nonblocking(true).unwrap();
        Self(stream)
    }
}

impl Peer for Stream {
    fn local_address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn try_write(&mut self, bytes: &[u8]) {
        let _ = self.0.write(bytes);
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 64 * 1024];
        match self.0.read(&mut bytes) {
            Ok(0) => None,
            Ok(count) => {
                bytes.truncate(count);
                Some(bytes)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Some(Vec::new()),
            Err(_) => None,
        }
    }

    fn half_close(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    fn reset(self) {
        // Closing with zero linger breaks the connection.
        rustix::net::sockopt::set_socket_linger(&self.0, Some(std::time::Duration::ZERO)).unwrap();
    }
}

macro_rules! rig {
    ($rig:ident, $slots_per_shard:expr) => {
        impl Rig for $rig {
            type Transport = Reactor<Pieces>;
            type Peer = Stream;
            const BLOCKING_BYTES: usize = 16 << 20;

            fn new(config: &Config) -> Self {
                Self(Kernel::new(&Config { slots_per_shard: $slots_per_shard, ..*config }))
            }

            fn restart(&mut self, config: &Config) {
                self.0.reactor = Reactor::new(config).expect("io_uring");
            }

            fn transport(&mut self) -> &mut Reactor<Pieces> {
                &mut self.0.reactor
            }

            fn bind(&mut self) -> BoundListener {
                let mut bound = bind_listeners(([127, 0, 0, 1], 0).into(), 1).unwrap();
                bound.pop().unwrap()
            }

            fn connect(&mut self, to: SocketAddr) -> Stream {
                Stream::new(TcpStream::connect(to).unwrap())
            }

            fn serve(&mut self) -> SocketAddr {
                let server = TcpListener::bind("127.0.0.1:0").unwrap();
                self.0.server.insert(server).local_addr().unwrap()
            }

            fn accept_outbound(&mut self) -> Stream {
                Stream::new(self.0.server.as_ref().unwrap().accept().unwrap().0)
            }

            fn stream(&mut self) -> (Adoptee, Stream) {
                let server = TcpListener::bind("127.0.0.1:0").unwrap();
                let near = TcpStream::connect(server.local_addr().unwrap()).unwrap();
                // As a runtime leaves it.
                near.set_nonblocking(true).unwrap();
                (OwnedFd::from(near).into(), Stream::new(server.accept().unwrap().0))
            }

            fn refusing_address(&mut self) -> SocketAddr {
                let gone = TcpListener::bind("127.0.0.1:0").unwrap();
                gone.local_addr().unwrap()
            }
        }
    };
}

rig!(OneShard, 0);
rig!(ManyShards, 2);

crate::suite::conformance!(one_shard, super::OneShard);
crate::suite::conformance!(many_shards, super::ManyShards);
