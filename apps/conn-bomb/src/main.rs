//! Loads an edge and plays a scripted origin.
fn main() {}
