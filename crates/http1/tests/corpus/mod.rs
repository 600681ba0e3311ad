//! The corpus of ambiguous messages: the form of its files, and a reader of whole connections that
//! says what our parser makes of bytes.
//!
//! ```text
//! case a length and a coding [RFC 9112 section 6.3]
//! | POST /a HTTP/1.1
//! | Host: a
//! | Content-Length: 5
//! | Transfer-Encoding: chunked
//! |
//! | hello\
//! then refused 400 LengthAndCoding by RFC 9112 section 6.3
//! ```
//! A case is what one side of a connection says. Each line of it behind `| ` ends with CRLF, unless
//! a backslash ends it. `\r`, `\n`, `\t`, `\0`, `\\` and `\xff` are bytes, `\{3*ab}` is `ababab`.
//! Each `then` is the verdict on one message, in the order sent, see [`Message::describe`]; what
//! stands behind a message that ends the connection is not looked at.
//!
//! A case whose name begins with `response` (or `response to HEAD`) is what an origin says. Lines
//! that begin with `edge` are for the plays of the edge, which run this corpus too.

#![allow(dead_code, reason = "each of the tests that share this module uses a part of it")]

use std::path::Path;

use longhold_http1::{
    BodyFraming, ChunkEvent, Chunked, Limits, Reject, parse_request, parse_response, target,
};

/// One case of one file.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// `file:line: name`
    pub(crate) place: String,
    /// Who speaks.
    pub(crate) side: Side,
    /// What is said.
    pub(crate) bytes: Vec<u8>,
    /// The verdicts, one for each message.
    pub(crate) verdicts: Vec<String>,
    /// What the lines that begin with `edge` say.
    pub(crate) edge: Vec<String>,
}

/// Who sends the bytes of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    /// An origin; whether it was asked with HEAD.
    Origin {
        is_head: bool,
    },
}

/// A message as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) start: Start,
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) framing: BodyFraming,
    pub(crate) body: Vec<u8>,
    pub(crate) end: End,
    /// The connection ends with it.
    pub(crate) closes: bool,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Request {
        method: String,
        /// The target as sent.
        raw: String,
        /// Host and path in normal form, or why there is none.
        normal: Result<String, String>,
        expects_continue: bool,
        upgrade: bool,
    },
    Response {
        status: u16,
    },
}

/// How a message came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    Incomplete,
    Refused(Reject),
}

/// What a connection's bytes are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) messages: Vec<Message>,
    /// The head that could not be read after them.
    pub(crate) refused: Option<Reject>,
    /// A head has begun and not ended.
    pub(crate) has_part: bool,
}

impl Transcript {
    /// The verdicts, as a case has them.
    pub(crate) fn verdicts(&self) -> Vec<String> {
        let mut verdicts: Vec<String> = self.messages.iter().map(Message::describe).collect();
        verdicts.extend(self.refused.map(describe_reject));
        if self.has_part {
            verdicts.push("incomplete".to_owned());
        }
        verdicts
    }
}

impl Message {
    /// Method, target in normal form (or what is wrong with it) and framing, or status and framing;
    /// `close`, `expect` or `upgrade` where it asks for that; the body, unless it has none by its
    /// framing; and `incomplete` or `refused` with the rule when the body has no end.
    pub(crate) fn describe(&self) -> String {
        let mut text = match &self.start {
            Start::Request { method, normal, .. } => {
                let normal = match normal {
                    Ok(long) if long.len() > SHOWN_BYTES_MAX => format!("<{} bytes>", long.len()),
                    Ok(normal) => normal.clone(),
                    Err(fault) => format!("<{fault}>"),
                };
                format!("{method} {normal} ")
            }
            Start::Response { status } => format!("{status} "),
        };
        text.push_str(&match self.framing {
            BodyFraming::None => "none".to_owned(),
            BodyFraming::Length(length) => format!("length={length}"),
            BodyFraming::Chunked => "chunked".to_owned(),
            BodyFraming::UntilClose => "until-close".to_owned(),
        });
        let (expects, upgrades) = match self.start {
            Start::Request { expects_continue, upgrade, .. } => (expects_continue, upgrade),
            Start::Response { .. } => (false, false),
        };
        for (is_set, word) in
            [(self.closes, " close"), (expects, " expect"), (upgrades, " upgrade")]
        {
            text.push_str(if is_set { word } else { "" });
        }
        match (self.framing, &*self.body) {
            (BodyFraming::None, _) => {}
            (_, long) if long.len() > SHOWN_BYTES_MAX => {
                text.push_str(&format!(" {} bytes", long.len()));
            }
            (_, body) => text.push_str(&format!(" \"{}\"", body.escape_ascii())),
        }
        match self.end {
            End::Whole => {}
            End::Incomplete => text.push_str(" incomplete"),
            End::Refused(reject) => text.push_str(&format!(" {}", describe_reject(reject))),
        }
        text
    }
}

