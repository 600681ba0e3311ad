//! What a shared cache may or should do and this form does not, each with its reason.
//!
//! All are on the careful side: something is not stored, not reused, or asked of the origin, though
//! the RFC would allow more. None lets a response be used where the RFC forbids it.

/// One departure from what an RFC allows or recommends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// Where the RFC says it.
    pub clause: &'static str,
    /// What is not done.
    pub what: &'static str,
    /// Why, and what happens instead.
    pub why: &'static str,
}

/// All of them, by clause.
pub const EXCEPTIONS: [Exception; 9] = [
    Exception {
        clause: "RFC 9110 8.8.3.1",
        what: "An ETag that breaks the grammar is not used as a validator.",
        why: "Its comparison is undefined; Last-Modified is used, or the object is fetched anew.",
    },
    Exception {
        clause: "RFC 9110 9.3.3",
        what: "Responses to POST are not stored, not even with freshness and Content-Location.",
        why: "The body of the request would have to be read and matched; POST always goes through.",
    },
    Exception {
        clause: "RFC 9111 3",
        what: "A response that would be stale on arrival, or no-cache, is not stored without a \
               validator.",
        why: "It could not be used but under max-stale; storing it would push useful objects out.",
    },
    Exception {
        clause: "RFC 9111 3",
        what: "407, 408, 412, 416, 417, 421 and 426 are not stored, whatever the origin says.",
        why: "They answer fields or connections of one request that are no part of the key.",
    },
    Exception {
        clause: "RFC 9111 3.3",
        what: "206 and incomplete responses are not stored, and parts are not combined.",
        why: "Each part would need its own record; a range miss goes to the origin.",
    },
    Exception {
        clause: "RFC 9111 4",
        what: "Responses to HEAD are not stored, and a HEAD does not freshen a stored GET (4.3.5).",
        why: "A stored GET answers HEAD; a HEAD miss goes to the origin and stores nothing.",
    },
    Exception {
        clause: "RFC 9111 4.2.4",
        what: "Without stale-if-error or max-stale nothing stale is served, not even when the \
               origin is gone; and s-maxage prohibits it even beside stale-while-revalidate.",
        why: "A site obeys its origin and nothing else unless told; s-maxage is listed as a \
              prohibition.",
    },
    Exception {
        clause: "RFC 9111 4.3.4",
        what: "A 304 without any validator freshens the response that the validation named.",
        why: "The RFC has a rule only for responses without validators; each validation here names \
              exactly one stored response, so that the 304 can mean no other.",
    },
    Exception {
        clause: "RFC 9111 4.4",
        what: "Location and Content-Location of unsafe requests invalidate nothing.",
        why: "The RFC leaves it to the cache; the target itself is always invalidated.",
    },
];
