//! A report as text, as JSON, or as a page that needs no network.

mod html;
mod json;
mod text;

pub use html::page;
pub use json::json;
pub use text::text;

#[cfg(test)]
mod tests;
