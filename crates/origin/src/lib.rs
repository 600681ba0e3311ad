//! The fill plane: pooled connections to origins, and the bodies that stream through them.
//!
//! ```text
//!  worker ── Upload ──►┐                                        ┌──► leader
//!                      │  OriginPool::fetch ──► hyper ──► origin │
//!  worker ◄────────────┴── OriginBody ──► fill task ── Download ─┼──► follower
//!                                            └──► store          └──► …
//! ```
//! A fill thread runs [`fill::run`]: a tokio-uring runtime, in which the store's file writes and
//! tokio's sockets live side by side. On it, one [`OriginPool`] per site fetches; an
//! [`OriginBody`] is read piece by piece and put into a [`Download`], which any number of workers
//! read while it grows. An [`Upload`] carries a request body the other way.
//!
//! # What it is not
//! It knows no cache rules, no keys and no store: hop-by-hop fields, `Via`, conditional fields and
//! the decision to store are the caller's, and a store's extent is a type parameter here. It
//! carries no bytes of tunnels: it opens them, and hands their sockets over ([`Handover`]). It
//! checks no health and weighs no balance: several URLs are
//! used in turn, and one that cannot be connected to is passed over. It speaks HTTP/1.1 only, and
//! refuses a response of a later minor version, which RFC 9110 section 6.2 would have read as 1.1:
//! hyper knows 1.0 and 1.1, and no such version was ever made.
//! It logs nothing; [`OriginStats`] and [`StagingStats`] are its figures.
//!
//! # Invariants
//! * **OR-1** A connection serves another exchange only when the response was read to the end of
//!   its framing, the request body was taken whole, nothing follows the response, and the origin
//!   still takes bytes.
//! * **OR-2** A failure is never an end. A body that ends before its framing says so is
//!   [`FetchError::Truncated`], in all three framings (RFC 9112 section 8), and every reader of a
//!   [`Download`] is told so.
//! * **OR-3** A request goes out twice only if no byte of it was sent, or if it is idempotent,
//!   without a body, on a pooled connection that ended without any response byte; and then once
//!   more, on a fresh connection (RFC 9110 section 9.2.2).
//! * **OR-4** Connections, idle ones included, never pass `connections_max`, and waiting requests
//!   never pass `queue_max`; they are served in order.
//! * **OR-5** Every wait for an origin ends by a named timeout. Time in which the client owed the
//!   next piece of a request body is not the origin's.
//! * **OR-6** A response head that contradicts itself about its framing is refused
//!   ([`FetchError::BadResponse`]), and so is one above [`HEAD_BYTES_MAX`] or [`FIELDS_MAX`].
//! * **OR-7** An [`Upload`], and a [`Download`] that is not stored, hold at most their window and
//!   one piece, however small the parts that came; beyond it the sender waits.
//! * **OR-8** Every reader of a [`Download`] sees the same bytes in order. What left memory below
//!   a reader is in the store's extent; one that would miss bytes is not attached.
//! * **OR-9** Dropping a fetch or a body before its end closes the connection; a [`Download`] whose
//!   last reader left, and that nothing stores, ends its fetch.
//! * **OR-10** Wakers and callbacks are called with no lock held.
//! * **OR-11** The windows granted by a [`StagingBudget`] never sum to more than its bound.
//! * **OR-12** On a connection that may be handed over, nothing is sent but the request's head, and
//!   it serves no other exchange, whatever is answered.
//!
//! # Example
//! ```no_run
//! use http::{HeaderMap, HeaderValue, Method, header::HOST};
//! use longhold_origin::{OriginConfig, OriginPool, OriginRequest, OriginUrl, RequestBody, fill};
//!
//! let url: OriginUrl = "http://127.0.0.1:9000".parse()?;
//! let host = HeaderValue::from_str(&url.authority())?;
//! fill::run(fill::Runtime::Uring { entries: 64 }, async move {
//!     let pool = OriginPool::new(OriginConfig::new(vec![url]))?;
//!     let mut response = pool
//!         .fetch(OriginRequest {
//!             method: Method::GET,
//!             path_and_query: "/".to_owned(),
//!             fields: HeaderMap::from_iter([(HOST, host)]),
//!             body: RequestBody::Empty,
//!             on_interim: None,
//!         })
//!         .await?;
//!     while let Some(piece) = response.body.next().await {
//!         println!("{} bytes", piece?.len());
//!     }
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! })??;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod body;
mod config;
mod connect;
mod error;
mod exchange;
pub mod fill;
mod line;
mod outgoing;
mod pool;
mod request;
mod resolve;
mod tls;
mod tunnel;
mod wire;

pub use body::{
    AttachRefused, BLOCK_BYTES, COPY_BELOW_BYTES, Demand, Download, DownloadGuard, DownloadReader,
    Full, Next, PushRefused, StagingBudget, StagingShare, StagingStats, Upload, WINDOW_SMALL_BYTES,
    Wake,
};
pub use config::{CONNECTIONS_MAX, OriginConfig, OriginUrl, Scheme};
pub use connect::{FIELDS_MAX, HEAD_BYTES_MAX};
pub use error::{ConfigError, FetchError, UrlError};
pub use exchange::OriginBody;
pub use pool::{OriginPool, OriginStats};
pub use request::{OnInterim, OriginRequest, OriginResponse, RequestBody};
pub use tunnel::{Exchanged, Framing, Handover, RawAnswer};
