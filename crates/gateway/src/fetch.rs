//! The origin has answered: store and share the response, or hand it to the one who asked.

use alloc::string::String;
use alloc::vec::Vec;

use longhold_http1::{Target, TargetForm};
use longhold_policy::storable::{self, Exchange, NotStored, Rules};
use longhold_policy::vary::{self, Vary};
use longhold_policy::{StoredMeta, invalidate};

use crate::{Field, key};

/// What becomes of an origin's response to a fill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Store it, and share it with followers whose request selects it.
    Store {
        /// For the record's head.
        meta: StoredMeta,
        /// Nominated field names, lower case, comma separated; empty when it does not vary.
        nominated: String,
    },
    /// For the asker alone.
    Alone(NotStored),
}

/// Decides by RFC 9111 section 3. `Vary: *` never matches a later request, so it is not stored.
pub fn dispose(exchange: &Exchange<'_>, rules: &Rules) -> Disposition {
    let evaluated = match exchange.status {
        // RFC 9111 section 3.3.
        206 => storable::evaluate_part(exchange, rules),
        _ => storable::evaluate(exchange, rules),
    };
    let meta = match evaluated {
        Ok(meta) => meta,
        Err(reason) => return Disposition::Alone(reason),
    };
    with_nominated(exchange, meta)
}

fn with_nominated(exchange: &Exchange<'_>, meta: StoredMeta) -> Disposition {
    let mut nominated = String::new();
    match vary::of(exchange.response) {
        Vary::None => {}
        Vary::Star => return Disposition::Alone(NotStored::VaryStar),
        Vary::Fields => vary::nominated(exchange.response, &mut |name| {
            if !nominated.is_empty() {
                nominated.push(',');
            }
            nominated.push_str(name);
        }),
    }
    Disposition::Store { meta, nominated }
}

/// The same for the response to a POST, which may be the answer to later GETs of its target (RFC
/// 9110 section 9.3.3). `primary` is the target's key.
pub fn dispose_post(exchange: &Exchange<'_>, primary: &[u8], rules: &Rules) -> Disposition {
    let Some(base) = key::base(primary) else { return Disposition::Alone(NotStored::Method) };
    match storable::evaluate_post(exchange, &base, rules) {
        Ok(meta) => with_nominated(exchange, meta),
        Err(reason) => Disposition::Alone(reason),
    }
}

/// The primary keys whose stored responses a successful unsafe request makes invalid: its target's,
/// and those of what `Location` and `Content-Location` name on the same origin (RFC 9111 section
/// 4.4). `primary` is the target's key.
pub fn invalidated(primary: &[u8], response: &[Field<'_>]) -> Vec<Vec<u8>> {
    let mut keys = Vec::from([Vec::from(primary)]);
    if let Some(base) = key::base(primary) {
        invalidate::targets(&base, response, &mut |path_and_query| {
            let target = Target {
                raw: path_and_query,
                form: TargetForm::Origin,
                scheme: None,
                authority: base.authority,
                path_and_query,
            };
            let mut key = Vec::new();
            if key::write_primary(&mut key, base.scheme, &target).is_ok() {
                keys.push(key);
            }
        });
    }
    keys
}

/// Whether a response that is not stored for `reason` ends the use of the stored one that the fetch
/// was to validate or replace (RFC 9111 section 4.3.3). It does when it is the resource that has
/// changed; what is only about the request at hand must not let one client evict what others use.
/// An error of the origin's (5xx) says nothing of the resource.
pub fn ends_reuse(reason: NotStored, status: u16) -> bool {
    is_of_resource(reason) && status < 500
}

/// Whether a response that is not stored for `reason` says that of later ones, too, so that their
/// requests need not wait for each other. What is about the request at hand says nothing.
pub fn is_of_resource(reason: NotStored) -> bool {
    match reason {
        NotStored::Method
        | NotStored::RequestNoStore
        | NotStored::Authorization
        | NotStored::Failure
        | NotStored::Part
        | NotStored::Status
        | NotStored::StatusNotFinal => false,
        NotStored::MustUnderstand
        | NotStored::ResponseNoStore
        | NotStored::Private
        | NotStored::SetCookie
        | NotStored::VaryStar
        | NotStored::NotExplicit
        | NotStored::NoUse => true,
    }
}
