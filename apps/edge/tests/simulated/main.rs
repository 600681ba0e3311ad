//! The production worker over a simulated network: short reads and writes, resets, half-closes,
//! slow peers and virtual time, all from one seed; the fill plane is played by the test.
//!
//! What each test holds is named by the invariants of `longhold_edge::worker` (ED-1 … ED-5).

mod deadlines;
mod events;
mod hits;
mod ordered;
mod pages;
mod pressure;
mod stage;
mod streams;
mod tunnels;
