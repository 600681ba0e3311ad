//! `POST /purge`: what to purge in, one answer when it is durable and in force.

use std::time::Duration;

use http::StatusCode;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::guard::{Access, field, media_type};
use super::order::{NAMES_MAX, PurgeOrder};
use super::{Handles, Reply, json_reply, refusal};

/// What a purge did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PurgeReply {
    /// Where URLs alone were named: whether anything was stored under one of them.
    pub found: Option<bool>,
    /// How many were stored: URLs where only those were named, records where it was everything.
    /// `None` where nobody has counted: a prefix or a tag costs the same whatever it concerns.
    pub count: Option<u64>,
    /// When the purge was asked for, Unix milliseconds: what was fetched before is concerned.
    pub at_ms: u64,
    /// From the request to durability, in microseconds.
    pub duration_us: u64,
}

/// Why a purge did not happen, or is not known to have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PurgeError {
    /// The URL is no absolute `http` or `https` URL.
    #[error("the URL is not an absolute http or https URL")]
    BadUrl,
    /// The prefix is no beginning of such a URL that holds its whole host.
    #[error("the prefix is not the beginning of an absolute http or https URL")]
    BadPrefix,
    /// The prefix ends in `.` or `..`, which may be a dot segment or the beginning of a name.
    #[error("the prefix ends in dots, so that it is not clear what it begins")]
    OpenPrefix,
    /// The tag is empty.
    #[error("a tag is empty")]
    BadTag,
    /// The host is none.
    #[error("the host is not the name or address of one host")]
    BadHost,
    /// No site answers for the URL's host.
    #[error("no site answers for the URL's host")]
    NoSite,
    /// Too many prefixes are in force.
    #[error("the store cannot hold one more purge of a prefix")]
    PrefixesFull,
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
            Self::BadUrl | Self::BadPrefix | Self::OpenPrefix | Self::BadTag | Self::BadHost => {
                StatusCode::BAD_REQUEST
            }
            Self::NoSite => StatusCode::NOT_FOUND,
            Self::PrefixesFull => StatusCode::INSUFFICIENT_STORAGE,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotDurable => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::BadUrl => "write it as clients ask for it, like http://www.example.com/page?q=1",
            Self::BadPrefix => "write scheme and whole host, like http://www.example.com/images/",
            Self::OpenPrefix => "end it before the dots, or with a slash behind them",
            Self::BadTag => "name one word of Surrogate-Key or one member of Cache-Tag",
            Self::BadHost => "name one host, like www.example.com or www.example.com:8080",
            Self::NoSite => "compare the host with the hosts of the config's sites",
            Self::PrefixesFull => "purge a shorter prefix, the host, or everything",
            Self::Unavailable => "try again when /readyz says ready",
            Self::NotDurable => "see the log for the store's fault, then purge again",
            Self::TimedOut => "purge again; a purge may be repeated without harm",
        }
    }
}

/// Reads what to purge from a request's body; the error is the reply.
pub(super) async fn read(
    head: &Parts,
    body: Incoming,
    access: Option<Access>,
) -> Result<PurgeOrder, Reply> {
    let limited = Limited::new(body, BODY_BYTES_MAX).collect();
    let bytes = match timeout(BODY_TIMEOUT, limited).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(fault)) if fault.is::<LengthLimitError>() => {
            let remedy = "name less in one purge";
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
    let order = if form && access == Some(Access::Token) {
        PurgeOrder::from_form(&bytes).ok_or("the form is no purge")
    } else {
        serde_json::from_slice(&bytes).map_err(|_| "the body is no purge")
    };
    let order: PurgeOrder =
        order.map_err(|error| refusal(StatusCode::BAD_REQUEST, error, WHAT_TO_SEND))?;
    match order.count() {
        0 => Err(refusal(StatusCode::BAD_REQUEST, "the purge names nothing", WHAT_TO_SEND)),
        1..=NAMES_MAX => Ok(order),
        _ => {
            let remedy = "name less in one purge";
            Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, "the purge names too much", remedy))
        }
    }
}

/// Purges, and answers when it is durable.
pub(super) async fn carry_out(handles: &Handles, order: PurgeOrder) -> Reply {
    let purging = (handles.purge)(order.clone());
    let outcome = timeout(PURGE_TIMEOUT, purging).await.unwrap_or(Err(PurgeError::TimedOut));
    match outcome {
        Ok(reply) => json_reply(StatusCode::OK, &answer(&order, &reply)),
        Err(error) => refusal(error.status(), &error.to_string(), error.remedy()),
    }
}

/// What was asked for, and what it did.
pub(crate) fn answer(order: &PurgeOrder, reply: &PurgeReply) -> Value {
    let mut answer = order.json();
    answer.insert("soft".to_owned(), json!(order.soft));
    if let Some(found) = reply.found {
        answer.insert("found".to_owned(), json!(found));
    }
    answer.insert("count".to_owned(), json!(reply.count));
    answer.insert("at_ms".to_owned(), json!(reply.at_ms));
    answer.insert("duration_us".to_owned(), json!(reply.duration_us));
    Value::Object(answer)
}

const WHAT_TO_SEND: &str = "send {\"url\": \"http://host/path\"}, or prefix, tag, host, or \
                            {\"all\": true}; with \"soft\": true to make it stale";
const BODY_BYTES_MAX: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the store may take to make a purge durable.
const PURGE_TIMEOUT: Duration = Duration::from_secs(30);
