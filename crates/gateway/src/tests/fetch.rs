//! What a response that is not stored means for the one that is.

use longhold_policy::storable::NotStored;

use crate::fetch::ends_reuse;

#[test]
fn only_what_is_of_the_resource_ends_the_use_of_a_stored_response() {
    for (reason, ends) in [
        (NotStored::Method, false),
        (NotStored::StatusNotFinal, false),
        (NotStored::Status, false),
        (NotStored::MustUnderstand, true),
        (NotStored::RequestNoStore, false),
        (NotStored::ResponseNoStore, true),
        (NotStored::Private, true),
        (NotStored::Authorization, false),
        (NotStored::VaryStar, true),
        (NotStored::NotExplicit, true),
        (NotStored::NoUse, true),
    ] {
        assert_eq!(ends_reuse(reason, 200), ends, "{reason:?}");
        assert_eq!(ends_reuse(reason, 404), ends, "{reason:?}");
        assert!(!ends_reuse(reason, 500) && !ends_reuse(reason, 503), "{reason:?}");
    }
}
