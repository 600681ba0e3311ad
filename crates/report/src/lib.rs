//! Pages of results: charts, tables and verdicts as one HTML file that needs nothing beside it.
//!
//! # What it is
//! ```text
//! Bars ─────────┐
//! Lines ────────┼─► Chart ─┐
//! Distribution ─┘          │
//! Fact, Table, Verdict ────┴─► Page ──► one HTML text
//! ```
//! A [`Page`] takes facts, verdicts, charts, tables and notes in the order in which a reader meets
//! them. Charts are SVG within the page, in its colours, light and dark.
//!
//! ```
//! use longhold_report::{Axis, Fact, Line, Lines, Page, Side, Unit};
//!
//! let held = Line::new("held", Side::Left, [(0.0, 0.0), (1.0, 900.0), (2.0, 1000.0)]);
//! let chart = Lines::over_time("Connections", Axis::linear(Unit::Count)).with(held).chart();
//! let mut page = Page::new("A hold");
//! page.facts(&[Fact::new("command", "conn-bomb hold …")]);
//! page.charts(&[chart]);
//! assert!(page.html().contains("<svg"));
//! ```
//!
//! # What it is not
//! It knows no result of ours, reads and writes no file, and holds no script: what a page shows is
//! there when it is opened.
//!
//! # Invariants
//! - **RP-1** A caller's text is shown as it stands and never becomes markup.
//! - **RP-2** A page is whole, and refers to nothing outside of it.
//! - **RP-3** Every number has a drawing: none panics, and what is no number is a gap or a dash.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bars;
pub mod distribution;
pub mod lines;
pub mod page;
mod scale;
pub mod text;

pub use bars::{Bar, Tone, bars, bars_up_to};
pub use distribution::{Curve, distribution};
pub use lines::{Axis, Line, Lines, Side};
pub use page::{Cell, Fact, Page, Table, Verdict};
pub use text::{Unit, escape, figure};

use alloc::string::String;

/// A drawing for a [`Page`]; only this crate makes them, so nothing in one is foreign markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chart {
    markup: String,
}
