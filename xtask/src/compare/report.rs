//! What the comparison of servers found: figures of several rounds, ratios, text and JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::measure::{Absent, Kind, LoadRun, Subject};
use crate::bench::stats::Spread;
use crate::host::Host;
use crate::load::size_text;
use crate::rig::Cores;

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) host: Host,
    pub(super) cores: Option<Cores>,
    pub(super) connections: u32,
    pub(super) idle: u32,
    pub(super) seconds: u32,
    pub(super) rounds: u32,
    pub(super) sizes: Vec<u64>,
    pub(super) subjects: Vec<Subject>,
    pub(super) absent: Vec<Absent>,
}

/// The edge over the older architecture: what the article claims a factor for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Claim {
    /// What is compared.
    pub(super) what: String,
    /// The edge's figure over the older one's.
    pub(super) ratio: Spread,
    /// Whether it is as good as the article's factor.
    pub(super) reached: bool,
    /// The article's factor, and why it is not reached where it is not.
    pub(super) remark: String,
}

impl Subject {
    /// A figure under load at the size of this index, over the rounds.
    pub(super) fn load(&self, size: usize, of: impl Fn(&LoadRun) -> f64) -> Spread {
        Spread::of(self.loads.get(size).into_iter().flatten().map(of))
    }

    /// A figure under load over all sizes and rounds.
    pub(super) fn loads(&self, of: impl Fn(&LoadRun) -> f64) -> Spread {
        Spread::of(self.loads.iter().flatten().map(of))
    }

    /// Resident memory with the resting connections.
    pub(super) fn idle_resident(&self) -> Spread {
        Spread::of(self.idles.iter().map(|idle| idle.memory.resident))
    }

    /// Of that, what it allocated itself.
    pub(super) fn idle_anonymous(&self) -> Spread {
        Spread::of(self.idles.iter().map(|idle| idle.memory.anonymous))
    }

    /// Threads with the resting connections.
    pub(super) fn idle_threads(&self) -> f64 {
        Spread::of(self.idles.iter().map(|idle| idle.threads)).median
    }
}

impl Report {
    /// Time that single-threaded servers waited for their core, as a share of the time that they
    /// ran: how much the machine did beside the comparison.
    pub(super) fn disturbance(&self) -> f64 {
        let telling = self.subjects.iter().filter(|it| it.kind.shows_disturbance());
        Spread::of(telling.flat_map(|it| &it.loads).flatten().map(|run| run.waited)).median
    }

    /// Whether the machine was as quiet as figures need it.
    pub(super) fn is_quiet(&self) -> bool {
        self.disturbance() <= DISTURBANCE_MAX
    }

    /// The sentence about the machine.
    pub(super) fn verdict(&self) -> String {
        let share = self.disturbance() * 100.0;
        let verdict = if self.is_quiet() { "quiet" } else { "NOT QUIET: do not trust the figures" };
        format!("{verdict}: single-threaded servers waited {share:.1} % of their run time")
    }

    /// Where servers and clients ran.
    pub(super) fn cores_text(&self) -> String {
        self.cores.map_or_else(
            || "shared by servers and client: there is only one".to_owned(),
            |cores| format!("servers on {}, client on {}", cores.server, cores.client),
        )
    }

