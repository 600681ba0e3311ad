//! A connection to an origin that can be handed over: plain TCP, or TLS of which no record is ever
//! read by halves.
//!
//! rustls makes the handshake, `longhold-tls` the records (its own ones for TLS 1.3). From the
//! socket exactly as many bytes are read as the record in hand still lacks, so that between two
//! records nothing is left here that the next holder of the session would miss.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::BytesMut;
use longhold_tls::limits::{CONTROL_BYTES_MAX, PLAINTEXT_BYTES_MAX, SEALED_EXTRA_BYTES_MAX};
use longhold_tls::{Connector, Fault, Next, Opened, Session};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::FetchError;

/// One connection. Dropping it closes it; a session says so first, if the socket takes it at once.
pub(crate) struct Line {
    /// `None` once it was handed over.
    socket: Option<TcpStream>,
    session: Option<Session>,
    /// The record in hand, as far as it has come.
    record: BytesMut,
    has_ended: bool,
}

impl Line {
    pub(crate) fn plain(socket: TcpStream) -> Self {
        Self { socket: Some(socket), session: None, record: BytesMut::new(), has_ended: false }
    }

    /// Shakes hands with the origin of this name.
    pub(crate) async fn secure(
        mut socket: TcpStream,
        config: &Arc<ClientConfig>,
        host: &str,
    ) -> Result<Self, FetchError> {
        let connector = Connector::of(ClientConfig::clone(config));
        let mut handshake = connector.begin(host).map_err(handshake_error)?;
        let mut record = BytesMut::new();
        loop {
            let mut answer = Vec::new();
            let progress = handshake.advance(&mut record, &mut answer);
            // An alert goes out, too.
            let sent = socket.write_all(&answer).await;
            let progress = progress.map_err(handshake_error)?;
            sent.map_err(|_| FetchError::TlsHandshake)?;
            let _ = record.split_to(progress.consumed);
            let wanted = match progress.next {
                Next::Finish => break,
                Next::Read { wanted } => wanted,
            };
            match read_up_to(&mut socket, &mut record, wanted).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return Err(FetchError::TlsHandshake),
            }
        }
        let session = Some(handshake.finish().map_err(handshake_error)?);
        Ok(Self { socket: Some(socket), session, record, has_ended: false })
    }

    /// Sends all of `bytes`.
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let Some(socket) = &mut self.socket else { return Err(gone()) };
        let Some(session) = &mut self.session else { return socket.write_all(bytes).await };
        let mut sealed = vec![0; CONTROL_BYTES_MAX + PLAINTEXT_BYTES_MAX + SEALED_EXTRA_BYTES_MAX];
        while !bytes.is_empty() {
            let done = session.seal(&[bytes], &mut sealed).map_err(broken)?;
            socket.write_all(sealed.get(..done.written).unwrap_or(&[])).await?;
            bytes = bytes.get(done.taken..).unwrap_or(&[]);
        }
        Ok(())
    }

    /// Reads behind what is in `input`: at most 16 KiB, or what one record holds. 0 is the
    /// end; a session whose end is the socket's alone was cut. Dropping the future loses nothing.
    pub(crate) async fn read_more(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        let Some(socket) = &mut self.socket else { return Err(gone()) };
        let Some(session) = &mut self.session else {
            if input.capacity() - input.len() < SPARE_BYTES_MIN {
                input.reserve(READ_BYTES);
            }
            return socket.read_buf(input).await;
        };
        loop {
            if self.has_ended {
                return Ok(0);
            }
            let wanted = match session.open(&mut self.record).map_err(broken)? {
                Opened::Data { data, consumed } => {
                    let record = self.record.split_to(consumed);
                    let data = record.get(data).unwrap_or(&[]);
                    input.extend_from_slice(data);
                    return Ok(data.len());
                }
                Opened::Quiet { consumed } => {
                    let _ = self.record.split_to(consumed);
                    continue;
                }
                Opened::Closed { consumed } => {
                    let _ = self.record.split_to(consumed);
                    self.has_ended = true;
                    continue;
                }
                Opened::More { wanted } => wanted,
            };
            if !read_up_to(socket, &mut self.record, wanted).await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The origin's address; none of a connection that is gone, as what comes next will notice.
    pub(crate) fn peer(&self) -> SocketAddr {
        let peer = self.socket.as_ref().and_then(|socket| socket.peer_addr().ok());
        peer.unwrap_or((Ipv4Addr::UNSPECIFIED, 0).into())
    }

    /// The socket and its session, between two records.
    pub(crate) async fn hand_over(mut self) -> Result<(OwnedFd, Option<Session>), FetchError> {
        let Some(mut socket) = self.socket.take() else { return Err(FetchError::ConnectFault) };
        let mut session = self.session.take();
        if let Some(session) = session.as_mut().filter(|session| session.owes()) {
            let mut owed = [0; CONTROL_BYTES_MAX];
            let len = session.control(&mut owed);
            let sent = socket.write_all(owed.get(..len).unwrap_or(&[])).await;
            sent.map_err(|_| FetchError::Reset)?;
        }
        let socket = socket.into_std().map_err(|_| FetchError::ConnectFault)?;
        Ok((socket.into(), session))
    }
}

impl Drop for Line {
    /// RFC 9112 section 9.8: a session ends with an alert.
    fn drop(&mut self) {
        let (Some(socket), Some(session)) = (&self.socket, &mut self.session) else { return };
        session.close_notify();
        let mut owed = [0; CONTROL_BYTES_MAX];
        let len = session.control(&mut owed);
        // A peer that takes nothing more is not waited for.
        let _ = socket.try_write(owed.get(..len).unwrap_or(&[]));
    }
}

/// Reads until `record` has `wanted` bytes and no more; false at the end. What has come stays in
/// `record`, whenever the future is dropped.
async fn read_up_to(
    socket: &mut TcpStream,
    record: &mut BytesMut,
    wanted: usize,
) -> io::Result<bool> {
    while let Some(missing) = wanted.checked_sub(record.len()).filter(|missing| *missing > 0) {
        record.reserve(missing);
        if socket.take(missing as u64).read_buf(record).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn handshake_error(fault: Fault) -> FetchError {
    if fault == Fault::CertificateRefused {
        FetchError::TlsCertificate
    } else {
        FetchError::TlsHandshake
    }
}

fn broken(_: Fault) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn gone() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

/// Room in which a read is worth its call.
const SPARE_BYTES_MIN: usize = 1024;

/// Bytes of one read of plain TCP.
const READ_BYTES: usize = 16 * 1024;
