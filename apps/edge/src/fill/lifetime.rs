//! How long a stored response is of use: what the store may drop without loss.

use longhold_policy::{StoredMeta, reuse};

/// After how many milliseconds a record of this response is of no use; `None` when that cannot be
/// said. The store puts records with a short life into segments of their own and drops those whole.
///
/// Without a validator a response is of use while it is fresh, and while it may be served stale.
/// With one it can come back to life by a 304, which spares its body; so it is kept for longer, but
/// not for ever: nearly every origin puts an `ETag` on everything, the playlist of two seconds and
/// the segment of six included, and those never come back. What says that it changes soon is its
/// lifetime: RFC 9111 section 4.2.2 takes a tenth of a response's age for it, so ten lifetimes are
/// the age at which it is expected to have changed. A page that is asked for once in ten lifetimes
/// is freshened, and lives anew. Responses that must be validated each time say nothing of when
/// they change.
pub(super) fn lifetime_ms(meta: &StoredMeta, now_ms: u64) -> Option<u64> {
    let stale_s = if meta.must_revalidate || meta.no_cache {
        0
    } else {
        u64::from(meta.stale_while_revalidate_s.max(meta.stale_if_error_s))
    };
    let left_s = u64::try_from(reuse::ttl_s(meta, now_ms)).unwrap_or(0);
    let use_s = match (meta.has_validator(), meta.no_cache || meta.lifetime_s == 0) {
        (true, true) => return None,
        (true, false) => left_s.max(u64::from(meta.lifetime_s) * LIFETIMES_KEPT),
        (false, true) => 0,
        (false, false) => left_s,
    };
    Some((use_s + stale_s) * 1000)
}

const LIFETIMES_KEPT: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// A response of this moment that is fresh for so many seconds.
    fn meta(lifetime_s: u32) -> StoredMeta {
        StoredMeta {
            status: 200,
            response_time_ms: 1_000_000,
            date_s: 1000,
            lifetime_s,
            ..StoredMeta::default()
        }
    }

    #[test]
    fn without_validator_it_is_of_use_while_it_may_be_served() {
        let live = StoredMeta { initial_age_s: 2, ..meta(6) };
        assert_eq!(lifetime_ms(&live, 1_000_000), Some(4000));
        assert_eq!(lifetime_ms(&live, 1_003_000), Some(1000));
        let stale = StoredMeta { stale_while_revalidate_s: 10, stale_if_error_s: 60, ..live };
        assert_eq!(lifetime_ms(&stale, 1_000_000), Some(64_000));
        let strict = StoredMeta { must_revalidate: true, ..stale };
        assert_eq!(lifetime_ms(&strict, 1_000_000), Some(4000));
        let useless = StoredMeta { no_cache: true, ..stale };
        assert_eq!(lifetime_ms(&useless, 1_000_000), Some(0));
    }

    #[test]
    fn with_validator_it_is_kept_for_a_304() {
        let playlist = StoredMeta { has_etag: true, ..meta(2) };
        assert_eq!(lifetime_ms(&playlist, 1_000_000), Some(20_000));
        let page = StoredMeta { has_last_modified: true, stale_if_error_s: 5, ..meta(3600) };
        assert_eq!(lifetime_ms(&page, 1_000_000), Some(36_005_000));
        let always_asked = StoredMeta { no_cache: true, ..page };
        assert_eq!(lifetime_ms(&always_asked, 1_000_000), None);
        let never_fresh = StoredMeta { lifetime_s: 0, ..page };
        assert_eq!(lifetime_ms(&never_fresh, 1_000_000), None);
    }
}
