//! HTTP caching rules (RFC 9111 and its companions) as pure functions.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod date;
pub mod directives;
pub mod exceptions;
pub mod fields;
pub mod freshen;
pub mod freshness;
pub mod invalidate;
mod meta;
pub mod method;
pub mod range;
pub mod reuse;
pub mod status;
pub mod storable;
pub mod validate;
pub mod vary;

pub use fields::Field;
pub use meta::StoredMeta;
