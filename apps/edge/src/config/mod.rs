//! The config file: read, checked, and what it means in memory.
//!
//! Two stages: `raw` is what was typed, with places; [`checked`] is what it means, complete and in
//! base units. Between them stand the one table of [`knobs`] and the rules of [`fault`]. Nothing
//! is ignored in silence: an unknown key, a value out of bounds, two values that contradict each
//! other and a feature that this build lacks are each a fault with file, line, column and remedy.
//!
//! Invariants:
//! - CF-1: a [`Checked`] has passed every rule; what is built from it need not judge again.
//! - CF-2: every knob of the table is read, and every key that is read is in the table.
//! - CF-3: what `edge check` prints can be read back and means the same.
//! - CF-4: the admin token is never printed.
//!
//! # All keys
#![doc = include_str!("knobs.md")]

pub mod checked;
pub mod dump;
pub mod fault;
pub mod knobs;
pub mod memory;
pub mod source;
pub mod units;

mod check;
mod contradictions;
mod listeners;
mod names;
mod raw;
mod resolve;
mod rules;
mod shape;
mod sites;
mod store;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use check::check;
pub use checked::Checked;
pub use fault::{Fault, Faults};
pub use memory::MemoryPlan;
pub use names::parse_admin_address;
pub use source::Source;

use units::{Bytes, MIB};

/// Reads and checks a config file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path) -> Result<Checked, Faults> {
    check(&Source::read(path)?)
}

/// Largest config file that is read.
pub const FILE_BYTES_MAX: Bytes = Bytes(4 * MIB);
/// Listeners in one config.
pub const LISTENERS_MAX: usize = 64;
/// Certificates of one listener.
pub const CERTIFICATES_MAX: usize = 10_000;
/// Sites in one config.
pub const SITES_MAX: usize = 10_000;
/// Host patterns of one site.
pub const HOSTS_MAX: usize = 10_000;
/// Protocols in a site's `tunnel`.
pub const PROTOCOLS_MAX: usize = 64;
/// Rules of one site.
pub const RULES_MAX: usize = 1000;
/// Items of one list in a rule.
pub const RULE_ITEMS_MAX: usize = 100;
/// URLs of one origin.
pub const URLS_MAX: usize = 64;
/// Most addresses that an origin is connected to from.
pub const SOURCES_MAX: usize = 256;
/// Devices of one store.
pub const DEVICES_MAX: usize = 64;
/// Segments that a device holds at least.
pub const SEGMENTS_MIN: u64 = 8;
/// Segments that a store holds at most.
pub const SEGMENTS_MAX: u64 = 1 << 20;
/// What is printed in place of a secret.
pub const SECRET: &str = "(secret)";
