//! An answer is right when status, length and hash are (LG-2).

use super::{Body, Expectation};
use crate::answer::Answer;
use crate::fault::Fault;
use crate::target::Target;

const BODY: Body = Body { length_bytes: 10, hash: 99 };

fn answer(status: u16, length_bytes: u64, hash: u64) -> Answer {
    Answer { status, body: Body { length_bytes, hash }, hit: None, reusable: true }
}

fn check(mut expectation: Expectation, answer: &Answer, expected: Result<(), Fault>) {
    assert_eq!(expectation.check(answer), expected);
}

#[test]
fn known_bodies_are_compared_in_every_part() {
    let known = Expectation::Known(BODY);
    check(known, &answer(200, 10, 99), Ok(()));
    check(known, &answer(503, 10, 99), Err(Fault::WrongStatus { found: 503 }));
    check(known, &answer(200, 9, 99), Err(Fault::WrongLength { found_bytes: 9 }));
    check(known, &answer(200, 10, 98), Err(Fault::WrongBody { found_hash: 98 }));
}

#[test]
fn the_first_right_answer_settles_the_rest() {
    let mut expectation = Expectation::FirstAnswer;
    assert!(expectation.check(&answer(404, 3, 3)).is_err());
    assert_eq!(expectation, Expectation::FirstAnswer);
    assert_eq!(expectation.check(&answer(200, 10, 99)), Ok(()));
    assert_eq!(expectation, Expectation::Known(BODY));
    assert!(expectation.check(&answer(200, 10, 98)).is_err());
}

#[test]
fn content_targets_are_known_beforehand() {
    let known = Target::parse("http://127.0.0.1/bytes/10").expect("a target");
    let Expectation::Known(body) = Expectation::of_target(&known) else {
        panic!("the body of a content path is known")
    };
    assert_eq!(body.length_bytes, 10);
    let other = Target::parse("http://127.0.0.1/").expect("a target");
    assert_eq!(Expectation::of_target(&other), Expectation::FirstAnswer);
}
