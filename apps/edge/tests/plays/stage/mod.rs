//! The stage: who plays, and what they can say.

mod body;
mod client;
mod edge;
mod origin;
mod sandbox;
mod secure;
mod secure_origin;
pub(crate) mod websocket;

use std::time::Duration;

pub(crate) use body::{body_of, digest};
pub(crate) use client::{Client, Response};
pub(crate) use edge::{Edge, Setting};
pub(crate) use origin::{Call, Origin, reply};
pub(crate) use secure::{Wanted, make_certificate, names_of};
pub(crate) use secure_origin::{SecureCall, SecureOrigin};

/// How long a play waits for an event before it counts as missing. Only a failing play waits so
/// long; it is generous because the machine may be busy, and below the timeouts that the edge has
/// by default, so that none of them can pass for the event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(25);

/// How long a play rests between two looks at something that has no event to wait for.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Fields that let a response be stored for an hour.
pub(crate) const FRESH: &str = "Cache-Control: max-age=3600";

/// Fields of a response that is stale on arrival and may be validated by its tag `"v1"`.
pub(crate) const STALE: [&str; 3] = ["Cache-Control: max-age=60", "Age: 100", "ETag: \"v1\""];
