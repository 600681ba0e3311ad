//! Purges among fetches, all at once: whoever asks after an acknowledged purge never gets what the
//! origin said before it, also after kill -9.
//!
//! The origin stamps each of its responses with a number that rises. A purge takes a number before
//! it is asked for; when it is acknowledged, that is the floor of what it names. A client reads the
//! floor, asks, and compares the stamp. No moment is left out by this, and none counts wrongly: a
//! response between a purge's number and its acknowledgement may be either.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::stage::{Call, Client, Edge, FRESH, Origin, Setting, reply};

/// Target, and by which fields the origin tags it.
const THINGS: [(&str, &[&str]); 8] = [
    ("/a/1", &["Surrogate-Key: red blue"]),
    ("/a/2", &["Cache-Tag: red"]),
    ("/a/3", &["Vary: Accept-Language", "Surrogate-Key: blue"]),
    ("/a/4", &[]),
    ("/b/1", &["Surrogate-Key: green"]),
    ("/b/2", &["Vary: Accept-Language", "Cache-Tag: red, green"]),
    ("/b/3", &["Vary: Accept-Language"]),
    ("/b/4", &["Cache-Tag: blue"]),
];

/// What a purge names, and which things that is.
fn purges() -> Vec<(Value, Vec<usize>)> {
    let mut purges: Vec<(Value, Vec<usize>)> = THINGS
        .iter()
        .enumerate()
        .map(|(thing, (target, _))| {
            (json!({ "url": format!("http://play.test{target}") }), vec![thing])
        })
        .collect();
    purges.extend([
        (json!({ "prefix": "http://play.test/a/" }), vec![0, 1, 2, 3]),
        (json!({ "prefix": "http://play.test/b/" }), vec![4, 5, 6, 7]),
        (json!({ "tag": "red" }), vec![0, 1, 5]),
        (json!({ "tag": ["blue", "green"] }), vec![0, 2, 4, 5, 7]),
        (json!({ "host": "play.test" }), (0..8).collect()),
        (json!({ "all": true }), (0..8).collect()),
    ]);
    let soft: Vec<_> = purges
        .iter()
        .map(|(order, things)| {
            let mut order = order.clone();
            order["soft"] = json!(true);
            (order, things.clone())
        })
        .collect();
    purges.extend(soft);
    purges
}

/// What all who take part know.
#[derive(Default)]
struct Board {
    stamp: AtomicU64,
    floors: [AtomicU64; THINGS.len()],
    ended: AtomicBool,
    hits: AtomicU64,
}

/// A generator that gives the same numbers each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// An origin that stamps what it says when it is asked, and says it in two parts.
fn stamping(board: &Arc<Board>) -> Origin {
    let board = Arc::clone(board);
    let dice = Mutex::new(Dice(7));
    Origin::answering(move |mut call: Call| {
        let stamp = board.stamp.fetch_add(1, Ordering::SeqCst) + 1;
        let (_, tags) =
            THINGS.iter().find(|(target, _)| *target == call.target()).expect("a thing");
        let fields = [&[FRESH], *tags].concat();
        let whole = reply("200 OK", &fields, format!("{stamp:020}"));
        // Now the head waits, now the body.
        let at = dice.lock().expect("no panic under the lock").below(whole.len());
        for _ in 0..at {
            thread::yield_now();
        }
        call.say(&whole[..at]);
        for _ in at..whole.len() {
            thread::yield_now();
        }
        call.say(&whole[at..]);
        call.done();
    })
}

/// Asks for things in any order until the race has ended.
fn ask(board: &Board, mut client: Client, mut dice: Dice) {
    while !board.ended.load(Ordering::SeqCst) {
        let thing = dice.below(THINGS.len());
        let language = ["Accept-Language: de", "Accept-Language: en"][dice.below(2)];
        let floor = board.floors[thing].load(Ordering::SeqCst);
        let response = client.get_with(THINGS[thing].0, &[language]);
        let body = String::from_utf8(response.body.clone()).expect("a number");
        let stamp: u64 = body.parse().expect("a number");
        assert!(stamp > floor, "{:?}: {stamp}, purged at {floor}: {response:?}", THINGS[thing]);
        board.hits.fetch_add(u64::from(response.is_hit()), Ordering::SeqCst);
    }
}

fn race(board: &Arc<Board>, edge: &Edge, (dice, purges_count): (&mut Dice, usize)) {
    board.ended.store(false, Ordering::SeqCst);
    let purges = purges();
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (client, dice) = (edge.client(), Dice(dice.below(1 << 30) as u64 + number));
            scope.spawn(|| ask(board, client, dice));
        }
        let _ending = Ending(&board.ended);
        for _ in 0..purges_count {
            let (order, things) = &purges[dice.below(purges.len())];
            let number = board.stamp.fetch_add(1, Ordering::SeqCst) + 1;
            edge.purge_all_of(order);
            for thing in things {
                board.floors[*thing].fetch_max(number, Ordering::SeqCst);
            }
        }
    });
}

/// Ends a race, also one whose purges have failed: its clients would ask for ever.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn nobody_who_asks_after_a_purge_gets_what_was_said_before_it() {
    let board = Arc::new(Board::default());
    let origin = stamping(&board);
    let mut edge = Setting::before(&origin).on_disk().start();
    let mut dice = Dice(1);
    for round in 1..=ROUNDS {
        race(&board, &edge, (&mut dice, PURGES));
        if round < ROUNDS {
            edge.kill();
            edge = edge.start_again();
        }
    }
    assert!(board.hits.load(Ordering::SeqCst) > 0, "a race without hits shows nothing");
}

const CLIENTS: u64 = 4;
const ROUNDS: usize = 4;
const PURGES: usize = 150;
