//! Sites: which configured site a request's host belongs to.
//!
//! Not here: what a site does (the application's configuration holds that, by the same index).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One `hosts` member of a site.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// `*`: every host, also none (HTTP/1.0 without `Host`).
    Any,
    /// One host name or address literal, lower case, without a port.
    Exact(String),
    /// `*.example.com`, kept as `.example.com`, lower case. Does not match the bare `example.com`.
    Below(String),
}

impl HostPattern {
    /// How well the pattern fits: longer is better, `None` is no fit.
    fn fit(&self, host: &str) -> Option<usize> {
        match self {
            Self::Any => Some(0),
            Self::Exact(name) => name.eq_ignore_ascii_case(host).then_some(usize::MAX),
            Self::Below(suffix) => {
                let at = host.len().checked_sub(suffix.len())?;
                let tail = host.get(at..)?;
                (at > 0 && tail.eq_ignore_ascii_case(suffix)).then_some(suffix.len())
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("*"),
            Self::Below(suffix) => write!(out, "*{suffix}"),
            Self::Exact(host) => out.write_str(host),
        }
    }
}

/// All sites' patterns; finds a site's index by host.
#[derive(Clone, Debug, Default)]
pub struct SiteTable {
    patterns: Vec<(HostPattern, usize)>,
}

impl SiteTable {
    /// Takes the patterns of site 0, 1, … in order.
    pub fn new<I, P>(sites: I) -> Self
    where
        I: IntoIterator<Item = P>,
        P: IntoIterator<Item = HostPattern>,
    {
        let mut patterns = Vec::new();
        for (index, site) in sites.into_iter().enumerate() {
            patterns.extend(site.into_iter().map(|pattern| (pattern, index)));
        }
        Self { patterns }
    }

    /// The site of `authority` (a host with or without a port): exact names before the longest
    /// suffix before `*`. Costs one comparison per configured pattern.
    pub fn find(&self, authority: &str) -> Option<usize> {
        let host = host_of(authority);
        let mut best: Option<(usize, usize)> = None;
        for (pattern, index) in &self.patterns {
            if let Some(fit) = pattern.fit(host)
                && best.is_none_or(|(known, _)| fit > known)
            {
                best = Some((fit, *index));
            }
        }
        best.map(|(_, index)| index)
    }
}

/// The host of an authority, without its port; brackets of an IPv6 literal stay.
pub fn host_of(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority.get(colon..).is_some_and(|tail| tail.contains(']')) => {
            authority.get(..colon).unwrap_or(authority)
        }
        Some(_) | None => authority,
    }
}
