//! The admin API: health, metrics, status, purge and a page, over hyper on the control thread.
//!
//! It knows nothing of the data path: what it shows and does comes in as [`Handles`]. It is not
//! meant for the open network; what it accepts is small and bounded.
//!
//! | request | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process lives |
//! | `GET /readyz` | 200 when it serves; 503 before and while it drains |
//! | `GET /metrics` | Prometheus text |
//! | `GET /status.json` | the state as JSON |
//! | `GET /connections.json` | connections by state, listener, age and idle time; why they closed |
//! | `POST /connections/close` | closes those that a filter takes |
//! | `POST /budget` | `{"memory": "4GiB"}`: another memory budget; null for the config's |
//! | `GET /` | a page that shows it |
//! | `GET /explain?url=…` | what would become of a request, and by which clause |
//! | `POST /purge` | `{"url": "…"}`, or `prefix`, `tag`, `host`, `all`; done when it is durable |
//!
//! Invariants:
//! - AD-1: without a token it answers only requests whose `Host` is this machine (DNS rebinding),
//!   and a `POST` only with a content type that a foreign page cannot send unasked (CSRF).
//! - AD-2: with a token, whatever shows or changes state needs it; health and the page do not.
//! - AD-3: heads, bodies, connections and times are bounded; at the bound new connections wait.
//! - AD-4: a purge is answered 200 only after the handle said that it is durable.

pub mod bind;
pub mod client;

mod budget;
mod connections;
mod explain;
mod guard;
mod order;
mod page;
mod purge;
mod query;
mod serve;
mod status;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::json;

use crate::config::checked::AdminAddress;
use crate::connections::close::Closed;
use crate::connections::filter::FilterError;

pub use connections::{CensusAsk, CloseAsk};
pub use explain::{ExplainAsk, ExplainError};
pub use order::{NAMES_MAX, PurgeOrder};
pub(crate) use purge::answer as purge_answer;
pub use purge::{PurgeError, PurgeReply};
pub use serve::Server;
pub use status::Readiness;

/// A purge under way.
pub type Purging = Pin<Box<dyn Future<Output = Result<PurgeReply, PurgeError>> + Send>>;

/// An explanation under way.
pub type Explaining = Pin<Box<dyn Future<Output = Result<serde_json::Value, ExplainError>> + Send>>;

/// A count of the connections under way.
pub type Counting = Pin<Box<dyn Future<Output = Result<serde_json::Value, FilterError>> + Send>>;

/// An order to close connections under way.
pub type Closing = Pin<Box<dyn Future<Output = Result<Closed, FilterError>> + Send>>;

/// What the admin API shows and does; each may be called at any time, from the control thread.
#[derive(Clone)]
pub struct Handles {
    /// Whether the edge serves; for `/readyz`.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// The metrics in Prometheus' text form.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// The state, an object; for `/status.json` and the page.
    pub status: Arc<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Purges, and is done when the purge is durable and in force.
    pub purge: Arc<dyn Fn(PurgeOrder) -> Purging + Send + Sync>,
    /// Says what would become of a request, and why.
    pub explain: Arc<dyn Fn(ExplainAsk) -> Explaining + Send + Sync>,
    /// Counts and lists connections; for `/connections.json`.
    pub census: Arc<dyn Fn(CensusAsk) -> Counting + Send + Sync>,
    /// Closes connections.
    pub close: Arc<dyn Fn(CloseAsk) -> Closing + Send + Sync>,
    /// Sets another memory budget, in bytes, or the config's again.
    pub budget: Arc<dyn Fn(Option<u64>) -> serde_json::Value + Send + Sync>,
    /// Called each [`TICK`] on the control thread, for what must be done from time to time.
    pub tick: Arc<dyn Fn() + Send + Sync>,
}

/// How often [`Handles::tick`] is called.
pub const TICK: Duration = Duration::from_secs(1);

/// What all connections share.
struct Api {
    handles: Handles,
    address: AdminAddress,
    token: Option<String>,
}

type Reply = Response<Full<Bytes>>;

/// Answers one request.
async fn answer(api: &Api, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let Some(route) = Route::of(head.uri.path()) else {
        return refusal(StatusCode::NOT_FOUND, "no such path", "GET / lists what there is");
    };
    if !route.takes(&head.method) {
        return wrong_method(route);
    }
    let access = match route {
        Route::Health | Route::Ready | Route::Page => None,
        Route::Metrics
        | Route::Status
        | Route::Connections
        | Route::Explain
        | Route::Close
        | Route::Budget
        | Route::Purge => match guard::judge(api, &head) {
            Ok(access) => Some(access),
            Err(denied) => return denied_reply(denied),
        },
    };
    match route {
        Route::Health => status::health(),
        Route::Ready => status::ready((api.handles.readiness)()),
        Route::Page => page::page(),
        Route::Metrics => status::metrics((api.handles.metrics)()),
        Route::Status => json_reply(StatusCode::OK, &(api.handles.status)()),
        Route::Connections => connections::list(&api.handles, head.uri.query()).await,
        Route::Budget => budget::set(&api.handles, body).await,
        Route::Close => connections::close(&api.handles, body).await,
        Route::Explain => explain::carry_out(&api.handles, head.uri.query()).await,
        Route::Purge => match purge::read(&head, body, access).await {
            Ok(order) => purge::carry_out(&api.handles, order).await,
            Err(reply) => reply,
        },
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Health,
    Ready,
    Metrics,
    Status,
    Page,
    Connections,
    Close,
    Budget,
    Explain,
    Purge,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/status.json" => Self::Status,
            "/" => Self::Page,
            "/connections.json" => Self::Connections,
            "/connections/close" => Self::Close,
            "/budget" => Self::Budget,
            "/explain" => Self::Explain,
            "/purge" => Self::Purge,
            _ => return None,
        })
    }

    fn takes(self, method: &Method) -> bool {
        match self {
            Self::Purge | Self::Close | Self::Budget => method == Method::POST,
            Self::Health
            | Self::Ready
            | Self::Metrics
            | Self::Status
            | Self::Page
            | Self::Connections
            | Self::Explain => method == Method::GET || method == Method::HEAD,
        }
    }
}

fn wrong_method(route: Route) -> Reply {
    let allowed = if route.takes(&Method::POST) { "POST" } else { "GET, HEAD" };
    let remedy = format!("use {allowed}");
    let mut reply = refusal(StatusCode::METHOD_NOT_ALLOWED, "wrong method", &remedy);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

fn denied_reply(denied: guard::Denied) -> Reply {
    let mut reply = refusal(denied.status(), denied.cause(), denied.remedy());
    if denied == guard::Denied::Token {
        reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    reply
}

/// An error reply: what is wrong, and what to do.
fn refusal(status: StatusCode, error: &str, remedy: &str) -> Reply {
    json_reply(status, &json!({ "error": error, "remedy": remedy }))
}

fn json_reply(status: StatusCode, value: &serde_json::Value) -> Reply {
    reply(status, "application/json", format!("{value}\n"))
}

fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    let fields = reply.headers_mut();
    fields.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    reply
}
