//! The same bytes give the same events, however they are cut (CN-5, and H1-2 of http1).

use proptest::prelude::*;

use super::super::{After, BodyLength, Downstream, Expecting};
use super::step;

/// When the server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// Once the request is read to its end.
    Late,
    /// Upon the head, whether or not a body follows.
    Early,
}

const TRANSCRIPTS: [&str; 10] = [
    // Pipelined, with every kind of body, empty line before a head, HEAD, 1.0 with keep-alive.
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
     POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world\
     POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     5\r\nhello\r\n1;a=b\r\n \r\n0a\r\nwide world\r\n0\r\nTrailer: x\r\n\r\n\
     \r\nHEAD /4 HTTP/1.1\r\nHost: a\r\n\r\n\
     POST /5 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
     GET /6 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n\
     GET /7 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\
     GET /8 HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello\
     PUT /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
     3\r\nabc\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    // A body that looks like a request, and chunks that look like one.
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 29\r\n\r\nGET /evil HTTP/1.1\r\nHost: b\r\n\
     POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
     1d\r\nGET /evil HTTP/1.1\r\nHost: b\r\n\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST /1 HTTP/1.0\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.0\r\n\r\n",
    // Faults, each behind something good.
    "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost : a\r\n\r\nGET /3 HTTP/1.1\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nabcd\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nz\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nBad Trailer: a\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\nGET /2 HTTP/1.1\r\n\r\n",
    "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1",
];

#[test]
fn the_events_of_the_transcripts_are_these() {
    let mut table = String::new();
    for (number, transcript) in TRANSCRIPTS.iter().enumerate() {
        for answers in [Answers::Late, Answers::Early] {
            table += &format!("transcript {number}, {answers:?}\n");
            for event in run(&[transcript.as_bytes()], answers) {
                table += &format!("  {event}\n");
            }
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn a_cut_at_any_byte_changes_no_event() {
    for transcript in TRANSCRIPTS.map(str::as_bytes) {
        for answers in [Answers::Late, Answers::Early] {
            let whole = run(&[transcript], answers);
            for cut in 0..=transcript.len() {
                check(transcript, &[cut], answers, &whole);
            }
            let every_byte: Vec<_> = (1..transcript.len()).collect();
            check(transcript, &every_byte, answers, &whole);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn many_cuts_change_no_event(
        number in 0..TRANSCRIPTS.len(),
        cuts in prop::collection::btree_set(0..600_usize, 0..12),
        early in any::<bool>(),
    ) {
        let transcript = TRANSCRIPTS[number].as_bytes();
        let answers = if early { Answers::Early } else { Answers::Late };
        let cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut <= transcript.len()).collect();
        check(transcript, &cuts, answers, &run(&[transcript], answers));
    }
}

fn check(transcript: &[u8], cuts: &[usize], answers: Answers, whole: &[String]) {
    let mut pieces = Vec::new();
    let mut from = 0;
    for cut in cuts {
        pieces.push(&transcript[from..*cut]);
        from = *cut;
    }
    pieces.push(&transcript[from..]);
    let events = run(&pieces, answers);
    assert_eq!(events, whole, "{answers:?}, cut at {cuts:?}: {}", transcript.escape_ascii());
}

/// Feeds the pieces as a worker does, each behind what is left of those before, and lists what
/// came of them.
fn run(pieces: &[&[u8]], answers: Answers) -> Vec<String> {
    let mut server = Server { answers, conn: Downstream::new(), body: String::new(), log: vec![] };
    let mut buffer = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(consumed) = server.look(&buffer) {
            buffer.drain(..consumed);
        }
    }
    server.log
}

struct Server {
    answers: Answers,
    conn: Downstream,
    /// Pieces of the body so far.
    body: String,
    log: Vec<String>,
}

impl Server {
    /// One step; `None` when it takes more input, or nothing any more.
    fn look(&mut self, input: &[u8]) -> Option<usize> {
        let was_draining = match self.conn.expecting() {
            Expecting::Nothing => return None,
            Expecting::Drain => true,
            Expecting::Head | Expecting::Body => false,
        };
        let (consumed, event) = step(&mut self.conn, input);
        let (word, text) = event.split_once('(').unwrap_or((&event, ""));
        let text = text.strip_suffix(')').unwrap_or(text);
        match word {
            "NeedMore" if consumed == 0 => return None,
            "NeedMore" => {}
            "Body" => self.body += text,
            "BodyEnd" => {
                let body = std::mem::take(&mut self.body) + text;
                let word = if was_draining { "Drained" } else { "Body" };
                self.log.push(format!("{word}({body})"));
                if !was_draining && self.answers == Answers::Late {
                    self.answer();
                }
            }
            "Request" => {
                self.log.push(event);
                let is_due = self.conn.expecting() == Expecting::Nothing;
                if is_due || self.answers == Answers::Early {
                    self.answer();
                } else if self.conn.interim() {
                    self.log.push("100".to_owned());
                }
            }
            _ => self.log.push(event),
        }
        Some(consumed)
    }

    fn answer(&mut self) {
        let plan = self.conn.start_response(200, BodyLength::Known(0));
        let after: After = self.conn.end_response();
        self.log.push(format!("200{}, {after:?}", if plan.close { ", close" } else { "" }));
    }
}
