//! Lines for hostile bytes, and the calendar.

use super::super::record::{Record, tests::sample};
use super::{Civil, Format};

fn line(format: Format, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    format.write_line(record, &mut out);
    let text = String::from_utf8(out).expect("a line is UTF-8");
    let body = text.strip_suffix('\n').expect("a line ends in a line feed");
    assert!(!body.contains(|c: char| c.is_control()), "{body:?}");
    body.to_owned()
}

fn json(record: &Record<'_>) -> serde_json::Value {
    serde_json::from_str(&line(Format::Json, record)).expect("a JSON line")
}

#[test]
fn text_is_combined_with_host_cache_word_and_duration() {
    let expected = "192.0.2.7 - - [09/Sep/2001:01:46:40 +0000] \"GET /a?b=c HTTP/1.1\" 200 1234 \
                    \"-\" \"curl/8\" \"example.com\" hit 57";
    assert_eq!(line(Format::Text, &sample()), expected);
    let refused = Record { cache: "", host: b"", ..sample() };
    assert!(line(Format::Text, &refused).ends_with("\"-\" - 57"));
}

#[test]
fn json_carries_numbers_as_numbers_and_leaves_out_what_is_not_there() {
    let value = json(&sample());
    assert_eq!(value["time"], "2001-09-09T01:46:40.123Z");
    assert_eq!(value["peer"], "192.0.2.7:4711");
    assert_eq!(value["status"], 200);
    assert_eq!(value["sent_bytes"], 1_234);
    assert_eq!(value["received_bytes"], 80);
    assert_eq!(value["duration_us"], 57);
    assert_eq!(value["cache"], "hit");
    assert!(value.get("referer").is_none() && value.get("close").is_none());
    assert!(value.get("tls").is_none() && value.get("suite").is_none());
    let closing = Record { close: "idle", tls: "TLSv1.2", suite: "TLS_X", ..sample() };
    let value = json(&closing);
    assert_eq!([&value["close"], &value["tls"], &value["suite"]], ["idle", "TLSv1.2", "TLS_X"]);
}

#[test]
fn every_byte_makes_one_valid_line() {
    for first in 0..=u8::MAX {
        for second in [b'a', b'"', b'\\', 0x80, 0xc3, 0xa9, first] {
            let bytes = [b'/', first, second, b'z'];
            let record = Record { target: &bytes, user_agent: &bytes, ..sample() };
            let expected = String::from_utf8_lossy(&bytes).into_owned();
            assert_eq!(json(&record)["target"], expected.as_str());
            assert_eq!(json(&record)["user_agent"], expected.as_str());
            let text = line(Format::Text, &record);
            assert!(text.is_ascii());
            assert_eq!(text.matches('"').count(), 8, "{text}");
        }
    }
}

#[test]
fn what_could_forge_or_split_a_line_is_escaped() {
    let record = Record { target: b"/\"\\\n\xff", ..sample() };
    assert!(line(Format::Text, &record).contains(r"/\x22\x5C\x0A\xFF HTTP/1.1"));
}

#[test]
fn the_calendar_knows_leap_years() {
    for (unix_s, expected) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
        (951_868_800, "2000-03-01T00:00:00.000Z"),
        (1_709_164_800, "2024-02-29T00:00:00.000Z"),
        (1_735_689_599, "2024-12-31T23:59:59.000Z"),
        (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        (253_402_300_799, "9999-12-31T23:59:59.000Z"),
    ] {
        let mut line = Vec::new();
        Civil::from_unix_ms(unix_s * 1_000).write_rfc3339(&mut line);
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
    assert_eq!(Civil::from_unix_ms(0).common_log(), "01/Jan/1970:00:00:00 +0000");
    // Every time that there is has a date: no panic at the far end.
    assert!(!Civil::from_unix_ms(u64::MAX).common_log().is_empty());
}
