//! Strict HTTP/1.1 syntax (RFC 9112): bytes to heads, heads to bytes, and where a body ends.
//!
//! What it is: [`parse_request`] and [`parse_response`] turn the front of a byte stream into a
//! head that borrows from it; [`Chunked`] takes the chunked coding off; [`target`] makes the one
//! normal form of a request target; [`emit`] writes heads and chunk headers. `httparse` scans the
//! fields; every rule about meaning is ours and stricter.
//!
//! What it is not: it keeps no connection state (that is `longhold-conn`), it knows no method's,
//! status' or cache directive's meaning beyond framing (`longhold-policy`), and it has no clock,
//! socket or file. A head of usual size is parsed without allocation.
//!
//! # Invariants
//! - **H1-1** One reading: a message that two recipients could frame or route differently is
//!   refused with a [`Reject`]; no octet is repaired, ignored or guessed.
//! - **H1-2** Cuts do not matter: a prefix of a message gives either "more bytes needed" or the
//!   very verdict of the whole.
//! - **H1-3** Every line ends with CRLF; no CR or LF stands alone, and no NUL, other control
//!   character or line fold gets into a name, a value, a target or a trailer.
//! - **H1-4** A head never takes more than [`Limits::head_bytes_max`] bytes and
//!   [`FIELDS_MAX`] fields, a chunk line or a trailer section never more than its limit; the byte
//!   beyond is refused as soon as it is seen.
//! - **H1-5** Nothing that a peer sends makes this crate panic, and nothing but a head of more than
//!   24 fields, or of a later version than HTTP/1.1, makes it allocate: a table of at most
//!   [`FIELDS_MAX`].
//! - **H1-6** A head that [`emit::HeadWriter`] wrote has exactly the field lines that were put in:
//!   no name or value can end its line or the head.
//! - **H1-7** The normal form of a target is its own normal form.
//!
//! # Proof
//! `tests/corpus/` holds some 400 ambiguous messages with the one verdict on each: requests that
//! smuggle others, responses that split, odd lengths, codings, chunks, line ends, hosts, targets.
//! They are read whole, cut in two at every byte and byte by byte, and compared with hyper's
//! parser, as are mutations of them; the plays of the edge send each to a running edge. What the
//! RFCs ask stands in `xtask/requirements/`.
//!
//! # Example
//! ```
//! use longhold_http1::{BodyFraming, Limits, parse_request};
//!
//! let input = b"POST /a HTTP/1.1\r\nHost: example.com\r\nContent-Length: 3\r\n\r\nabc";
//! let head = parse_request(input, &Limits::default()).unwrap().unwrap();
//! assert_eq!(head.method, "POST");
//! assert_eq!(head.target.authority, "example.com");
//! assert_eq!(head.framing, BodyFraming::Length(3));
//! assert_eq!(&input[head.head_bytes..], b"abc");
//!
//! // A prefix needs more bytes; what has two readings is refused at once.
//! assert!(parse_request(b"GET / HT", &Limits::default()).unwrap().is_none());
//! let refused = parse_request(b"GET / HTTP/1.1\nHost: a\n\n", &Limits::default()).unwrap_err();
//! assert_eq!((refused.status(), refused.clause()), (400, "RFC 9112 section 2.2"));
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)
)]

extern crate alloc;

mod chunked;
pub mod emit;
mod error;
mod field;
mod framing;
pub mod fuzzing;
mod head;
mod limits;
mod response;
mod scan;
pub mod target;

pub use chunked::{ChunkEvent, Chunked};
pub use error::Reject;
pub use field::{Field, FieldTable};
pub use framing::BodyFraming;
pub use head::{RequestHead, Version, parse_request};
pub use limits::{FIELDS_MAX, Limits, METHOD_BYTES_MAX};
pub use response::{ResponseHead, parse_response};
pub use target::{Target, TargetForm};

#[cfg(test)]
mod tests;
