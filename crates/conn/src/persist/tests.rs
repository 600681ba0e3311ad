//! The product of what is left to read and what was said, whole (CN-6, CN-7).

use super::{After, RxEnd, TxEnd, persist};

const RX: [RxEnd; 5] =
    [RxEnd::Complete, RxEnd::BodyUnread, RxEnd::BodyWithheld, RxEnd::Ended, RxEnd::Broken];
const TX: [TxEnd; 4] = [TxEnd::KeepsAlive, TxEnd::ClosesAsAsked, TxEnd::Closes, TxEnd::Aborted];

#[test]
fn every_pair_has_an_outcome() {
    let mut table = format!("{:<13}", "rx \\ tx");
    for tx in TX {
        table += &format!(" {:<13}", format!("{tx:?}"));
    }
    for rx in RX {
        table += &format!("\n{:<13}", format!("{rx:?}"));
        for tx in TX {
            table += &format!(" {:<13}", format!("{:?}", persist(rx, tx)));
        }
    }
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
}

/// CN-6.
#[test]
fn only_a_request_read_whole_and_a_response_that_said_so_are_followed_by_a_request() {
    for rx in RX {
        for tx in TX {
            let reuses = matches!(persist(rx, tx), After::NextRequest | After::DrainBody);
            let may = tx == TxEnd::KeepsAlive && matches!(rx, RxEnd::Complete | RxEnd::BodyUnread);
            assert_eq!(reuses, may, "{rx:?} × {tx:?}");
        }
    }
    assert_eq!(persist(RxEnd::BodyUnread, TxEnd::KeepsAlive), After::DrainBody);
}
