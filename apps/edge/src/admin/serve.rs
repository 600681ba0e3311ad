//! The admin API's connections: a bounded number, each for a bounded time.

use std::convert::Infallible;
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::bind::{Bound, Socket, SocketFile};
use super::{Api, Handles, TICK, answer};

/// The admin API, ready to serve.
pub struct Server {
    listener: Listener,
    permits: Arc<Semaphore>,
    api: Arc<Api>,
    /// A descriptor to give away when there are no others: whoever looks after the edge gets in.
    spare: Option<File>,
    /// Held for its end: it removes the file.
    _file: Option<SocketFile>,
}

impl Server {
    /// Gives the socket to the runtime in whose context this is called.
    ///
    /// # Errors
    /// When the runtime refuses the socket.
    pub fn new(bound: Bound, token: Option<String>, handles: Handles) -> io::Result<Self> {
        let Bound { socket, address, file } = bound;
        let listener = match socket {
            Socket::Tcp(listener) => Listener::Tcp(TcpListener::from_std(listener)?),
            Socket::Unix(listener) => Listener::Unix(UnixListener::from_std(listener)?),
        };
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let api = Arc::new(Api { handles, address, token });
        Ok(Self { listener, permits, api, spare: spare(), _file: file })
    }

    /// Serves until `ended` is done, then lets open exchanges end for at most `END_GRACE`.
    pub async fn run(mut self, ended: impl Future<Output = ()>) {
        let (closing, closed) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ended = pin!(ended);
        loop {
            tokio::select! {
                () = &mut ended => break,
                _ = ticks.tick() => {
                    self.spare = self.spare.take().or_else(spare);
                    (self.api.handles.tick)();
                }
                Some(_) = connections.join_next() => {}
                accepted = self.accept() => match accepted {
                    Ok((stream, permit)) => {
                        let (api, closed) = (Arc::clone(&self.api), closed.clone());
                        connections.spawn(async move {
                            match stream {
                                Stream::Tcp(stream) => connection(api, stream, closed).await,
                                Stream::Unix(stream) => connection(api, stream, closed).await,
                            }
                            drop(permit);
                        });
                    }
                    // Out of descriptors or memory: the spare one makes room; after that the
                    // backlog holds the others until some return.
                    Err(_) => if self.spare.take().is_none() {
                        sleep(ACCEPT_PAUSE).await;
                    },
                },
            }
        }
        // Nobody listens any more when the last connection is gone.
        let _ = closing.send(true);
        let all = async { while connections.join_next().await.is_some() {} };
        // What is not done by then is dropped with the set.
        let _ = timeout(END_GRACE, all).await;
    }

    /// Accepts when there is room; both steps may be dropped half done without loss.
    async fn accept(&self) -> io::Result<(Stream, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(io::Error::other)?;
        let stream = match &self.listener {
            Listener::Tcp(listener) => Stream::Tcp(listener.accept().await?.0),
            Listener::Unix(listener) => Stream::Unix(listener.accept().await?.0),
        };
        Ok((stream, permit))
    }
}

/// An open file that means nothing.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

/// One connection, for at most [`CONNECTION_TIMEOUT`]: then it may finish its exchange.
async fn connection<S>(api: Arc<Api>, stream: S, mut closed: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let api = Arc::clone(&api);
        async move { Ok::<_, Infallible>(answer(&api, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    tokio::select! {
        // A fault on a connection is its peer's; there is nobody to tell.
        _ = serving.as_mut() => return,
        _ = closed.changed() => {}
        () = sleep(CONNECTION_TIMEOUT) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _ = timeout(LAST_EXCHANGE_TIMEOUT, serving).await;
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Connections at once; further ones wait in the backlog.
pub(super) const CONNECTIONS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 * 1024;
const FIELDS_MAX: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than a purge may take, so that its answer is not cut off.
const LAST_EXCHANGE_TIMEOUT: Duration = Duration::from_secs(35);
/// How long open exchanges may take once the server ends.
const END_GRACE: Duration = Duration::from_secs(2);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
