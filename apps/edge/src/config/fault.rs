//! What can be wrong with a config file: one cause per rule, each with its remedy.
//!
//! A fault prints as `file:line:column: key: cause`, and on a second line the remedy.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use longhold_store::ConfigError;
use serde_json::json;

use super::units::UnitFault;

/// A place in the file; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file as the user named it.
    pub file: String,
    /// Where in the file; `None` when it is about what is not there, or about the file itself.
    pub place: Option<Place>,
    /// The key with dots; empty when it is about the file itself.
    pub key: String,
    /// What is wrong.
    pub cause: Cause,
}

/// Everything that is wrong with one file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

/// The rules that a config file can break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The file cannot be read, with the system's word for why.
    Unreadable(String),
    /// The file is larger than [`super::FILE_BYTES_MAX`].
    FileTooLarge,
    /// It is not TOML, with the parser's words.
    Syntax(String),
    /// No such key.
    UnknownKey {
        /// The key that was probably meant, with dots.
        near: Option<&'static str>,
        /// The keys that may stand there.
        known: Vec<&'static str>,
    },
    /// A table was needed and something else was found; `array` when `[[…]]` is meant.
    NotATable {
        /// The table is one that repeats.
        array: bool,
    },
    /// The value's type is not the one needed.
    WrongType {
        /// What was needed, for people.
        wanted: String,
        /// What was found, for people.
        found: &'static str,
    },
    /// A size, duration or rate that does not read as one.
    Unit {
        /// The text as typed.
        typed: String,
        /// What is wrong with it.
        fault: UnitFault,
        /// An example of the right form.
        example: String,
    },
    /// Below the least value.
    Below {
        /// The value as typed.
        typed: String,
        /// The least value.
        least: String,
    },
    /// Above the greatest value.
    Above {
        /// The value as typed.
        typed: String,
        /// The greatest value.
        most: String,
    },
    /// None of the words that the knob takes.
    NotAChoice {
        /// The word as typed.
        typed: String,
        /// The words that it takes.
        words: &'static [&'static str],
    },
    /// The key must be set and is not.
    Missing,
    /// The repeating table must be there at least once and is not.
    NoTable,
    /// A list without items, or a text without characters.
    Empty,
    /// More items than a list or the file may have.
    TooMany {
        /// The greatest count.
        most: usize,
    },
    /// No IP address with a port.
    NotAnAddress(String),
    /// Neither IP address with port nor `unix:PATH`.
    NotAnAdminAddress(String),
    /// No host name or pattern.
    NotAHost(String),
    /// No URL of an origin.
    NotAUrl(String),
    /// No address to connect from.
    NotASource(String),
    /// An address to connect from that this host does not have.
    SourceNotHere {
        /// The address.
        address: IpAddr,
        /// The system's word for why.
        why: String,
    },
    /// An address to connect from that is of another family than all of the site's URLs.
    SourceOfNoUrl(IpAddr),
    /// No protocol that may be tunnelled.
    NotAProtocol(String),
    /// Said already, in the line given.
    Duplicate {
        /// The value, in normal form.
        value: String,
        /// Where it stands first.
        first_line: usize,
    },
    /// The admin address is not loopback, and there is no token.
    AdminWithoutToken,
    /// The token is shorter, longer, or of other characters than it may be.
    BadToken,
    /// A CA file, but no `https` URL.
    CaWithoutHttps,
    /// The file cannot be read, with the system's word for why.
    FileUnreadable(String),
    /// A certificate, its key or what goes with them is not in order.
    BadCertificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Segments are whole MiB.
    SegmentNotWhole,
    /// Each device must hold at least [`super::SEGMENTS_MIN`] segments.
    SegmentTooLarge {
        /// The size of the smallest device.
        size: String,
    },
    /// The index of segments has no room for so many.
    SegmentTooSmall {
        /// The size of the store.
        size: String,
    },
    /// The largest object would be larger than half of each device.
    ObjectBeyondDevice {
        /// Half of the largest.
        half: String,
    },
    /// One response's window would be larger than what all windows share.
    WindowBeyondStaging {
        /// What all windows share.
        staging: String,
    },
    /// A target that is larger than the head that holds it.
    TargetBeyondHead {
        /// The greatest head.
        head: String,
    },
    /// Fewer connections than workers.
    FewerConnectionsThanWorkers {
        /// How many workers there are.
        workers: u64,
    },
    /// Not of the form that is needed.
    NotA {
        /// The text as typed.
        typed: String,
        /// What was needed, with its article.
        what: &'static str,
        /// What is of that form.
        example: &'static str,
    },
    /// Two values that cannot both hold.
    Contradicts {
        /// The other key.
        key: &'static str,
        /// Where it stands.
        line: usize,
    },
    /// A value that means nothing without another.
    Without {
        /// The other key.
        key: &'static str,
    },
    /// A field that the edge writes itself, or that says how the message's bytes are to be read.
    ProtectedField(String),
    /// A rule behind one that matches everything that it matches.
    NeverHolds {
        /// Where the other stands.
        line: usize,
    },
    /// Site defaults say when they hold.
    MatcherInDefaults,
    /// A rule's largest object is larger than what is stored at all.
    ObjectBeyondLimit {
        /// The limit.
        limit: String,
    },
    /// `store.devices` beside `store.path` or `store.size`.
    DevicesBesideOne {
        /// The other key.
        key: &'static str,
        /// Where it stands.
        line: usize,
    },
    /// The store refuses what no rule of this table forbids.
    NoStore(ConfigError),
    /// This host cannot carry it.
    DoesNotFit {
        /// The limit or sysctl that stands in the way.
        limit: &'static str,
        /// What there is, and what it would have to be.
        told: String,
        /// Why it matters.
        why: &'static str,
        /// What to do.
        remedy: String,
    },
}

