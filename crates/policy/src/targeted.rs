//! Targeted cache control (RFC 9213): `CDN-Cache-Control`, a structured dictionary (RFC 8941
//! section 3.2) that stands in place of `Cache-Control` and `Expires` for caches of its kind.
//!
//! The parser is that of RFC 8941 section 4.2 and as strict: a field with any error is as good as
//! absent, because RFC 9213 section 2.1 bids so. Nothing here allocates.

use crate::directives::{DELTA_MAX_S, Delta, Reach, ResponseDirectives};
use crate::fields::{self, Field};

/// The targeted fields that are obeyed, the most specific first (RFC 9213 section 2.2).
pub const TARGETS: [&str; 1] = ["cdn-cache-control"];

/// The directives of the first target that is there, valid and not empty.
pub fn from_fields<'a>(response: &'a [Field<'a>]) -> Option<ResponseDirectives<'a>> {
    TARGETS.iter().find_map(|target| {
        let mut directives = ResponseDirectives { is_targeted: true, ..Default::default() };
        let mut members = 0_usize;
        // RFC 8941 section 4.2: lines are joined by commas, so an empty one breaks the dictionary.
        for line in fields::values(response, target) {
            let added = parse_line(line, &mut |key, value| set(&mut directives, key, value))?;
            members += added;
            if added == 0 && fields::values(response, target).nth(1).is_some() {
                return None;
            }
        }
        (members > 0).then_some(directives)
    })
}

/// A member's value, as far as cache directives have a use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    /// With its quotes.
    String(&'a [u8]),
    /// A decimal, token, byte sequence or inner list.
    Other,
}

/// Sets one directive. Of several members with one key the last counts (RFC 8941 section 3.2).
fn set<'a>(directives: &mut ResponseDirectives<'a>, key: &[u8], value: Value<'a>) {
    let is_set = value != Value::Boolean(false);
    match key {
        b"max-age" => directives.max_age = delta(value),
        b"s-maxage" => directives.s_maxage = delta(value),
        b"stale-while-revalidate" => directives.stale_while_revalidate_s = Some(window_s(value)),
        b"stale-if-error" => directives.stale_if_error_s = Some(window_s(value)),
        b"no-cache" => directives.no_cache = reach(value),
        b"private" => directives.private = reach(value),
        b"no-store" => directives.no_store = is_set,
        b"must-revalidate" => directives.must_revalidate = is_set,
        b"proxy-revalidate" => directives.proxy_revalidate = is_set,
        // These two permit, so that they count only in the form that they should have.
        b"public" => directives.public = value == Value::Boolean(true),
        b"immutable" => directives.immutable = is_set,
        b"must-understand" => directives.must_understand = value == Value::Boolean(true),
        _ => {}
    }
}

/// RFC 9213 section 2.1: a value of another type is not to be coerced; here it is stale.
fn delta(value: Value<'_>) -> Delta {
    match value {
        Value::Integer(seconds) if seconds >= 0 => {
            Delta::Seconds(u32::try_from(seconds).map_or(DELTA_MAX_S, |s| s.min(DELTA_MAX_S)))
        }
        Value::Integer(_) | Value::Boolean(_) | Value::String(_) | Value::Other => Delta::Invalid,
    }
}

fn window_s(value: Value<'_>) -> u32 {
    match delta(value) {
        Delta::Seconds(seconds) => seconds,
        Delta::Absent | Delta::Invalid => 0,
    }
}

