//! Site rules: what a site does otherwise than the RFCs' defaults, chosen by path and method.
//!
//! ```text
//! request ─► RuleBook::find ─► Rule ─┬► redirect
//!                                    ├► rewrite: query, fields, Accept-Encoding
//!                                    └► the rest of the exchange: bypass, share, key, storing
//! response ─► Rule.response, Rule.storing, Rule.compress ─► stored and sent
//! ```
//! A message is edited once, at the edge's door: everything behind it, the cache key and the rules
//! of RFC 9111 included, sees the edited one. So a key never says less than what the origin was
//! asked (GW-1).
//!
//! Not here: how rules are typed (the application's config) and whether they contradict each other.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use longhold_http1::{RequestHead, TargetForm, Version, emit, target};
use longhold_policy::{date, fields, method, storable};

use crate::coding::{self, Coding};
use crate::reject::{Persistence, write_persistence};
use crate::{CACHE_NAME, Field};

/// Which rule of a [`RuleBook`] holds for an exchange; plain data that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleId(u32);

impl RuleId {
    /// No rule: the RFCs' defaults.
    pub const NONE: Self = Self(u32::MAX);
}

/// The site of an exchange, and the rule that holds there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SiteRef {
    /// Number of the site.
    pub number: usize,
    /// The rule found for the request.
    pub rule: RuleId,
}

impl SiteRef {
    /// A site where no rule holds.
    pub fn plain(number: usize) -> Self {
        Self { number, rule: RuleId::NONE }
    }
}

/// A pattern in which `*` stands for any bytes, also for none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob(String);

impl Glob {
    /// The pattern as typed.
    pub fn new(pattern: &str) -> Self {
        Self(String::from(pattern))
    }

    /// Whether whatever fits `other` fits this one, too, as far as the texts of both show.
    pub fn covers(&self, other: &Self) -> bool {
        // A star of the other can only have been taken in by one of ours.
        self.matches(other.0.as_bytes())
    }

    /// Whether all of `text` fits. Costs the product of both lengths at worst.
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut pattern, mut rest) = (self.0.as_bytes(), text);
        // Behind the last star met: what comes there, and where in the text it was tried.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern, rest) {
                ([b'*', behind @ ..], _) => {
                    retry = Some((behind, rest));
                    pattern = behind;
                }
                ([], []) => return true,
                ([wanted, behind @ ..], [byte, left @ ..]) if wanted == byte => {
                    (pattern, rest) = (behind, left);
                }
                _ => {
                    let Some((behind, [_, left @ ..])) = retry else { return false };
                    retry = Some((behind, left));
                    (pattern, rest) = (behind, left);
                }
            }
        }
    }
}

/// Fields taken out of a message and put into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Names of fields that go, in any case.
    pub remove: Vec<String>,
    /// Fields that take the place of all lines of their name.
    pub set: Vec<(String, String)>,
}

impl Edits {
    /// Nothing is edited.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }

    /// Whether a received line of this name stays.
    fn keeps(&self, name: &str) -> bool {
        let set = self.set.iter().map(|(name, _)| name);
        !self.remove.iter().chain(set).any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Edits a response's fields.
    pub fn apply(&self, fields: &mut Vec<(String, Vec<u8>)>) {
        fields.retain(|(name, _)| self.keeps(name));
        fields.extend(self.set.iter().map(|(name, value)| (name.clone(), Vec::from(&**value))));
    }
}

/// Which of a query's fields are part of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum QueryRule {
    /// The query as it came.
    #[default]
    All,
    /// None: the path alone.
    Nothing,
    /// Those whose names match, in the order in which they came.
    Only(Vec<Glob>),
    /// All others.
    Without(Vec<Glob>),
}

impl QueryRule {
    fn keeps(&self, field: &[u8]) -> bool {
        let name = field.split(|byte| *byte == b'=').next().unwrap_or(field);
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Only(names) => names.iter().any(|glob| glob.matches(name)),
            Self::Without(names) => !names.iter().any(|glob| glob.matches(name)),
        }
    }

    /// Appends `path_and_query` to `out` with what is left of the query; without any field left
    /// there is no `?` either.
    fn append(&self, path_and_query: &[u8], out: &mut Vec<u8>) {
        let at = path_and_query.iter().position(|byte| *byte == b'?');
        let (path, query) = match at.and_then(|at| path_and_query.split_at_checked(at)) {
            Some((path, query)) if *self != Self::All => (path, query.get(1..).unwrap_or(&[])),
            Some(_) | None => return out.extend_from_slice(path_and_query),
        };
        out.extend_from_slice(path);
        let mut mark = b'?';
        for field in query.split(|byte| *byte == b'&') {
            if !field.is_empty() && self.keeps(field) {
                out.push(mark);
                out.extend_from_slice(field);
                mark = b'&';
            }
        }
    }
}

