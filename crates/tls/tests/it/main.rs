//! The crate from outside: handshakes and sessions between its own ends, against rustls, and
//! against the openssl program.

mod differential;
mod handshakes;
mod pair;
mod peers;
mod programs;
mod sessions;
