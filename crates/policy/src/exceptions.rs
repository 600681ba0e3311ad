//! What the RFCs allow or recommend to a shared cache and this form does not do, each with its
//! reason.
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
pub const EXCEPTIONS: [Exception; 10] = [
    Exception {
        clause: "RFC 9110 15.3.7",
        what: "A 206 to a request with If-Range says all that the 200 would say of the \
               representation.",
        why: "The head is the same for every client of the part, and one that has lost what it \
              knew can read on.",
    },
    Exception {
        clause: "RFC 9111 3",
        what: "A response without a validator is not stored if it must be validated at each use, \
               or says nothing of its freshness and none can be guessed.",
        why: "Only a client that takes whatever is stored could get it, or none at all; storing \
              it would push out what is asked for.",
    },
    Exception {
        clause: "RFC 9111 3",
        what: "407, 408, 412, 416, 417, 421 and 426 are not stored, whatever the origin says.",
        why: "They answer fields or connections of one request that are no part of the key; \
              stored, one client's odd request would spoil the answer for all.",
    },
    Exception {
        clause: "RFC 9111 3.3",
        what: "A 206 with several parts, or without the length of the whole, is not stored.",
        why: "Its bytes could not be placed in the whole that later ranges are cut from.",
    },
    Exception {
        clause: "RFC 9111 3.3",
        what: "A 200 that is cut short is not stored as an incomplete response.",
        why: "A fault may have cut it anywhere; the next request fetches it anew.",
    },
    Exception {
        clause: "RFC 9111 4",
        what: "A response to HEAD is not stored as an answer to later HEADs.",
        why: "A stored GET answers HEAD, and a HEAD freshens it (4.3.5); without one, a HEAD is \
              cheap for the origin.",
    },
    Exception {
        clause: "RFC 9111 4.2.4",
        what: "Without stale-while-revalidate, stale-if-error, max-stale or a grace of the site's, \
               nothing stale is served, not even when the origin is gone.",
        why: "The RFC lets a disconnected cache do so; a site obeys its origin and nothing else \
              unless told.",
    },
    Exception {
        clause: "RFC 9111 4.3.1",
        what: "A variant that is missing is fetched without the entity tags of the other variants.",
        why: "Which of them a 304 would mean, the key cannot say: it is made from the request.",
    },
    Exception {
        clause: "RFC 9111 4.3.2",
        what: "The tags of a client's If-None-Match are not joined with the stored one's when the \
               stored response is validated.",
        why: "The client's condition is evaluated when the origin has answered, and the stored \
              response is brought up to date for all.",
    },
    Exception {
        clause: "RFC 9111 4.3.4",
        what: "A 304 without any validator freshens the response that the validation named.",
        why: "The RFC has a rule only for responses without validators; each validation here names \
              exactly one stored response, so that the 304 can mean no other.",
    },
];