impl fmt::Display for Cause {
    #[expect(clippy::too_many_lines, reason = "one arm per rule, each a sentence")]
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(out, "cannot be read: {why}"),
            Self::FileTooLarge => write!(out, "larger than {}", super::FILE_BYTES_MAX),
            Self::Syntax(message) => write!(out, "not TOML: {}", message.replace('\n', ", ")),
            Self::UnknownKey { .. } => out.write_str("unknown key"),
            Self::NotATable { array: false } => out.write_str("must be a table"),
            Self::NotATable { array: true } => out.write_str("must be a table that may repeat"),
            Self::WrongType { wanted, found } => write!(out, "needs {wanted}, found {found}"),
            Self::Unit { typed, fault, .. } => match fault {
                UnitFault::NoUnit => write!(out, "{typed} has no unit"),
                UnitFault::UnknownUnit => write!(out, "{typed} has an unknown unit"),
                UnitFault::NoNumber => write!(out, "{typed} has no whole number before its unit"),
                UnitFault::TooLarge => write!(out, "{typed} is beyond all bounds"),
            },
            Self::Below { typed, least } => write!(out, "{typed} is below the least, {least}"),
            Self::Above { typed, most } => write!(out, "{typed} is above the greatest, {most}"),
            Self::NotAChoice { typed, .. } => write!(out, "{typed} is not known"),
            Self::Missing => out.write_str("must be set"),
            Self::NoTable => out.write_str("must stand in the file at least once"),
            Self::Empty => out.write_str("is empty"),
            Self::TooMany { most } => write!(out, "more than {most}"),
            Self::NotAnAddress(typed) => write!(out, "{typed} is no IP address with a port"),
            Self::NotAnAdminAddress(typed) => {
                write!(out, "{typed} is neither an IP address with a port nor a unix socket")
            }
            Self::NotAHost(typed) => write!(out, "{typed} is no host name or pattern"),
            Self::NotAProtocol(typed) => write!(out, "{typed} is no protocol for a tunnel"),
            Self::NotASource(typed) => write!(out, "{typed:?} is no IP address"),
            Self::SourceNotHere { address, why } => {
                write!(out, "{address} cannot be connected from: {why}")
            }
            Self::SourceOfNoUrl(address) => {
                let (its, theirs) = if address.is_ipv4() { (4, 6) } else { (6, 4) };
                write!(out, "{address} is IPv{its}, and all of the site's urls are IPv{theirs}")
            }
            Self::NotAUrl(typed) => write!(out, "{typed} is no URL of an origin"),
            Self::Duplicate { value, first_line } => {
                write!(out, "{value} stands already in line {first_line}")
            }
            Self::AdminWithoutToken => {
                out.write_str("others than this machine could reach it, and there is no token")
            }
            Self::BadToken => out.write_str("is no token"),
            Self::CaWithoutHttps => out.write_str("none of the site's urls is https"),
            Self::FileUnreadable(why) => write!(out, "cannot be read: {why}"),
            Self::BadCertificate { file, why } => write!(out, "{}: {why}", file.display()),
            Self::SegmentNotWhole => out.write_str("is not a whole number of MiB"),
            Self::SegmentTooLarge { size } => {
                write!(out, "fewer than {} segments fit a device of {size}", super::SEGMENTS_MIN)
            }
            Self::SegmentTooSmall { size } => {
                write!(out, "more than {} segments make a store of {size}", super::SEGMENTS_MAX)
            }
            Self::ObjectBeyondDevice { half } => {
                write!(out, "an object could be larger than half of the largest device, {half}")
            }
            Self::WindowBeyondStaging { staging } => {
                write!(out, "one window is larger than all staging blocks together, {staging}")
            }
            Self::TargetBeyondHead { head } => {
                write!(out, "a target could be larger than a head of {head}")
            }
            Self::FewerConnectionsThanWorkers { workers } => {
                write!(out, "fewer connections than the {workers} workers")
            }
            Self::NotA { typed, what, .. } => write!(out, "{typed} is not {what}"),
            Self::Contradicts { key, line } => write!(out, "contradicts {key} in line {line}"),
            Self::Without { key } => write!(out, "means nothing without {key}"),
            Self::ProtectedField(name) => write!(out, "{name} is the edge's own to write"),
            Self::NeverHolds { line } => {
                write!(out, "never holds: the rule in line {line} matches all that it matches")
            }
            Self::MatcherInDefaults => out.write_str("defaults hold for every request"),
            Self::ObjectBeyondLimit { limit } => {
                write!(out, "more than limits.object_max, which is {limit}")
            }
            Self::DevicesBesideOne { key, line } => {
                write!(out, "the store is named already, by {key} in line {line}")
            }
            Self::NoStore(why) => why.fmt(out),
            Self::DoesNotFit { limit, told, why, .. } => {
                write!(out, "does not fit this host: {limit} is {told}: {why}")
            }
        }
    }
}

