//! x
#![allow(dead_code)]
mod hits;
mod shared;
mod stage;
