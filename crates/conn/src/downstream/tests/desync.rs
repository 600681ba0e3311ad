//! Pairs of messages between which a boundary could be lost (CN-5, CN-6).

use super::super::{After, BodyLength, Downstream, EofOutcome, Expecting};
use super::step;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const EXPECT: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";

/// A client's bytes, and the machine that reads them.
struct Play {
    conn: Downstream,
    buffer: Vec<u8>,
}

impl Play {
    /// The client sends a first request's head, and maybe more behind it.
    #[track_caller]
    fn begin(text: &str) -> Self {
        let mut play = Self { conn: Downstream::new(), buffer: Vec::new() };
        let method = text.split(' ').next().unwrap_or_default();
        play.send(text, &format!("Request({method} /)"));
        play
    }

    /// The client sends `text`; one event follows.
    #[track_caller]
    fn send(&mut self, text: &str, expected: &str) {
        self.buffer.extend_from_slice(text.as_bytes());
        let (consumed, event) = step(&mut self.conn, &self.buffer);
        self.buffer.drain(..consumed);
        assert_eq!(event, expected);
    }

    /// The edge answers, in whole.
    #[track_caller]
    fn answer(&mut self, close: bool, after: After) {
        assert_eq!(self.conn.start_response(200, BodyLength::Known(0)).close, close);
        assert_eq!(self.conn.end_response(), after);
    }

    /// The client closes its half.
    #[track_caller]
    fn end_of_stream(&mut self, expected: EofOutcome) {
        assert_eq!(self.conn.handle_eof(self.buffer.len()), expected);
    }

    #[track_caller]
    fn expects(&self, expecting: Expecting) {
        assert_eq!(self.conn.expecting(), expecting);
    }
}

/// CN-5.
#[test]
fn a_pipelined_request_is_not_looked_at_before_the_response_has_ended() {
    let mut play = Play::begin(&format!("{GET}\0"));
    play.send("", "NeedMore");
    play.conn.start_response(200, BodyLength::Unknown);
    play.send("\0", "NeedMore");
    assert_eq!(play.buffer, b"\0\0", "nothing was used up");
    assert_eq!(play.conn.end_response(), After::NextRequest);
    play.send("", "Reject(InvalidMethod)");
}

/// CN-6.
#[test]
fn an_undrained_body_is_not_taken_for_the_next_request() {
    let length: &[(&str, &str)] = &[("GET /", "BodyEnd(GET /)")];
    let chunked =
        &[("5\r\nGET /", "Body(GET /)"), ("\r\n0\r\n", "NeedMore"), ("\r\n", "BodyEnd()")];
    for (head, rest) in [(POST, length), (CHUNKED, chunked)] {
        let mut play = Play::begin(head);
        play.answer(false, After::DrainBody);
        for (text, event) in rest {
            play.expects(Expecting::Drain);
            play.send(text, event);
        }
        play.expects(Expecting::Head);
        play.send(GET, "Request(GET /)");
        play.answer(false, After::NextRequest);
    }
}

#[test]
fn an_upload_that_ends_under_an_early_response_needs_no_drain() {
    let mut play = Play::begin(&format!("{POST}ab"));
    play.conn.start_response(413, BodyLength::Known(9));
    play.expects(Expecting::Body);
    play.send("", "Body(ab)");
    play.send(&format!("cde{GET}"), "BodyEnd(cde)");
    play.expects(Expecting::Nothing);
    play.send("", "NeedMore");
    assert_eq!(play.conn.end_response(), After::NextRequest);
    play.send("", "Request(GET /)");
}