    /// The edge over io_uring against the older architecture.
    pub(super) fn claims(&self) -> Vec<Claim> {
        let of = |kind| self.subjects.iter().find(|it| it.kind == kind);
        let (Some(edge), Some(older)) = (of(Kind::Uring), of(Kind::Older)) else {
            return Vec::new();
        };
        let mut claims = Vec::new();
        for (index, &size_bytes) in self.sizes.iter().enumerate() {
            let ratio = by_round(edge, older, index, |run| run.answers_per_s);
            let reached = ratio.median >= ARTICLE_RATE;
            let mut remark = format!("the article: {ARTICLE_RATE} ×");
            if !reached {
                let cpu = by_round(older, edge, index, |run| run.total_us);
                let run = |of: fn(&LoadRun) -> f64| edge.load(index, of).median;
                // Writing to a string does not fail.
                let _ = write!(
                    remark,
                    ". Why not: {}; in its own CPU time it answers {:.2} × as much",
                    self.limit(run(|run| run.busy), run(|run| run.system_us / run.total_us)),
                    cpu.median
                );
            }
            let what = format!("requests per second, {}", size_text(size_bytes));
            claims.push(Claim { what, ratio, reached, remark });
        }
        let memory = |what: String, ratio: Spread| {
            let reached = ratio.median <= ARTICLE_MEMORY;
            let mut remark = format!("the article: {ARTICLE_MEMORY} ×");
            if !reached {
                remark.push_str(". Why not: ");
                remark.push_str(&growth(edge, older, self.idle));
            }
            Claim { what, ratio, reached, remark }
        };
        let resident = |run: &LoadRun| run.memory.resident;
        let under_load = over(edge.loads(resident), older.loads(resident));
        let what = format!("resident memory under load, {} connections", self.connections);
        claims.push(memory(what, under_load));
        let at_rest = over(edge.idle_resident(), older.idle_resident());
        claims.push(memory(format!("resident memory, {} idle connections", self.idle), at_rest));
        claims
    }

    /// Every other server's figure over the older architecture's, by size, within each round.
    pub(super) fn against_older(
        &self,
        of: impl Fn(&LoadRun) -> f64 + Copy,
    ) -> Vec<(&str, Vec<Spread>)> {
        let Some(older) = self.subjects.iter().find(|it| it.kind == Kind::Older) else {
            return Vec::new();
        };
        let others = self.subjects.iter().filter(|it| it.kind != Kind::Older);
        let by_size =
            |it| (0..self.sizes.len()).map(|size| by_round(it, older, size, of)).collect();
        others.map(|it| (it.name.as_str(), by_size(it))).collect()
    }

    /// What keeps the edge from answering more.
    fn limit(&self, busy: f64, system_share: f64) -> String {
        let (busy_percent, system_percent) = (busy * 100.0, system_share * 100.0);
        if busy >= BUSY_MIN {
            return format!(
                "its core is full, and {system_percent:.0} % of that time is the kernel's, which \
                 copies into sockets for both"
            );
        }
        let bound = if self.is_quiet() {
            "the client, which verifies every byte, was the bound"
        } else {
            "others had the machine, or the client was the bound"
        };
        format!("the edge was at work for {busy_percent:.0} % of the time only: {bound}")
    }

    /// As one JSON object.
    pub(super) fn json(&self) -> Value {
        json!({
            "compare": "servers",
            "host": self.host.json(),
            "cores": self.cores_text(),
            "disturbance": self.disturbance(),
            "quiet": self.is_quiet(),
            "connections": self.connections,
            "idle_connections": self.idle,
            "seconds": self.seconds,
            "rounds": self.rounds,
            "servers": self.subjects.iter().map(|it| self.subject_json(it)).collect::<Vec<_>>(),
            "absent": self.absent.iter().map(|Absent { name, reason }| {
                json!({ "name": name, "reason": reason })
            }).collect::<Vec<_>>(),
            "edge_over_older": self.claims().iter().map(|claim| json!({
                "what": claim.what,
                "ratio": claim.ratio.json(),
                "reached": claim.reached,
                "remark": claim.remark,
            })).collect::<Vec<_>>(),
        })
    }

    fn subject_json(&self, it: &Subject) -> Value {
        let load = |(index, &size_bytes): (usize, &u64)| {
            let spread = |of: fn(&LoadRun) -> f64| it.load(index, of).json();
            json!({
                "size_bytes": size_bytes,
                "answers_per_s": spread(|run| run.answers_per_s),
                "cpu_per_answer_us": spread(|run| run.total_us),
                "cpu_user_us": spread(|run| run.user_us),
                "cpu_system_us": spread(|run| run.system_us),
                "p50_us": spread(|run| run.p50_us),
                "p90_us": spread(|run| run.p90_us),
                "p99_us": spread(|run| run.p99_us),
                "p999_us": spread(|run| run.p999_us),
                "resident_bytes": spread(|run| run.memory.resident),
                "anonymous_bytes": spread(|run| run.memory.anonymous),
                "threads": spread(|run| run.threads),
                "busy": spread(|run| run.busy),
                "waited": spread(|run| run.waited),
            })
        };
        json!({
            "name": it.name,
            "what": it.what,
            "start": {
                "resident_bytes": it.start.resident,
                "anonymous_bytes": it.start.anonymous,
            },
            "loads": self.sizes.iter().enumerate().map(load).collect::<Vec<_>>(),
            "idle": {
                "resident_bytes": it.idle_resident().json(),
                "anonymous_bytes": it.idle_anonymous().json(),
                "threads": it.idle_threads(),
            },
        })
    }

