//! Drives a rustls connection by its unbuffered interface, one record at a time. This file,
//! `handshake`, `resumption` and the two that build settings are all that knows rustls 0.23.

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::kernel::KernelConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{CommonState, Error, ExtractedSecrets};

/// A connection of either role.
pub(crate) enum Peer {
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

/// The connection, and the records that it has seen but not finished with: the parts of a
/// handshake message that is not whole yet.
pub(crate) struct Driver {
    peer: Peer,
    held: Vec<u8>,
}

/// What came out of the connection while records went in.
#[derive(Default)]
pub(crate) struct Output {
    /// Application data.
    pub(crate) data: Vec<u8>,
    /// The peer has sent its close_notify.
    pub(crate) peer_closed: bool,
}

impl Driver {
    pub(crate) const fn new(peer: Peer) -> Self {
        Self { peer, held: Vec::new() }
    }

    pub(crate) fn common(&self) -> &CommonState {
        match &self.peer {
            Peer::Server(connection) => connection,
            Peer::Client(connection) => connection,
        }
    }

    pub(crate) fn is_client(&self) -> bool {
        match &self.peer {
            Peer::Server(_) => false,
            Peer::Client(_) => true,
        }
    }

    /// Bytes of records whose message is not whole yet.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Gives the connection one whole record, or none; what it has to send is appended to `sent`.
    pub(crate) fn feed(
        &mut self,
        record: &mut [u8],
        sent: &mut Vec<u8>,
        output: &mut Output,
    ) -> Result<(), Error> {
        if self.held.is_empty() {
            let mut at = 0;
            let verdict = turn_until_idle(&mut self.peer, record, &mut at, (&mut *sent, output));
            self.held.extend_from_slice(record.get(at..).unwrap_or_default());
            verdict?;
        } else {
            self.held.extend_from_slice(record);
            let mut held = std::mem::take(&mut self.held);
            let mut at = 0;
            let verdict = turn_until_idle(&mut self.peer, &mut held, &mut at, (&mut *sent, output));
            held.drain(..at.min(held.len()));
            self.held = held;
            verdict?;
        }
        Ok(())
    }

    /// What a failed connection still has to say: its alert.
    pub(crate) fn last_words(&mut self, sent: &mut Vec<u8>) {
        let mut output = Output::default();
        let mut turns = TURNS_MAX;
        // Only while something is queued: a failed connection is asked for nothing else.
        while self.common().wants_write() && turns > 0 {
            let (_, turn) = turn(&mut self.peer, &mut [], sent, &mut output);
            if turn.is_err() {
                return;
            }
            turns -= 1;
        }
    }

    /// Lets `write` encrypt data, after everything that was queued before.
    pub(crate) fn write<R>(
        &mut self,
        sent: &mut Vec<u8>,
        write: impl FnOnce(&mut dyn Encrypt) -> R,
    ) -> Result<Option<R>, Error> {
        self.feed(&mut [], sent, &mut Output::default())?;
        let mut held = std::mem::take(&mut self.held);
        let result = match &mut self.peer {
            Peer::Server(connection) => writer(connection.process_tls_records(&mut held), write),
            Peer::Client(connection) => writer(connection.process_tls_records(&mut held), write),
        };
        self.held = held;
        result
    }

    /// Secrets and sequence numbers; a client's rest reads tickets.
    pub(crate) fn into_secrets(
        self,
    ) -> Result<(ExtractedSecrets, Option<KernelConnection<ClientConnectionData>>), Error> {
        match self.peer {
            Peer::Server(connection) => {
                let (secrets, _) = connection.dangerous_into_kernel_connection()?;
                Ok((secrets, None))
            }
            Peer::Client(connection) => {
                let (secrets, rest) = connection.dangerous_into_kernel_connection()?;
                Ok((secrets, Some(rest)))
            }
        }
    }
}

/// What may be done with a connection that may send.
pub(crate) trait Encrypt {
    fn encrypt(&mut self, plain: &[u8], output: &mut [u8]) -> Result<usize, EncryptError>;
    fn close_notify(&mut self, output: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<Data> Encrypt for WriteTraffic<'_, Data> {
    fn encrypt(&mut self, plain: &[u8], output: &mut [u8]) -> Result<usize, EncryptError> {
        WriteTraffic::encrypt(self, plain, output)
    }

    fn close_notify(&mut self, output: &mut [u8]) -> Result<usize, EncryptError> {
        self.queue_close_notify(output)
    }
}

fn writer<Data, R>(
    status: UnbufferedStatus<'_, '_, Data>,
    write: impl FnOnce(&mut dyn Encrypt) -> R,
) -> Result<Option<R>, Error> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum may grow; no other state sends")]
    match status.state? {
        ConnectionState::WriteTraffic(mut traffic) => Ok(Some(write(&mut traffic))),
        _ => Ok(None),
    }
}

/// How the connection stands after a turn.
enum Turn {
    Again,
    Idle,
}

fn turn_until_idle(
    peer: &mut Peer,
    input: &mut [u8],
    at: &mut usize,
    (sent, output): (&mut Vec<u8>, &mut Output),
) -> Result<(), Error> {
    for _ in 0..TURNS_MAX {
        let rest = input.get_mut(*at..).unwrap_or_default();
        let (discarded, turn) = turn(peer, rest, sent, output);
        *at += discarded;
        match turn? {
            Turn::Again => {}
            Turn::Idle => return Ok(()),
        }
    }
    Err(Error::General("the connection does not come to rest".into()))
}

fn turn(
    peer: &mut Peer,
    input: &mut [u8],
    sent: &mut Vec<u8>,
    output: &mut Output,
) -> (usize, Result<Turn, Error>) {
    match peer {
        Peer::Server(connection) => digest(connection.process_tls_records(input), sent, output),
        Peer::Client(connection) => digest(connection.process_tls_records(input), sent, output),
    }
}

fn digest<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    sent: &mut Vec<u8>,
    output: &mut Output,
) -> (usize, Result<Turn, Error>) {
    let turn = status.state.and_then(|state| match state {
        ConnectionState::EncodeTlsData(mut queued) => encode(&mut queued, sent),
        ConnectionState::TransmitTlsData(transmit) => {
            transmit.done();
            Ok(Turn::Again)
        }
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                output.data.extend_from_slice(record?.payload);
            }
            Ok(Turn::Again)
        }
        ConnectionState::PeerClosed => {
            output.peer_closed = true;
            Ok(Turn::Again)
        }
        ConnectionState::ReadEarlyData(_) => {
            Err(Error::General("early data was never offered".into()))
        }
        ConnectionState::Closed
        | ConnectionState::BlockedHandshake
        | ConnectionState::WriteTraffic(_) => Ok(Turn::Idle),
        _ => Err(Error::General("an unknown state of the connection".into())),
    });
    (status.discard, turn)
}

fn encode<Data>(queued: &mut EncodeTlsData<'_, Data>, sent: &mut Vec<u8>) -> Result<Turn, Error> {
    let start = sent.len();
    // The first call says how much room is needed, the second has it.
    for _ in 0..2 {
        match queued.encode(sent.get_mut(start..).unwrap_or_default()) {
            Ok(written) => {
                sent.truncate(start + written);
                return Ok(Turn::Again);
            }
            Err(EncodeError::InsufficientSize(needed)) => {
                sent.resize(start + needed.required_size, 0);
            }
            Err(EncodeError::AlreadyEncoded) => return Ok(Turn::Again),
        }
    }
    sent.truncate(start);
    Err(Error::General("a record does not fit its own size".into()))
}

/// Turns of a connection on one record: each queued message takes three.
const TURNS_MAX: u32 = 256;
