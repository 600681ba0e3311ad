//! The record layer against a peer that says what it likes: each rule of RFC 8446, sections 4.6,
//! 5 and 6, and each bound, once kept and once broken.

mod bounds;
mod rules;
mod sending;

use super::Records;
use crate::fault::Fault;
use crate::fuzzing::forge::{self, Forge};
use crate::suite::Suite;
use crate::{Opened, Role};

/// A session, what its peer says, and what its peer hears.
struct Scene {
    records: Option<Records>,
    says: Forge,
    hears: Forge,
}

impl Scene {
    fn new(role: Role, suite: Suite) -> Self {
        let (records, says, hears) = forge::session(role, suite);
        Self { records: Some(records), says, hears }
    }

    fn server() -> Self {
        Self::new(Role::Server, Suite::Aes128Gcm)
    }

    fn client() -> Self {
        Self::new(Role::Client, Suite::Aes128Gcm)
    }

    fn records(&mut self) -> &mut Records {
        self.records.as_mut().unwrap()
    }

    /// The peer sends a record; what it comes to.
    fn say(&mut self, content_type: u8, content: &[u8]) -> Result<Heard, Fault> {
        let wire = self.says.record(content_type, content, 0);
        self.bring(&wire)
    }

    fn say_update(&mut self, request: u8) -> Result<Heard, Fault> {
        let heard = self.say(HANDSHAKE, &[24, 0, 0, 1, request]);
        self.says.update();
        heard
    }

    /// One whole record off the wire.
    fn bring(&mut self, wire: &[u8]) -> Result<Heard, Fault> {
        let mut wire = wire.to_vec();
        Ok(match self.records().open(&mut wire)? {
            Opened::Data { data, consumed } => {
                assert_eq!(consumed, wire.len());
                Heard::Data(wire[data].to_vec())
            }
            Opened::Quiet { consumed } => {
                assert_eq!(consumed, wire.len());
                Heard::Quiet
            }
            Opened::Closed { consumed } => {
                assert_eq!(consumed, wire.len());
                Heard::Closed
            }
            Opened::More { wanted } => Heard::More(wanted),
        })
    }

    /// What the session says by itself, opened by its peer: content and type of each record.
    fn control(&mut self) -> Vec<Vec<u8>> {
        let mut output = [0; 256];
        let written = self.records().control(&mut output);
        self.hear(&output[..written])
    }

    /// What the peer makes of the wire.
    fn hear(&mut self, mut wire: &[u8]) -> Vec<Vec<u8>> {
        let mut heard = Vec::new();
        while !wire.is_empty() {
            let (inner, rest) = self.hears.open(wire).expect("the peer can open it");
            if inner.starts_with(&[24, 0, 0, 1]) && inner.ends_with(&[HANDSHAKE]) {
                self.hears.update();
            }
            heard.push(inner);
            wire = rest;
        }
        heard
    }

    /// Parks and wakes the session.
    fn nap(&mut self) {
        let Ok(parked) = self.records.take().unwrap().park() else { panic!("it cannot rest") };
        self.records = Some(Records::wake(&parked).unwrap());
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Data(Vec<u8>),
    Quiet,
    Closed,
    More(usize),
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
