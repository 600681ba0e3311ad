//! Closing the connections that have been parked for longest, so many at a time.
//!
//! One walk counts the parked by how long they have been idle, in classes; the next closes those of
//! the classes that make up the number. So two million connections need no list and no sorting.

use std::sync::Arc;

use longhold_conn::{CloseReason, State};

use crate::connections::{Going, walk};
use crate::roster::Member;

/// Closes about `wanted` of the connections that have been parked for longest, never more; how
/// many.
pub async fn close_oldest(roster: &[Arc<Member>], wanted: u64) -> u64 {
    let Some(idle_ms) = idle_of(roster, wanted).await else { return 0 };
    let mut closed = 0;
    walk(roster, |member, sight| {
        if closed == wanted {
            return Going::Enough;
        }
        if sight.state == State::Parked && sight.idle_ms >= idle_ms {
            closed += u64::from(member.close(sight.token, CloseReason::Overload));
        }
        Going::On
    })
    .await;
    closed
}

/// The idle time that at least `wanted` parked connections have reached, and the fewest more;
/// `None` when nobody is parked.
async fn idle_of(roster: &[Arc<Member>], wanted: u64) -> Option<u64> {
    let mut counts = [0_u64; CLASSES];
    walk(roster, |_, sight| {
        if sight.state == State::Parked {
            counts[class_of(sight.idle_ms)] += 1;
        }
        Going::On
    })
    .await;
    let mut reached = 0;
    let mut last = None;
    for (class, count) in counts.iter().enumerate().rev() {
        if *count > 0 {
            last = Some(class);
        }
        reached += count;
        if reached >= wanted {
            break;
        }
    }
    last.map(least_of)
}

/// Eight classes for each doubling of the idle time, from a tenth of a second.
fn class_of(idle_ms: u64) -> usize {
    let tenths = idle_ms / 100;
    if tenths < 8 {
        return tenths as usize;
    }
    let doublings = tenths.ilog2() - 3;
    let within = (tenths >> doublings) as usize & 7;
    (8 + doublings as usize * 8 + within).min(CLASSES - 1)
}

/// The least idle time of a class, ms.
fn least_of(class: usize) -> u64 {
    if class < 8 {
        return class as u64 * 100;
    }
    let (doublings, within) = ((class - 8) / 8, (class - 8) % 8);
    ((8 + within as u64) << doublings) * 100
}

/// Enough for years.
const CLASSES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_order_and_an_eighth_wide() {
        for class in 0..CLASSES - 8 {
            let least_ms = least_of(class);
            assert_eq!(class_of(least_ms), class);
            assert_eq!(class_of(least_of(class + 1) - 100), class);
            let wide_ms = least_of(class + 1) - least_ms;
            assert!(class < 8 || wide_ms * 8 <= least_ms, "{class}");
        }
        assert_eq!(class_of(u64::MAX), CLASSES - 1);
    }
}
