//! The request head: `httparse` finds names and values, everything stricter is here.
//!
//! Order of judgement, the same for a prefix and for the whole: empty line before the head, first
//! byte, line ends and sizes ([`crate::scan`]), then, once the head is complete, the request line,
//! each field in its order, Host, target, framing. RFC 9112 sections 2 to 6 and 9.3.

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use crate::error::Reject;
use crate::field::{FieldTable, is_token, is_token_byte, list_members, trim};
use crate::framing::{BodyFraming, FramingFields};
use crate::limits::{FIELDS_MAX, Limits, METHOD_BYTES_MAX};
use crate::scan::{self, Bounds};
use crate::target::{self, Target};

/// The protocol versions that are spoken (RFC 9112 section 2.3). A later minor version is read as
/// HTTP/1.1 (RFC 9110 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// A request's head; borrows from the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method: a token of at most [`METHOD_BYTES_MAX`] bytes, case kept (methods differ by
    /// case).
    pub method: &'a str,
    /// Where the request goes.
    pub target: Target<'a>,
    /// The version.
    pub version: Version,
    /// The fields in order, framing and connection fields among them.
    pub fields: FieldTable<'a>,
    /// How the body is delimited; never [`BodyFraming::UntilClose`].
    pub framing: BodyFraming,
    /// The connection does not persist after this exchange: `Connection: close`, or HTTP/1.0
    /// without `keep-alive` (RFC 9112 section 9.3).
    pub wants_close: bool,
    /// The client waits for 100 (Continue); never so in HTTP/1.0 (RFC 9110 section 10.1.1).
    pub expect_continue: bool,
    /// The client asks for another protocol: `Upgrade`, named by `Connection`, in HTTP/1.1
    /// (RFC 9110 section 7.8).
    pub upgrade: bool,
    /// Bytes of the head in the input, a tolerated empty line before it included; the body begins
    /// behind them.
    pub head_bytes: usize,
}

/// Parses the request head at the front of `input`. `Ok(None)` means that it goes on beyond it.
/// One empty line before the head is passed over (RFC 9112 section 2.2).
///
/// Cost: proportional to the head, or to `input` (up to the head's limit) while it is incomplete.
/// Nothing is allocated for up to 24 fields, one table beyond.
///
/// # Errors
/// The first rule broken, by the module's order of judgement.
pub fn parse_request<'a>(
    input: &'a [u8],
    limits: &Limits,
) -> Result<Option<RequestHead<'a>>, Reject> {
    let Some(rest) = request_start(input)? else {
        return Ok(None);
    };
    let skipped = input.len() - rest.len();
    let line_bytes_max = limits.target_bytes_max.saturating_add(LINE_OVERHEAD_BYTES);
    let bounds = Bounds {
        head_bytes_max: limits.head_bytes_max.saturating_sub(skipped),
        first_line_bytes_max: line_bytes_max,
        first_line_reject: Reject::TargetTooLong,
    };
    let Some(span) = scan::head(rest, &bounds)? else {
        return Ok(None);
    };
    let (bytes, _) = rest.split_at_checked(span.bytes).unwrap_or((rest, &[]));

    let mut cells = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let fields_max = limits.fields_max.min(FIELDS_MAX);
    let cells = cells.get_mut(..fields_max).unwrap_or(&mut []);
    let outcome = parsed.parse_with_uninit_headers(bytes, cells);
    let line = bytes.get(..span.first_line_bytes).unwrap_or(bytes);
    let is_whole = matches!(outcome, Ok(httparse::Status::Complete(len)) if len == bytes.len());
    let mut later = Vec::new();
    let (method, raw, minor, headers) = match (is_whole, parsed.method, parsed.path, parsed.version)
    {
        (true, Some(method), Some(raw), Some(minor)) => (method, raw, minor, &*parsed.headers),
        _ => {
            let refused = diagnose_request(outcome.err(), line, bytes);
            later.resize(fields_max, httparse::EMPTY_HEADER);
            read_later_minor(refused, (line, bytes), &mut later)?
        }
    };
    if method.len() > METHOD_BYTES_MAX {
        return Err(Reject::MethodTooLong);
    }
    if raw.len() > limits.target_bytes_max {
        return Err(Reject::TargetTooLong);
    }
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };

    let mut facts = Facts::default();
    for header in headers {
        facts.note(header.name, header.value)?;
    }
    let host = facts.host(version)?;
    let target = target::parse(method, raw, host)?;
    let framing = facts.framing.of_request(version)?;
    let expect_continue = facts.expects_continue(version)?;
    Ok(Some(RequestHead {
        method,
        target,
        version,
        fields: FieldTable::new(headers),
        framing,
        wants_close: facts.connection.wants_close(version),
        expect_continue,
        upgrade: facts.has_upgrade && facts.connection.upgrade && version == Version::Http11,
        head_bytes: skipped + span.bytes,
    }))
}

