//! The URLs of a load that asks for many, how often each is wanted, and what each answer must be.
//!
//! Generated URLs are the target's own with a number behind the path, and bodies under `/bytes/N`
//! are known beforehand; listed ones come from the user. Of a body that is not known beforehand
//! the first right answer settles what all later ones must be, URL by URL.
//!
//! Memory: 16 bytes per key, at most [`KEYS_MAX`] of them, and the text of listed paths. A body
//! that is known beforehand is generated and hashed once, when its key is first answered.
//!
//! ```text
//! http://…/bytes/1024?max_age=60  and key 7      →  /bytes/1024/7?max_age=60
//! the same with sizes 512, 65536  and key 7      →  /bytes/65536/7?max_age=60
//! http://…/images/?v=2            and key 7      →  /images/7?v=2
//! ```

use crate::answer::Answer;
use crate::chance::{Chance, Use, mix};
use crate::content::{CONTENT_BYTES_MAX, Content};
use crate::fault::Fault;
use crate::target::{Dialect, Question, Target, is_path};
use crate::verify::{Body, Expectation};
use crate::zipf::Zipf;

/// What a load asks for, key by key.
#[derive(Clone, Debug)]
pub struct Catalog {
    paths: Paths,
    keys: u32,
    zipf: Zipf,
    seed: u64,
}

/// How keys are wanted: by Zipf's law, key k in proportion to (k + 1)^-`exponent`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// 0 for all keys alike; 1 for the law as it is met most; at most 10.
    pub exponent: f64,
    /// Where chance begins: the same draws for the same seed.
    pub seed: u64,
}

/// Why there can be no such catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// None or too many.
    #[error("between 1 and {KEYS_MAX} keys, not {0}")]
    Keys(usize),
    /// Not a finite exponent within the bounds.
    #[error("Zipf's exponent is between 0 and 10")]
    Exponent,
    /// Sizes were given, and the path has no place for them.
    #[error("sizes go with a URL whose path is /bytes/N, or none")]
    Sizes,
    /// A body longer than content can have.
    #[error("a body of {0} bytes is longer than /bytes can have")]
    Size(u64),
    /// A line that is no path on the target.
    #[error("line {0} is neither a path nor a URL with the scheme and address of the target")]
    Line(usize),
    /// A WebSocket has one URL.
    #[error("a WebSocket is opened once and asks for nothing: it has no keys")]
    WebSocket,
}

#[derive(Clone, Debug)]
enum Paths {
    /// `/bytes/SIZE` or another path, then the key.
    Generated { sizes: Vec<u64>, before: String, query: String },
    /// As they are.
    Listed(Vec<Box<str>>),
}

impl Catalog {
    /// Keys 0 to `keys` - 1 behind the path of `target`. With `sizes`, which of them a key has
    /// follows from the key; one that is named twice has twice the share.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub fn generated(
        target: &Target,
        keys: u32,
        sizes: &[u64],
        demand: Demand,
    ) -> Result<Self, CatalogError> {
        let (path, query) = split_query(target.path());
        let (sizes, before) = match (Content::of_target(path), path) {
            (Some(own), _) => {
                let name = path.strip_prefix("/bytes/").and_then(|rest| rest.split_once('/'));
                let own = vec![own.length_bytes()];
                let sizes = if sizes.is_empty() { own } else { sizes.to_vec() };
                (sizes, name.map_or(String::new(), |(_, name)| format!("/{name}")))
            }
            (None, "/") if !sizes.is_empty() => (sizes.to_vec(), String::new()),
            (None, _) if !sizes.is_empty() => return Err(CatalogError::Sizes),
            (None, path) => (Vec::new(), path.trim_end_matches('/').to_owned()),
        };
        if let Some(size) = sizes.iter().find(|size| **size > CONTENT_BYTES_MAX) {
            return Err(CatalogError::Size(*size));
        }
        let paths = Paths::Generated { sizes, before, query: query.to_owned() };
        Self::new(target, paths, keys as usize, demand)
    }

    /// The paths or URLs of a text, one a line, the most wanted first. Empty lines and those that
    /// begin with `#` are passed over.
    ///
    /// # Errors
    /// See [`CatalogError`].
    pub fn listed(target: &Target, text: &str, demand: Demand) -> Result<Self, CatalogError> {
        let origin = target.origin();
        let mut paths = Vec::new();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let path = line.strip_prefix(&origin).unwrap_or(line);
            if !path.starts_with('/') || !is_path(path) {
                return Err(CatalogError::Line(number));
            }
            paths.push(path.into());
        }
        let keys = paths.len();
        Self::new(target, Paths::Listed(paths), keys, demand)
    }

    fn new(
        target: &Target,
        paths: Paths,
        keys: usize,
        demand: Demand,
    ) -> Result<Self, CatalogError> {
        if target.dialect() == Dialect::WebSocket {
            return Err(CatalogError::WebSocket);
        }
        if !(0.0..=10.0).contains(&demand.exponent) {
            return Err(CatalogError::Exponent);
        }
        let count = u32::try_from(keys).ok().filter(|keys| (1..=KEYS_MAX).contains(keys));
        let keys = count.ok_or(CatalogError::Keys(keys))?;
        Ok(Self { paths, keys, zipf: Zipf::new(keys, demand.exponent), seed: demand.seed })
    }

    /// How many URLs there are.
    pub fn keys(&self) -> u32 {
        self.keys
    }

    /// The path and query of a key.
    pub fn path(&self, key: u32) -> String {
        match &self.paths {
            Paths::Generated { sizes, before, query } => {
                let drawn = mix(u64::from(key)) % sizes.len().max(1) as u64;
                let size = sizes.get(drawn as usize).map(|size| format!("/bytes/{size}"));
                format!("{}{before}/{key}{query}", size.unwrap_or_default())
            }
            Paths::Listed(paths) => {
                paths.get(key as usize).map_or(String::new(), |path| path.to_string())
            }
        }
    }
}

