//! HTTP edge logic: what an edge does with a request, as functions of bytes, fields and instants.
//!
//! The worker (`apps/edge`) hands in a parsed request head, the head of a stored response or the
//! head of an origin's response, and gets back what to do and the exact bytes of the head to send.
//!
//! This crate knows no socket, no file, no clock and no thread; time arrives as `now_ms`
//! (Unix milliseconds). It does not decide what RFC 9111 says (that is `longhold-policy`) and does
//! not know how a message is framed on the wire (that is `longhold-http1`).
//!
//! # The way of a request
//! ```text
//! head ─► plan::plan ─► Lookup ─► stored::decode ─► lookup::judge ─┬► Serve ─► deliver
//!              │                                                   └► Fetch ─► forward ─► origin
//!              ├► Pass ──────────────────────────────────────────────────────► forward ─► origin
//!              ├► Reject ─► reject                     origin's head ─► fetch::dispose ─► relay
//!              └► Tunnel ─► tunnel::asked ─► forward ─► origin's 101 ─► tunnel::opens ─► bytes
//! ```
//!
//! # Invariants
//! - **GW-1** A cache key holds scheme, host, port, path and query of one normal form; two targets
//!   that an origin may tell apart never share a key (RFC 9111 section 2).
//! - **GW-2** No hop-by-hop field, and none that `Connection` names, crosses the edge in either
//!   direction or enters the store (RFC 9110 section 7.6.1, RFC 9111 section 3.1).
//! - **GW-3** Framing fields of a message that leaves are written by the edge alone.
//! - **GW-4** A response reaches a follower only if it may be stored and its nominated fields
//!   select it for that follower's request (RFC 9111 section 4.1).
//! - **GW-5** After a purge no variant stored before it can be selected again, and no fetch that
//!   began before it is stored or shared: by key, prefix, tag or of everything.
//! - **GW-6** A record head that this crate did not write decodes to nothing, never to a response.
//! - **GW-7** A site's rule edits a message before anything else reads it, so that key, forwarded
//!   request and storing are those of one and the same message.
//! - **GW-8** Nothing but the request's head reaches an origin that was asked for a tunnel before
//!   its answer has opened it, by a protocol that was asked for.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

pub mod coalesce;
pub mod coding;
pub mod combine;
pub mod deliver;
pub mod explain;
pub mod fetch;
pub mod forward;
pub mod key;
pub mod lookup;
pub mod outcome;
pub mod plan;
pub mod purge;
pub mod recent;
pub mod reject;
pub mod relay;
pub mod rules;
pub mod site;
pub mod stored;
pub mod tags;
pub mod tunnel;
pub mod unshared;
pub mod websocket;

#[cfg(test)]
mod tests;

/// A field line: name as received and value without surrounding whitespace.
pub type Field<'a> = (&'a str, &'a [u8]);

/// The name by which this edge calls itself in `Via` (RFC 9110 section 7.6.3), `Cache-Status`
/// (RFC 9211 section 2) and its own error bodies.
pub const CACHE_NAME: &str = "longhold";
