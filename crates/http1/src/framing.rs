//! How a body's length is known: one pure function per direction over what the fields said, one
//! clause of RFC 9112 section 6.3 per arm.

use crate::error::Reject;
use crate::field::{is_token, list_members, trim};
use crate::head::Version;

/// How a message's body is delimited (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFraming {
    /// There is no body.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// A response's body that ends with the connection; never said of a request.
    UntilClose,
}

/// What the framing fields of one head said, gathered line by line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FramingFields {
    length: Option<u64>,
    coding: Coding,
}

/// The transfer codings in the order applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Coding {
    /// No Transfer-Encoding.
    #[default]
    Absent,
    /// Chunked alone.
    Chunked,
    /// Others, chunked not among them.
    Others,
    /// Others, then chunked.
    OthersThenChunked,
}

impl FramingFields {
    /// Takes in one Content-Length line. Only one line of one number is accepted: the RFC lets a
    /// recipient merge equal repeats, or refuse them (RFC 9110 section 8.6); we refuse.
    pub(crate) fn add_length(&mut self, value: &[u8]) -> Result<(), Reject> {
        if self.length.is_some() || value.contains(&b',') {
            return Err(Reject::RepeatedLength);
        }
        self.length = Some(decimal(value)?);
        Ok(())
    }

    /// Takes in one Transfer-Encoding line; the lines together are one list.
    pub(crate) fn add_codings(&mut self, value: &[u8]) -> Result<(), Reject> {
        for member in list_members(value) {
            self.coding = self.coding.then(member)?;
        }
        Ok(())
    }

    /// RFC 9112 section 6.3 for a request.
    pub(crate) fn of_request(&self, version: Version) -> Result<BodyFraming, Reject> {
        match (self.known_coding(version)?, self.length) {
            // Rule 3, in its strict form: both are refused.
            (true, Some(_)) => Err(Reject::LengthAndCoding),
            // Rule 4.
            (true, None) => Ok(BodyFraming::Chunked),
            // Rule 6.
            (false, Some(length)) => Ok(BodyFraming::Length(length)),
            // Rule 7.
            (false, None) => Ok(BodyFraming::None),
        }
    }

    /// RFC 9112 section 6.3 for a response that may have a body; rules 1 and 2, which look at the
    /// method and the status, are [`crate::ResponseHead::framing`]'s.
    pub(crate) fn of_response(&self, version: Version) -> Result<BodyFraming, Reject> {
        match self.of_request(version)? {
            // Rule 8.
            BodyFraming::None => Ok(BodyFraming::UntilClose),
            framing @ (BodyFraming::Length(_) | BodyFraming::Chunked | BodyFraming::UntilClose) => {
                Ok(framing)
            }
        }
    }

    /// Whether the body is chunked, and nothing but chunked.
    fn known_coding(&self, version: Version) -> Result<bool, Reject> {
        match (self.coding, version) {
            (Coding::Absent, _) => Ok(false),
            // RFC 9112 section 6.1: its framing is faulty; whoever sent it may read it otherwise.
            (_, Version::Http10) => Err(Reject::CodingInHttp10),
            (Coding::Chunked, Version::Http11) => Ok(true),
            // Section 6.3 rule 4 outranks the 501 of section 6.1.
            (Coding::Others, Version::Http11) => Err(Reject::ChunkedNotLast),
            (Coding::OthersThenChunked, Version::Http11) => Err(Reject::UnknownCoding),
        }
    }
}

impl Coding {
    /// The codings with one more applied.
    fn then(self, member: &[u8]) -> Result<Self, Reject> {
        if member.eq_ignore_ascii_case(b"chunked") {
            return match self {
                Self::Absent => Ok(Self::Chunked),
                Self::Others => Ok(Self::OthersThenChunked),
                Self::Chunked | Self::OthersThenChunked => Err(Reject::ChunkedRepeated),
            };
        }
        let name = member.split(|byte| *byte == b';').next().unwrap_or(member);
        let name = trim(name);
        // RFC 9112 section 7.1: chunked has no parameters.
        if !is_token(name) || name.eq_ignore_ascii_case(b"chunked") {
            return Err(Reject::InvalidCoding);
        }
        match self {
            Self::Absent | Self::Others => Ok(Self::Others),
            Self::Chunked | Self::OthersThenChunked => Err(Reject::ChunkedNotLast),
        }
    }
}

/// `1*DIGIT` (RFC 9110 section 8.6): no sign, no space.
fn decimal(digits: &[u8]) -> Result<u64, Reject> {
    if digits.is_empty() {
        return Err(Reject::InvalidLength);
    }
    let mut number = 0u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Reject::InvalidLength);
        }
        let next = number.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit - b'0')));
        number = next.ok_or(Reject::LengthOverflow)?;
    }
    Ok(number)
}
