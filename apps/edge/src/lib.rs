//! The edge: a caching HTTP reverse proxy, composed of the crates beneath it.
//!
//! This library is the binary's inside; others reuse the crates rather than this one. A reader
//! starts at [`worker`]: bytes in, decisions, bytes out, on one page. [`run`] puts the threads
//! together, [`fill`] talks to origins and writes the store, [`config`] says what can be set.

pub mod admin;
pub mod carrier;
pub mod cli;
pub mod config;
pub mod connections;
pub mod conns;
pub mod control;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod fill;
pub mod gate;
pub mod governor;
pub mod host;
pub mod inbox;
pub mod manual;
mod node;
pub mod observe;
pub mod outgoing;
pub mod paging;
pub mod pressure;
pub mod roster;
pub mod run;
#[cfg(feature = "sabotage")]
pub mod sabotage;
pub mod secure;
pub mod shared;
pub mod signals;
pub mod size;
pub mod store_tool;
pub(crate) mod stored;
pub mod top;
pub mod worker;
