//! `POST /purge`: one URL in, one answer when the purge is durable.

use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::guard::{Access, field, media_type};
use super::{Handles, Reply, json_reply, refusal};

/// What a purge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeReply {
    /// Whether anything was stored under the URL.
    pub found: bool,
    /// From the request to durability, in microseconds.
    pub duration_us: u64,
}

/// Why a purge did not happen, or is not known to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// The URL is no absolute `http` or `https` URL.
    #[error("the URL is not an absolute http or https URL")]
    BadUrl,
    /// No site answers for the URL's host.
    #[error("no site answers for the URL's host")]
    NoSite,
    /// The store is not there: starting, draining or offline.
    #[error("the store does not take purges now")]
    Unavailable,
    /// The store could not write it down: it holds now, but may not hold after a restart.
    #[error("the purge could not be made durable")]
    NotDurable,
    /// No word from the store within 30 seconds: it may still happen.
    #[error("the purge was not confirmed in time")]
    TimedOut,
}

impl PurgeError {
    const fn status(self) -> StatusCode {
        match self {
            Self::BadUrl => StatusCode::BAD_REQUEST,
            Self::NoSite => StatusCode::NOT_FOUND,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotDurable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::BadUrl => "write it as clients ask for it, like http://www.example.com/page?q=1",
            Self::NoSite => "compare the host with the hosts of the config's sites",
            Self::Unavailable => "try again when /readyz says ready",
            Self::NotDurable => "see the log for the store's fault, then purge again",
            Self::TimedOut => "purge again; a purge may be repeated without harm",
        }
    }
}

/// Reads the URL from a request's body; the error is the reply.
pub(super) async fn read(
    head: &Parts,
    body: Incoming,
    access: Option<Access>,
) -> Result<String, Reply> {
    let limited = Limited::new(body, BODY_BYTES_MAX).collect();
    let bytes = match timeout(BODY_TIMEOUT, limited).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => {
            let remedy = "send one URL";
            return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", remedy));
        }
        Ok(Err(_)) => {
            return Err(refusal(StatusCode::BAD_REQUEST, "the body broke off", "send it again"));
        }
        Err(_) => {
            let error = "the body did not arrive in time";
            return Err(refusal(StatusCode::REQUEST_TIMEOUT, error, "send it again"));
        }
    };
    let content_type = field(head, &CONTENT_TYPE).map(media_type).unwrap_or_default();
    let form = content_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let url = if form && access == Some(Access::Token) {
        form_url(&bytes).ok_or("the form has no field url")
    } else {
        serde_json::from_slice(&bytes).map(|Body { url }| url).map_err(|_| "the body is no purge")
    };
    url.map_err(|error| {
        refusal(StatusCode::BAD_REQUEST, error, "send {\"url\": \"http://host/path\"}")
    })
}

/// Purges, and answers when it is durable.
pub(super) async fn carry_out(handles: &Handles, url: String) -> Reply {
    let purging = (handles.purge)(url.clone());
    let outcome = timeout(PURGE_TIMEOUT, purging).await.unwrap_or(Err(PurgeError::TimedOut));
    match outcome {
        Ok(PurgeReply { found, duration_us }) => {
            let body = json!({ "url": url, "found": found, "duration_us": duration_us });
            json_reply(StatusCode::OK, &body)
        }
        Err(error) => refusal(error.status(), &error.to_string(), error.remedy()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    url: String,
}

/// The field `url` of a form; `None` when it is missing, repeated, or no text once decoded.
fn form_url(form: &[u8]) -> Option<String> {
    let mut values = form.split(|byte| *byte == b'&').filter_map(|pair| pair.strip_prefix(b"url="));
    let value = values.next()?;
    if values.next().is_some() { None } else { String::from_utf8(percent_decode(value)?).ok() }
}

fn percent_decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
                high << 4 | low
            }
            other => other,
        });
    }
    Some(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

const BODY_BYTES_MAX: usize = 16 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the store may take to make a purge durable.
const PURGE_TIMEOUT: Duration = Duration::from_secs(30);
