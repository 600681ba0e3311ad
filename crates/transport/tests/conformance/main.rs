//! One suite for all transports: what [`Transport`] promises, held by each implementation.
//!
//! `suite` holds the cases, generic over a [`Rig`]: a transport with a way to reach it from the
//! other side. `on_uring`, `on_epoll` and `on_sim` are rigs; a further transport adds another one.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails on whatever it did not expect")]

mod driver;
mod kernel;
mod on_epoll;
mod on_sim;
mod on_uring;
mod payload;
mod soak;
mod suite;
