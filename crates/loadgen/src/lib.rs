//! The load engine behind conn-bomb.
