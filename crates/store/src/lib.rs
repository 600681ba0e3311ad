//! A memory-mapped, log-structured, checksummed object store.
