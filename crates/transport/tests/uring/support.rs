//! A reactor with a listener, and a way to wait for something without sleeping.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longhold_transport::uring::Reactor;
use longhold_transport::{
    BoundListener, Completion, Config, Parts, Payload, Token, Transport, bind_listeners,
};

/// Bytes that count how often they were dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) bytes: Vec<u8>,
    pub(crate) drops: Arc<AtomicUsize>,
}

impl Payload for Counted {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        parts.push(&self.bytes);
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.bytes.drain(..sent_bytes);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) type Edge = Reactor<Counted>;
pub(crate) type Done = Completion<Counted>;

pub(crate) fn counted(bytes: usize, drops: &Arc<AtomicUsize>) -> Counted {
    Counted { bytes: vec![b'x'; bytes], drops: Arc::clone(drops) }
}

pub(crate) fn bind() -> BoundListener {
    bind_listeners(([127, 0, 0, 1], 0).into(), 1).unwrap().pop().unwrap()
}

/// A reactor that listens, and where.
pub(crate) fn edge(config: Config) -> (Edge, SocketAddr) {
    let mut edge = Edge::new(&config).unwrap();
    let bound = bind();
    let address = bound.address();
    edge.listen(bound).unwrap();
    (edge, address)
}

/// Waits until `wanted` has found enough in the completions, all of which it is shown.
pub(crate) fn wait_until(edge: &mut Edge, mut wanted: impl FnMut(&mut Edge, Done) -> bool) {
    let mut done = Vec::new();
    let guard_us = edge.now().monotonic_us + GUARD_US;
    while edge.now().monotonic_us < guard_us {
        edge.wait(Some(guard_us), &mut done).unwrap();
        let mut is_found = false;
        for one in done.drain(..) {
            is_found |= wanted(edge, one);
        }
        if is_found {
            return;
        }
    }
    panic!("what was waited for did not happen");
}

/// Opens `count` connections and accepts them all; the tokens in the order of acceptance.
pub(crate) fn open(
    edge: &mut Edge,
    address: SocketAddr,
    count: usize,
) -> (Vec<Token>, Vec<TcpStream>) {
    let mut tokens = Vec::new();
    let mut clients = Vec::new();
    while clients.len() < count {
        // In portions, so that no backlog overflows.
        let portion = (count - clients.len()).min(200);
        clients.extend((0..portion).map(|_| TcpStream::connect(address).unwrap()));
        wait_until(edge, |_, done| {
            if let Completion::Accepted { slot, .. } = done {
                tokens.push(Token::new(slot, 1));
            }
            tokens.len() == clients.len()
        });
    }
    (tokens, clients)
}

/// Only guards against hanging: a good run never needs it.
const GUARD_US: u64 = 30_000_000;