/// A catalog in use: what was drawn of it, and what is known of each key's body.
#[derive(Debug)]
pub(crate) struct Drawing<'p> {
    catalog: &'p Catalog,
    chance: Chance,
    known: Vec<Body>,
}

impl<'p> Drawing<'p> {
    fn new(catalog: &'p Catalog) -> Self {
        let chance = Chance::new(catalog.seed, Use::Keys);
        Self { catalog, chance, known: vec![UNKNOWN; catalog.keys() as usize] }
    }

    /// Draws a key, and the question for it.
    fn draw(&mut self, target: &Target) -> (u32, Question) {
        let key = self.catalog.zipf.draw(&mut self.chance);
        let path = self.catalog.path(key);
        let known = self.known.get(key as usize).filter(|body| **body != UNKNOWN);
        let length_bytes_max = match known {
            Some(body) => body.length_bytes,
            None => Content::of_target(&path).map_or(u64::MAX, |it| it.length_bytes()),
        };
        (key, Question { request: target.request_for(&path), length_bytes_max })
    }

    /// Checks the answer to the question for a key.
    fn check(&mut self, key: u32, answer: &Answer) -> Result<(), Fault> {
        let mut expectation = match self.known.get(key as usize) {
            Some(&body) if body != UNKNOWN => Expectation::Known(body),
            Some(_) | None => Expectation::of_path(&self.catalog.path(key)),
        };
        let checked = expectation.check(answer);
        if let (Expectation::Known(body), Some(known)) =
            (expectation, self.known.get_mut(key as usize))
        {
            *known = body;
        }
        checked
    }
}

/// What a loop asks next, and whether the answer is right.
#[derive(Debug)]
pub(crate) enum Asker<'p> {
    /// What the target says, again and again.
    One(Expectation),
    /// What is drawn of a catalog.
    Many(Drawing<'p>),
}

impl<'p> Asker<'p> {
    pub(crate) fn new(expectation: Expectation, catalog: Option<&'p Catalog>) -> Self {
        catalog.map_or(Self::One(expectation), |catalog| Self::Many(Drawing::new(catalog)))
    }

    /// The next key, and its question where that is not the target's own.
    pub(crate) fn draw(&mut self, target: &Target) -> (u32, Option<Question>) {
        match self {
            Self::One(_) => (0, None),
            Self::Many(drawing) => {
                let (key, question) = drawing.draw(target);
                (key, Some(question))
            }
        }
    }

    /// Checks the answer to what was asked for a key.
    pub(crate) fn check(&mut self, key: u32, answer: &Answer) -> Result<(), Fault> {
        match self {
            Self::One(expectation) => expectation.check(answer),
            Self::Many(drawing) => drawing.check(key, answer),
        }
    }

    /// The most body bytes that an answer to what the target says may have.
    pub(crate) fn length_bytes_max(&self) -> u64 {
        match self {
            Self::One(expectation) => expectation.length_bytes_max(),
            Self::Many(_) => u64::MAX,
        }
    }
}

/// Path and query, the latter with its `?`.
fn split_query(path: &str) -> (&str, &str) {
    path.split_at(path.find('?').unwrap_or(path.len()))
}

/// Most keys of a catalog: 64 MiB of what is known of them.
pub const KEYS_MAX: u32 = 4 << 20;

/// Nothing is known of a key's body: no body has this length.
const UNKNOWN: Body = Body { length_bytes: u64::MAX, hash: 0 };

#[cfg(test)]
mod tests;
