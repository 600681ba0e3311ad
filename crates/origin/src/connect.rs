//! From an origin's URL to a connection that hyper drives.
//!
//! Resolution, TCP, TLS and hyper's handshake share one connect timeout; each address gets its part
//! of what is left, so that a silent one cannot use up the time of the others.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use longhold_transport::bind_without_port;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::config::{OriginUrl, Scheme};
use crate::error::{ConfigError, FetchError};
use crate::line::Line;
use crate::outgoing::OutgoingBody;
use crate::resolve::Resolver;
use crate::tls;
use crate::wire::{Stream, Wire, WireState};

/// One URL of an origin, ready to be connected to.
pub(crate) struct Endpoint {
    resolver: Resolver,
    security: Option<Security>,
    sources: Sources,
}

/// Where connections come from.
struct Sources {
    all: Vec<IpAddr>,
    /// Counts connections.
    next: Cell<usize>,
}

struct Security {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    host: String,
}

/// A connection to an origin. Dropping it closes the socket, whatever is in flight on it.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<OutgoingBody>,
    pub(crate) wire: Rc<WireState>,
    _driver: Task,
}

/// A task that ends with its handle.
pub(crate) struct Task(JoinHandle<()>);

impl Endpoint {
    pub(crate) fn new(
        url: &OriginUrl,
        config: Option<&Arc<ClientConfig>>,
        sources: &[IpAddr],
    ) -> Result<Self, ConfigError> {
        let security = match (url.scheme, config) {
            (Scheme::Http, _) | (Scheme::Https, None) => None,
            (Scheme::Https, Some(config)) => {
                let (config, host) = (Arc::clone(config), url.host.clone());
                Some(Security { config, name: tls::server_name(&host)?, host })
            }
        };
        let sources = Sources { all: sources.to_vec(), next: Cell::new(0) };
        Ok(Self { resolver: Resolver::new(&url.host, url.port), security, sources })
    }

    /// A new connection, within `limit`.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<Connection, FetchError> {
        let deadline = Instant::now() + limit;
        let standing = timeout_at(deadline, async {
            let socket = self.reach(deadline).await?;
            let stream = self.secure(socket).await?;
            shake_hands(stream).await
        });
        standing.await.unwrap_or(Err(FetchError::ConnectTimeout))
    }

    /// The same without hyper on it, and with a session that can be handed over.
    pub(crate) async fn open(&self, limit: Duration) -> Result<Line, FetchError> {
        let deadline = Instant::now() + limit;
        let standing = timeout_at(deadline, async {
            let socket = self.reach(deadline).await?;
            match &self.security {
                None => Ok(Line::plain(socket)),
                Some(security) => Line::secure(socket, &security.config, &security.host).await,
            }
        });
        standing.await.unwrap_or(Err(FetchError::ConnectTimeout))
    }

    async fn reach(&self, deadline: Instant) -> Result<TcpStream, FetchError> {
        self.sources.dial(&self.resolver.addresses().await?, deadline).await
    }

    async fn secure(&self, socket: TcpStream) -> Result<Stream, FetchError> {
        let Some(security) = &self.security else {
            return Ok(Stream::Plain(socket));
        };
        let connector = TlsConnector::from(Arc::clone(&security.config));
        let session = connector.connect(security.name.clone(), socket).await;
        session
            .map(|stream| Stream::Tls(Box::new(stream)))
            .map_err(|error| tls::handshake_error(&error))
    }
}

impl Connection {
    /// Whether hyper has seen the end of the connection.
    pub(crate) fn is_usable(&self) -> bool {
        self.sender.is_ready() && !self.sender.is_closed() && !self.wire.is_broken()
    }
}

impl Task {
    /// Runs a future on this thread until it ends or the handle drops.
    pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Sources {
    /// The first address that accepts, or the last one's error.
    async fn dial(
        &self,
        addresses: &[SocketAddr],
        deadline: Instant,
    ) -> Result<TcpStream, FetchError> {
        let mut error = FetchError::Dns;
        for (index, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let untried = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match timeout(left / untried, self.connect(*address)).await {
                Ok(Ok(socket)) => {
                    // Heads and last pieces are small; they must not wait for an acknowledgement.
                    // A socket that refuses the option is merely slower.
                    let _ = socket.set_nodelay(true);
                    return Ok(socket);
                }
                Ok(Err(fault)) => error = connect_error(&fault),
                Err(_) => error = FetchError::ConnectTimeout,
            }
        }
        Err(error)
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let Some(source) = self.turn_of(address) else { return TcpStream::connect(address).await };
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Else a port is sought among all that are in use from there, whomever they reach, and
        // would be this origin's alone.
        bind_without_port(socket.as_fd()).map_err(io::Error::from_raw_os_error)?;
        socket.bind(SocketAddr::new(source, 0))?;
        socket.connect(address).await
    }

    /// Whose turn it is, among those of the address's family.
    fn turn_of(&self, address: SocketAddr) -> Option<IpAddr> {
        let alike = || self.all.iter().filter(|source| source.is_ipv4() == address.is_ipv4());
        let turn = self.next.get();
        self.next.set(turn.wrapping_add(1));
        alike().nth(turn.checked_rem(alike().count())?).copied()
    }
}

fn connect_error(fault: &io::Error) -> FetchError {
    // EMFILE and ENFILE have no kind of their own.
    if matches!(fault.raw_os_error(), Some(ENFILE | EMFILE)) {
        return FetchError::Exhausted;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kinds are the standard library's")]
    match fault.kind() {
        io::ErrorKind::ConnectionRefused => FetchError::ConnectRefused,
        io::ErrorKind::TimedOut => FetchError::ConnectTimeout,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            FetchError::Unreachable
        }
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory => FetchError::Exhausted,
        _ => FetchError::ConnectFault,
    }
}

async fn shake_hands(stream: Stream) -> Result<Connection, FetchError> {
    let (wire, state) = Wire::new(stream);
    let mut builder = http1::Builder::new();
    // RFC 9112 section 5.1: whitespace before a colon is taken out of what goes on.
    builder.allow_spaces_after_header_name_in_responses(true);
    builder.max_headers(FIELDS_MAX).max_header_size(HEAD_BYTES_MAX).max_buf_size(BUFFER_BYTES_MAX);
    let (sender, connection) =
        builder.handshake(TokioIo::new(wire)).await.map_err(|_| FetchError::ConnectFault)?;
    // Its errors reach the exchange through the sender and the body.
    let driver = Task::spawn(async move {
        let _ = connection.await;
    });
    Ok(Connection { sender, wire: state, _driver: driver })
}

/// Fields of a response head at most.
pub const FIELDS_MAX: usize = 128;

/// Bytes of a response head at most.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// hyper's buffers, per connection and direction, in bytes; also the largest piece of a body.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

const _: () = assert!(HEAD_BYTES_MAX <= BUFFER_BYTES_MAX);

/// Linux's numbers for "too many open files", in the system and in the process.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
