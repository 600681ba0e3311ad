//! What an answer must be, and whether it is: status, length and hash of every body.

use crate::answer::Answer;
use crate::content::Content;
use crate::fault::Fault;
use crate::target::{Dialect, Target};

/// How a load knows what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// This, from the first answer on.
    Known(Body),
    /// Whatever the first answer with status 200 brings.
    FirstAnswer,
    /// Nothing more: whoever reads an answer compares it whole.
    Compared,
}

/// A body by what can be checked of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Body {
    /// Length in bytes.
    pub length_bytes: u64,
    /// XXH3 (64 bits) of the bytes.
    pub hash: u64,
}

impl Expectation {
    /// [`Known`](Self::Known) for a target whose body follows from its path ([`Content`]), else
    /// [`FirstAnswer`](Self::FirstAnswer); of a WebSocket every answer is known, and of a stream
    /// every event. Cost: generating the body once.
    pub fn of_target(target: &Target) -> Self {
        match target.dialect() {
            Dialect::WebSocket | Dialect::Events => return Self::Compared,
            Dialect::Http => {}
        }
        Self::of_path(target.path())
    }

    /// The same for the path of a request.
    pub(crate) fn of_path(path: &str) -> Self {
        Content::of_target(path).map_or(Self::FirstAnswer, |content| {
            Self::Known(Body { length_bytes: content.length_bytes(), hash: content.hash() })
        })
    }

    /// The most body bytes that an answer may have, once that is known.
    pub(crate) fn length_bytes_max(&self) -> u64 {
        match self {
            Self::Known(body) => body.length_bytes,
            Self::FirstAnswer | Self::Compared => u64::MAX,
        }
    }

    /// Checks one answer. The first right one settles what all later ones must be.
    ///
    /// # Errors
    /// [`Fault::WrongStatus`], [`Fault::WrongLength`] or [`Fault::WrongBody`], the first that
    /// applies in this order.
    pub fn check(&mut self, answer: &Answer) -> Result<(), Fault> {
        if *self == Self::Compared {
            return Ok(());
        }
        if answer.status != STATUS_OK {
            return Err(Fault::WrongStatus { found: answer.status });
        }
        match *self {
            Self::FirstAnswer => {
                *self = Self::Known(answer.body);
                Ok(())
            }
            Self::Known(body) if answer.body.length_bytes != body.length_bytes => {
                Err(Fault::WrongLength { found_bytes: answer.body.length_bytes })
            }
            Self::Known(body) if answer.body.hash != body.hash => {
                Err(Fault::WrongBody { found_hash: answer.body.hash })
            }
            Self::Known(_) | Self::Compared => Ok(()),
        }
    }
}

const STATUS_OK: u16 = 200;

#[cfg(test)]
mod tests;
