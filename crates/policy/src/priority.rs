//! `Priority` (RFC 9218): how urgent a response is, and whether it is of use before its end.
//!
//! The client says it in the request, the origin may change it in the response. An edge that sends
//! several responses at once orders them by it; one that does not passes the field on.

use crate::fields::Field;
use crate::structured::{self, Value};

/// What `Priority` says. The default is that of RFC 9218 section 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// 0, the most urgent, to 7 (RFC 9218 section 4.1).
    pub urgency: u8,
    /// Whether it can be processed as it arrives (RFC 9218 section 4.2).
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Reads the request's field. What is missing, unknown, out of range or of another type takes
    /// its default; a field that does not parse is ignored (RFC 9218 section 4).
    pub fn of_request(request: &[Field<'_>]) -> Self {
        Self::default().merged(request)
    }

    /// The client's priority with what the origin's response says in its place (RFC 9218 section
    /// 8): parameters that the response leaves out stay as the client wants them.
    #[must_use]
    pub fn merged(self, fields: &[Field<'_>]) -> Self {
        let mut merged = self;
        let mut take = |key: &[u8], value: Value<'_>| match (key, value) {
            (b"u", Value::Integer(urgency @ 0..=7)) => merged.urgency = urgency as u8,
            (b"i", Value::Boolean(incremental)) => merged.incremental = incremental,
            _ => {}
        };
        let parsed = structured::dictionary(fields, "priority", &mut take);
        parsed.map_or(self, |_| merged)
    }
}