/// Where requests are sent instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308 (RFC 9110 section 15.4).
    pub status: u16,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Host,
    Name,
    Path,
    Query,
}

impl Redirect {
    /// Reads a template: visible ASCII in which `{host}`, `{path}` and `{query}` stand for the
    /// request's, and `{name}` for its host without a port; a query comes with its `?`. `None`
    /// when it is none.
    pub fn parse(status: u16, template: &str) -> Option<Self> {
        let is_visible = template.bytes().all(|byte| byte.is_ascii_graphic());
        // A path that comes first, or second to a slash, could name another host: `//evil`.
        let is_anchored = match template.as_bytes() {
            [b'/'] => true,
            [b'/', second, ..] => !b"/\\{".contains(second),
            _ => template.starts_with("http://") || template.starts_with("https://"),
        };
        if !is_visible || !is_anchored {
            return None;
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, behind)) = rest.split_once('{') {
            let (name, left) = behind.split_once('}')?;
            parts.push(Part::Text(String::from(text)));
            parts.push(match name {
                "host" => Part::Host,
                "name" => Part::Name,
                "path" => Part::Path,
                "query" => Part::Query,
                _ => return None,
            });
            rest = left;
        }
        parts.push(Part::Text(String::from(rest)));
        (!rest.contains('}')).then_some(Self { status, parts })
    }

    /// The `Location` for a request, whose normal path is given.
    pub fn location(&self, head: &RequestHead<'_>, path: &[u8]) -> Vec<u8> {
        let split = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
        let (path, query) = path.split_at_checked(split).unwrap_or((path, &[]));
        let mut location = Vec::new();
        for part in &self.parts {
            location.extend_from_slice(match part {
                Part::Text(text) => text.as_bytes(),
                Part::Host => head.target.authority.as_bytes(),
                Part::Name => without_port(head.target.authority).as_bytes(),
                Part::Path => path,
                Part::Query => query,
            });
        }
        location
    }
}

/// Writes a request's path and query in their normal form, as received where they have none.
pub fn write_path(head: &RequestHead<'_>, path: &mut Vec<u8>) {
    path.clear();
    if target::normalise_path(&head.target, path).is_err() {
        path.extend_from_slice(head.target.path_and_query.as_bytes());
    }
}

/// The host of an authority, which is a valid one: an IPv6 address keeps its brackets.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        Some(_) | None => authority,
    }
}

/// Writes the answer of a redirect; `send_body` false for HEAD.
pub fn write_redirect(
    out: &mut Vec<u8>,
    (status, location): (u16, &[u8]),
    persistence: Persistence,
    send_body: bool,
    now_ms: u64,
) {
    let mut head = emit::HeadWriter::response(out, status);
    head.field("Date", &date::format(now_ms / 1000));
    head.field("Server", CACHE_NAME.as_bytes());
    head.field("Location", location);
    head.field("Content-Type", b"text/plain; charset=utf-8");
    head.field_u64("Content-Length", redirect_len(location));
    write_persistence(&mut head, persistence);
    head.finish();
    if send_body {
        out.extend_from_slice(location);
        out.push(b'\n');
    }
}

/// Bytes of the body of a redirect.
pub fn redirect_len(location: &[u8]) -> u64 {
    location.len() as u64 + 1
}

/// What holds where a rule matches; by default what holds everywhere.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Answer with this and ask nobody.
    pub redirect: Option<Redirect>,
    /// Forward and store nothing.
    pub bypass: bool,
    /// Each request fetches for itself.
    pub alone: bool,
    /// Part of the target, and so of the key.
    pub query: QueryRule,
    /// Beside the target in the key: see [`key_names`].
    pub key_names: String,
    /// To requests, before anything looks at them.
    pub request: Edits,
    /// To the origin's responses, before anything looks at them.
    pub response: Edits,
    /// What is stored, and for how long it is fresh.
    pub storing: storable::Rules,
    /// Largest body that is stored; beside the limit that holds for all.
    pub object_bytes_max: Option<u64>,
    /// Which responses are compressed, and how.
    pub compress: Option<coding::Compress>,
}

