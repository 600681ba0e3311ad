//! How long answers took, from the quickest to the slowest: both scales in factors, so that the
//! slowest of ten thousand has as much room as the slower half.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::Chart;
use crate::lines::{HEIGHT, HUES, LEFT, PLOT_HEIGHT, PLOT_WIDTH, Side, TOP, WIDTH, grid, path};
use crate::scale::Scale;
use crate::text::{Unit, escape};

/// Latencies of one load.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    name: String,
    /// One in so many is slower, from 1 on, and the latency in microseconds.
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// Of quantiles, such as 0.99, and their latencies in microseconds, in order. A quantile below
    /// 0 or from 1 on has no place on the scale.
    pub fn new(name: &str, quantiles: impl IntoIterator<Item = (f64, f64)>) -> Self {
        let is_one = |quantile: f64| (0.0..1.0).contains(&quantile);
        let point = |(quantile, us): (f64, f64)| (1.0 / (1.0 - quantile), us);
        let quantiles = quantiles.into_iter().filter(|it| is_one(it.0) && it.1.is_finite());
        Self { name: name.to_owned(), points: quantiles.map(point).collect() }
    }
}

/// A chart of these curves.
pub fn distribution(title: &str, curves: &[Curve]) -> Chart {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let drawn = points().map(|point| point.1).filter(|&us| us > 0.0);
    let greatest = drawn.clone().fold(0.0, f64::max);
    let up = Scale::logarithmic(drawn.fold(greatest, f64::min), greatest);
    let across = Scale::logarithmic(1.0, points().map(|point| point.0).fold(10.0, f64::max));
    let title = escape(title);
    let mut out = String::new();
    // Writing to a string does not fail, here and below.
    let _ = write!(out, "<figure><figcaption>{title}</figcaption>\n<div class=\"legend\">");
    for (index, curve) in curves.iter().enumerate() {
        let _ =
            write!(out, "<span><i class=\"l{}\"></i>{}</span>", index % HUES, escape(&curve.name));
    }
    let _ = write!(
        out,
        "</div>\n<div class=\"plot\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{title}\">\n"
    );
    grid(&mut out, &up, Unit::Micros, Side::Left);
    // Names of many would lie over each other.
    let named_each = if across.ticks.len() > NAMES_MAX { 2 } else { 1 };
    for (index, &tick) in across.ticks.iter().enumerate() {
        let x = LEFT + across.share(tick).unwrap_or_default() * PLOT_WIDTH;
        let (y, low) = (TOP + PLOT_HEIGHT + 18.0, TOP + PLOT_HEIGHT);
        let is_named = index % named_each == 0;
        let name = if is_named { quantile_name(tick) } else { String::new() };
        let _ = write!(
            out,
            "<path class=\"grid\" d=\"M{x:.1} {TOP}V{low}\"/>\
             <text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>"
        );
    }
    for (index, curve) in curves.iter().enumerate() {
        let (class, path) = (index % HUES, path(&curve.points, &across, &up));
        let _ = write!(out, "<path class=\"line l{class}\" d=\"{path}\"/>");
        for point in &curve.points {
            let (dot, latency) = (self::path(&[*point], &across, &up), Unit::Micros.say(point.1));
            let _ = write!(
                out,
                "<path class=\"dot line l{class}\" d=\"{dot}h.01\"><title>1 in {:.0} takes more \
                 than {latency}</title></path>",
                point.0
            );
        }
    }
    out.push_str("</svg></div></figure>\n");
    Chart { markup: out }
}

/// `all`, `p90`, `p99.9`: where one in so many is slower.
fn quantile_name(one_in: f64) -> String {
    if one_in < 1.5 {
        return "all".to_owned();
    }
    let text = format!("{:.6}", 100.0 - 100.0 / one_in);
    format!("p{}", text.trim_end_matches('0').trim_end_matches('.'))
}

const NAMES_MAX: usize = 7;

#[cfg(test)]
mod tests {
    use super::{Curve, distribution, quantile_name};

    #[test]
    fn names_of_many_quantiles_have_room() {
        let names = |quantile: f64| {
            let svg = distribution("t", &[Curve::new("a", [(quantile, 1.0)])]).markup;
            [svg.contains(">p90<"), svg.contains(">p99<"), svg.contains(">p99.99<")]
        };
        assert_eq!(names(0.999_99), [true, true, true]);
        assert_eq!(names(0.999_999_8), [false, true, true]);
    }

    #[test]
    fn a_tenth_as_many_have_as_much_room() {
        let curve = Curve::new("beats", [(0.0, 10.0), (0.9, 100.0), (0.99, 1000.0)]);
        let svg = distribution("t", &[curve]).markup;
        assert!(svg.contains("d=\"M64.0 230.0L278.0 120.0L492.0 10.0\""), "{svg}");
        assert!(svg.contains(">p90<") && svg.contains(">p99<"), "{svg}");
        assert!(svg.contains("1 in 100 takes more than 1\u{a0}ms"), "{svg}");
    }

    #[test]
    fn quantiles_are_named_as_people_know_them() {
        let names = [1.0, 10.0, 100.0, 1000.0, 10_000.0].map(quantile_name);
        assert_eq!(names, ["all", "p90", "p99", "p99.9", "p99.99"]);
    }

    /// RP-3.
    #[test]
    fn what_has_no_place_is_left_out() {
        let curve = Curve::new("x", [(-1.0, 5.0), (1.0, 5.0), (f64::NAN, 5.0), (0.5, f64::NAN)]);
        assert!(curve.points.is_empty());
        let svg = distribution("t", &[curve, Curve::new("zero", [(0.5, 0.0)])]).markup;
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    /// RP-1.
    #[test]
    fn no_name_becomes_markup() {
        let svg = distribution("<t>", &[Curve::new("<n>", [])]).markup;
        assert!(!svg.contains("<t>") && !svg.contains("<n>"), "{svg}");
    }
}
