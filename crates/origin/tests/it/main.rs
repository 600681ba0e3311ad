//! The fill plane against scripted origins on loopback: every byte that an origin sends here, and
//! every moment at which it closes, is written out in the test.

mod bodies;
mod framing;
mod limits;
mod reuse;
mod support;
mod timeouts;
mod tls;
mod tunnels;
mod uploads;
