//! The profiles: how many connections of which kind, for how long, and what must hold.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::parked::Kind;

/// A load test by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Name {
    /// 2,000 plain connections: under a minute, for every change.
    Smoke,
    /// 100,000 plain connections in three stages: some minutes, for CI.
    Ci,
    /// 1,000,000 plain connections in three stages.
    Million,
    /// 2,000,000 plain connections in two stages, two minutes each.
    TwoMillion,
    /// 100,000 connections over TLS 1.3.
    #[value(name = "tls-100k")]
    Tls100k,
    /// 1,000,000 connections over TLS 1.3: a handshake takes a core a third of a millisecond.
    TlsMillion,
    /// 100,000 WebSockets, each with its connection to the origin.
    #[value(name = "websocket-100k")]
    Websocket100k,
    /// 1,000,000 WebSockets: four million sockets on this machine.
    WebsocketMillion,
    /// 100,000 event streams, each with its connection to the origin.
    #[value(name = "events-100k")]
    Events100k,
    /// What --stages, --kind, --hold and --heartbeat say.
    Custom,
    /// Edges that fail on purpose, each in another way, and whether each is noticed; with programs
    /// as developed, since released ones cannot.
    Sabotage,
}

/// What a load test does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Connections that stand in each stage.
    pub(super) stages: Vec<u32>,
    /// How long they rest in each.
    pub(super) hold: Duration,
    /// A request on each, once per this interval; event streams are asked once.
    pub(super) heartbeat: Option<Duration>,
    /// How long an answer may take, and half of it what the loop waits for its last ones.
    pub(super) patience: Duration,
    /// What must hold, as it is typed.
    pub(super) asserts: Vec<String>,
}

/// What `custom` is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Custom {
    pub(super) stages: Vec<u32>,
    pub(super) kind: Option<Kind>,
    pub(super) hold: Option<Duration>,
    pub(super) heartbeat: Option<Duration>,
}

impl Name {
    /// The profile of this name.
    ///
    /// # Errors
    /// Options of `custom` with another one, or stages that do not rise.
    pub(super) fn profile(self, custom: &Custom) -> Result<Profile> {
        ensure!(
            self == Self::Custom || *custom == Custom::default(),
            "--connections, --stages, --kind, --hold and --heartbeat make a profile of their own: \
             cargo xtask loadtest custom"
        );
        let profile = match self {
            Self::Smoke => of("smoke", Kind::Plain, &[2_000], [10, 4]),
            Self::Ci => of("ci", Kind::Plain, &[25_000, 50_000, 100_000], [15, 15]),
            Self::Million => of("million", Kind::Plain, &[250_000, 500_000, 1_000_000], [30, 60]),
            Self::TwoMillion => of("two-million", Kind::Plain, &[1_000_000, 2_000_000], [120, 60]),
            Self::Tls100k => of("tls-100k", Kind::Tls, &[50_000, 100_000], [15, 15]),
            Self::TlsMillion => {
                of("tls-million", Kind::Tls, &[250_000, 500_000, 1_000_000], [30, 60])
            }
            Self::Websocket100k => {
                of("websocket-100k", Kind::Websocket, &[50_000, 100_000], [15, 15])
            }
            Self::WebsocketMillion => {
                of("websocket-million", Kind::Websocket, &[500_000, 1_000_000], [60, 60])
            }
            Self::Events100k => of("events-100k", Kind::Events, &[50_000, 100_000], [25, 0]),
            Self::Sabotage => Profile {
                patience: SABOTAGE_PATIENCE,
                asserts: SABOTAGE_ASSERTS.map(str::to_owned).into(),
                ..of("sabotage", Kind::Plain, &[1_000], [2, 2])
            },
            Self::Custom => {
                let kind = custom.kind.unwrap_or(Kind::Plain);
                ensure!(
                    kind != Kind::Events || custom.heartbeat.is_none(),
                    "event streams have no --heartbeat: an event comes every ten seconds"
                );
                let asked =
                    |given: Option<Duration>| given.unwrap_or(Duration::from_secs(CUSTOM_S));
                let stages =
                    if custom.stages.is_empty() { vec![10_000] } else { custom.stages.clone() };
                Profile {
                    hold: asked(custom.hold),
                    heartbeat: (kind != Kind::Events).then(|| asked(custom.heartbeat)),
                    ..of("custom", kind, &stages, [0, 0])
                }
            }
        };
        ensure!(
            profile.stages.is_sorted_by(|a, b| a < b),
            "each stage has more connections than the one before: such as --stages 10k,50k,100k"
        );
        let never = profile.heartbeat.is_some_and(|it| it.is_zero());
        ensure!(!never, "a heartbeat interval is a millisecond at least");
        Ok(profile)
    }
}

