//! The manual: how the edge is made, how it is run, and why it is so.
//!
//! The pages are the Markdown files beside this one; `cargo doc --open -p longhold-edge` shows
//! them.

#[doc = include_str!("manual/architecture.md")]
pub mod architecture {}

#[doc = include_str!("manual/operations.md")]
pub mod operations {}

#[doc = include_str!("manual/decisions.md")]
pub mod decisions {}

#[doc = include_str!("manual/sizing.md")]
pub mod sizing {}

/// Every knob of the config file, from the one table that the edge itself reads.
#[doc = include_str!("config/knobs.md")]
pub mod knobs {}
