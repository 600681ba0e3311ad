//! The machine's whole product as snapshots, cuts at every byte, and pairs of messages whose
//! boundary must not be lost.

mod desync;
mod plans;
mod product;
mod split;

use longhold_http1::Limits;

use super::{Downstream, Input};

/// One step over `input`: bytes used up, and the event in a word.
fn step(conn: &mut Downstream, input: &[u8]) -> (usize, String) {
    let step = conn.handle_input(input, &Limits::default());
    let event = match step.input {
        Input::NeedMore => "NeedMore".to_owned(),
        Input::Request(head) => format!("Request({} {})", head.method, head.target.raw),
        Input::Body(piece) => format!("Body({})", piece.escape_ascii()),
        Input::BodyEnd(piece) => format!("BodyEnd({})", piece.escape_ascii()),
        Input::Reject(reject) => format!("Reject({reject:?})"),
    };
    (step.consumed, event)
}
