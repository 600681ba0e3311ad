//! Dictionaries of structured fields (RFC 8941 section 3.2), as far as the fields that are read
//! here need them. The parser is that of section 4.2 and as strict. Nothing here allocates.

use crate::fields::{self, Field};

/// A member's value, as far as anything here has a use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Boolean(bool),
    Integer(i64),
    /// With its quotes.
    String(&'a [u8]),
    /// A decimal, token, byte sequence or inner list.
    Other,
}

/// Calls `emit` with the members of all lines called `name` and counts them; of several members
/// with one key the last counts. `None` is an error, and then the field is as good as absent.
pub(crate) fn dictionary<'a>(
    fields: &'a [Field<'a>],
    name: &'a str,
    emit: &mut dyn FnMut(&'a [u8], Value<'a>),
) -> Option<usize> {
    let mut members = 0_usize;
    // RFC 8941 section 4.2: lines are joined by commas, so an empty one breaks the dictionary.
    for line in fields::values(fields, name) {
        let added = parse_line(line, emit)?;
        members += added;
        if added == 0 && fields::values(fields, name).nth(1).is_some() {
            return None;
        }
    }
    Some(members)
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
