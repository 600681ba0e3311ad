//! The table of moves, whole (CN-2).

use super::{State, allows};

#[test]
fn every_move_is_allowed_or_refused_by_the_table() {
    let mut table = format!("{:<12}", "from \\ to");
    for to in State::ALL {
        table += &format!(" {:<11}", to.name());
    }
    for from in State::ALL {
        table += &format!("\n{:<12}", from.name());
        for to in State::ALL {
            table += &format!(" {:<11}", if allows(from, to) { "yes" } else { "-" });
        }
    }
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"));
}

#[test]
fn numbers_and_states_are_one_to_one() {
    for state in State::ALL {
        assert_eq!(State::from_u8(state as u8), Some(state));
    }
    for number in State::ALL.len() as u8..=u8::MAX {
        assert_eq!(State::from_u8(number), None);
    }
}

#[test]
fn every_state_can_be_left_and_reached() {
    for state in State::ALL {
        assert!(State::ALL.iter().any(|to| allows(state, *to)), "{state:?} is a dead end");
        assert!(State::ALL.iter().any(|from| allows(*from, state)), "{state:?} is unreachable");
        assert!(!allows(state, state), "{state:?} → itself is no move");
    }
}
