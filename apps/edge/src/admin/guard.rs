//! Who may ask: the token where there is one, else this machine and nobody's web page. Pure.
//!
//! Without a token the API listens on loopback or on a unix socket only (the config sees to that).
//! What is left are web pages in a browser on this machine. A page that got its own name resolved
//! to 127.0.0.1 sends that name as `Host`; a page that posts across sites sends its own `Origin`,
//! and cannot send JSON without being asked for leave first, which is never given.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderName, Method, StatusCode};

use super::Api;
use crate::config::checked::AdminAddress;

/// How a request got in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// By the token, which no foreign page knows.
    Token,
    /// From this machine.
    Local,
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The token is missing or wrong.
    Token,
    /// `Host` is not this machine.
    Host,
    /// `Origin` is another site.
    Origin,
    /// A `POST` with another content type than JSON.
    ContentType,
}

impl Denied {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Host => StatusCode::MISDIRECTED_REQUEST,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    pub(super) const fn cause(self) -> &'static str {
        match self {
            Self::Token => "the admin token is missing or wrong",
            Self::Host => "the Host field does not name this machine",
            Self::Origin => "the request comes from another site's page",
            Self::ContentType => "the body is not declared as JSON",
        }
    }

    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Token => "send Authorization: Bearer with the value of admin.token",
            Self::Host => "use 127.0.0.1 or localhost, or set admin.token",
            Self::Origin => "use the page of this address",
            Self::ContentType => "send Content-Type: application/json",
        }
    }
}

/// Judges a request for something that shows or changes state.
pub(super) fn judge(api: &Api, head: &Parts) -> Result<Access, Denied> {
    if let Some(token) = &api.token {
        let typed = field(head, &AUTHORIZATION).and_then(bearer).ok_or(Denied::Token)?;
        return if equal(typed.as_bytes(), token.as_bytes()) {
            Ok(Access::Token)
        } else {
            Err(Denied::Token)
        };
    }
    let host = match &api.address {
        AdminAddress::Unix(_) => None,
        AdminAddress::Tcp(address) => {
            let host = field(head, &HOST).ok_or(Denied::Host)?;
            if !is_here(host, address.ip()) {
                return Err(Denied::Host);
            }
            Some(host)
        }
    };
    if head.method == Method::POST {
        judge_post(head, host)?;
    }
    Ok(Access::Local)
}

fn judge_post(head: &Parts, host: Option<&str>) -> Result<(), Denied> {
    if head.headers.contains_key(ORIGIN) {
        let origin = field(head, &ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
        if origin.is_none() || origin != host {
            return Err(Denied::Origin);
        }
    }
    match field(head, &CONTENT_TYPE) {
        Some(value) if media_type(value).eq_ignore_ascii_case("application/json") => Ok(()),
        Some(_) | None => Err(Denied::ContentType),
    }
}

/// The one value of a field; `None` when it is missing, repeated or not text.
pub(super) fn field<'a>(head: &'a Parts, name: &HeaderName) -> Option<&'a str> {
    let mut values = head.headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// The media type without its parameters.
pub(super) fn media_type(value: &str) -> &str {
    value.split(';').next().unwrap_or("").trim()
}

/// Whether a `Host` names this machine: `localhost`, a loopback address, or the one listened on.
fn is_here(host: &str, listening: IpAddr) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback() || address == listening,
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// RFC 6750 section 2.1; the scheme's name in any case, RFC 9110 section 11.1.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares in a time that depends on the typed length only.
fn equal(typed: &[u8], secret: &[u8]) -> bool {
    let mut difference = typed.len() ^ secret.len();
    for (index, byte) in typed.iter().enumerate() {
        let other = secret.get(index % secret.len().max(1)).copied().unwrap_or(0);
        difference |= usize::from(byte ^ other);
    }
    std::hint::black_box(difference) == 0
}
