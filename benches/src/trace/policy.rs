//! The policies that are compared.
//!
//! Objects are known by dense numbers, and each has one size for ever: whoever changes its size has
//! another number.

mod lists;
mod queues;
mod s3fifo;
mod segments;

pub use queues::{Fifo, Lru};
pub use s3fifo::S3Fifo;
pub use segments::{Geometry, Large, Segments, Settings};

/// A cache that is asked for whole objects.
pub trait Policy {
    /// Asks for an object, and stores it if it was not there; says whether it was.
    fn request(&mut self, object: u32, bytes: u64) -> bool;

    /// What was written to disk so far, copies included.
    fn written_bytes(&self) -> u64;
}
