//! Unit tests of the parts that need no transport.

mod buffers;
mod errors;
mod listen;
mod op;
mod payload;
mod probe;
