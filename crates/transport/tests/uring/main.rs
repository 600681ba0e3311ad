//! The io_uring reactor beyond what all transports share: shards, teardown, listeners, limits.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails on whatever it did not expect")]

mod listeners;
mod shards;
mod support;
mod teardown;
mod waits;
