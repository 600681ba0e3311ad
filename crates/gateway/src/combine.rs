//! Parts of one and the same representation become one (RFC 9111 section 3.4, RFC 9110 section
//! 15.3.7.3).

use core::ops::Range;

use longhold_policy::validate::Validators;
use longhold_policy::{Part, StoredMeta, part};

use crate::stored::StoredHead;

/// What two parts make together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Union {
    /// Which bytes of the whole, and how many that has.
    pub range: Range<u64>,
    /// Bytes of the whole.
    pub complete_len: u64,
    /// Of the older part, what lies in front of the newer; may be empty.
    pub before: Range<u64>,
    /// Of the older part, what lies behind the newer; may be empty.
    pub behind: Range<u64>,
}

impl Union {
    /// What is remembered of it: `newer` with this part, or a whole response if nothing is missing.
    pub fn meta(&self, newer: &StoredMeta) -> StoredMeta {
        let is_whole = self.range == (0..self.complete_len);
        let part = Part::new(self.range.clone(), self.complete_len).filter(|_| !is_whole);
        StoredMeta { status: 200, part, ..*newer }
    }
}

/// Whether a stored part and a newer one, which has the bytes `newer`, go together: both of the
/// same length, with the same strong validator, and without a gap between them.
pub fn union(older: &StoredHead<'_>, newer: Part, validators: &Validators<'_>) -> Option<Union> {
    let held = older.meta.part?;
    let (old, new) = (held.range(), newer.range());
    let touches = old.start <= new.end && new.start <= old.end;
    let is_same = held.complete_len() == newer.complete_len()
        && part::may_combine(&older.validators(), validators);
    (touches && is_same).then(|| Union {
        range: old.start.min(new.start)..old.end.max(new.end),
        complete_len: held.complete_len(),
        before: old.start..new.start.max(old.start),
        behind: new.end.min(old.end)..old.end,
    })
}

/// Which bytes a stored part lacks, where it lacks them at one end only.
pub fn gap(stored: &StoredHead<'_>) -> Option<Range<u64>> {
    let held = stored.meta.part?;
    let (range, len) = (held.range(), held.complete_len());
    match (range.start == 0, range.end == len) {
        (true, false) => Some(range.end..len),
        (false, true) => Some(0..range.start),
        (true, true) | (false, false) => None,
    }
}
