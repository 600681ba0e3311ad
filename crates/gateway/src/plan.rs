//! The first decision about a request: look it up, pass it on, answer it here or refuse it.

use longhold_http1::{BodyFraming, RequestHead, TargetForm};
use longhold_policy::directives::RequestDirectives;
use longhold_policy::{fields, method, validate};

use crate::outcome::Fwd;

/// What of a request matters to the exchange's later decisions; plain data.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// `Cache-Control` and `Pragma` of the request.
    pub directives: RequestDirectives,
    /// The method is HEAD.
    pub is_head: bool,
    /// A conditional field is present (RFC 9110 section 13.1).
    pub is_conditional: bool,
    /// A `Range` field is present.
    pub is_ranged: bool,
}

/// What to do with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Look the key up in the store.
    Lookup,
    /// Forward it and store nothing.
    Pass(Fwd),
    /// Answer `OPTIONS` here (RFC 9110 section 9.3.7): 204 with `Allow`.
    AnswerOptions,
    /// Open a tunnel where the site lets one through; elsewhere we are no tunnel, and the request
    /// is understood and not supported: 501 (RFC 9110 section 9.3.6).
    Connect,
    /// Refuse it with this status.
    Reject(u16),
}

/// Decides by method, target form and body (RFC 9110 section 9, RFC 9111 section 4).
pub fn plan(head: &RequestHead<'_>) -> (Plan, Facts) {
    let received: &[crate::Field<'_>] = &head.fields;
    let facts = Facts {
        directives: RequestDirectives::from_fields(received),
        is_head: head.method == "HEAD",
        is_conditional: validate::is_conditional(received),
        is_ranged: received.iter().any(|(name, _)| name.eq_ignore_ascii_case("range")),
    };
    (decide(head, received), facts)
}

fn decide(head: &RequestHead<'_>, received: &[crate::Field<'_>]) -> Plan {
    match head.target.form {
        TargetForm::Authority => return Plan::Connect,
        TargetForm::Asterisk => return Plan::AnswerOptions,
        TargetForm::Origin | TargetForm::Absolute => {}
    }
    match head.method {
        // RFC 9110 section 9.3.8: a TRACE would echo fields that the edge adds; never enabled.
        "TRACE" => Plan::Reject(405),
        // RFC 9110 section 7.6.2: Max-Forwards 0 makes us the final recipient.
        "OPTIONS" if max_forwards(received) == Some(0) => Plan::AnswerOptions,
        name if !method::is_cacheable(name) => Plan::Pass(Fwd::Method),
        // RFC 9111 section 4.3.2: these conditions are the origin's to evaluate.
        _ if validate::is_for_origin(received) => Plan::Pass(Fwd::Request),
        // What the origin sees then lacks fields that a variant's key would be made of.
        _ if strips_end_to_end(received) => Plan::Pass(Fwd::Bypass),
        // RFC 9110 section 9.3.1: content in a GET has no meaning that a key could hold.
        _ if has_content(head.framing) => Plan::Pass(Fwd::Bypass),
        _ => Plan::Lookup,
    }
}

/// Whether `Connection` names a field of the request that is not hop-by-hop by itself.
fn strips_end_to_end(received: &[crate::Field<'_>]) -> bool {
    fields::connection_options(received).any(|option| {
        received.iter().any(|(name, _)| {
            name.as_bytes().eq_ignore_ascii_case(option) && !fields::is_hop_by_hop(name)
        })
    })
}

/// Whether the request announces content.
pub fn has_content(framing: BodyFraming) -> bool {
    match framing {
        BodyFraming::None | BodyFraming::Length(0) => false,
        BodyFraming::Length(_) | BodyFraming::Chunked | BodyFraming::UntilClose => true,
    }
}

/// Whether `Max-Forwards` means something with this method; with others it is a field like any
/// (RFC 9110 section 7.6.2).
pub(crate) fn counts_hops(method: &str) -> bool {
    matches!(method, "OPTIONS" | "TRACE")
}

/// The `Max-Forwards` of an `OPTIONS` or `TRACE` (RFC 9110 section 7.6.2); malformed is absent,
/// and one beyond what is counted here is the most that is.
pub(crate) fn max_forwards(fields: &[crate::Field<'_>]) -> Option<u64> {
    let (_, value) = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("max-forwards"))?;
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(core::str::from_utf8(value).ok()?.parse().unwrap_or(u64::MAX))
}
