//! Points once a second, never more than the bound, and nothing bad lost in thinning.

use super::{Costs, Counts, Observer, POINTS_MAX, Point, Series};
use crate::plan::Moment;

/// Counts what it is told.
#[derive(Default)]
struct Counting {
    told: Vec<Point>,
    moments: usize,
}

impl Observer for Counting {
    fn observe(&mut self, _: Moment) {
        self.moments += 1;
    }

    fn glance(&mut self) -> Costs {
        Costs { sockets: self.told.len() as u64, ..Costs::default() }
    }

    fn progress(&mut self, point: &Point) {
        self.told.push(*point);
    }
}

fn counts(answers: u64) -> Counts {
    Counts { answers, ..Counts::default() }
}

#[test]
fn a_point_is_due_once_a_second_however_often_it_is_asked_for() {
    let (mut series, mut observer) = (Series::default(), Counting::default());
    for at_ms in (0..=3500).step_by(10) {
        series.record(at_ms);
        series.pulse(at_ms, counts(at_ms), &mut observer);
    }
    let times: Vec<_> = series.points().iter().map(|point| point.at_ms).collect();
    assert_eq!(times, [0, 1000, 2000, 3000]);
    assert_eq!(series.next_ms(), 4000);
    assert_eq!(observer.told, series.points());
    let last = series.points()[3];
    assert_eq!((last.counts.answers, last.costs.sockets), (3000, 3));
    // Of the answers of its own second only.
    assert!((2490..=2600).contains(&last.p50_us) && last.p99_us >= 2990, "{last:?}");
}

#[test]
fn a_turn_that_comes_late_is_one_point_and_the_next_is_on_the_second() {
    let (mut series, mut observer) = (Series::default(), Counting::default());
    for at_ms in [0, 5400, 5900, 6000] {
        series.pulse(at_ms, counts(0), &mut observer);
    }
    let times: Vec<_> = series.points().iter().map(|point| point.at_ms).collect();
    assert_eq!(times, [0, 5400, 6000]);
}

#[test]
fn a_long_series_keeps_its_bound_its_ends_and_its_worst() {
    for bad_s in [0, 1, 598, 599, 600, 601, 777, 2400, 4999] {
        let (mut series, mut observer) = (Series::default(), Counting::default());
        for second in 0..5000 {
            series.record(if second == bad_s { 900 } else { 5 });
            series.pulse(second * 1000, counts(second), &mut observer);
            assert!(series.points().len() <= POINTS_MAX);
        }
        series.mark(5_000_300, counts(5000), &mut observer);
        assert_eq!(observer.told.len(), 5001, "each second is told, and the end");
        let points = series.points();
        assert!(points.len() > POINTS_MAX / 2, "{}", points.len());
        assert!(points.is_sorted_by(|one, next| one.at_ms < next.at_ms));
        assert_eq!((points[0].at_ms, points[points.len() - 1].at_ms), (0, 5_000_300));
        let gaps: std::collections::BTreeSet<_> = points[..points.len() - 1]
            .windows(2)
            .map(|pair| pair[1].at_ms - pair[0].at_ms)
            .collect();
        assert_eq!(gaps.into_iter().collect::<Vec<_>>(), [16_000]);
        let worst = points.iter().max_by_key(|point| point.p99_us).expect("points");
        assert_eq!(worst.p99_us, 900, "the bad second {bad_s} is in none of them");
        let told_at_s = worst.at_ms / 1000;
        assert!((bad_s..bad_s + 17).contains(&told_at_s), "{bad_s} told at {told_at_s}");
    }
}

#[test]
fn closures_over_moments_are_observers_that_measure_nothing() {
    let mut seen = Vec::new();
    let mut observer = |moment: Moment| seen.push(moment);
    observer.observe(Moment::Begin);
    assert_eq!(observer.measure(), Costs::default());
    assert_eq!(seen, [Moment::Begin]);
}
