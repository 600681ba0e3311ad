//! Any bytes as the doings of a peer that has the keys, against a session and against a model.

use super::forge::{self, Forge};
use crate::fault::Fault;
use crate::parked::Parked;
use crate::record::Records;
use crate::suite::Suite;
use crate::{Opened, Role};

/// `input` is a script: what the peer seals, what it sends in the clear, where the wire is cut,
/// when the session parks, seals and is asked for control bytes (TL-3 to TL-8).
pub fn fuzz_record(input: &[u8]) {
    let Some((&setup, script)) = input.split_first() else {
        return;
    };
    let suite = Suite::ALL[usize::from(setup) % Suite::ALL.len()];
    let role = if setup & 0x80 == 0 { Role::Server } else { Role::Client };
    let (records, says, hears) = forge::session(role, suite);
    let mut play = Play {
        records: Some(records),
        says,
        hears,
        wire: Vec::new(),
        expected: Vec::new(),
        received: Vec::new(),
        sent: Vec::new(),
        is_honest: true,
    };
    let mut script = Script { bytes: script };
    while let Some(action) = script.byte() {
        if play.act(action, &mut script).is_err() {
            play.end();
            return;
        }
    }
    if play.is_honest {
        assert_eq!(play.received, play.expected, "what the peer said came out otherwise");
    }
}

/// The session, its peer, and what each has said.
struct Play {
    records: Option<Records>,
    says: Forge,
    hears: Forge,
    /// Under way to the session.
    wire: Vec<u8>,
    /// Data that the peer has sealed.
    expected: Vec<u8>,
    /// Data that the session has opened.
    received: Vec<u8>,
    /// Data that the session has sealed and the peer has not opened.
    sent: Vec<u8>,
    /// Whether the peer has kept the rules so far, as far as data goes.
    is_honest: bool,
}

impl Play {
    fn act(&mut self, action: u8, script: &mut Script<'_>) -> Result<(), Fault> {
        match action % 8 {
            0 => self.say_data(script),
            1 => self.say(script),
            2 => self.say_in_the_clear(script),
            3 => self.update(script),
            4 => self.park(),
            5 => self.seal(script),
            6 => self.control(),
            _ => return self.deliver(script),
        }
        self.open()
    }

    fn say_data(&mut self, script: &mut Script<'_>) {
        let data = script.bytes();
        let zeros = usize::from(script.byte().unwrap_or(0)) * 64;
        self.wire.extend(self.says.record(23, &data, zeros));
        self.expected.extend(data);
    }

    fn say(&mut self, script: &mut Script<'_>) {
        let content_type = script.byte().unwrap_or(0);
        let content = script.bytes();
        let zeros = usize::from(script.byte().unwrap_or(0));
        // A type of zero is padding: what is before it becomes the type.
        self.is_honest &= content_type != 0 && (content_type != 23 || content.is_empty());
        self.wire.extend(self.says.record(content_type, &content, zeros));
    }

    fn say_in_the_clear(&mut self, script: &mut Script<'_>) {
        self.wire.extend(script.bytes());
        self.is_honest = false;
    }

    fn update(&mut self, script: &mut Script<'_>) {
        let request = script.byte().unwrap_or(0) & 1;
        self.wire.extend(self.says.record(22, &[24, 0, 0, 1, request], 0));
        self.says.update();
    }

    fn park(&mut self) {
        let records = self.records.take().expect("a session");
        self.records = Some(match records.park() {
            Ok(parked) => {
                let words = *parked.as_words();
                let woken = Records::wake(&parked).expect("what was parked wakes");
                let again = woken.park().ok().expect("what has just woken can park");
                assert_eq!(*again.as_words(), words);
                Records::wake(&Parked::from_words(words)).expect("what was parked wakes")
            }
            Err(records) => records,
        });
    }

    fn seal(&mut self, script: &mut Script<'_>) {
        let first = script.bytes();
        let second = script.bytes();
        let mut output = vec![0; usize::from(script.byte().unwrap_or(0)) * 8];
        let all = [first.as_slice(), second.as_slice()].concat();
        let records = self.session();
        let closed = records.is_closed();
        match records.seal(&[&first, &second], &mut output) {
            Ok(sealed) => {
                assert!(sealed.taken <= all.len() && sealed.written <= output.len() && !closed);
                self.sent.extend_from_slice(&all[..sealed.taken]);
                self.hear(&output[..sealed.written]);
            }
            Err(fault) => assert!(fault == Fault::Ended && closed),
        }
        assert!(self.sent.is_empty(), "sealed data did not come out at the peer");
    }

    fn control(&mut self) {
        let mut output = [0; 256];
        let written = self.session().control(&mut output);
        self.hear(&output[..written]);
        assert!(!self.session().owes());
    }

    /// The peer opens what was sealed, and follows key updates.
    fn hear(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() {
            let (inner, rest) = self.hears.open(wire).expect("the peer can open everything");
            wire = rest;
            match inner.as_slice() {
                [data @ .., 23] => {
                    assert!(self.sent.starts_with(data));
                    self.sent.drain(..data.len());
                }
                [24, 0, 0, 1, 0, 22] => self.hears.update(),
                [_, _, 21] => assert!(self.session().is_closed()),
                _ => panic!("nobody asked for this: {inner:?}"),
            }
        }
    }

    /// A cut: so many bytes are lost from the wire's end.
    fn deliver(&mut self, script: &mut Script<'_>) -> Result<(), Fault> {
        let cut = usize::from(script.byte().unwrap_or(0)).min(self.wire.len());
        let rest = self.wire.split_off(self.wire.len() - cut);
        self.open()?;
        self.wire.extend(rest);
        self.open()
    }

    fn open(&mut self) -> Result<(), Fault> {
        loop {
            let before = self.wire.len();
            let mut wire = std::mem::take(&mut self.wire);
            let result = self.session().open(&mut wire);
            self.wire = wire;
            let used = match result? {
                Opened::Data { data, consumed } => {
                    assert!(!data.is_empty() && data.end <= consumed && consumed <= before);
                    self.received.extend_from_slice(&self.wire[data]);
                    consumed
                }
                Opened::Quiet { consumed } => consumed,
                Opened::Closed { .. } => {
                    self.is_honest = false;
                    self.wire.clear();
                    return Ok(());
                }
                Opened::More { wanted } => {
                    assert!(wanted > before && wanted <= crate::limits::RECORD_BYTES_MAX);
                    return Ok(());
                }
            };
            self.wire.drain(..used);
        }
    }

    /// After a fault: one alert at most, and then nothing.
    fn end(&mut self) {
        if self.is_honest {
            assert!(self.expected.starts_with(&self.received));
        }
        self.control();
        let records = self.session();
        assert_eq!(records.open(&mut [23, 3, 3, 0, 40]), Err(Fault::Ended));
        assert_eq!(records.seal(&[b"x"], &mut [0; 64]), Err(Fault::Ended));
        assert_eq!(records.control(&mut [0; 64]), 0);
    }

    fn session(&mut self) -> &mut Records {
        self.records.as_mut().expect("a session")
    }
}

/// Bytes that are read as instructions.
struct Script<'a> {
    bytes: &'a [u8],
}

impl Script<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    /// A length, and so many bytes of the script, over and over where it asks for many.
    fn bytes(&mut self) -> Vec<u8> {
        let length = usize::from(self.byte().unwrap_or(0));
        let count = length.min(self.bytes.len());
        let (front, rest) = self.bytes.split_at(count);
        self.bytes = rest;
        let times = if length >= 0xf0 { 70 } else { 1 };
        front.repeat(times)
    }
}
