//! `cargo xtask loadtest sabotage`: each assertion passes on an edge that works, and fails on one
//! that was made to fail in the way which that assertion is there for. What is asserted of the
//! generator fails by a generator that was made to.

use anyhow::{Context as _, Result, ensure};

use super::assertion::Assertion;
use super::measure;
use super::metric::{Findings, Metric};
use super::profile::Profile;
use crate::parked::Crowd;
use crate::rig::{EdgeTransport, Rig};

/// Plays all ways to fail.
///
/// # Errors
/// One is not noticed, or an edge that works does not pass.
pub(super) fn run(
    profile: &Profile,
    assertions: &[Assertion],
    transport: EdgeTransport,
) -> Result<()> {
    let rig = Rig::sabotaged()?;
    let (kind, connections) = (profile.kind, profile.connections());
    let crowd = Crowd { kind, connections, workers: 1, transport };
    let mut missed = Vec::new();
    for (way, wanted) in WAYS {
        rig.sabotage(way);
        let findings = measure(&rig, profile, crowd).with_context(|| format!("edge {way:?}"))?;
        let (failed, told) = failed(assertions, &findings);
        println!("{:<8} {}", if way.is_empty() { "works" } else { way }, told.join(", "));
        missed.extend(surprises(way, wanted, &failed));
    }
    ensure!(missed.is_empty(), "{}", missed.join("; "));
    println!("each assertion was seen to fail, and none on an edge that works");
    Ok(())
}

/// The figures whose assertions fail, and what was found of each.
fn failed(assertions: &[Assertion], findings: &Findings) -> (Vec<Metric>, Vec<String>) {
    let judged = assertions.iter().map(|it| (it.metric, it.judge(it.metric.of(findings))));
    let failed = judged.filter(|(_, verdict)| !verdict.passed);
    let told = |(metric, verdict): (Metric, super::Verdict)| {
        (metric, format!("{} is not so: {}", verdict.assertion, verdict.found_text))
    };
    failed.map(told).unzip()
}

/// What should have failed and did not, or the other way round. More than the wanted may fail with
/// it: a connection that brought a wrong byte is also a lost one.
fn surprises(way: &str, wanted: &[Metric], failed: &[Metric]) -> Vec<String> {
    if way.is_empty() {
        return failed
            .iter()
            .map(|it| format!("{} fails on an edge that works", it.name()))
            .collect();
    }
    let missed = wanted.iter().filter(|metric| !failed.contains(metric));
    missed.map(|metric| format!("{} does not fail by {way:?}", metric.name())).collect()
}

/// Ways of `LONGHOLD_SABOTAGE`, the first of which is none, and the figures that must show each.
const WAYS: [(&str, &[Metric]); 11] = [
    ("", &[]),
    ("leak", &[Metric::RssPerConn]),
    ("hoard", &[Metric::SlabPerConn]),
    ("lost", &[Metric::Held, Metric::Lost]),
    ("byte", &[Metric::Wrong, Metric::Faults]),
    ("slow", &[Metric::P99, Metric::P999, Metric::HeartbeatP99]),
    ("late", &[Metric::P50]),
    ("spin", &[Metric::CpuPerRequest]),
    ("miss", &[Metric::HitRatio]),
    ("mute", &[Metric::Unanswered]),
    ("bloat", &[Metric::GeneratorPerConn]),
];

#[cfg(test)]
mod tests {
    use super::super::profile::{Custom, Name};
    use super::{Assertion, Metric, WAYS, surprises};

    #[test]
    fn every_figure_is_asserted_and_has_a_way_to_fail() {
        let profile = Name::Sabotage.profile(&Custom::default()).expect("a profile");
        let read = |text: &String| Assertion::parse(text).expect("it can be read").metric;
        let asserted: Vec<_> = profile.asserts.iter().map(read).collect();
        assert_eq!(asserted, Metric::ALL);
        for metric in Metric::ALL {
            let has_way = WAYS.iter().any(|(_, wanted)| wanted.contains(metric));
            assert!(has_way, "{}", metric.name());
        }
    }

    #[test]
    fn a_failure_that_is_not_noticed_is_told() {
        let (lost, held) = (Metric::Lost, Metric::Held);
        assert_eq!(surprises("lost", &[held, lost], &[held]), ["lost does not fail by \"lost\""]);
        assert_eq!(surprises("lost", &[lost], &[held, lost]), [""; 0]);
        assert_eq!(surprises("", &[], &[held]), ["held fails on an edge that works"]);
    }
}