#[test]
fn facts_of_a_request_do_not_reach_the_next() {
    let mut play = Play::begin("HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let plan = play.conn.start_response(200, BodyLength::Known(3));
    assert!(!plan.send_body && plan.keep_alive_field);
    assert_eq!(play.conn.end_response(), After::NextRequest);
    play.send(GET, "Request(GET /)");
    let plan = play.conn.start_response(200, BodyLength::Known(3));
    assert!(plan.send_body && !plan.keep_alive_field && !plan.close);
}

#[test]
fn a_fault_after_the_last_byte_falls_on_the_next_request() {
    let mut play = Play::begin(&format!("{POST}hello\n"));
    play.send("", "BodyEnd(hello)");
    play.answer(false, After::NextRequest);
    play.send("", "Reject(BareLf)");
    play.expects(Expecting::Nothing);
    play.answer(true, After::Linger);
}

#[test]
fn a_body_that_breaks_while_it_is_answered_ends_the_connection_after_the_answer() {
    let mut play = Play::begin(CHUNKED);
    assert!(!play.conn.start_response(200, BodyLength::Known(0)).close);
    play.send("x", "Reject(InvalidChunkSize)");
    play.send(GET, "NeedMore");
    assert_eq!(play.conn.end_response(), After::Linger);
}

/// The request has had its answer: a second one would be taken for the next request's.
#[test]
fn a_body_that_breaks_while_it_is_drained_gets_no_second_answer() {
    let mut play = Play::begin(CHUNKED);
    play.answer(false, After::DrainBody);
    play.send("x", "Reject(InvalidChunkSize)");
    play.expects(Expecting::Nothing);
    assert_eq!(play.conn.end_response(), After::Linger);
    play.send(GET, "NeedMore");
}

#[test]
fn an_aborted_response_closes_whatever_was_read() {
    for input in [GET, POST, CHUNKED, EXPECT] {
        let mut play = Play::begin(input);
        play.conn.start_response(200, BodyLength::Unknown);
        assert_eq!(play.conn.abort_response(), After::Close);
        play.send(GET, "NeedMore");
        play.expects(Expecting::Nothing);
        play.answer(true, After::Close);
    }
}

/// RFC 9110 section 10.1.1.
#[test]
fn a_final_answer_instead_of_100_ends_the_connection() {
    let mut play = Play::begin(EXPECT);
    play.answer(true, After::Linger);
    assert!(!play.conn.interim());
    // The body, or the next request? Nobody can know.
    play.send(GET, "NeedMore");
}

#[test]
fn a_body_that_comes_late_after_all_does_not_save_the_connection() {
    let mut play = Play::begin(EXPECT);
    assert!(play.conn.start_response(200, BodyLength::Known(0)).close);
    play.send("hello", "BodyEnd(hello)");
    assert_eq!(play.conn.end_response(), After::Linger, "the head said close");
}

#[test]
fn after_100_the_connection_goes_on() {
    let mut play = Play::begin(EXPECT);
    assert!(play.conn.interim());
    assert!(!play.conn.interim(), "once per request");
    play.answer(false, After::DrainBody);
    play.send("hello", "BodyEnd(hello)");
    play.send(EXPECT, "Request(POST /)");
    assert!(play.conn.interim(), "the next request asks anew");
}

#[test]
fn no_100_for_a_client_that_did_not_wait() {
    for (body, event) in [("h", "Body(h)"), ("hello", "BodyEnd(hello)")] {
        let mut play = Play::begin(EXPECT);
        play.send(body, event);
        assert!(!play.conn.interim());
    }
    // A chunk's first digit is enough.
    let mut play = Play::begin(&CHUNKED.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"));
    play.send("5", "NeedMore");
    assert!(!play.conn.interim());
    play.answer(false, After::DrainBody);
}

/// RFC 9112 section 9.6.
#[test]
fn a_half_closed_client_gets_the_answers_to_all_that_it_sent() {
    let mut play = Play::begin(&format!("{GET}{GET}"));
    play.end_of_stream(EofOutcome::HalfClosed);
    play.answer(false, After::NextRequest);
    play.send("", "Request(GET /)");
    play.end_of_stream(EofOutcome::HalfClosed);
    play.answer(true, After::Close);
}

#[test]
fn a_refused_client_that_half_closes_gets_its_answer() {
    let mut play = Play { conn: Downstream::new(), buffer: Vec::new() };
    play.send("nonsense\r\n\r\n", "Reject(InvalidRequestLine)");
    play.end_of_stream(EofOutcome::HalfClosed);
    play.answer(true, After::Close);
}

/// RFC 9112 section 8.
#[test]
fn part_of_a_request_is_never_taken_for_a_whole_one() {
    let mut play = Play { conn: Downstream::new(), buffer: Vec::new() };
    play.send("GET / HT", "NeedMore");
    play.end_of_stream(EofOutcome::Truncated);
    for (head, part, event) in [
        (POST, "", "NeedMore"),
        (POST, "hell", "Body(hell)"),
        (CHUNKED, "", "NeedMore"),
        (CHUNKED, "4\r\nhell", "Body(hell)"),
        (CHUNKED, "0\r\n", "NeedMore"),
    ] {
        for answered in [false, true] {
            let mut play = Play::begin(head);
            if answered {
                play.conn.start_response(200, BodyLength::Known(0));
            }
            play.send(part, event);
            play.end_of_stream(EofOutcome::Truncated);
            play.expects(Expecting::Nothing);
        }
    }
}

/// RFC 9110 section 15.5.9: nobody asked, so nothing may follow.
#[test]
fn an_answer_to_an_unfinished_head_is_the_last() {
    let mut play = Play { conn: Downstream::new(), buffer: Vec::new() };
    play.send("GET / HT", "NeedMore");
    assert!(play.conn.start_response(408, BodyLength::Known(0)).close);
    play.send("TP/1.1\r\nHost: a\r\n\r\n", "NeedMore");
    assert_eq!(play.conn.end_response(), After::Linger);
}
