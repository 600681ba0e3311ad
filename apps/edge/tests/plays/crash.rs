//! kill -9 under load, again and again, on one store: never a wrong byte, and what had been stored
//! is served.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::stage::{Client, Edge, FRESH, Origin, body_of, digest, reply};

/// Objects that the load asks for.
const OBJECTS: u64 = 400;
/// Whole answers that the load must have had before the next kill.
const ANSWERS_MIN: u64 = 150;
const CLIENTS: u64 = 3;
const ROUNDS: u64 = 5;

/// Sizes from nothing to some windows of the store's chunks; most are small.
fn len_of(number: u64) -> usize {
    let power = (number * 7) % 19;
    (1 << power) + (number as usize % 13)
}

fn body(number: u64) -> Vec<u8> {
    body_of(number, len_of(number))
}

/// An origin that has every object for ever, some with a length and some without.
fn library() -> Origin {
    Origin::answering(|mut call| {
        let number = call.target()[1..].parse().expect("a number");
        let body = body(number);
        // The edge may be killed at any time.
        let whole = if number % 5 == 0 {
            let size = format!("{:x}\r\n", body.len());
            let start = format!("HTTP/1.1 200 OK\r\n{FRESH}\r\nTransfer-Encoding: chunked\r\n\r\n");
            let parts = [start.as_bytes(), size.as_bytes(), &body, b"\r\n0\r\n\r\n"];
            call.try_say(parts.concat())
        } else {
            call.try_say(reply("200 OK", &[FRESH], &body))
        };
        if whole {
            call.done();
        }
    })
}

/// Clients that go on asking wherever the edge is now.
struct Load {
    address: Arc<Mutex<std::net::SocketAddr>>,
    answers: Arc<AtomicU64>,
    hits: Arc<AtomicU64>,
    ending: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Load {
    fn on(edge: &Edge) -> Self {
        let mut load = Self {
            address: Arc::new(Mutex::new(edge.address())),
            answers: Arc::default(),
            hits: Arc::default(),
            ending: Arc::default(),
            threads: Vec::new(),
        };
        load.threads = (0..CLIENTS).map(|seed| load.client(seed)).collect();
        load
    }

    fn client(&self, seed: u64) -> thread::JoinHandle<()> {
        let address = Arc::clone(&self.address);
        let (answers, hits) = (Arc::clone(&self.answers), Arc::clone(&self.hits));
        let ending = Arc::clone(&self.ending);
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        thread::spawn(move || {
            while !ending.load(Ordering::Relaxed) {
                let at = *address.lock().expect("no panic under the lock");
                let Some(mut client) = Client::try_connect(at) else {
                    thread::sleep(crate::stage::LOOK_AGAIN);
                    continue;
                };
                while !ending.load(Ordering::Relaxed) {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    let number = state % OBJECTS;
                    let Some(hit) = ask(&mut client, number) else { break };
                    answers.fetch_add(1, Ordering::Relaxed);
                    hits.fetch_add(u64::from(hit), Ordering::Relaxed);
                }
            }
        })
    }

    /// Waits until the load has had some more whole answers.
    fn goes_on(&self, edge: &Edge) {
        let least = self.answers.load(Ordering::Relaxed) + ANSWERS_MIN;
        edge.wait("the load", |_| self.answers.load(Ordering::Relaxed) >= least);
    }

    fn end(self) -> u64 {
        self.ending.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("every body was right");
        }
        self.hits.load(Ordering::Relaxed)
    }
}

/// One object, whose every byte is checked; whether it was a hit. `None` when the edge went away.
fn ask(client: &mut Client, number: u64) -> Option<bool> {
    let request = format!("GET /{number} HTTP/1.1\r\nHost: play.test\r\n\r\n");
    if !client.try_say(request) {
        return None;
    }
    let expected = body(number);
    match client.try_response() {
        Ok(response) => {
            assert_eq!(response.status, 200, "/{number}: {response:?}");
            assert_eq!(digest(&response.body), digest(&expected), "/{number}");
            Some(response.is_hit())
        }
        // A part must be a part of the right thing.
        Err(cut) => {
            assert!(expected.starts_with(&cut.body.unwrap_or_default()), "/{number}");
            None
        }
    }
}

#[test]
fn killed_edge_serves_no_wrong_byte_and_what_it_had_stored() {
    let rounds = std::env::var("LONGHOLD_KILL_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"));
    let origin = library();
    let mut edge = Edge::before(&origin);
    let load = Load::on(&edge);
    for round in 0..rounds {
        load.goes_on(&edge);
        // An object that nobody else asks for is certainly stored.
        let anchor = 1_000_000 + round;
        let mut client = edge.client();
        assert!(ask(&mut client, anchor).is_some());
        edge.wait("the stored anchor", |_| ask(&mut edge.client(), anchor) == Some(true));
        edge.kill();
        edge = edge.start_again();
        let first = edge.client().get(&format!("/{anchor}"));
        assert!(first.is_hit() && first.body == body(anchor), "round {round}: {}", first.cache());
        *load.address.lock().expect("no panic under the lock") = edge.address();
    }
    load.goes_on(&edge);
    assert!(load.end() > 0, "not one hit");
    edge.terminate();
    assert_eq!(edge.ends().code(), Some(0), "{}", edge.log());
}