fn describe_reject(reject: Reject) -> String {
    format!("refused {} {reject:?} by {}", reject.status(), reject.clause())
}

/// Reads what one side of a connection says, in the pieces in which it comes.
pub(crate) struct Reader {
    side: Side,
    limits: Limits,
    buffer: Vec<u8>,
    body: Option<Body>,
    is_over: bool,
    transcript: Transcript,
}

enum Body {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

impl Reader {
    pub(crate) fn new(side: Side) -> Self {
        Self {
            side,
            limits: Limits::default(),
            buffer: Vec::new(),
            body: None,
            is_over: false,
            transcript: Transcript::default(),
        }
    }

    /// What `pieces` are, one behind the other, when nothing comes after them.
    pub(crate) fn read<'p>(side: Side, pieces: impl IntoIterator<Item = &'p [u8]>) -> Transcript {
        let mut reader = Self::new(side);
        pieces.into_iter().for_each(|piece| reader.take(piece));
        reader.finish()
    }

    fn take(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
        while !self.is_over && self.step() {}
    }

    fn finish(mut self) -> Transcript {
        if !self.is_over {
            match (&self.body, self.transcript.messages.last_mut()) {
                (Some(Body::UntilClose), Some(message)) => message.end = End::Whole,
                (Some(_), Some(_)) => {}
                (_, _) => self.transcript.has_part = !self.buffer.is_empty(),
            }
        }
        self.transcript
    }

    /// One step; whether there may be another without more bytes.
    fn step(&mut self) -> bool {
        match self.body {
            None => match self.head() {
                Ok(has_head) => has_head,
                Err(reject) => {
                    self.transcript.refused = Some(reject);
                    self.is_over = true;
                    false
                }
            },
            Some(_) => self.body(),
        }
    }

    fn head(&mut self) -> Result<bool, Reject> {
        let read = match self.side {
            Side::Client => request(&self.buffer, &self.limits)?,
            Side::Origin { is_head } => response(&self.buffer, &self.limits, is_head)?,
        };
        let Some((message, head_bytes)) = read else { return Ok(false) };
        self.buffer.drain(..head_bytes);
        self.body = Some(match message.framing {
            BodyFraming::None => Body::Length(0),
            BodyFraming::Length(length) => Body::Length(length),
            BodyFraming::Chunked => Body::Chunked(Chunked::new()),
            BodyFraming::UntilClose => Body::UntilClose,
        });
        self.transcript.messages.push(message);
        Ok(true)
    }

    fn body(&mut self) -> bool {
        let (Some(body), Some(message)) = (&mut self.body, self.transcript.messages.last_mut())
        else {
            return false;
        };
        let (used, ended) = match body {
            Body::Length(left) => {
                let used = self.buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                message.body.extend_from_slice(&self.buffer[..used]);
                *left -= used as u64;
                (used, *left == 0)
            }
            Body::Chunked(decoder) => match decoder.decode(&self.buffer, &self.limits) {
                Ok((used, ChunkEvent::NeedMore)) => (used, false),
                Ok((used, ChunkEvent::Data(data))) => {
                    message.body.extend_from_slice(data);
                    self.buffer.drain(..used);
                    return true;
                }
                Ok((used, ChunkEvent::End)) => (used, true),
                Err(reject) => {
                    message.end = End::Refused(reject);
                    self.is_over = true;
                    return false;
                }
            },
            Body::UntilClose => {
                message.body.extend_from_slice(&self.buffer);
                (self.buffer.len(), false)
            }
        };
        self.buffer.drain(..used);
        if ended {
            message.end = End::Whole;
            self.is_over = message.closes;
            self.body = None;
        }
        ended
    }
}

type Head = Option<(Message, usize)>;

