//! The cost tables of the article that this project starts from, with the arithmetic set right.
//!
//! It compares an older edge with a newer one over three years, in its own unit of money. Its
//! items are taken as it has them; what it made of them does not add up.

use alloc::format;
use alloc::vec::Vec;

use crate::amount::{Amount, Section, Term};
use crate::cost::{Bill, Return};
use crate::unit::Unit;

/// Both bills, the return, and where the article's sums differ.
#[must_use]
pub fn sections() -> Vec<Section> {
    let (old, new) = bills();
    let investment = Amount::exact(INVESTMENT, Unit::Money);
    let found = Return::of(&old, &new, &investment).section;
    let (old_cost, new_cost) = (old.cost(), new.cost());
    let differences = differences(&old_cost, &new_cost, &found);
    let old_cost = Section { id: "other_cost", ..old_cost };
    alloc::vec![old_cost, new_cost, found.noting(INVESTMENT_NOTE), differences]
}

fn bills() -> (Bill, Bill) {
    let older = Bill::stated("the article's older edge", [135.0, 18.0, 4.2], YEARS);
    let newer = Bill::stated("the article's newer edge", [45.0, 6.0, 1.4], YEARS);
    (older, newer)
}

/// Each of its results beside ours.
fn differences(old: &Section, new: &Section, found: &Section) -> Section {
    let likely =
        |section: &Section, id: &str| section.find(id).map_or(0.0, |term| term.amount.value.likely);
    let row = |id, name, ours: f64, stated: f64, unit: Unit| {
        let difference = Amount::exact(ours, unit).less(&Amount::exact(stated, unit));
        // Sums of tenths carry a speck of the machine's own.
        let value =
            (difference.value.likely * 1000.0 + if ours < stated { -0.5 } else { 0.5 }) as i64;
        let value = crate::range::Range::exact(value as f64 / 1000.0);
        Term::new(id, name, Amount::told(value, unit, difference.sum().into()))
    };
    let (saved, ratio) = (likely(found, "saved"), likely(found, "return"));
    let own = (STATED_SAVED - INVESTMENT) / INVESTMENT;
    let terms = alloc::vec![
        row(
            "older",
            "older edge: sum less what it states",
            likely(old, "total"),
            STATED_OLD,
            Unit::Money
        ),
        row(
            "newer",
            "newer edge: sum less what it states",
            likely(new, "total"),
            STATED_NEW,
            Unit::Money
        ),
        row("saved", "saved: difference less what it states", saved, STATED_SAVED, Unit::Money),
        row(
            "own",
            "return by its formula on its own figures, less what it states",
            own,
            STATED_RETURN,
            Unit::Ratio
        ),
        row(
            "return",
            "return on the right figures, less what it states",
            ratio,
            STATED_RETURN,
            Unit::Ratio
        ),
    ];
    Section::new("differences", "Where the article's sums differ", terms)
        .noting(&format!(
            "It states {STATED_OLD} for the older edge. Hardware and energy leave 45 of it for \
             three years of operations, for which it has 18 a year, which is 54: the missing 9 is \
             half a year."
        ))
        .noting(&format!(
            "It states {STATED_NEW} for the newer one. Hardware and energy leave 12 for operations \
             at 6 a year, which is 18: the missing 6 is a whole year. No one number of years \
             explains both, so these are slips and no other period."
        ))
        .noting(&format!(
            "Its {STATED_SAVED} is the difference of its two wrong sums. Of that its formula makes \
             3.61, and of the right difference 3.72; for {STATED_RETURN} it would have had to save \
             about 130.2, which no pair of its figures does."
        ))
}

const YEARS: f64 = 3.0;
/// See [`INVESTMENT_NOTE`].
const INVESTMENT: f64 = 28.5;
const INVESTMENT_NOTE: &str = "The investment is inferred: 28.5 is the one amount, to a tenth, for \
                               which (saved − investment) ÷ investment makes 3.61 of the \
                               article's own 131.4 and 3.72 of 134.4.";
const STATED_OLD: f64 = 192.6;
const STATED_NEW: f64 = 61.2;
const STATED_SAVED: f64 = 131.4;
const STATED_RETURN: f64 = 3.57;

#[cfg(test)]
mod tests {
    use super::{INVESTMENT, bills, sections};
    use crate::amount::Amount;
    use crate::cost::Return;
    use crate::unit::Unit;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 0.005, "{found} for {expected}");
    }

    #[test]
    fn its_items_make_201_6_and_67_2_and_save_134_4_at_3_72() {
        let (old, new) = bills();
        near(old.cost().total().value.likely, 201.6);
        near(new.cost().total().value.likely, 67.2);
        let found = Return::of(&old, &new, &Amount::exact(INVESTMENT, Unit::Money));
        near(found.saved.likely, 134.4);
        near(found.ratio.expect("there is an investment").likely, 3.72);
        let sums: Vec<_> = old.cost().terms.iter().map(|it| it.amount.sum().to_owned()).collect();
        assert_eq!(sums, ["", "18 × 3 years", "4.2 × 3 years"]);
    }

    #[test]
    fn each_difference_is_what_it_is_said_to_be() {
        let all = sections();
        let differences = all.last().expect("four sections");
        for (id, expected) in
            [("older", 9.0), ("newer", 6.0), ("saved", 3.0), ("own", 0.04), ("return", 0.15)]
        {
            let found = differences.find(id).expect("a row").amount.value.likely;
            near(found, expected);
        }
        assert_eq!(differences.find("older").map(|it| it.amount.show()), Some("9".to_owned()));
    }

    #[test]
    fn one_investment_alone_makes_both_returns() {
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        let makes = |saved: f64, tenths: u32| {
            let investment = f64::from(tenths) / 10.0;
            rounded((saved - investment) / investment)
        };
        let fitting: Vec<u32> = (1..=2000)
            .filter(|&tenths| makes(131.4, tenths) == 3.61 && makes(134.4, tenths) == 3.72)
            .collect();
        assert_eq!(fitting, [(INVESTMENT * 10.0) as u32]);
        // The figure that the article states comes of neither difference.
        near((130.2 - INVESTMENT) / INVESTMENT, 3.57);
    }
}
