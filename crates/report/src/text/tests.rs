//! Numbers and text as they are shown.

use super::{Unit, escape, figure};

#[test]
fn numbers_have_three_digits_and_gaps() {
    let check = |value, expected: &str| assert_eq!(figure(value), expected);
    check(0.0, "0.00");
    check(1.234, "1.23");
    check(9.999, "10.0");
    check(12.34, "12.3");
    check(99.96, "100");
    check(1234.0, "1\u{202f}234");
    check(1_234_567.0, "1\u{202f}234\u{202f}567");
    check(-123.0, "−123");
    check(f64::NAN, "–");
}

#[test]
fn amounts_are_said_in_their_largest_unit() {
    let check = |unit: Unit, value, expected: &str| {
        assert_eq!(unit.say(value).replace('\u{a0}', " "), expected);
    };
    check(Unit::Count, 0.0, "0");
    check(Unit::Count, 0.5, "0.5");
    check(Unit::Count, 217_000.0, "217 k");
    check(Unit::Count, 2_000_000.0, "2 M");
    check(Unit::Bytes, 96.26, "96.3 B");
    check(Unit::Bytes, 1536.0, "1.5 KiB");
    check(Unit::Bytes, 3.0 * 1_073_741_824.0, "3 GiB");
    check(Unit::Micros, 80.0, "80 µs");
    check(Unit::Micros, 1250.0, "1.25 ms");
    check(Unit::Seconds, 90.0, "90 s");
    check(Unit::Seconds, 0.015, "0.015 s");
    check(Unit::Percent, 99.9, "99.9 %");
    check(Unit::Percent, 100.0, "100 %");
    check(Unit::Count, f64::INFINITY, "–");
    check(Unit::Count, -1500.0, "-1.5 k");
}

/// RP-1.
#[test]
fn text_cannot_become_markup() {
    assert_eq!(escape("a<b & \"c'\">"), "a&lt;b &amp; &quot;c&#39;&quot;&gt;");
}
