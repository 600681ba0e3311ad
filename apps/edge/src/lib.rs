//! The edge: a caching HTTP reverse proxy.

pub mod admin;
pub mod config;
pub mod control;
pub mod signals;