fn reach(value: Value<'_>) -> Reach<'_> {
    match value {
        Value::Boolean(false) => Reach::Absent,
        Value::String(names) => fields::unquote(names).map_or(Reach::Whole, Reach::of),
        Value::Boolean(true) | Value::Integer(_) | Value::Other => Reach::Whole,
    }
}

/// Reads the members of one line (RFC 8941 section 4.2.2) and counts them. `None` is an error.
fn parse_line<'a>(line: &'a [u8], emit: &mut dyn FnMut(&'a [u8], Value<'a>)) -> Option<usize> {
    let mut text = Text { rest: fields::trim(line) };
    let mut members = 0;
    while !text.rest.is_empty() {
        let key = text.key()?;
        let value = if text.skip(b'=') { text.item_or_list()? } else { Value::Boolean(true) };
        text.parameters()?;
        emit(key, value);
        members += 1;
        text.rest = fields::trim(text.rest);
        if text.rest.is_empty() {
            break;
        }
        if !text.skip(b',') {
            return None;
        }
        text.rest = fields::trim(text.rest);
        // A comma must be followed by a member.
        if text.rest.is_empty() {
            return None;
        }
    }
    Some(members)
}

struct Text<'a> {
    rest: &'a [u8],
}

impl<'a> Text<'a> {
    fn skip(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Takes the bytes in front that `is_inside`.
    fn take_while(&mut self, is_inside: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().position(|byte| !is_inside(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or_default();
        self.rest = rest;
        taken
    }

    /// RFC 8941 section 4.2.3.3.
    fn key(&mut self) -> Option<&'a [u8]> {
        matches!(self.rest.first()?, b'a'..=b'z' | b'*').then_some(())?;
        Some(self.take_while(
            |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'),
        ))
    }

    /// RFC 8941 section 4.2.1.1.
    fn item_or_list(&mut self) -> Option<Value<'a>> {
        if !self.skip(b'(') {
            return self.bare_item();
        }
        loop {
            self.take_while(|byte| byte == b' ');
            if self.skip(b')') {
                return Some(Value::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            matches!(self.rest.first()?, b' ' | b')').then_some(())?;
        }
    }

    /// RFC 8941 section 4.2.3.2.
    fn parameters(&mut self) -> Option<()> {
        while self.skip(b';') {
            self.take_while(|byte| byte == b' ');
            self.key()?;
            if self.skip(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    /// RFC 8941 section 4.2.3.1.
    fn bare_item(&mut self) -> Option<Value<'a>> {
        match self.rest.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => {
                self.take_while(|byte| fields::is_token_byte(byte) || matches!(byte, b':' | b'/'));
                Some(Value::Other)
            }
            b':' => self.byte_sequence(),
            b'?' => self.boolean(),
            _ => None,
        }
    }

    /// RFC 8941 section 4.2.4: at most 15 digits, or 12 before and 3 behind the point.
    fn number(&mut self) -> Option<Value<'a>> {
        let is_negative = self.skip(b'-');
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if self.skip(b'.') {
            let part = self.take_while(|byte| byte.is_ascii_digit());
            let is_decimal = (1..=12).contains(&whole.len()) && (1..=3).contains(&part.len());
            return is_decimal.then_some(Value::Other);
        }
        if !(1..=15).contains(&whole.len()) {
            return None;
        }
        let number = whole.iter().fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
        Some(Value::Integer(if is_negative { -number } else { number }))
    }

    /// RFC 8941 section 4.2.5.
    fn string(&mut self) -> Option<Value<'a>> {
        let mut len = 1;
        loop {
            match self.rest.get(len)? {
                b'"' => break,
                b'\\' => {
                    matches!(self.rest.get(len + 1)?, b'"' | b'\\').then_some(())?;
                    len += 2;
                }
                b' '..=b'~' => len += 1,
                _ => return None,
            }
        }
        let (string, rest) = self.rest.split_at_checked(len + 1)?;
        self.rest = rest;
        Some(Value::String(string))
    }

    /// RFC 8941 section 4.2.7.
    fn byte_sequence(&mut self) -> Option<Value<'a>> {
        self.skip(b':');
        self.take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        self.skip(b':').then_some(Value::Other)
    }

    /// RFC 8941 section 4.2.8.
    fn boolean(&mut self) -> Option<Value<'a>> {
        self.skip(b'?');
        if self.skip(b'1') {
            Some(Value::Boolean(true))
        } else {
            self.skip(b'0').then_some(Value::Boolean(false))
        }
    }
}
