//! The crate from outside: handshakes and sessions between its own ends, against rustls, and
//! against the openssl program.

mod pair;
mod sessions;