    /// Prints the tables.
    pub(super) fn print(&self) {
        self.host.print();
        println!("cores      {}", self.cores_text());
        println!("machine    {}", self.verdict());
        println!(
            "load       {} keep-alive connections, {} rounds of {} s, every byte verified",
            self.connections, self.rounds, self.seconds
        );
        for it in &self.subjects {
            println!("server     {:<13} {}", it.name, it.what);
        }
        for Absent { name, reason } in &self.absent {
            println!(
                "ABSENT     {name:<13} {}",
                reason.replace('\n', "\n                         ")
            );
        }
        self.print_loads();
        self.print_against_older();
        self.print_memory();
        println!("\nThe edge over io_uring against the older architecture");
        for Claim { what, ratio, reached, remark } in self.claims() {
            let Spread { median, least, greatest } = ratio;
            let verdict = if reached { "reached" } else { "NOT reached" };
            println!("  {what}: {median:.2} × ({least:.2}–{greatest:.2}); {verdict}; {remark}");
        }
    }

    fn print_against_older(&self) {
        type Of = fn(&LoadRun) -> f64;
        let parts: [(&str, Of); 2] =
            [("requests/s", |run| run.answers_per_s), ("CPU per request", |run| run.total_us)];
        for (what, of) in parts {
            print!("\n× older: {what:<16}");
            self.sizes.iter().for_each(|&size_bytes| print!(" {:>20}", size_text(size_bytes)));
            println!();
            for (name, ratios) in self.against_older(of) {
                print!("          {name:<14}");
                for Spread { median, least, greatest } in ratios {
                    let text = format!("{median:.2} ({least:.2}–{greatest:.2})");
                    print!(" {text:>20}");
                }
                println!();
            }
        }
    }

    fn print_loads(&self) {
        println!(
            "\n    size  server         requests/s (range)              CPU µs (range)         \
             busy   p50    p99  p99.9 µs"
        );
        for (index, &size_bytes) in self.sizes.iter().enumerate() {
            if index > 0 {
                println!();
            }
            for it in &self.subjects {
                let rate = it.load(index, |run| run.answers_per_s);
                let cpu = it.load(index, |run| run.total_us);
                let median = |of: fn(&LoadRun) -> f64| it.load(index, of).median;
                println!(
                    "{:>8}  {:<13} {:>8.0} ({:>7.0}–{:>7.0}) {:>10.2} ({:>7.2}–{:>7.2}) {:>5.0} \
                     % {:>6.0} {:>6.0} {:>6.0}",
                    size_text(size_bytes),
                    it.name,
                    rate.median,
                    rate.least,
                    rate.greatest,
                    cpu.median,
                    cpu.least,
                    cpu.greatest,
                    median(|run| run.busy) * 100.0,
                    median(|run| run.p50_us),
                    median(|run| run.p99_us),
                    median(|run| run.p999_us),
                );
            }
        }
    }

    fn print_memory(&self) {
        println!(
            "\nMiB resident (allocated by itself)   at start         under load       {} idle    \
             threads",
            self.idle
        );
        let mib = |bytes: f64| bytes / MIB;
        for it in &self.subjects {
            let loaded = it.loads(|run| run.memory.resident).greatest;
            let loaded_anonymous = it.loads(|run| run.memory.anonymous).greatest;
            println!(
                "          {:<22} {:>8.1} ({:>5.1}) {:>8.1} ({:>5.1}) {:>8.1} ({:>5.1}) {:>8.0}",
                it.name,
                mib(it.start.resident),
                mib(it.start.anonymous),
                mib(loaded),
                mib(loaded_anonymous),
                mib(it.idle_resident().median),
                mib(it.idle_anonymous().median),
                it.idle_threads(),
            );
        }
    }
}

