//! Differential runs against hyper's parser: the corpus, and messages mutated from it.
//!
//! What both accept they must read alike: method, target, fields, body, and where the next message
//! begins. We may refuse what hyper accepts. What we accept and hyper refuses is a finding: it is
//! mended here, or stands in [`hyper_is_stricter`] with its reason.
//!
//! `LONGHOLD_DIFFERENTIAL_CASES` sets how many mutations are tried, `LONGHOLD_DIFFERENTIAL_SEED`
//! where they begin.

#[path = "../corpus/mod.rs"]
mod corpus;
mod mutate;
mod theirs;

use corpus::{End, Message, Reader, Side, Start, Transcript};
use longhold_http1::BodyFraming;
use mutate::Mutator;
use theirs::{Body, Hyper, Theirs};

#[test]
fn corpus_is_read_alike() {
    let hyper = Hyper::new();
    let mut tally = Tally::default();
    for case in corpus::cases() {
        tally.compare(&hyper, case.side, &case.bytes, &case.place);
    }
    println!("corpus: {tally:?}");
    assert!(tally.both > 100, "{tally:?}");
    tally.check();
}

#[test]
fn mutated_messages_are_read_alike() {
    let hyper = Hyper::new();
    let count = setting("LONGHOLD_DIFFERENTIAL_CASES", 10_000);
    let seed = setting("LONGHOLD_DIFFERENTIAL_SEED", 1);
    // Long messages would cost most of the time and vary in nothing.
    let cases: Vec<_> =
        corpus::cases().into_iter().filter(|case| case.bytes.len() < LONG_BYTES).collect();
    let mut tally = Tally::default();
    for number in 0..count {
        let mut mutator = Mutator::new(seed.wrapping_mul(0x9E37_79B9).wrapping_add(number));
        let (case, bytes) = mutator.message(&cases);
        tally.compare(&hyper, case.side, &bytes, &format!("seed {seed}, number {number}"));
    }
    println!("{count} mutated: {tally:?}");
    assert!(tally.both * 10 > tally.cases, "too few that both accept: {tally:?}");
    tally.check();
}

/// What a run came to.
#[derive(Debug, Default)]
struct Tally {
    cases: u64,
    /// Messages that both accepted, and read alike.
    both: u64,
    /// Cases that end with a refusal of ours where hyper has another message, or another end.
    ours_stricter: u64,
    /// Cases that end with a refusal of hyper's for a known reason.
    theirs_stricter: u64,
    findings: Vec<String>,
}

impl Tally {
    fn compare(&mut self, hyper: &Hyper, side: Side, bytes: &[u8], place: &str) {
        self.cases += 1;
        let ours = Reader::read(side, [bytes]);
        let theirs = hyper.read(side, bytes);
        let is_later = bytes.windows(8).any(is_later_minor);
        if let Err(fault) = self.walk(side, &ours, (&theirs, is_later)) {
            let shown = bytes.get(..600).unwrap_or(bytes).escape_ascii();
            let ours = ours.verdicts();
            self.findings.push(format!("{place}: {fault}\n  {shown}\n  {ours:?}\n  {theirs:?}"));
        }
    }

    /// Goes through both readings, message by message, up to the first that one of them has not.
    fn walk(
        &mut self,
        side: Side,
        ours: &Transcript,
        (theirs, has_later_minor): (&[Theirs], bool),
    ) -> Result<(), String> {
        let mut theirs = theirs.iter();
        let messages = ours.messages.iter().filter(|message| match (side, &message.start) {
            (Side::Client, _) | (_, Start::Request { .. }) => true,
            // hyper hands out the first final response, and what ends HTTP on the connection.
            (Side::Origin { .. }, Start::Response { status }) => {
                *status >= 200 || *status == SWITCHING_PROTOCOLS
            }
        });
        let read: usize = if side == Side::Client { usize::MAX } else { 1 };
        for message in messages.take(read) {
            let Some(their) = theirs.next() else {
                if has_later_minor || hyper_is_stricter(message) {
                    self.theirs_stricter += 1;
                    return Ok(());
                }
                return Err(format!("we accept what hyper refuses: {}", message.describe()));
            };
            their.has_same_head(message)?;
            match (&message.end, &their.body) {
                (End::Whole, Body::Whole(body)) if *body == message.body => self.both += 1,
                (End::Whole, Body::Whole(_)) => return Err("unlike bodies".to_owned()),
                (End::Whole, Body::Broken) => return Err("hyper sees no end".to_owned()),
                (End::Incomplete, Body::Broken) => return Ok(()),
                (End::Incomplete, Body::Whole(_)) => return Err("we see no end".to_owned()),
                (End::Refused(_), Body::Broken) => return Ok(()),
                (End::Refused(_), Body::Whole(_)) => {
                    self.ours_stricter += 1;
                    return Ok(());
                }
            }
            if message.closes {
                return Ok(());
            }
        }
        if theirs.next().is_none() {
            return Ok(());
        }
        if ours.refused.is_some() {
            self.ours_stricter += 1;
            return Ok(());
        }
        Err("hyper reads one message more".to_owned())
    }

    fn check(&self) {
        let shown: Vec<&str> = self.findings.iter().take(10).map(String::as_str).collect();
        assert!(shown.is_empty(), "{} findings:\n{}", self.findings.len(), shown.join("\n"));
    }
}

/// What hyper refuses and we accept, each with its reason.
fn hyper_is_stricter(message: &Message) -> bool {
    let is_odd_target = match &message.start {
        // It does not write targets with these either: the edge answers them with 400, as RFC 9112
        // section 3.2 has it, as soon as they would have to go to an origin. What is refused is one
        // request, which is framed alike by both.
        Start::Request { raw, .. } => raw.contains(['<', '>', '`', '"']),
        Start::Response { .. } => false,
    };
    // Its two largest numbers mean chunked and until-close. We wait for the body, and nobody lives
    // to see its end; an origin's length of this kind is refused by hyper itself.
    let is_huge = matches!(message.framing, BodyFraming::Length(length) if length > u64::MAX - 2);
    is_odd_target || is_huge
}

/// hyper knows HTTP/1.0 and 1.1; RFC 9110 section 6.2 has later minor versions read as the latter.
fn is_later_minor(bytes: &[u8]) -> bool {
    matches!(bytes, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'])
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

const LONG_BYTES: usize = 1000;
const SWITCHING_PROTOCOLS: u16 = 101;
