//! The edge: a caching HTTP reverse proxy.

pub mod config;
pub mod signals;
