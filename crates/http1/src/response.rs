//! The response head, for clients of the edge: the load generator and tests.

use core::mem::MaybeUninit;

use crate::error::Reject;
use crate::field::FieldTable;
use crate::framing::BodyFraming;
use crate::head::{Facts, Version, diagnose_fields};
use crate::limits::{FIELDS_MAX, Limits};
use crate::scan::{self, Bounds};

/// A response's head; borrows from the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// The version.
    pub version: Version,
    /// The status code, 100 to 599.
    pub status: u16,
    /// The reason phrase as sent; empty when it was missing or had octets above 0x7F.
    pub reason: &'a str,
    /// The fields in order, framing and connection fields among them.
    pub fields: FieldTable<'a>,
    /// The connection does not persist by version and `Connection` (RFC 9112 section 9.3). A body
    /// framed [`BodyFraming::UntilClose`] ends it in any case.
    pub wants_close: bool,
    /// Bytes of the head in the input; the body begins behind them.
    pub head_bytes: usize,
    /// What the fields say of the body's length.
    framing: BodyFraming,
}

impl ResponseHead<'_> {
    /// How the body is delimited, where `method_is_head` says whether HEAD was asked
    /// (RFC 9112 section 6.3 rule 1, then the fields). Responses to CONNECT are not its matter.
    pub fn framing(&self, method_is_head: bool) -> BodyFraming {
        match self.status {
            100..=199 | 204 | 304 => BodyFraming::None,
            _ if method_is_head => BodyFraming::None,
            _ => self.framing,
        }
    }
}

/// Parses the response head at the front of `input`. `Ok(None)` means that it goes on beyond it.
/// Costs as [`crate::parse_request`].
///
/// # Errors
/// The first rule broken. Framing is as strict as for requests, although RFC 9112 section 6.3 would
/// let a client read until close after an unknown transfer coding.
pub fn parse_response<'a>(
    input: &'a [u8],
    limits: &Limits,
) -> Result<Option<ResponseHead<'a>>, Reject> {
    match input {
        [] => return Ok(None),
        [b'H', ..] => {}
        _ => return Err(Reject::InvalidStatusLine),
    }
    let bounds = Bounds {
        head_bytes_max: limits.head_bytes_max,
        first_line_bytes_max: limits.head_bytes_max,
        first_line_reject: Reject::HeadTooLarge,
    };
    let Some(span) = scan::head(input, &bounds)? else {
        return Ok(None);
    };
    let (bytes, _) = input.split_at_checked(span.bytes).unwrap_or((input, &[]));

    let mut cells = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let cells = cells.get_mut(..limits.fields_max.min(FIELDS_MAX)).unwrap_or(&mut []);
    let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut parsed,
        bytes,
        cells,
    );
    let is_whole = matches!(outcome, Ok(httparse::Status::Complete(len)) if len == bytes.len());
    let (true, Some(status @ 100..=599), Some(reason), Some(minor)) =
        (is_whole, parsed.code, parsed.reason, parsed.version)
    else {
        return Err(diagnose(outcome.err(), bytes));
    };
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };

    let mut facts = Facts::default();
    for header in parsed.headers.iter() {
        facts.note(header.name, header.value)?;
    }
    let framing = facts.framing.of_response(version)?;
    Ok(Some(ResponseHead {
        version,
        status,
        reason,
        fields: FieldTable::new(parsed.headers),
        wants_close: facts.connection.wants_close(version),
        head_bytes: span.bytes,
        framing,
    }))
}

#[cold]
fn diagnose(error: Option<httparse::Error>, head: &[u8]) -> Reject {
    let in_fields = error.and_then(|error| diagnose_fields(error, head));
    in_fields.unwrap_or(match head {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', ..] => Reject::InvalidStatusLine,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Reject::UnsupportedVersion
        }
        _ => Reject::InvalidStatusLine,
    })
}
