//! What the benches measure against: the floor, and the peers where they are installed.
//!
//! **What it is.** The program `floor` (a bare io_uring responder), and the program `peers` with
//! the module [`peers`] behind it, which runs nginx, HAProxy and Varnish with sensible
//! configurations. `cargo xtask bench` drives both beside the edge. The program `threadpool` with
//! the module [`threadpool`] is the older architecture that `cargo xtask compare` sets it against.
//! The program `ladder` with the module [`ladder`] reads blocks of a file in six ways.
//! The programs `lookup` and `reopen` measure the store alone, and `trace` with the module
//! [`trace`] its eviction. The program `micro` with the module [`micro`] measures the parts of a
//! server's work that the sizing model is made of, and `tls` those of a TLS server.
//!
//! **What it is not.** No load (that is `conn-bomb`), no figures (those are printed by
//! `cargo xtask bench`, with command, commit, processor and kernel).

pub mod ladder;
pub mod micro;
pub mod peers;
pub mod threadpool;
pub mod trace;
