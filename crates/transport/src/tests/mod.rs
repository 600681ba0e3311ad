//! Unit tests of the parts that need no transport.
