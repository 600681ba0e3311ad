//! Where the body of a stream ends: its bytes go on as they came, and are only looked at.

use longhold_http1::{ChunkEvent, Chunked, Limits, Reject};

/// Watches a body for its end; plain data, kept while its stream is parked.
#[derive(Clone, Debug)]
pub enum Watch {
    /// So many bytes are left, at least one.
    Length(u64),
    /// The chunked coding, with its framing.
    Chunked(Chunked),
    /// It ends with the connection.
    UntilClose,
}

const _: () = assert!(size_of::<Watch>() <= 24);

/// What of the bytes shown belongs to the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// All, and more may come.
    All,
    /// So many, and then it is over.
    Last(usize),
}

impl Watch {
    /// Looks at the next bytes.
    ///
    /// # Errors
    /// The rule of the coding that they break: nothing of them can be believed.
    pub fn pass(&mut self, bytes: &[u8], limits: &Limits) -> Result<Passed, Reject> {
        match self {
            Self::UntilClose => Ok(Passed::All),
            Self::Length(left) => {
                let come = bytes.len() as u64;
                if come >= *left {
                    let last = usize::try_from(*left).unwrap_or(bytes.len());
                    *left = 0;
                    return Ok(Passed::Last(last));
                }
                *left -= come;
                Ok(Passed::All)
            }
            Self::Chunked(chunked) => {
                let mut at = 0;
                loop {
                    let rest = bytes.get(at..).unwrap_or(&[]);
                    match chunked.decode(rest, limits)? {
                        (used, ChunkEvent::Data(_)) => at += used,
                        (_, ChunkEvent::NeedMore) => return Ok(Passed::All),
                        (used, ChunkEvent::End) => return Ok(Passed::Last(at + used)),
                    }
                }
            }
        }
    }

    /// Whether the connection's end is the body's.
    pub const fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }
}

#[cfg(test)]
mod tests;
