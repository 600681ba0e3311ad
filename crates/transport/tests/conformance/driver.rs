//! What a case needs: a rig (a transport and its far side) and a driver that turns it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use longhold_transport::{
    Adoptee, BoundListener, Buffer, Completion, Config, IoFault, ListenerId, Token, Transport,
    TransportError,
};

use crate::payload::Pieces;

pub(crate) type Done = Completion<Pieces>;

/// A transport, and the network around it.
pub(crate) trait Rig {
    type Transport: Transport<Payload = Pieces>;
    type Peer: Peer;
    /// More than a connection holds while nobody reads.
    const BLOCKING_BYTES: usize;

    fn new(config: &Config) -> Self;
    /// Puts a new transport in the place of the old one, which ends.
    fn restart(&mut self, config: &Config);
    fn transport(&mut self) -> &mut Self::Transport;
    fn bind(&mut self) -> BoundListener;
    fn connect(&mut self, to: SocketAddr) -> Self::Peer;
    /// Starts a server for outbound connections; its address.
    fn serve(&mut self) -> SocketAddr;
    /// The server's end of a connection that the transport says is there.
    fn accept_outbound(&mut self) -> Self::Peer;
    /// An open connection that the transport may adopt, and its far end.
    fn stream(&mut self) -> (Adoptee, Self::Peer);
    /// An address that refuses connections.
    fn refusing_address(&mut self) -> SocketAddr;
}

/// The far end of one connection.
pub(crate) trait Peer {
    fn local_address(&self) -> SocketAddr;
    /// Sends all of `bytes` (few enough to fit into any buffer).
    fn write(&mut self, bytes: &[u8]);
    /// Sends what there is room for, if anything.
    fn try_write(&mut self, bytes: &[u8]);
    /// What has arrived; does not wait. `None` at the end of the stream or after a reset.
    fn read(&mut self) -> Option<Vec<u8>>;
    fn half_close(&mut self);
    /// Breaks the connection.
    fn reset(self);
}

/// Turns a rig and hands out completions one by one.
pub(crate) struct Driver<R: Rig> {
    pub(crate) rig: R,
    done: VecDeque<Done>,
    next_generation: u32,
}

impl<R: Rig> Driver<R> {
    pub(crate) fn new(config: Config) -> Self {
        Self { rig: R::new(&config), done: VecDeque::new(), next_generation: 1 }
    }

    pub(crate) fn with_slots(slots: u32) -> Self {
        Self::new(Config { slots, ..Config::default() })
    }

    pub(crate) fn edge(&mut self) -> &mut R::Transport {
        self.rig.transport()
    }

    pub(crate) fn listen(&mut self) -> (ListenerId, SocketAddr) {
        let bound = self.rig.bind();
        let address = bound.address();
        (self.edge().listen(bound).unwrap(), address)
    }

    /// A connection: its token and its far end.
    pub(crate) fn pair(&mut self) -> (Token, R::Peer) {
        let (_, address) = self.listen();
        self.pair_at(address)
    }

    pub(crate) fn pair_at(&mut self, address: SocketAddr) -> (Token, R::Peer) {
        let peer = self.rig.connect(address);
        let Completion::Accepted { slot, .. } = self.next() else { panic!("not accepted") };
        (self.token(slot), peer)
    }

    /// A token of `slot` with a generation never used before.
    pub(crate) fn token(&mut self, slot: u32) -> Token {
        self.next_generation += 1;
        Token::new(slot, self.next_generation)
    }

    pub(crate) fn buffer(&mut self) -> Buffer {
        self.edge().buffer().expect("the pool is empty")
    }

    /// The next completion; fails the test when none comes in reasonable time.
    pub(crate) fn next(&mut self) -> Done {
        for _ in 0..GUARD_TURNS {
            if let Some(done) = self.done.pop_front() {
                return done;
            }
            self.turn(GUARD_TURN_US);
        }
        panic!("no completion came")
    }

    /// Asserts that nothing more happens of itself.
    pub(crate) fn assert_quiet(&mut self) {
        for _ in 0..3 {
            self.turn(QUIET_US);
        }
        assert!(self.done.is_empty(), "unexpected: {:?}", self.done);
    }

    /// One wait of at most `us`.
    pub(crate) fn turn(&mut self, us: u64) {
        let mut fresh = Vec::new();
        let until_us = self.edge().now().monotonic_us + us;
        match self.edge().wait(Some(until_us), &mut fresh) {
            Ok(()) | Err(TransportError::Idle) => self.done.extend(fresh),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn take_ready(&mut self) -> Option<Done> {
        self.done.pop_front()
    }

    pub(crate) fn received(&mut self) -> (Token, Buffer, Result<usize, IoFault>) {
        match self.next() {
            Completion::Received { token, buffer, result } => (token, buffer, result),
            other => panic!("not a receive: {other:?}"),
        }
    }

    pub(crate) fn sent(&mut self) -> (Token, Pieces, Result<usize, IoFault>) {
        match self.next() {
            Completion::Sent { token, payload, result } => (token, payload, result),
            other => panic!("not a send: {other:?}"),
        }
    }

    pub(crate) fn closed(&mut self, token: Token) {
        match self.next() {
            Completion::Closed { token: told } => assert_eq!(told, token),
            other => panic!("not closed: {other:?}"),
        }
    }

    /// Turns until `peer` has read `bytes` bytes.
    pub(crate) fn read_exact(&mut self, peer: &mut R::Peer, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..GUARD_TURNS {
            all.extend(peer.read().unwrap_or_default());
            if all.len() >= bytes {
                return all;
            }
            self.turn(QUIET_US);
        }
        panic!("{} of {bytes} bytes came", all.len())
    }

    /// Turns until `peer` sees the end of its stream (or a reset).
    pub(crate) fn read_to_end(&mut self, peer: &mut R::Peer) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..GUARD_TURNS {
            match peer.read() {
                Some(bytes) => all.extend(bytes),
                None => return all,
            }
            self.turn(QUIET_US);
        }
        panic!("the stream did not end")
    }
}

/// A wait that only guards against hanging: a good run never needs it.
const GUARD_TURN_US: u64 = 100_000;
const GUARD_TURNS: u32 = 100;
/// How long something unexpected gets to happen.
const QUIET_US: u64 = 2_000;
