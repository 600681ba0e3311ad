//! The load engine behind `conn-bomb`: loads a server on this machine and verifies every byte.
//!
//! **What it is.** Loads over one [`Transport`]: [`hold`](hold::hold) opens many keep-alive
//! connections that make a request each and then rest, [`rate`](rate::rate) asks and asks again on
//! a few, [`open`](open::open) asks by a schedule that does not wait for the server,
//! [`waves`](waves::waves) come, all go at once, and come back. Both loops ask for one URL or for
//! the many of a [`catalog`]. They verify status, length and hash of every answer, count what was
//! wrong by name, and keep the first faults as evidence. What badly behaved peers do is
//! [`storm`](storm::storm), which tells what became of each. Loads speak HTTP or, to a `ws://`
//! target, WebSocket, or hear streams of [`events`]; for the latter two [`echo`] is an origin that
//! holds as many; all over TLS 1.3, too ([`dial`]). [`content`] is what the scripted origin serves,
//! so that a load knows the right bytes beforehand; [`sampler`] reads what a server process costs,
//! and a [`series`] keeps it second by second.
//!
//! **What it is not.** No tool against hosts of others: a target is a loopback address unless its
//! owner says that it is theirs. It asserts nothing; that is for those who read its reports.
//!
//! ```text
//!   hold ─┐ commands   ┌────────┐ commands  ┌───────────┐
//!         ├──────────► │ driver │ ────────► │ transport │ ◄──► server
//!   rate ─┘ ◄───────── └────────┘ ◄──────── └───────────┘
//!             events     reader, timeouts    completions
//! ```
//!
//! # Invariants
//! - **LG-1** No byte goes to an address outside 127.0.0.0/8 and `::1`, unless whoever runs the
//!   load has said that the host there is their own ([`target::Reach::OwnHosts`]).
//! - **LG-2** An answer counts as right only if its status is 200 and length and hash of its body
//!   are those expected; each other outcome of a request is exactly one counted fault, or shows as
//!   unfinished.
//! - **LG-3** Memory is bounded by the plan: about 20 bytes per connection (32 in a storm, 16 more
//!   for an event stream, 132 more over TLS), a receive buffer and a reader per active one, and 16
//!   bytes per key.
//! - **LG-4** A load ends: connects, answers, the whole and the closing have time limits.
//! - **LG-5** Nothing that a server sends, omits or breaks off makes a load panic.
//! - **LG-6** Each request of an open loop's schedule is answered right, failed, never sent or left
//!   unanswered, exactly one of them; its latency begins when it was due.
//!
//! [`Transport`]: longhold_transport::Transport

pub mod answer;
pub mod arrivals;
pub mod cache_status;
pub mod catalog;
pub mod content;
pub mod dial;
pub mod echo;
pub mod events;
pub mod fault;
pub mod histogram;
pub mod hold;
pub mod open;
pub mod plan;
pub mod rate;
pub mod sampler;
pub mod series;
pub mod storm;
pub mod target;
pub mod verify;
pub mod waves;

mod chance;
mod driver;
mod journal;
#[cfg(test)]
mod scripted;
mod slots;
mod tally;
mod websocket;
mod zipf;

pub use tally::Answers;
