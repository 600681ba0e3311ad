//! What rigs over loopback have in common: the far ends, and where they listen.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use longhold_transport::{Adoptee, BoundListener, bind_listeners};

use crate::driver::Peer;

/// The far side of a transport that uses the kernel's sockets.
#[derive(Default)]
pub(crate) struct Far {
    server: Option<TcpListener>,
}

impl Far {
    pub(crate) fn bind(&self) -> BoundListener {
        bind_listeners(([127, 0, 0, 1], 0).into(), 1).unwrap().pop().unwrap()
    }

    pub(crate) fn connect(&self, to: SocketAddr) -> Stream {
        Stream::new(TcpStream::connect(to).unwrap())
    }

    pub(crate) fn serve(&mut self) -> SocketAddr {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        self.server.insert(server).local_addr().unwrap()
    }

    pub(crate) fn accept_outbound(&self) -> Stream {
        Stream::new(self.server.as_ref().unwrap().accept().unwrap().0)
    }

    pub(crate) fn stream(&self) -> (Adoptee, Stream) {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(server.local_addr().unwrap()).unwrap();
        // As a runtime leaves it.
        near.set_nonblocking(true).unwrap();
        (OwnedFd::from(near).into(), Stream::new(server.accept().unwrap().0))
    }

    pub(crate) fn refusing_address(&self) -> SocketAddr {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
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

/// A rig over loopback: `$make` makes its transport of a [`Config`](longhold_transport::Config).
macro_rules! kernel_rig {
    ($(#[$doc:meta])* $rig:ident, $transport:ty, $make:expr, $remake:expr) => {
        $(#[$doc])*
        pub(crate) struct $rig {
            transport: $transport,
            far: $crate::kernel::Far,
        }

        impl $crate::driver::Rig for $rig {
            type Transport = $transport;
            type Peer = $crate::kernel::Stream;
            const BLOCKING_BYTES: usize = 16 << 20;

            fn new(config: &longhold_transport::Config) -> Self {
                Self { transport: ($make)(config), far: $crate::kernel::Far::default() }
            }

            fn restart(&mut self, config: &longhold_transport::Config) {
                self.transport = ($remake)(config);
            }

            fn transport(&mut self) -> &mut $transport {
                &mut self.transport
            }

            fn bind(&mut self) -> longhold_transport::BoundListener {
                self.far.bind()
            }

            fn connect(&mut self, to: std::net::SocketAddr) -> $crate::kernel::Stream {
                self.far.connect(to)
            }

            fn serve(&mut self) -> std::net::SocketAddr {
                self.far.serve()
            }

            fn accept_outbound(&mut self) -> $crate::kernel::Stream {
                self.far.accept_outbound()
            }

            fn stream(&mut self) -> (longhold_transport::Adoptee, $crate::kernel::Stream) {
                self.far.stream()
            }

            fn refusing_address(&mut self) -> std::net::SocketAddr {
                self.far.refusing_address()
            }
        }
    };
}
pub(crate) use kernel_rig;