fn request(bytes: &[u8], limits: &Limits) -> Result<Head, Reject> {
    let Some(head) = parse_request(bytes, limits)? else { return Ok(None) };
    let mut form = Vec::new();
    let made = target::normalise(&head.target, DEFAULT_PORT, &mut form);
    let normal = made.map(|()| String::from_utf8_lossy(&form).into_owned());
    let start = Start::Request {
        method: head.method.to_owned(),
        raw: head.target.raw.to_owned(),
        normal: normal.map_err(|fault| format!("{fault:?}")),
        expects_continue: head.expect_continue,
        upgrade: head.upgrade,
    };
    let message = Message {
        start,
        fields: owned(&head.fields),
        framing: head.framing,
        body: Vec::new(),
        end: End::Incomplete,
        closes: head.wants_close,
    };
    Ok(Some((message, head.head_bytes)))
}

fn response(bytes: &[u8], limits: &Limits, is_head: bool) -> Result<Head, Reject> {
    let Some(head) = parse_response(bytes, limits)? else { return Ok(None) };
    let framing = head.framing(is_head);
    let message = Message {
        start: Start::Response { status: head.status },
        fields: owned(&head.fields),
        framing,
        body: Vec::new(),
        end: End::Incomplete,
        closes: head.wants_close,
    };
    Ok(Some((message, head.head_bytes)))
}

fn owned(fields: &[longhold_http1::Field<'_>]) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
}

/// All cases of the files in the folder of this module.
///
/// # Panics
/// On a line that has no meaning, and on a case without bytes or verdict.
pub(crate) fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
    let folder = if folder.exists() {
        folder
    } else {
        // The plays of the edge.
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/http1").join(FOLDER)
    };
    let entries = std::fs::read_dir(&folder).expect("the folder of the corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder entry").path()).collect();
    paths.sort();
    let mut cases = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "txt")) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        cases.extend(parse(&name, &std::fs::read_to_string(path).expect("a readable file")));
    }
    cases
}

/// The cases of one file's text.
///
/// # Panics
/// As [`cases`].
pub(crate) fn parse(file: &str, text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{file}:{}", index + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("case ") {
            assert!(name.ends_with(']') && name.contains(" ["), "{place}: no clause");
            let side = match name {
                _ if name.starts_with("response to HEAD") => Side::Origin { is_head: true },
                _ if name.starts_with("response") => Side::Origin { is_head: false },
                _ => Side::Client,
            };
            let place = format!("{place}: {name}");
            let (bytes, verdicts, edge) = (Vec::new(), Vec::new(), Vec::new());
            cases.push(Case { place, side, bytes, verdicts, edge });
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("{place}: no case before it"));
        if let Some(verdict) = line.strip_prefix("then ") {
            case.verdicts.push(verdict.to_owned());
        } else if let Some(word) = line.strip_prefix("edge ") {
            case.edge.push(word.to_owned());
        } else if let Some(said) = line.strip_prefix('|') {
            assert!(case.verdicts.is_empty(), "{place}: bytes behind a verdict");
            let said = said.strip_prefix(' ').unwrap_or(said);
            let (said, end): (_, &[u8]) = match said.strip_suffix('\\') {
                Some(open) if !open.ends_with('\\') => (open, b""),
                Some(_) | None => (said, b"\r\n"),
            };
            let said = unescape(said).unwrap_or_else(|| panic!("{place}: {said:?}"));
            case.bytes.extend(said);
            case.bytes.extend(end);
        } else {
            panic!("{place}: {line:?} has no meaning");
        }
    }
    for case in &cases {
        assert!(!case.bytes.is_empty() && !case.verdicts.is_empty(), "{}: a part", case.place);
    }
    cases
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (known, behind) = match escaped.as_bytes().first()? {
            b'r' => (vec![b'\r'], escaped.get(1..)?),
            b'n' => (vec![b'\n'], escaped.get(1..)?),
            b't' => (vec![b'\t'], escaped.get(1..)?),
            b'0' => (vec![0], escaped.get(1..)?),
            b'\\' => (vec![b'\\'], escaped.get(1..)?),
            b'x' => (vec![u8::from_str_radix(escaped.get(1..3)?, 16).ok()?], escaped.get(3..)?),
            b'{' => {
                let (repeated, behind) = escaped.get(1..)?.split_once('}')?;
                let (count, what) = repeated.split_once('*')?;
                (unescape(what)?.repeat(count.parse().ok()?), behind)
            }
            _ => return None,
        };
        bytes.extend(known);
        rest = behind;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

const FOLDER: &str = "tests/corpus";
const DEFAULT_PORT: u16 = 80;
const SHOWN_BYTES_MAX: usize = 64;