/// The ratio of two subjects' figures at a size, taken within each round.
fn by_round(over: &Subject, under: &Subject, size: usize, of: impl Fn(&LoadRun) -> f64) -> Spread {
    let (Some(over), Some(under)) = (over.loads.get(size), under.loads.get(size)) else {
        return Spread::default();
    };
    Spread::of(over.iter().zip(under).map(|(over, under)| of(over) / of(under)))
}

/// The ratio of two spreads: of their medians, and from the least to the greatest that it can be.
fn over(over: Spread, under: Spread) -> Spread {
    Spread {
        median: over.median / under.median,
        least: over.least / under.greatest,
        greatest: over.greatest / under.least,
    }
}

/// What each has at its start and takes per connection, and from where on the edge has less.
fn growth(edge: &Subject, older: &Subject, idle: u32) -> String {
    let each =
        |it: &Subject| (it.idle_resident().median - it.start.resident) / f64::from(idle.max(1));
    let mut text = format!(
        "the edge has {:.1} MiB at its start, buffers and the store's memory among them, and takes \
         {:.1} KiB per idle connection; the older one {:.1} MiB and {:.1} KiB",
        edge.start.resident / MIB,
        each(edge) / 1024.0,
        older.start.resident / MIB,
        each(older) / 1024.0
    );
    let even = (edge.start.resident - older.start.resident) / (each(older) - each(edge));
    if even.is_finite() && even > 0.0 {
        // Writing to a string does not fail.
        let _ = write!(text, ": even at {even:.0} connections");
    }
    text
}

/// Bytes of a MiB, for people.
pub(super) const MIB: f64 = 1048576.0;
/// The article's factors: more requests per second, and resident memory.
const ARTICLE_RATE: f64 = 2.3;
const ARTICLE_MEMORY: f64 = 0.52;
/// Share of waiting that a quiet machine stays below.
const DISTURBANCE_MAX: f64 = 0.05;
/// Share of its core that a server which is the bound itself uses.
const BUSY_MIN: f64 = 0.9;

#[cfg(test)]
pub(super) mod tests {
    use super::super::measure::{Absent, IdleRun, Kind, LoadRun, Memory, Subject};
    use super::Report;
    use crate::host::Host;

    /// A subject with three rounds at two sizes.
    pub(crate) fn subject(name: &str, kind: Kind, rate: f64, mib: f64) -> Subject {
        let memory = Memory { resident: mib * 1048576.0, anonymous: mib * 524288.0 };
        let run = |factor: f64| LoadRun {
            answers_per_s: rate * factor,
            user_us: 1.0,
            system_us: 3.0,
            total_us: 4.0,
            p50_us: 10.0,
            p90_us: 20.0,
            p99_us: 30.0,
            p999_us: 40.0,
            memory,
            threads: 2.0,
            busy: 0.95,
            waited: 0.01,
        };
        let runs = [1.0, 0.9, 1.1].map(run).to_vec();
        Subject {
            name: name.to_owned(),
            what: format!("what {name} is <&>"),
            kind,
            start: memory,
            loads: vec![runs.clone(), runs],
            idles: vec![IdleRun { memory, threads: 2.0 }],
        }
    }

    pub(crate) fn report(subjects: Vec<Subject>) -> Report {
        let absent =
            vec![Absent { name: "varnish".to_owned(), reason: "not installed".to_owned() }];
        Report {
            host: Host {
                command: "cargo xtask compare".to_owned(),
                commit: "abc".to_owned(),
                processor: "a processor".to_owned(),
                cores: 2,
                kernel: "Linux 6".to_owned(),
            },
            cores: None,
            connections: 64,
            idle: 1000,
            seconds: 1,
            rounds: 3,
            sizes: vec![1024, 1 << 20],
            subjects,
            absent,
        }
    }

