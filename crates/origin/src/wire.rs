//! The byte stream below hyper: plain or TLS, with the two facts about it that hyper does not tell.
//!
//! * How many bytes the origin ever sent: a request may be sent again only when the answer to it
//!   has not begun.
//! * That the origin no longer takes bytes. An origin may answer early (413, 401) and close while
//!   the upload still runs. hyper would give up the whole connection at the failed write, and with
//!   it the response that lies ready to be read. So a write that meets a closed peer is swallowed,
//!   and the read side tells what really happened: a response, an end, or a reset. Such a
//!   connection is never used again.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The transport of one origin connection.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What hyper reads and writes.
pub(crate) struct Wire {
    stream: Stream,
    state: Rc<WireState>,
}

/// What is known of the wire outside hyper.
#[derive(Default)]
pub(crate) struct WireState {
    received_bytes: Cell<u64>,
    broken: Cell<bool>,
}

impl Wire {
    pub(crate) fn new(stream: Stream) -> (Self, Rc<WireState>) {
        let state = Rc::new(WireState::default());
        (Self { stream, state: Rc::clone(&state) }, state)
    }

    /// A write's outcome, with a closed peer turned into bytes that went nowhere.
    fn swallow(
        &self,
        written: Poll<io::Result<usize>>,
        offered_bytes: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(match ready!(written) {
            Err(error) if is_closed_peer(&error) => {
                self.state.broken.set(true);
                Ok(offered_bytes)
            }
            other => other,
        })
    }
}

impl Drop for Wire {
    /// A TLS session ends with an alert (RFC 9112 section 9.8), if the socket takes it at once: a
    /// peer that takes nothing more is not waited for.
    fn drop(&mut self) {
        let Stream::Tls(session) = &mut self.stream else { return };
        let (socket, session) = session.get_mut();
        session.send_close_notify();
        let mut records = Vec::new();
        if session.write_tls(&mut records).is_ok() {
            let _ = socket.try_write(&records);
        }
    }
}

impl WireState {
    /// Bytes that the origin sent since the connection stood, beneath hyper and above TLS.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes.get()
    }

    /// Whether the origin has stopped taking bytes.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken.get()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Stream::Tls(session) => Pin::new(session).poll_read(context, buffer),
        };
        let came = (buffer.filled().len() - before) as u64;
        self.state.received_bytes.set(self.state.received_bytes.get() + came);
        // The failed write may have taken the reset with it, and the system says "end" now. A body
        // that is framed by the close must not take that for its end (RFC 9112 section 8).
        let ended = came == 0 && buffer.remaining() > 0 && matches!(read, Poll::Ready(Ok(())));
        if ended && self.state.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.state.is_broken() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Stream::Tls(session) => Pin::new(session).poll_write(context, bytes),
        };
        self.swallow(written, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let offered_bytes = parts.iter().map(|part| part.len()).sum();
        if self.state.is_broken() {
            return Poll::Ready(Ok(offered_bytes));
        }
        let written = match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write_vectored(context, parts),
            Stream::Tls(session) => Pin::new(session).poll_write_vectored(context, parts),
        };
        self.swallow(written, offered_bytes)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(socket) => socket.is_write_vectored(),
            Stream::Tls(session) => session.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.is_broken() {
            return Poll::Ready(Ok(()));
        }
        let flushed = match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(context),
            Stream::Tls(session) => Pin::new(session).poll_flush(context),
        };
        self.swallow(flushed.map_ok(|()| 0), 0).map_ok(|_| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Stream::Tls(session) => Pin::new(session).poll_shutdown(context),
        }
    }
}

fn is_closed_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
