//! Sizes, durations and rates: read, printed, and back.

use proptest::prelude::*;

use super::super::units::{
    Bytes, BytesPerSecond, Millis, UnitFault, parse_bytes, parse_millis, parse_rate,
};

#[test]
fn values_print_in_the_largest_exact_unit() {
    for (value, text) in [
        (0, "0B"),
        (1, "1B"),
        (1000, "1000B"),
        (1024, "1KiB"),
        (1536, "1536B"),
        (64 << 20, "64MiB"),
        (3 << 40, "3TiB"),
    ] {
        assert_eq!(Bytes(value).to_string(), text);
    }
    for (value, text) in
        [(0, "0ms"), (500, "500ms"), (1500, "1500ms"), (75_000, "75s"), (7_200_000, "2h")]
    {
        assert_eq!(Millis(value).to_string(), text);
    }
    assert_eq!(BytesPerSecond(2048).to_string(), "2KiB/s");
}

#[test]
fn typed_values() {
    assert_eq!(parse_bytes("1GiB"), Ok(1 << 30));
    assert_eq!(parse_bytes("1GB"), Ok(1_000_000_000));
    assert_eq!(parse_bytes("7kB"), Ok(7000));
    assert_eq!(parse_millis("10s"), Ok(10_000));
    assert_eq!(parse_millis("2h"), Ok(7_200_000));
    assert_eq!(parse_rate("1KiB/s"), Ok(1024));
    assert_eq!(parse_rate("1KiB"), Err(UnitFault::UnknownUnit));
    assert_eq!(parse_rate("1"), Err(UnitFault::NoUnit));
    assert_eq!(parse_bytes("1 GiB"), Err(UnitFault::UnknownUnit));
    assert_eq!(parse_bytes("1.5GiB"), Err(UnitFault::UnknownUnit));
    assert_eq!(parse_bytes("1gib"), Err(UnitFault::UnknownUnit));
    assert_eq!(parse_bytes("-1B"), Err(UnitFault::NoNumber));
    assert_eq!(parse_bytes(""), Err(UnitFault::NoNumber));
    assert_eq!(parse_bytes("99999999999999999999B"), Err(UnitFault::TooLarge));
    assert_eq!(parse_bytes("16777216TiB"), Err(UnitFault::TooLarge));
    assert_eq!(parse_millis("10"), Err(UnitFault::NoUnit));
}

proptest! {
    #[test]
    fn printed_values_read_back(value: u64) {
        prop_assert_eq!(parse_bytes(&Bytes(value).to_string()), Ok(value));
        prop_assert_eq!(parse_millis(&Millis(value).to_string()), Ok(value));
        prop_assert_eq!(parse_rate(&BytesPerSecond(value).to_string()), Ok(value));
    }
}