    #[test]
    fn the_articles_factors_are_reached_or_not_and_then_a_reason_is_given() {
        let check = |rate, mib, reached: [bool; 4]| {
            let older = subject("threadpool", Kind::Older, 1000.0, 100.0);
            let edge = subject("edge uring", Kind::Uring, rate, mib);
            let claims = report(vec![older, edge]).claims();
            let found: Vec<_> = claims.iter().map(|claim| claim.reached).collect();
            assert_eq!(found, reached, "{rate} {mib}");
            for claim in &claims {
                assert_eq!(claim.remark.contains("Why not"), !claim.reached);
            }
        };
        check(2300.0, 52.0, [true; 4]);
        check(2299.0, 52.0, [false, false, true, true]);
        check(5000.0, 53.0, [true, true, false, false]);
        // Without one of the two there is nothing to claim.
        assert!(report(vec![subject("a", Kind::Peer, 1.0, 1.0)]).claims().is_empty());
    }

    #[test]
    fn memory_is_even_where_the_lines_cross() {
        let with_start = |mib, start_mib: f64| {
            let mut it = subject("a", Kind::Uring, 1.0, mib);
            it.start.resident = start_mib * 1048576.0;
            it
        };
        // 30 + 0 per connection against 2 + 98 / 1000 each.
        let text = super::growth(&with_start(30.0, 30.0), &with_start(100.0, 2.0), 1000);
        assert!(text.ends_with("even at 286 connections"), "{text}");
        let never = super::growth(&with_start(30.0, 1.0), &with_start(31.0, 2.0), 1000);
        assert!(!never.contains("even"), "{never}");
    }

    #[test]
    fn a_client_that_is_the_bound_is_told_from_a_full_core() {
        let mut report = report(vec![subject("a", Kind::Uring, 1.0, 1.0)]);
        assert!(report.limit(0.95, 0.5).contains("50 % of that time is the kernel's"));
        let said = report.limit(0.6, 0.5);
        assert!(said.contains("60 % of the time only: the client"), "{said}");
        report.subjects[0].loads.iter_mut().flatten().for_each(|run| run.waited = 0.5);
        assert!(report.limit(0.6, 0.5).contains("only: others had the machine"));
    }

    #[test]
    fn only_servers_whose_threads_do_not_wait_for_each_other_tell_of_disturbance() {
        let with_waits = |kind, share| {
            let mut it = subject("a", kind, 1.0, 1.0);
            it.loads.iter_mut().flatten().for_each(|run| run.waited = share);
            it
        };
        let quiet = report(vec![with_waits(Kind::Older, 0.9), with_waits(Kind::Peer, 0.04)]);
        assert!(quiet.is_quiet() && quiet.verdict().starts_with("quiet"));
        let busy = report(vec![with_waits(Kind::Older, 0.0), with_waits(Kind::Uring, 0.06)]);
        assert!(!busy.is_quiet() && busy.verdict().starts_with("NOT QUIET"));
    }

    #[test]
    fn others_are_set_against_the_older_architecture_round_by_round() {
        let mut edge = subject("edge", Kind::Uring, 3000.0, 1.0);
        edge.loads[1][0].answers_per_s = 9000.0;
        let older = subject("threadpool", Kind::Older, 1000.0, 1.0);
        let report = report(vec![older, edge]);
        let ratios = report.against_older(|run| run.answers_per_s);
        assert_eq!((ratios.len(), ratios[0].0, ratios[0].1.len()), (1, "edge", 2));
        let first = ratios[0].1[0];
        assert!(
            [first.median, first.least, first.greatest].iter().all(|it| (it - 3.0).abs() < 1e-9)
        );
        let (median, greatest) = (ratios[0].1[1].median, ratios[0].1[1].greatest);
        assert!((median - 3.0).abs() < 1e-9 && (greatest - 9.0).abs() < 1e-9);
    }

    #[test]
    fn the_json_has_every_server_with_every_size_and_who_is_absent() {
        let value = report(vec![subject("a", Kind::Peer, 10.0, 1.0)]).json();
        assert_eq!(value["servers"][0]["loads"][1]["size_bytes"], 1 << 20);
        assert_eq!(value["servers"][0]["loads"][0]["answers_per_s"]["median"], 10.0);
        assert_eq!(value["servers"][0]["loads"][0]["answers_per_s"]["max"], 11.0);
        assert_eq!(value["servers"][0]["idle"]["resident_bytes"]["median"], 1048576.0);
        assert_eq!(value["absent"][0]["name"], "varnish");
    }
}