impl Profile {
    /// All connections.
    pub(super) fn connections(&self) -> u32 {
        self.stages.last().copied().unwrap_or(0)
    }
}

fn of(name: &'static str, kind: Kind, stages: &[u32], [hold, heartbeat]: [u64; 2]) -> Profile {
    let connections = stages.last().copied().unwrap_or(0);
    let mut asserts = vec!["wrong==0".to_owned()];
    if connections <= NONE_LOST_MAX {
        asserts.extend(["held==100%", "lost==0", "faults==0"].map(str::to_owned));
    } else {
        asserts.push("held>=99.99%".to_owned());
    }
    if !kind.is_tunnel() {
        asserts.extend(["unanswered==0", "hit_ratio>=99%"].map(str::to_owned));
    }
    // What an edge takes for itself is more than that of few connections.
    if connections >= MEMORY_TOLD_FROM {
        asserts.push(format!("rss_per_conn<={}", kind.bound_bytes()));
    }
    if connections >= GENERATOR_TOLD_FROM {
        asserts.push("generator_per_conn<=300".to_owned());
    }
    Profile {
        name,
        kind,
        stages: stages.to_vec(),
        hold: Duration::from_secs(hold),
        heartbeat: (heartbeat > 0).then(|| Duration::from_secs(heartbeat)),
        patience: PATIENCE,
        asserts,
    }
}

/// Rest and interval of a custom test that says neither, seconds.
const CUSTOM_S: u64 = 15;
const PATIENCE: Duration = Duration::from_secs(30);
const SABOTAGE_PATIENCE: Duration = Duration::from_secs(3);
/// Far from what an edge does that does not fail on purpose, and as far from what one does that
/// does: a busy machine makes no difference.
const SABOTAGE_ASSERTS: [&str; 14] = [
    "held==100%",
    "lost==0",
    "wrong==0",
    "faults==0",
    "unanswered==0",
    "hit_ratio>=99%",
    "p50<=100ms",
    "p99<=250ms",
    "p999<=300ms",
    "heartbeat_p99<=300ms",
    "rss_per_conn<=1KiB",
    "slab_per_conn<=32KiB",
    "generator_per_conn<=16KiB",
    "cpu_per_request<=500us",
];
/// Up to here none may be lost at all.
const NONE_LOST_MAX: u32 = 100_000;
/// From here on the memory of a connection is told apart from the edge's own.
const MEMORY_TOLD_FROM: u32 = 20_000;
/// The generator has buffers for the few that are active, too.
const GENERATOR_TOLD_FROM: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::super::assertion::Assertion;
    use super::{Custom, Name};
    use crate::parked::Kind;

    #[test]
    fn every_profile_is_named_as_it_is_typed_and_asserts_what_can_be_read() {
        for name in Name::value_variants() {
            let profile = name.profile(&Custom::default()).expect("a profile");
            let typed = name.to_possible_value().expect("a name");
            assert_eq!(typed.get_name(), profile.name);
            for text in &profile.asserts {
                Assertion::parse(text).expect(text);
            }
            assert!(profile.connections() > 0 && !profile.hold.is_zero());
        }
    }

    #[test]
    fn only_custom_takes_options() {
        let custom = Custom { kind: Some(Kind::Tls), ..Custom::default() };
        let told = Name::Ci.profile(&custom).expect_err("options of another one").to_string();
        assert!(told.contains("cargo xtask loadtest custom"), "{told}");
        let profile = Name::Custom.profile(&custom).expect("a profile");
        assert_eq!((profile.kind, profile.connections()), (Kind::Tls, 10_000));
        let beaten =
            Custom { kind: Some(Kind::Events), heartbeat: Some(profile.hold), ..Custom::default() };
        assert!(Name::Custom.profile(&beaten).is_err());
        let falling = Custom { stages: vec![5, 5], ..Custom::default() };
        assert!(Name::Custom.profile(&falling).is_err());
    }

    #[test]
    fn a_loop_is_asserted_where_there_is_one() {
        let asserts = |name: Name| name.profile(&Custom::default()).expect("a profile").asserts;
        assert!(asserts(Name::Smoke).contains(&"hit_ratio>=99%".to_owned()));
        assert!(!asserts(Name::Websocket100k).contains(&"hit_ratio>=99%".to_owned()));
        assert!(asserts(Name::TlsMillion).contains(&"rss_per_conn<=256".to_owned()));
    }
}
