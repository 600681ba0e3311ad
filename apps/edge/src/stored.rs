//! From a record of the store to the response that it holds, as it stands now.

use longhold_gateway::stored::{self, RecordHead, StoredHead};
use longhold_store::Record;

/// The response of a record; stale from now on if a soft purge concerns it. `None` for a vary base
/// and for what is none of ours. Costs one look at the record's head.
pub(crate) fn response_of(record: &Record, now_ms: u64) -> Option<StoredHead<'_>> {
    match stored::decode(record.head())? {
        RecordHead::Response(stored) if record.is_soft_purged() => Some(stored.soft_purged(now_ms)),
        RecordHead::Response(stored) => Some(stored),
        RecordHead::Vary(_) => None,
    }
}