/// The names of request fields and cookies that a rule puts into the key, in the form in which they
/// follow the nominated ones of `Vary`. They act like them: one base under the target's key, and so
/// a purge of the target removes all.
pub fn key_names<'n>(
    fields: impl IntoIterator<Item = &'n str>,
    cookies: impl IntoIterator<Item = &'n str>,
) -> String {
    let mut names = String::new();
    for field in fields {
        names.push(',');
        names.push_str(&field.to_ascii_lowercase());
    }
    for cookie in cookies {
        names.push(',');
        names.push_str(crate::key::COOKIE);
        names.push_str(cookie);
    }
    names
}

impl Rule {
    /// The nominated names under which a response is stored that nominates these by `Vary`.
    pub fn add_key_names(&self, nominated: &mut String) {
        if nominated.is_empty() {
            nominated.push_str(self.key_names.strip_prefix(',').unwrap_or(&self.key_names));
        } else {
            nominated.push_str(&self.key_names);
        }
    }

    /// Whether what is stored with these nominated names was stored under this rule's key. What an
    /// older config has stored with less in its key answers nobody any more.
    pub fn fits(&self, nominated: &str) -> bool {
        self.key_names.is_empty()
            || nominated.ends_with(&*self.key_names)
            || Some(nominated) == self.key_names.strip_prefix(',')
    }

    /// Whether a request is rewritten. A request that stores nothing keeps its query: it says what
    /// is to be done.
    pub fn rewrites(&self, method: &str) -> bool {
        let of_target = self.query != QueryRule::All || self.compress.is_some();
        !self.request.is_empty() || (of_target && self.is_cached(method))
    }

    fn is_cached(&self, method: &str) -> bool {
        !self.bypass && method::is_cacheable(method)
    }

