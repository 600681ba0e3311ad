//! Median and spread of a few rounds.

use longhold_report::{Bar, Cell, Tone};
use serde_json::{Value, json};

/// Median, least and greatest of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// Of these values; all zero of none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&least), Some(&greatest)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let middle = values.len() / 2;
        let upper = values.get(middle).copied().unwrap_or(greatest);
        let lower = values.get((values.len() - 1) / 2).copied().unwrap_or(least);
        Self { median: (lower + upper) / 2.0, least, greatest }
    }

    /// As a bar of a chart.
    pub(crate) fn bar(self, label: &str, tone: Tone) -> Bar {
        let Self { median, least, greatest } = self;
        Bar { label: label.to_owned(), median, least, greatest, tone }
    }

    /// As a cell of a page's table.
    pub(crate) fn cell(self) -> Cell {
        Cell::Spread(self.median, self.least, self.greatest)
    }

    /// As a member of a result.
    pub(crate) fn json(self) -> Value {
        json!({ "median": self.median, "min": self.least, "max": self.greatest })
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both_middles() {
        let check = |values: &[f64], expected: f64| {
            assert_eq!(Spread::of(values.iter().copied()).median, expected, "{values:?}");
        };
        check(&[], 0.0);
        check(&[3.0], 3.0);
        check(&[9.0, 1.0, 2.0], 2.0);
        check(&[4.0, 1.0, 2.0, 9.0], 3.0);
        let spread = Spread::of([2.0, 1.0, 5.0]);
        assert_eq!((spread.least, spread.greatest), (1.0, 5.0));
    }
}
