//! Tests by topic. Tables of bytes and verdicts go through one `check` each, and every table is
//! also cut at every byte (H1-2).

use std::format;
use std::string::String;

use crate::{BodyFraming, Limits, Reject, RequestHead, TargetForm, Version, parse_request};

mod chunked;
mod corpus;
mod emit;
mod limits;
mod properties;
mod rejects;
mod requests;
mod responses;
mod target;

/// One line that says all that was read: method, form, authority, path, version, framing, flags,
/// and the count of fields.
fn describe(head: &RequestHead<'_>) -> String {
    let form = match head.target.form {
        TargetForm::Origin => "origin",
        TargetForm::Absolute => "absolute",
        TargetForm::Authority => "authority",
        TargetForm::Asterisk => "asterisk",
    };
    let version = match head.version {
        Version::Http10 => "1.0",
        Version::Http11 => "1.1",
    };
    let mut text = format!(
        "{} {form} [{}] {} {version} {} fields={}",
        head.method,
        head.target.authority,
        head.target.path_and_query,
        describe_framing(head.framing),
        head.fields.len()
    );
    for (is_set, word) in [
        (head.wants_close, " close"),
        (head.expect_continue, " expect"),
        (head.upgrade, " upgrade"),
    ] {
        if is_set {
            text.push_str(word);
        }
    }
    text
}

fn describe_framing(framing: BodyFraming) -> String {
    match framing {
        BodyFraming::None => "none".into(),
        BodyFraming::Length(length) => format!("length={length}"),
        BodyFraming::Chunked => "chunked".into(),
        BodyFraming::UntilClose => "until-close".into(),
    }
}

/// The verdict on `input` as text: what was read, `more`, or status and rule.
fn verdict(input: &[u8], limits: &Limits) -> String {
    match parse_request(input, limits) {
        Ok(None) => "more".into(),
        Ok(Some(head)) => describe(&head),
        Err(reject) => describe_reject(reject),
    }
}

fn describe_reject(reject: Reject) -> String {
    format!("{} {reject:?}", reject.status())
}

/// Asserts the verdict on `input`, and that every prefix gives the same or asks for more.
fn check(input: &[u8], expected: &str) {
    check_with(input, &Limits::default(), expected);
}

fn check_with(input: &[u8], limits: &Limits, expected: &str) {
    let shown = String::from_utf8_lossy(input.get(..200).unwrap_or(input));
    assert_eq!(verdict(input, limits), expected, "for {shown:?}");
    for len in 0..input.len() {
        let cut = verdict(&input[..len], limits);
        assert!(cut == "more" || cut == expected, "{cut} for the first {len} bytes of {shown:?}");
    }
}
