//! The store from outside: a model, crash images, faults, pins, and a child that is killed.
#![cfg(not(loom))]

mod check;
mod cold;
mod compact;
mod crash;
mod devices;
mod edge_devices;
mod fault;
mod flip;
mod forged;
mod full;
mod interleave;
mod kill;
mod leftover;
mod model;
mod open;
mod pace;
mod pager;
mod pins;
mod poison;
mod purge;
mod reread;
mod slices;
mod snapshot;
mod support;
mod tier;
mod together;
mod truncate;