/// The input behind one tolerated empty line, when it begins with a method's first character.
fn request_start(input: &[u8]) -> Result<Option<&[u8]>, Reject> {
    let (rest, skipped) = match input {
        [b'\r'] => return Ok(None),
        [b'\r', b'\n', rest @ ..] => (rest, true),
        [b'\r', ..] => return Err(Reject::BareCr),
        _ => (input, false),
    };
    match rest {
        [] => Ok(None),
        [first, ..] if is_token_byte(*first) => Ok(Some(rest)),
        [b' ' | b'\t', ..] => Err(Reject::LeadingWhitespace),
        [b'\n', ..] => Err(Reject::BareLf),
        [b'\r', ..] if skipped => Err(Reject::EmptyLines),
        _ => Err(Reject::InvalidMethod),
    }
}

/// What the fields with a meaning for framing and routing said.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) framing: FramingFields,
    pub(crate) connection: ConnectionOptions,
    host: Option<&'a [u8]>,
    has_upgrade: bool,
    expectation: Expectation,
}

/// What the Expect fields ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expectation {
    #[default]
    Nothing,
    Continue,
    Unknown,
}

impl<'a> Facts<'a> {
    /// Takes in one field line. Looks at the name's length first: most fields end there.
    pub(crate) fn note(&mut self, name: &str, value: &'a [u8]) -> Result<(), Reject> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            4 if is("host") => match self.host.replace(value) {
                None => Ok(()),
                Some(_) => Err(Reject::RepeatedHost),
            },
            6 if is("expect") => {
                self.note_expectation(value);
                Ok(())
            }
            7 if is("upgrade") => {
                self.has_upgrade = true;
                Ok(())
            }
            10 if is("connection") => self.connection.add(value),
            14 if is("content-length") => self.framing.add_length(value),
            17 if is("transfer-encoding") => self.framing.add_codings(value),
            _ => Ok(()),
        }
    }

    fn note_expectation(&mut self, value: &[u8]) {
        let is_continue = value.eq_ignore_ascii_case(b"100-continue");
        self.expectation = match (self.expectation, is_continue) {
            (Expectation::Nothing | Expectation::Continue, true) => Expectation::Continue,
            (Expectation::Unknown, _) | (_, false) => Expectation::Unknown,
        };
    }

    /// RFC 9112 section 3.2: exactly one, only HTTP/1.0 may leave it out.
    fn host(&self, version: Version) -> Result<&'a str, Reject> {
        match (self.host, version) {
            (Some(value), _) => target::host_value(value).ok_or(Reject::InvalidHost),
            (None, Version::Http10) => Ok(""),
            (None, Version::Http11) => Err(Reject::MissingHost),
        }
    }

    /// RFC 9110 section 10.1.1: ignored in HTTP/1.0; what is not understood is refused.
    fn expects_continue(&self, version: Version) -> Result<bool, Reject> {
        match (version, self.expectation) {
            (Version::Http10, _) | (Version::Http11, Expectation::Nothing) => Ok(false),
            (Version::Http11, Expectation::Continue) => Ok(true),
            (Version::Http11, Expectation::Unknown) => Err(Reject::UnknownExpectation),
        }
    }
}

