//! Set-up of the structured log: start-up, faults, drains. Not for single requests.
//!
//! It goes to stderr, so that stdout stays free for the access log. Writing blocks the caller while
//! stderr does: workers log faults of their own start and stop, and count everything else.

use std::io::IsTerminal as _;

use thiserror::Error;
use tracing_subscriber::fmt::MakeWriter;

pub use ::tracing::Level;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: one line, coloured on a terminal.
    #[default]
    Text,
    /// One JSON object a line, fields of the event at its top level.
    Json,
}

/// Why the log was not set up.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SetupError {
    /// Somebody has installed a subscriber before; it stays.
    #[error("a log subscriber is installed already")]
    AlreadySet,
}

/// Installs the log for the whole process: to stderr, from `level` upwards.
///
/// # Errors
/// [`SetupError::AlreadySet`] if a subscriber is installed already.
pub fn init(format: Format, level: Level) -> Result<(), SetupError> {
    let colour = std::io::stderr().is_terminal();
    ::tracing::subscriber::set_global_default(subscriber(format, level, colour, std::io::stderr))
        .map_err(|_| SetupError::AlreadySet)
}

/// The subscriber that [`init`] installs, with another writer; for tests and embedders.
pub fn subscriber<W>(
    format: Format,
    level: Level,
    colour: bool,
    writer: W,
) -> Box<dyn ::tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(colour)
        .with_writer(writer);
    match format {
        Format::Text => Box::new(builder.finish()),
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests;
