//! Plays: the built binary between a scripted origin and a client that counts bytes.
//!
//! Each test is a play of three: an [`stage::Origin`] whose every word the test says, the edge as a
//! child process with a config and a store of its own, and [`stage::Client`]s on bare sockets. A
//! play waits for events (bytes, calls at the origin, counters), never for time to pass; where time
//! itself is the subject, its bound is small and its test can only fail by coming too early.
//!
//! Not here: what a single crate promises, and the worker over a simulated network (`simulated`).

mod stage;

mod ambiguous;
mod carrier;
mod cold;
mod compression;
mod connections;
mod crowd;
mod drain;
mod exchange;
mod explain;
mod faults;
mod hits;
mod interim;
mod invalidation;
mod large;
mod leaving;
mod life;
mod pressure;
mod purge;
mod purge_groups;
mod purge_race;
mod purge_soft;
mod ranges;
mod refetch;
mod refusals;
mod requests;
mod rules;
mod secure;
mod secure_tunnels;
mod shared;
mod stale;
mod storage;
mod streams;
mod succession;
mod timeouts;
mod tunnels;
mod uploads;
mod validation;
mod vary;
