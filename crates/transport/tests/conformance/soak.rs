//! Chance against bookkeeping: random commands on many connections, and the count must be right.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longhold_transport::{Completion, Config, Token, Transport};

use crate::driver::{Driver, Peer, Rig};
use crate::payload::Pieces;

/// What is in flight on one connection, as the caller sees it.
#[derive(Default)]
struct Flight {
    parked: bool,
    receiving: bool,
    sending: bool,
    closing: bool,
    eof: bool,
}

/// TR-1, TR-2, TR-4: whatever order things happen in, each op answers exactly once, and nothing
/// comes for a token after its `Closed`.
pub(crate) fn every_buffer_and_payload_comes_back_once<R: Rig>() {
    for seed in 0..SEEDS {
        Soak::<R>::new(seed).run();
    }
}

struct Soak<R: Rig> {
    driver: Driver<R>,
    peers: Vec<R::Peer>,
    flights: HashMap<Token, Flight>,
    drops: Arc<AtomicUsize>,
    sends: usize,
    state: u64,
    patience: u32,
}

impl<R: Rig> Soak<R> {
    fn new(seed: u64) -> Self {
        let config = Config { slots: 12, buffers: 12, ring_entries: 8, ..Config::default() };
        Self {
            driver: Driver::new(config),
            peers: Vec::new(),
            flights: HashMap::new(),
            drops: Arc::new(AtomicUsize::new(0)),
            sends: 0,
            state: seed,
            patience: 1_000,
        }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        (self.state >> 33) % sides
    }

    fn run(mut self) {
        let (_, address) = self.driver.listen();
        for _ in 0..STEPS {
            if self.roll(4) == 0 && self.peers.len() < 40 {
                let peer = self.driver.rig.connect(address);
                self.peers.push(peer);
            }
            self.command();
            self.peer_acts();
            if self.roll(3) == 0 {
                self.turn(200);
            }
        }
        let open: Vec<Token> = self.flights.keys().copied().collect();
        for token in open {
            self.close(token);
        }
        self.driver.edge().stop_accepting();
        let mut quiet_turns = 0;
        while quiet_turns < 3 {
            self.turn(5_000);
            quiet_turns = if self.flights.is_empty() { quiet_turns + 1 } else { 0 };
            self.patience -= 1;
            assert!(self.patience > 0, "not closed: {:?}", self.flights.keys());
            let late: Vec<Token> =
                self.flights.iter().filter(|(_, one)| !one.closing).map(|(t, _)| *t).collect();
            late.into_iter().for_each(|token| self.close(token));
        }
        assert_eq!(self.drops.load(Ordering::SeqCst), self.sends, "payloads lost or doubled");
        for _ in 0..12 {
            assert!(self.driver.edge().buffer().is_some(), "a buffer was lost");
        }
    }

    fn some_token(&mut self) -> Option<Token> {
        let mut tokens: Vec<Token> = self.flights.keys().copied().collect();
        tokens.sort_by_key(|token| (token.slot, token.generation));
        let chosen = self.roll(tokens.len().max(1) as u64);
        tokens.get(chosen as usize).copied()
    }

    fn command(&mut self) {
        let Some(token) = self.some_token() else { return };
        let choice = self.roll(10);
        let payload_bytes = 1 + self.roll(60_000) as usize;
        let Some(flight) = self.flights.get_mut(&token) else { return };
        if flight.closing {
            return;
        }
        let edge = self.driver.rig.transport();
        match choice {
            0..=2 if !flight.parked && !flight.eof => {
                flight.parked = true;
                edge.park(token);
            }
            3..=5 if !flight.receiving && !flight.eof => {
                if let Some(buffer) = edge.buffer() {
                    flight.receiving = true;
                    edge.receive(token, buffer);
                }
            }
            6..=7 if !flight.sending => {
                flight.sending = true;
                self.sends += 1;
                edge.send(token, Pieces::pattern(payload_bytes).counting(&self.drops));
            }
            8 => edge.cancel(token),
            9 => self.close(token),
            _ => {}
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(flight) = self.flights.get_mut(&token) {
            flight.closing = true;
            self.driver.edge().close(token);
        }
    }

    fn peer_acts(&mut self) {
        let count = self.peers.len() as u64;
        if count == 0 {
            return;
        }
        let chosen = self.roll(count) as usize;
        match self.roll(8) {
            0..=3 => drop(self.peers[chosen].read()),
            4 => self.peers.swap_remove(chosen).reset(),
            5 => drop(self.peers.swap_remove(chosen)),
            _ => self.peers[chosen].try_write(b"some bytes"),
        }
    }

    fn turn(&mut self, us: u64) {
        self.driver.turn(us);
        while let Some(done) = self.driver.take_ready() {
            self.account(done);
        }
    }

    fn account(&mut self, done: Completion<Pieces>) {
        let flights = &mut self.flights;
        match done {
            Completion::Accepted { slot, .. } => {
                assert!(flights.keys().all(|token| token.slot != slot), "slot given out twice");
                let token = self.driver.token(slot);
                flights.insert(token, Flight::default());
            }
            Completion::Readable { token } | Completion::Unparked { token } => {
                let one = flight(flights, token);
                assert!(std::mem::take(&mut one.parked), "a park answered twice");
                assert!(!one.closing, "a closed park is silent");
            }
            Completion::Received { token, buffer, result } => {
                let one = flight(flights, token);
                assert!(std::mem::take(&mut one.receiving), "a receive answered twice");
                one.eof |= result == Ok(0);
                self.driver.edge().recycle(buffer);
            }
            Completion::Sent { token, .. } => {
                assert!(
                    std::mem::take(&mut flight(flights, token).sending),
                    "a send answered twice"
                );
            }
            Completion::Closed { token } => {
                let one = flights.remove(&token).expect("closed twice");
                assert!(one.closing && !one.receiving && !one.sending, "TR-2");
            }
            Completion::AcceptFailed { .. } => {}
            other @ (Completion::Connected { .. }
            | Completion::ShutDown { .. }
            | Completion::Secured { .. }
            | Completion::Woken) => panic!("{other:?}"),
        }
    }
}

fn flight(flights: &mut HashMap<Token, Flight>, token: Token) -> &mut Flight {
    flights.get_mut(&token).expect("TR-2: something came after Closed")
}

const SEEDS: u64 = 6;
const STEPS: u32 = 1_500;
