//! What a test asserts, and what its page shows.

use std::time::Duration;

use serde_json::json;

use super::assertion::Assertion;
use super::metric::Findings;
use super::profile::{Custom, Name};
use super::{Tested, assertions, duration, page};
use crate::host::Host;
use crate::rig::EdgeTransport;

#[test]
fn what_is_asked_for_takes_the_place_of_the_profiles() {
    let profile = Name::Smoke.profile(&Custom::default()).expect("a profile");
    let asked = ["held>=50%", "p99<=20ms"].map(|text| Assertion::parse(text).expect(text));
    let all = assertions(&profile, &asked).expect("assertions");
    let texts: Vec<_> = all.iter().map(|it| it.judge(None).assertion).collect();
    assert_eq!(
        texts,
        [
            "wrong==0",
            "lost==0",
            "faults==0",
            "unanswered==0",
            "hit_ratio>=99%",
            "held>=50%",
            "p99<=20ms"
        ]
    );
}

#[test]
fn durations_carry_units() {
    for (text, ms) in [("250ms", 250), ("30s", 30_000), ("2m", 120_000), ("1h", 3_600_000)] {
        assert_eq!(duration(text).ok(), Some(Duration::from_millis(ms)), "{text}");
    }
    for wrong in ["", "5", "s", "5d", "-1s", "1.5s", "25h", "99999999999999999999s"] {
        assert!(duration(wrong).is_err(), "{wrong}");
    }
}

fn tested() -> Tested {
    let profile = Name::Smoke.profile(&Custom::default()).expect("a profile");
    let latency = json!({
        "count": 20, "min_us": 10, "p50_us": 20, "p90_us": 30, "p99_us": 90, "p999_us": 90,
        "max_us": 90,
    });
    let point = |at_ms: u64, held: u64| {
        json!({
            "at_ms": at_ms, "held": held, "lost": 1, "answers": held * 2, "faults": 1,
            "p50_us": 20, "p99_us": 90, "slab_bytes": 1 << 30, "sockets": 20,
            "server": { "anonymous_bytes": 1 << 20, "proportional_bytes": 2 << 20, "cpu_us": 5.0 },
        })
    };
    let hold = json!({
        "held": 9, "connections": 10, "lost": 1,
        "stages": [{ "connections": 10, "held": 9, "lost": 1, "ramp_ms": 5, "heartbeats": 20 }],
        "series": [point(0, 0), point(1000, 5), point(2000, 9)],
        "first": { "latency": latency }, "heartbeats": { "count": 20, "latency": latency },
        "faults": {
            "total": 1, "by_name": { "wrong-body": 1 },
            "examples": [{ "at_ms": 7, "connection": 3, "fault": "wrong-body", "detail": "<b>" }],
        },
    });
    let findings = Findings { hold, rate: None, footprint: None };
    let asserts = ["held>=99%", "lost<=1"].map(|text| Assertion::parse(text).expect(text));
    let verdicts = asserts.iter().map(|it| it.judge(it.metric.of(&findings))).collect();
    let (host, transport) = (Host::here(), EdgeTransport::Uring);
    Tested { host, profile, transport, workers: 1, findings, verdicts }
}

#[test]
fn the_page_says_what_failed_and_shows_when() {
    let tested = tested();
    let html = page::of(&tested);
    assert!(html.contains("<b>FAIL</b> <code>held&gt;=99%</code>"), "{html}");
    assert!(html.contains("<b>pass</b> <code>lost&lt;=1</code>"), "{html}");
    assert!(html.contains("hold: wrong-body") && html.contains("&lt;b&gt;"), "{html}");
    // Four over time, the distribution, and the faults.
    assert_eq!(html.matches("<svg").count(), 6);
    assert!(html.contains("most 9, last 9"), "{html}");
    // Eighteen answers in two seconds.
    assert!(html.contains("answers <span class=\"unit\">most 9, last 9</span>"), "{html}");
    let json = tested.json();
    assert_eq!(json["passed"], json!(false));
    assert_eq!(json["assertions"][0]["found"], json!(0.9));
    assert_eq!(json["figures"]["lost"], json!(1.0));
}

#[test]
fn a_hold_without_a_series_has_a_page_as_well() {
    let mut tested = tested();
    tested.findings.hold = json!({});
    let html = page::of(&tested);
    assert_eq!(html.matches("<svg").count(), 5);
    assert!(html.contains("Nothing."), "{html}");
}
