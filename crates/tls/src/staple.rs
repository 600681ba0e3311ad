//! OCSP responses to be stapled (RFC 6960): read from a file, and until when they hold.
//!
//! Not here: whom a response is about and who has signed it, which is for whoever fetches it.

use std::path::Path;

use crate::certificates::LoadError;

/// A response that says "successful".
pub(crate) struct Staple {
    /// As it is in the file.
    pub(crate) response: Vec<u8>,
    /// When it is to be replaced, in seconds of Unix time; none where it does not say.
    pub(crate) until_s: Option<u64>,
}

impl Staple {
    /// # Errors
    /// [`LoadError`] if the file cannot be read, or is none.
    pub(crate) fn load(path: &Path) -> Result<Self, LoadError> {
        let response = std::fs::read(path).map_err(|error| LoadError::new(path, error))?;
        if response.len() > OCSP_BYTES_MAX {
            return Err(LoadError::new(path, format!("longer than {OCSP_BYTES_MAX} bytes")));
        }
        if !is_successful(&response) {
            let reason = "no OCSP response in DER, or none that says successful";
            return Err(LoadError::new(path, reason));
        }
        let until_s = until_s(&response);
        Ok(Self { response, until_s })
    }
}

/// RFC 6960, 4.2.1: `SEQUENCE { ENUMERATED 0, … }` that ends with the file.
fn is_successful(response: &[u8]) -> bool {
    let mut file = Der(response);
    let status = file.enter(SEQUENCE).and_then(|mut content| content.take(ENUMERATED));
    status == Some(&[0]) && file.0.is_empty()
}

/// RFC 6960, 4.2.2.1: the earliest nextUpdate of what the response says of certificates.
fn until_s(response: &[u8]) -> Option<u64> {
    let mut response = Der(response).enter(SEQUENCE)?;
    response.take(ENUMERATED)?;
    let mut typed = response.enter(CONTEXT_0)?.enter(SEQUENCE)?;
    typed.take(OBJECT_IDENTIFIER)?;
    let mut data = Der(typed.take(OCTET_STRING)?).enter(SEQUENCE)?.enter(SEQUENCE)?;
    // The version, mostly left out.
    data.take(CONTEXT_0);
    let _responder = data.any()?;
    let _produced_at = data.take(GENERALIZED_TIME)?;
    let mut singles = data.enter(SEQUENCE)?;
    let mut earliest = None::<u64>;
    while let Some(mut single) = singles.enter(SEQUENCE) {
        let _certificate = single.take(SEQUENCE)?;
        let _status = single.any()?;
        let _this_update = single.take(GENERALIZED_TIME)?;
        let next = single.enter(CONTEXT_0).and_then(|mut next| next.take(GENERALIZED_TIME));
        let next = next.and_then(unix_s);
        earliest = earliest.into_iter().chain(next).min();
    }
    earliest
}

/// `YYYYMMDDhhmmssZ` (RFC 5280, section 4.1.2.5.2).
fn unix_s(text: &[u8]) -> Option<u64> {
    let (digits, b"Z") = text.split_at_checked(14)? else { return None };
    let number = |from: usize, to: usize| {
        let digits = digits.get(from..to)?;
        digits.iter().try_fold(0_u64, |sum, &digit| {
            digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
        })
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let is_date = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    // Days since March of the year 0, whose months have a regular length; then those to 1970.
    let (year, month) =
        if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let seconds = (number(8, 10)? * 60 + number(10, 12)?) * 60 + number(12, 14)?;
    is_date.then(|| (days - DAYS_TO_1970) * 86_400 + seconds)
}

/// Elements of DER, one after another.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The first element's content, if it has this tag; it is passed then.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content, rest) = self.first()?;
        (found == tag).then(|| {
            self.0 = rest;
            content
        })
    }

    /// The same, to be read on.
    fn enter(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(Self)
    }

    /// Passes the first element, whatever it is.
    fn any(&mut self) -> Option<&'a [u8]> {
        let (_, content, rest) = self.first()?;
        self.0 = rest;
        Some(content)
    }

    fn first(&self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (length, rest) = match rest {
            [short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
            [0x81, length, rest @ ..] => (usize::from(*length), rest),
            [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((tag, content, rest))
    }
}

const OCSP_BYTES_MAX: usize = 16 << 10;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const ENUMERATED: u8 = 0x0a;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const CONTEXT_0: u8 = 0xa0;
/// From the first of March of the year 0.
const DAYS_TO_1970: u64 = 719_468;

#[cfg(test)]
pub(crate) mod tests;
