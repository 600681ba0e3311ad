//! The load engine behind conn-bomb.
pub mod content;