impl Cause {
    /// What to do about it, as one imperative sentence without a full stop.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreadable(_) => "name a file that exists and that this user may read".into(),
            Self::FileTooLarge => "split the sites over several edges".into(),
            Self::Syntax(_) => "correct the line; strings stand in double quotes".into(),
            Self::UnknownKey { near: Some(near), .. } => format!("did you mean {near}?"),
            Self::UnknownKey { near: None, known } => {
                format!("remove it; known here: {}", known.join(", "))
            }
            Self::NotATable { array: false } => "write it as [table] with keys below".into(),
            Self::NotATable { array: true } => "write it as [[table]] with keys below".into(),
            Self::WrongType { wanted, .. } => format!("write {wanted}"),
            Self::Unit { example, .. } => format!("write it like {example}"),
            Self::Below { least, .. } => format!("use {least} or more"),
            Self::Above { most, .. } => format!("use {most} or less"),
            Self::NotAChoice { words, .. } => format!("use one of: {}", words.join(", ")),
            Self::Missing | Self::NoTable => "add it; `edge check --help` shows all keys".into(),
            Self::Empty => "say at least one".into(),
            Self::TooMany { most } => format!("use at most {most}"),
            Self::NotAnAddress(_) => "write it like \"127.0.0.1:8080\" or \"[::]:80\"".into(),
            Self::NotAnAdminAddress(_) => {
                "write it like \"127.0.0.1:9900\" or \"unix:/run/longhold.sock\"".into()
            }
            Self::NotAHost(_) => {
                "write it like \"www.example.com\", \"*.example.com\" or \"*\", without a port"
                    .into()
            }
            Self::NotAProtocol(_) => {
                "write it as Upgrade names it, like \"websocket\"; HTTP and TLS are not tunnelled, \
                 and \"none\" stands alone"
                    .into()
            }
            Self::NotASource(_) => "write it like \"192.0.2.7\", without a port".into(),
            Self::SourceNotHere { .. } => "name one that `ip address` lists on this host".into(),
            Self::SourceOfNoUrl(_) => "remove it, or name a url that it can reach".into(),
            Self::NotAUrl(_) => {
                "write it like \"http://127.0.0.1:9000\": scheme, host and port, without a path"
                    .into()
            }
            Self::Duplicate { .. } => "remove one of the two".into(),
            Self::AdminWithoutToken => "set admin.token, or use 127.0.0.1".into(),
            Self::BadToken => "use 16 to 256 visible ASCII characters without spaces".into(),
            Self::CaWithoutHttps => "remove ca, or use an https:// url".into(),
            Self::FileUnreadable(_) => "name a file that this user may read".into(),
            Self::BadCertificate { .. } => {
                "name PEM files of a certificate chain and of its key, and a DER file of its OCSP \
                 response"
                    .into()
            }
            Self::SegmentNotWhole => "write it like \"64MiB\"".into(),
            Self::SegmentTooLarge { .. } => "remove it, or make the device larger".into(),
            Self::SegmentTooSmall { .. } => "remove it, or make the store smaller".into(),
            Self::ObjectBeyondDevice { .. } => "make it smaller, or a device larger".into(),
            Self::WindowBeyondStaging { .. } => {
                "make it smaller, or raise limits.staging_max".into()
            }
            Self::TargetBeyondHead { .. } => "make it smaller, or limits.head_max larger".into(),
            Self::FewerConnectionsThanWorkers { .. } => "raise it, or lower server.workers".into(),
            Self::NotA { example, .. } => format!("write it like {example}"),
            Self::Contradicts { key, .. } => format!("remove it, or {key}"),
            Self::Without { key } => format!("add {key}, or remove it"),
            Self::ProtectedField(_) => "remove it from the list".into(),
            Self::NeverHolds { .. } => "put it before that one, or remove it".into(),
            Self::MatcherInDefaults => "remove it, or write a [[site.rule]]".into(),
            Self::ObjectBeyondLimit { .. } => "make it smaller, or limits.object_max larger".into(),
            Self::DevicesBesideOne { key, .. } => {
                format!("remove {key}; each device in the list has a path and a size")
            }
            Self::NoStore(_) => "change the sizes in [store]".into(),
            Self::DoesNotFit { remedy, .. } => remedy.clone(),
        }
    }
}

impl Fault {
    /// The fault as an object for `--json`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json!({
            "file": self.file,
            "line": self.place.map(|place| place.line),
            "column": self.place.map(|place| place.column),
            "key": self.key,
            "cause": self.cause.to_string(),
            "remedy": self.cause.remedy(),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.file)?;
        if let Some(Place { line, column }) = self.place {
            write!(out, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(out, ": {}", self.key)?;
        }
        write!(out, ": {}\n  remedy: {}", self.cause, self.cause.remedy())
    }
}

impl Faults {
    /// All of them as an object for `--json`.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        json!({ "valid": false, "faults": self.0.iter().map(Fault::json).collect::<Vec<_>>() })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str("\n")?;
            }
            fault.fmt(out)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
