//! One suite for all transports: what [`Transport`] promises, held by each implementation.
//!
//! `suite` holds the cases, generic over a [`Rig`]: a transport with a way to reach it from the
//! other side. `on_uring` and `on_sim` are two rigs; a further transport adds a third.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails on whatever it did not expect")]

mod driver;
mod on_sim;
mod on_uring;
mod payload;
mod soak;
mod suite;
