//! One suite for all transports: what [`Transport`] promises, held by each implementation.
//!
//! `suite` lists the cases, generic over a `Rig`: a transport with a way to reach it from the other
//! side. `on_uring`, `on_epoll` and `on_sim` are rigs; a further transport adds another one.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails on whatever it did not expect")]

mod driver;
mod ending;
mod kernel;
mod on_epoll;
mod on_sim;
mod on_uring;
mod opening;
mod payload;
mod receiving;
mod sending;
mod soak;
mod suite;
mod turning;
