//! The layer over a simulated network: clients are made of this crate's own handshakes and
//! sessions, so that they can misbehave.

mod established;
mod handshakes;
mod stage;