/// The connection options that matter here (RFC 9110 section 7.6.1, RFC 9112 section 9.3).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl ConnectionOptions {
    fn add(&mut self, value: &[u8]) -> Result<(), Reject> {
        for option in list_members(value) {
            let is = |known: &[u8]| option.eq_ignore_ascii_case(known);
            match option.len() {
                0 => {}
                5 if is(b"close") => self.close = true,
                7 if is(b"upgrade") => self.upgrade = true,
                10 if is(b"keep-alive") => self.keep_alive = true,
                // A recipient that removes what Connection names would frame or route anew.
                4 if is(b"host") => return Err(Reject::FramingInConnection),
                14 if is(b"content-length") => return Err(Reject::FramingInConnection),
                17 if is(b"transfer-encoding") => return Err(Reject::FramingInConnection),
                _ if is_token(option) => {}
                _ => return Err(Reject::InvalidConnection),
            }
        }
        Ok(())
    }

    /// RFC 9112 section 9.3.
    pub(crate) fn wants_close(self, version: Version) -> bool {
        match version {
            Version::Http11 => self.close,
            Version::Http10 => self.close || !self.keep_alive,
        }
    }
}

/// Method, target, minor version and fields of a head.
type Parts<'a, 't> = (&'a str, &'a str, u8, &'t [httparse::Header<'a>]);

/// Reads a complete head that `httparse` refused, if all that is wrong is that its version is a
/// later one of HTTP/1: such a message is read as HTTP/1.1 (RFC 9110 section 6.2). Else it stays
/// refused.
#[cold]
fn read_later_minor<'a, 't>(
    refused: Reject,
    (line, head): (&'a [u8], &'a [u8]),
    cells: &'t mut [httparse::Header<'a>],
) -> Result<Parts<'a, 't>, Reject> {
    let (before, version) = line.split_at_checked(line.len().saturating_sub(9)).ok_or(refused)?;
    let is_later = matches!(version, [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9']);
    if refused != Reject::UnsupportedVersion || !is_later {
        return Err(refused);
    }
    let before = core::str::from_utf8(before).map_err(|_| Reject::InvalidTarget)?;
    let (method, target) = before.split_once(' ').ok_or(refused)?;
    let lines = head.get(line.len() + b"\r\n".len()..).unwrap_or_default();
    match httparse::parse_headers(lines, cells) {
        Ok(httparse::Status::Complete((len, headers))) if len == lines.len() => {
            Ok((method, target, 1, headers))
        }
        Ok(_) => Err(Reject::InvalidRequestLine),
        Err(error) => Err(diagnose_fields(error, head).unwrap_or(Reject::InvalidRequestLine)),
    }
}

/// Names the rule that a complete head broke where `httparse` refused it. Not on the good path.
#[cold]
fn diagnose_request(error: Option<httparse::Error>, line: &[u8], head: &[u8]) -> Reject {
    match error {
        Some(error) => diagnose_fields(error, head).unwrap_or_else(|| diagnose_line(line)),
        // It saw another end than the scan: no reading is safe.
        None => Reject::InvalidRequestLine,
    }
}

/// The fault in the fields; `None` when it lies in the first line.
#[cold]
pub(crate) fn diagnose_fields(error: httparse::Error, head: &[u8]) -> Option<Reject> {
    match error {
        httparse::Error::HeaderName => Some(diagnose_names(head)),
        httparse::Error::HeaderValue => Some(Reject::InvalidFieldValue),
        httparse::Error::TooManyHeaders => Some(Reject::TooManyFields),
        httparse::Error::NewLine
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => None,
    }
}

fn diagnose_names(head: &[u8]) -> Reject {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    let names = lines.filter_map(|line| line.split(|byte| *byte == b':').next());
    let faulty = names.into_iter().find(|name| !is_token(name));
    match faulty {
        Some(name) if is_token(trim(name)) => Reject::SpaceBeforeColon,
        Some(_) | None => Reject::InvalidFieldName,
    }
}

fn diagnose_line(line: &[u8]) -> Reject {
    let mut parts = line.splitn(2, |byte| *byte == b' ');
    let method = parts.next().unwrap_or_default();
    if !is_token(method) {
        return Reject::InvalidMethod;
    }
    let mut parts = parts.next().unwrap_or_default().rsplitn(2, |byte| *byte == b' ');
    let (version, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if target.is_empty() || target.contains(&b' ') {
        return Reject::InvalidRequestLine;
    }
    match version {
        b"HTTP/1.0" | b"HTTP/1.1" => target::check_bytes(target).err(),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Some(Reject::UnsupportedVersion)
        }
        _ => None,
    }
    .unwrap_or(Reject::InvalidRequestLine)
}

/// What a request line has beside the target: method, two spaces, version.
const LINE_OVERHEAD_BYTES: usize = METHOD_BYTES_MAX + 2 + b"HTTP/1.1".len();
