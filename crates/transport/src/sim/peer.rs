//! The other ends, for tests: a client's connection, a server for outbound connections, and a
//! stream that a transport may adopt.

use std::net::{Ipv4Addr, SocketAddr};

use super::Network;
use super::net::{Acceptor, Dropped, End, Opening, Owner};

/// A test's end of a connection. Dropping it closes it.
pub struct Client {
    network: Network,
    end: End,
}

impl Client {
    pub(super) fn connect(network: &Network, from: SocketAddr, to: SocketAddr) -> Self {
        let end = network.world.borrow_mut().connect(from, to, Owner::Handle);
        Self { network: network.clone(), end }
    }

    /// Sends `bytes`; returns how many there was room for (all, unless
    /// [`Profile::window_bytes`](super::Profile::window_bytes) says otherwise), 0 once the
    /// connection is closed or reset.
    pub fn write(&self, bytes: &[u8]) -> usize {
        let mut world = self.network.world.borrow_mut();
        let Some(Ok(room_bytes)) = world.writable_bytes(self.end) else {
            return 0;
        };
        let taken = &bytes[..room_bytes.min(bytes.len())];
        world.write(self.end, taken.to_vec());
        taken.len()
    }

    /// Everything that has arrived since the last read.
    pub fn read(&self) -> Vec<u8> {
        self.read_up_to(usize::MAX)
    }

    /// At most `bytes_max` of what has arrived.
    pub fn read_up_to(&self, bytes_max: usize) -> Vec<u8> {
        let mut world = self.network.world.borrow_mut();
        let mut bytes = vec![0; world.unread_bytes(self.end).min(bytes_max)];
        if !bytes.is_empty() {
            world.read(self.end, &mut bytes);
        }
        bytes
    }

    /// Bytes that have arrived and were not read.
    pub fn unread_bytes(&self) -> usize {
        self.network.world.borrow().unread_bytes(self.end)
    }

    /// From now on the edge may have at most so many unread bytes on their way to this client.
    pub fn limit_window(&self, window_bytes: usize) {
        self.network.world.borrow_mut().set_window(self.end, window_bytes);
    }

    /// Ends the stream to the edge; reading goes on.
    pub fn half_close(&self) {
        self.network.world.borrow_mut().send_fin(self.end);
    }

    /// Breaks the connection.
    pub fn reset(&self) {
        let mut world = self.network.world.borrow_mut();
        let other = End { side: 1 - self.end.side, ..self.end };
        world.send_reset(other);
    }

    /// Whether the connection attempt was refused: nobody listens there.
    pub fn is_refused(&self) -> bool {
        self.network.world.borrow().opening(self.end) == Opening::Refused
    }

    /// Whether the edge has ended its stream and everything before was read.
    pub fn is_ended(&self) -> bool {
        self.network.world.borrow().is_at_end(self.end)
    }

    /// Whether the edge's reset has arrived.
    pub fn is_reset(&self) -> bool {
        self.network.world.borrow().is_reset(self.end)
    }

    /// Whether the edge has closed its end, or the attempt was refused.
    pub fn is_closed(&self) -> bool {
        self.is_refused() || self.network.world.borrow().is_abandoned(self.end)
    }

    /// This end's address.
    pub fn local_address(&self) -> SocketAddr {
        self.network.world.borrow().address(self.end)
    }

    /// The edge's address.
    pub fn peer_address(&self) -> SocketAddr {
        self.network.world.borrow().peer_address(self.end)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.network.world.borrow_mut().close(self.end);
    }
}

/// One end of an open connection, on its way to a transport that adopts it; may cross threads.
/// Dropping it closes it, at the next wait of any transport.
#[derive(Debug)]
pub struct Stream {
    end: Option<End>,
    dropped: Dropped,
}

impl Stream {
    pub(super) fn pair(network: &Network, peer: SocketAddr) -> (Self, Client) {
        let mut world = network.world.borrow_mut();
        let own = world.with_port((Ipv4Addr::LOCALHOST, 0).into());
        let end = world.open([own, peer]);
        let stream = Self { end: Some(end), dropped: world.dropped() };
        (stream, Client { network: network.clone(), end: end.other() })
    }

    /// The end itself, which is not closed with the stream any more.
    pub(super) fn take_end(&mut self) -> Option<End> {
        self.end.take()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let left = self.end.take();
        if let Ok(mut dropped) = self.dropped.lock() {
            dropped.extend(left);
        }
    }
}

/// Takes the connections that transports open to its address. Dropping it stops that.
pub struct Server {
    network: Network,
    address: SocketAddr,
}

impl Server {
    pub(super) fn new(network: &Network, address: SocketAddr) -> Self {
        let mut world = network.world.borrow_mut();
        let address = world.with_port(address);
        world.listen(address, Acceptor::Server);
        drop(world);
        Self { network: network.clone(), address }
    }

    /// The far end of the oldest connection that was not accepted yet.
    pub fn accept(&self) -> Option<Client> {
        let end = self.network.world.borrow_mut().accept(self.address, Acceptor::Server)?;
        Some(Client { network: self.network.clone(), end })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.network.world.borrow_mut().stop_listening(self.address, Acceptor::Server);
    }
}
