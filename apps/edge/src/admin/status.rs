//! The read-only answers: health, readiness, metrics.

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};

use super::{Reply, reply};

/// Whether the edge serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: it is starting.
    Starting,
    /// It serves.
    Ready,
    /// No more: it lets what has begun come to its end.
    Draining,
}

impl Readiness {
    /// One word for people, dashboards and JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

pub(super) fn health() -> Reply {
    text(StatusCode::OK, "ok\n".to_owned())
}

pub(super) fn ready(readiness: Readiness) -> Reply {
    let body = format!("{}\n", readiness.word());
    match readiness {
        Readiness::Ready => text(StatusCode::OK, body),
        Readiness::Starting | Readiness::Draining => {
            let mut reply = text(StatusCode::SERVICE_UNAVAILABLE, body);
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            reply
        }
    }
}

pub(super) fn metrics(text: String) -> Reply {
    reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text)
}

fn text(status: StatusCode, body: String) -> Reply {
    reply(status, "text/plain; charset=utf-8", body)
}
