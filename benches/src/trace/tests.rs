//! Generators against their tables, policies against sequences worked by hand.

mod files;
mod generators;
mod policies;
