//! Entry points of the fuzz targets: any bytes go in, the invariants are asserted. The committed
//! corpus runs through them in the ordinary tests too.

pub(crate) mod forge;
mod handshake;
mod parked;
mod record;

pub use handshake::{Ends, fuzz_handshake};
pub use parked::fuzz_parked;
pub use record::fuzz_record;

#[cfg(test)]
mod tests;