    /// Writes the head of a request as this rule has it into `out`, replacing what it held.
    pub fn rewrite(&self, head: &RequestHead<'_>, out: &mut Vec<u8>) {
        out.clear();
        let is_cached = self.is_cached(head.method);
        out.extend_from_slice(head.method.as_bytes());
        out.push(b' ');
        match head.target.form {
            TargetForm::Origin | TargetForm::Absolute if is_cached => {
                self.query.append(head.target.raw.as_bytes(), out);
            }
            TargetForm::Origin
            | TargetForm::Absolute
            | TargetForm::Authority
            | TargetForm::Asterisk => out.extend_from_slice(head.target.raw.as_bytes()),
        }
        out.extend_from_slice(match head.version {
            Version::Http10 => b" HTTP/1.0\r\n",
            Version::Http11 => b" HTTP/1.1\r\n",
        });
        let received: &[Field<'_>] = &head.fields;
        let compress = self.compress.as_ref().filter(|_| is_cached);
        let chosen = compress.map(|compress| compress.choose(received));
        for (name, value) in received {
            let is_replaced = chosen.is_some() && name.eq_ignore_ascii_case("accept-encoding");
            if name.eq_ignore_ascii_case("connection") {
                self.append_connection(name, value, out);
            } else if self.request.keeps(name) && !is_replaced {
                append_line(out, name, value);
            }
        }
        if let Some(Some(coding)) = chosen {
            append_line(out, "Accept-Encoding", Coding::token(coding).as_bytes());
        }
        for (name, value) in &self.request.set {
            append_line(out, name, value.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends a `Connection` line without the names of fields that the rule puts in: a client must
    /// not take away again what it never sent (RFC 9110 section 7.6.1).
    fn append_connection(&self, name: &str, value: &[u8], out: &mut Vec<u8>) {
        let is_set = |option: &[u8]| {
            self.request.set.iter().any(|(set, _)| set.as_bytes().eq_ignore_ascii_case(option))
        };
        let mut mark: &[u8] = b": ";
        for option in fields::members(value).filter(|option| !is_set(option)) {
            if mark == b": " {
                out.extend_from_slice(name.as_bytes());
            }
            out.extend_from_slice(mark);
            out.extend_from_slice(option);
            mark = b", ";
        }
        if mark == b", " {
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Brings a primary key into the form that this rule's requests have.
    fn canonical_key(&self, key: &mut Vec<u8>) {
        if self.query != QueryRule::All {
            let whole = core::mem::take(key);
            self.query.append(&whole, key);
        }
    }
}

fn is_get(method: &String) -> bool {
    method == "GET"
}

fn append_line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Path and query of a primary key: what follows the authority.
fn path_of(key: &[u8]) -> &[u8] {
    let mut slashes = key.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.nth(2).and_then(|(at, _)| key.get(at..)).unwrap_or_default()
}

/// When a rule holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// The path in its normal form fits one of these; any path when there is none.
    pub paths: Vec<Glob>,
    /// The method is one of these; any when there is none. A rule for GET holds for HEAD, too.
    pub methods: Vec<String>,
}

impl Matcher {
    /// Whether it matches whatever `later` matches, so that a rule behind it would never hold.
    pub fn covers(&self, later: &Self) -> bool {
        let is_method = |method: &String| {
            self.methods.contains(method) || method == "HEAD" && self.methods.iter().any(is_get)
        };
        let is_path = |path: &Glob| self.paths.iter().any(|glob| glob.covers(path));
        let methods = self.methods.is_empty()
            || (!later.methods.is_empty() && later.methods.iter().all(is_method));
        let paths =
            self.paths.is_empty() || (!later.paths.is_empty() && later.paths.iter().all(is_path));
        methods && paths
    }

    fn matches(&self, method: &str, path: &[u8]) -> bool {
        let as_get = if method == "HEAD" { "GET" } else { method };
        let is_method = |known: &String| known == method || known == as_get;
        (self.methods.is_empty() || self.methods.iter().any(is_method))
            && (self.paths.is_empty() || self.paths.iter().any(|glob| glob.matches(path)))
    }
}

/// The rules of one site.
#[derive(Clone, Debug, Default)]
pub struct SiteRules {
    /// In the order in which they are tried.
    pub rules: Vec<(Matcher, Rule)>,
    /// What holds where none matches.
    pub otherwise: Option<Rule>,
}

/// All sites' rules.
#[derive(Debug, Default)]
pub struct RuleBook {
    sites: Vec<Option<Box<Site>>>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Site {
    matchers: Vec<(Matcher, RuleId)>,
    otherwise: RuleId,
}

impl RuleBook {
    /// Takes the rules of site 0, 1, … in order; `None` for a site without.
    pub fn new(sites: impl IntoIterator<Item = Option<SiteRules>>) -> Self {
        let mut book = Self::default();
        for site in sites {
            let site = site.map(|site| {
                let matchers = site.rules.into_iter();
                let matchers = matchers.map(|(matcher, rule)| (matcher, book.add(rule))).collect();
                let otherwise = site.otherwise.map_or(RuleId::NONE, |rule| book.add(rule));
                Box::new(Site { matchers, otherwise })
            });
            book.sites.push(site);
        }
        book
    }

    fn add(&mut self, rule: Rule) -> RuleId {
        let id = RuleId(u32::try_from(self.rules.len()).unwrap_or(u32::MAX));
        self.rules.push(rule);
        id
    }

    /// Whether the site has rules at all: all that a request for a site without them costs.
    pub fn has(&self, site: usize) -> bool {
        self.sites.get(site).is_some_and(Option::is_some)
    }

    /// The rule for a request; its path and query in normal form are left in `path` (as received
    /// where they have none). Costs one comparison per pattern of the site.
    pub fn find(&self, site: usize, head: &RequestHead<'_>, path: &mut Vec<u8>) -> RuleId {
        write_path(head, path);
        self.find_by_path(site, head.method, path)
    }

    /// The same for a method and a path with or without a query.
    pub fn find_by_path(&self, site: usize, method: &str, path_and_query: &[u8]) -> RuleId {
        let Some(Some(site)) = self.sites.get(site) else { return RuleId::NONE };
        let path = path_and_query.split(|byte| *byte == b'?').next().unwrap_or(path_and_query);
        let found = site.matchers.iter().find(|(matcher, _)| matcher.matches(method, path));
        found.map_or(site.otherwise, |(_, id)| *id)
    }

    /// Brings a primary key into the form that a GET for it has under the site's rules.
    pub fn canonical_key(&self, site: usize, key: &mut Vec<u8>) {
        if self.has(site) {
            let rule = self.find_by_path(site, "GET", path_of(key));
            if let Some(rule) = self.get(rule) {
                rule.canonical_key(key);
            }
        }
    }

    /// The rule of that name; `None` for [`RuleId::NONE`].
    pub fn get(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(id.0 as usize)
    }

    /// Whether a record with these nominated names answers requests under the rule.
    pub fn fits(&self, id: RuleId, nominated: &str) -> bool {
        self.get(id).is_none_or(|rule| rule.fits(nominated))
    }
}
