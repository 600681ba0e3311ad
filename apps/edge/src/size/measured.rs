//! Results of load tests, as the tools print them: what they say about the load, and what it cost.

mod micro;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use longhold_capacity::{
    BeatCost, Coefficients, HitCost, Key, Load, MixedCost, ObjectClass, Range,
};
use serde_json::Value;

use micro::Micro;

/// What heartbeats took.
#[derive(Clone, Copy, Debug)]
struct Beats {
    bytes: f64,
    per_s: f64,
    busy_cores: f64,
}

/// What some results have shown.
#[derive(Debug, Default)]
pub(super) struct Measured {
    /// Where it comes from.
    sources: Vec<String>,
    /// Of the load: what its last result says.
    connections: Option<f64>,
    requests_per_s: Option<f64>,
    body_bytes: Option<f64>,
    hit_ratio: Option<f64>,
    heartbeat_s: Option<f64>,
    tls: Option<bool>,
    /// Hits on busy connections, plain and over TLS.
    hits: [Vec<HitCost>; 2],
    /// Requests on busy connections of which some were misses.
    mixed: Vec<MixedCost>,
    /// Cores that were busy while connections rested and nothing was asked.
    rest: Vec<f64>,
    /// Heartbeats on parked connections, plain and over TLS.
    beats: [Vec<Beats>; 2],
    /// User memory of a parked connection, plain and with TLS.
    parked: [Vec<f64>; 2],
    /// Kernel memory of one end of a connection.
    kernel: Vec<f64>,
    /// The parts of a server's work, each alone.
    micro: Vec<Micro>,
}

impl Measured {
    /// Reads results.
    ///
    /// # Errors
    /// A file cannot be read, or has no result that is known.
    pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut measured = Self::default();
        for file in files {
            let name = file.display();
            let text = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
            let result: Value =
                serde_json::from_slice(&text).with_context(|| format!("{name} is not JSON"))?;
            if !measured.take(&result, &name.to_string()) {
                bail!(
                    "{name} is no result of conn-bomb hold or rate, nor of cargo xtask bench hit, \
                     curve or micro, nor of a load test; they print one with --json"
                );
            }
        }
        Ok(measured)
    }

    /// Takes a result; false when it is of no known kind.
    pub(super) fn take(&mut self, result: &Value, source: &str) -> bool {
        let text = |key| result.get(key).and_then(Value::as_str);
        let is_known = match (text("load"), text("bench")) {
            (Some("rate"), _) => self.rate(result),
            (Some("hold"), _) => self.hold(result),
            (_, Some("hit")) => self.bench_hit(result),
            (_, Some("curve")) => self.bench_curve(result),
            (_, Some("micro")) => self.bench_micro(result),
            _ => {
                // A load test has both of the bomb's results within.
                let inner = ["hold", "rate"].map(|key| result.get(key));
                let taken = inner.map(|inner| inner.is_some_and(|inner| self.take(inner, source)));
                return taken.contains(&true);
            }
        };
        if is_known {
            self.sources.push(source.to_owned());
        }
        is_known
    }

    /// `conn-bomb rate`: a closed loop.
    fn rate(&mut self, result: &Value) -> bool {
        let Some(count) = number(result, "/answers/count").filter(|count| *count > 0.0) else {
            return false;
        };
        let is_secure = self.url(result);
        let body_bytes = number(result, "/answers/body_bytes").map(|all| all / count);
        self.connections = number(result, "/connections").or(self.connections);
        self.requests_per_s = number(result, "/answers_per_s").or(self.requests_per_s);
        self.hit_ratio = number(result, "/answers/hit_ratio").or(self.hit_ratio);
        self.body_bytes = body_bytes.or(self.body_bytes);
        let us = number(result, "/cpu_per_answer_us/total");
        if let (Some(bytes), Some(us), Some(hit_ratio)) =
            (body_bytes, us, number(result, "/answers/hit_ratio"))
        {
            let (cpu_s, miss_share) = (us / 1e6, 1.0 - hit_ratio);
            if miss_share >= MISS_SHARE_MIN {
                self.mixed.push(MixedCost { bytes, is_secure, miss_share, cpu_s });
            } else if hit_ratio == 1.0 {
                let cpu_s = Range::exact(cpu_s);
                self.hits[usize::from(is_secure)].push(HitCost { bytes, cpu_s });
            }
        }
        true
    }

    /// `conn-bomb hold`: parked connections, with heartbeats perhaps.
    fn hold(&mut self, result: &Value) -> bool {
        let Some(held) = number(result, "/held").filter(|held| *held > 0.0) else {
            return false;
        };
        let is_secure = self.url(result);
        self.connections = Some(held);
        let hold_s = number(result, "/hold_ms").unwrap_or_default() / 1e3;
        let beats = number(result, "/heartbeats/count").unwrap_or_default();
        let cpu_s = number(result, "/server_at_rest/cpu/total_us").map(|us| us / 1e6);
        if beats > 0.0 && hold_s > 0.0 {
            self.heartbeat_s = Some(held * hold_s / beats);
            if let Some(cpu_s) = cpu_s {
                let bytes = number(result, "/heartbeats/body_bytes").unwrap_or_default() / beats;
                let (per_s, busy_cores) = (beats / hold_s, cpu_s / hold_s);
                self.beats[usize::from(is_secure)].push(Beats { bytes, per_s, busy_cores });
            }
        } else if let Some(cpu_s) = cpu_s.filter(|_| hold_s >= REST_MIN_S) {
            self.rest.push(cpu_s / hold_s);
        }
        let slab = |at: &str| number(result, &format!("/server/kernel_{at}/slab_bytes"));
        if let (Some(before), Some(after)) = (slab("before"), slab("after")) {
            self.kernel_of_pairs((after - before) / held, held);
        }
        true
    }

    /// `cargo xtask bench hit`: the edge's rows.
    fn bench_hit(&mut self, result: &Value) -> bool {
        let is_secure = result.get("tls").and_then(Value::as_bool).unwrap_or_default();
        let before = self.hits[usize::from(is_secure)].len();
        for row in list(result, "rows").filter(|row| row["server"] == "edge") {
            let us = |key: &str| number(row, &format!("/cpu_per_request_us/total/{key}"));
            let figures = [us("min"), us("median"), us("max")];
            if let (Some(bytes), [Some(low), Some(likely), Some(high)]) =
                (number(row, "/size_bytes"), figures)
            {
                let cpu_s = Range::of([low / 1e6, likely / 1e6, high / 1e6]);
                self.hits[usize::from(is_secure)].push(HitCost { bytes, cpu_s });
            }
        }
        self.hits[usize::from(is_secure)].len() > before
    }

    /// `cargo xtask bench curve`: its stages.
    fn bench_curve(&mut self, result: &Value) -> bool {
        let is_secure = match result.get("kind").and_then(Value::as_str) {
            Some("plain") => false,
            Some("TLS 1.3") => true,
            // Both ends of tunnels are no pair of ends.
            Some(_) | None => return false,
        };
        let mut taken = false;
        for stage in list(result, "stages") {
            let connections = number(stage, "/connections").unwrap_or_default();
            if let Some(bytes) = number(stage, "/user_bytes_each") {
                self.parked[usize::from(is_secure)].push(bytes);
                taken = true;
            }
            if let Some(bytes) = number(stage, "/slab_bytes_each_pair") {
                self.kernel_of_pairs(bytes, connections);
            }
            let beat = number(stage, "/heartbeat_cpu_us");
            if let (Some(us), Some(per_s)) = (beat, number(stage, "/heartbeats_per_s")) {
                let busy_cores = us / 1e6 * per_s;
                let beats = Beats { bytes: CURVE_BYTES, per_s, busy_cores };
                self.beats[usize::from(is_secure)].push(beats);
            }
        }
        taken
    }

    /// `cargo xtask bench micro`: every part alone.
    fn bench_micro(&mut self, result: &Value) -> bool {
        let found = Micro::read(result);
        let is_any = found.is_some();
        self.micro.extend(found);
        is_any
    }

    /// Half of what a pair on one machine has; of a few pairs, other things weigh more.
    fn kernel_of_pairs(&mut self, bytes: f64, pairs: f64) {
        if pairs >= PAIRS_MIN && bytes > 0.0 {
            self.kernel.push(bytes / 2.0);
        }
    }

    fn url(&mut self, result: &Value) -> bool {
        let url = result.get("url").and_then(Value::as_str).unwrap_or_default();
        let is_secure = url.starts_with("https:") || url.starts_with("wss:");
        self.tls = Some(is_secure);
        is_secure
    }

    /// Puts what the results say of the load.
    pub(super) fn describe(&self, load: &mut Load) {
        load.connections = self.connections.unwrap_or(load.connections);
        load.requests_per_s = self.requests_per_s.unwrap_or(load.requests_per_s);
        load.hit_ratio = self.hit_ratio.unwrap_or(load.hit_ratio);
        if let Some(bytes) = self.body_bytes {
            load.objects = vec![ObjectClass { bytes, weight: 1.0 }];
        }
        load.heartbeat_s = self.heartbeat_s.or(load.heartbeat_s);
        if let Some(is_secure) = self.tls {
            load.tls_share = if is_secure { 1.0 } else { 0.0 };
        }
    }

    /// Puts what was measured in the place of the built-in figures: parts first, then the hits that
    /// they make, on which the rest is built.
    pub(super) fn teach(&self, table: &mut Coefficients) {
        let source = self.sources.join(", ");
        self.micro.iter().for_each(|micro| micro.teach(table, &source));
        let [plain, secure] = &self.hits;
        let _is_taken = table.take_hits(plain, &source);
        let _is_taken = table.take_tls_hits(secure, &source);
        let _is_taken = table.take_misses(&self.mixed, &source);
        if let Some(cores) = spread(&self.rest) {
            let _is_taken = table.take_rest(cores, &source);
        }
        let rest_cores = table.value(Key::Rest).likely;
        let [plain, secure] = self.beats.each_ref().map(|beats| {
            beats.iter().map(|beats| beats.cost(rest_cores)).collect::<Vec<BeatCost>>()
        });
        let _is_taken = table.take_heartbeats(&plain, &source);
        let _is_taken = table.take_tls_heartbeats(&secure, &source);
        let [plain, secure] = &self.parked;
        for (figures, is_secure) in [(plain, false), (secure, true)] {
            if let Some(bytes) = spread(figures) {
                let _is_taken = table.take_parked(bytes, is_secure, &source);
            }
        }
        if let Some(bytes) = spread(&self.kernel) {
            let _is_taken = table.take_kernel(bytes, &source);
        }
    }

    /// What is to be known about results.
    pub(super) fn notes(&self) -> Vec<String> {
        let sources = (!self.sources.is_empty())
            .then(|| format!("Reckoned with what was measured in {}.", self.sources.join(", ")));
        sources.into_iter().collect()
    }
}

impl Beats {
    /// What one took beside an edge at rest, which has one worker, as benches start it: with more
    /// of them, it was less busy than is reckoned with here.
    fn cost(&self, rest_cores: f64) -> BeatCost {
        let cpu_s = (self.busy_cores - rest_cores).max(0.0) / self.per_s;
        BeatCost { bytes: self.bytes, cpu_s, busy: self.busy_cores }
    }
}

/// The least, the mean and the greatest.
fn spread(figures: &[f64]) -> Option<Range> {
    let low = figures.iter().copied().reduce(f64::min)?;
    let high = figures.iter().copied().reduce(f64::max)?;
    let mean = figures.iter().sum::<f64>() / figures.len() as f64;
    Some(Range::new(low, mean.clamp(low, high), high))
}

fn number(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// Of fewer pairs, what else the kernel has meanwhile weighs too much.
const PAIRS_MIN: f64 = 50_000.0;
/// Of fewer misses among the answers, the hits beside them weigh too much.
const MISS_SHARE_MIN: f64 = 0.1;
/// A shorter rest says nothing about rest.
const REST_MIN_S: f64 = 1.0;
/// What the curve's connections ask for.
const CURVE_BYTES: f64 = 1024.0;

#[cfg(test)]
mod tests {
    use longhold_capacity::{Coefficients, Key, Load, Range};
    use serde_json::{Value, json};

    use super::Measured;

    fn taught(results: &[Value]) -> (Coefficients, Load) {
        let mut measured = Measured::default();
        for result in results {
            assert!(measured.take(result, "a test"), "{result}");
        }
        let (mut table, mut load) = (Coefficients::longhold(), Load::default());
        measured.teach(&mut table);
        measured.describe(&mut load);
        (table, load)
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9 * expected.max(1.0), "{found} for {expected}");
    }

    fn rate(url: &str, us: f64) -> Value {
        json!({
            "load": "rate", "url": url, "connections": 64, "answers_per_s": 90_000.0,
            "answers": { "count": 10, "body_bytes": 10_240, "hit_ratio": 1.0 },
            "cpu_per_answer_us": { "total": us },
        })
    }

    #[test]
    fn a_rate_describes_the_load_and_teaches_hits() {
        let (table, load) = taught(&[rate("http://127.0.0.1:1/", 20.0)]);
        assert_eq!((load.connections, load.requests_per_s), (64.0, 90_000.0));
        assert_eq!((load.mean_bytes(), load.hit_ratio, load.tls_share), (1024.0, 1.0, 0.0));
        near(table.hit_fixed().likely * 1e6, 20.0 - 0.19);
        let (secure, load) =
            taught(&[rate("https://127.0.0.1:1/", 25.0), rate("http://127.0.0.1:1/", 20.0)]);
        let sealed = secure.value(Key::SealKib).likely;
        near(secure.value(Key::Record).likely * 1e6, 5.0 - sealed * 1e6);
        assert_eq!(load.tls_share, 0.0, "the last one");
    }

    #[test]
    fn a_rate_with_misses_teaches_them_and_no_hit() {
        let mut result = rate("https://127.0.0.1:1/", 50.0);
        result["answers"]["hit_ratio"] = json!(0.75);
        let (table, _) = taught(&[result.clone(), rate("https://127.0.0.1:1/", 20.0)]);
        // Of one size, a KiB of it stays what it was.
        let usual = Coefficients::longhold();
        let kib = usual.value(Key::FetchKib).likely * 1e6;
        near(table.value(Key::Fetch).likely * 1e6, 30.0 / 0.25 - kib);
        assert_eq!(table.hit_fixed(), usual.hit_fixed());
        // A few say nothing, and nothing else is taken from them.
        result["answers"]["hit_ratio"] = json!(0.95);
        assert_eq!(taught(&[result]).0, usual);
    }

    fn hold() -> Value {
        let kernel = |slab: u64| json!({ "slab_bytes": slab });
        json!({
            "load": "hold", "url": "http://127.0.0.1:1/", "held": 50_000, "hold_ms": 10_000,
            "heartbeats": { "count": 20_000, "body_bytes": 0 },
            "server_at_rest": { "cpu": { "total_us": 500_000.0 } },
            "server": { "kernel_before": kernel(1_000_000), "kernel_after": kernel(401_000_000) },
        })
    }

    #[test]
    fn a_hold_teaches_the_sleep_and_the_kernels_memory() {
        let mut rest = hold();
        rest["heartbeats"]["count"] = json!(0);
        rest["server_at_rest"]["cpu"]["total_us"] = json!(100_000.0);
        let (table, load) = taught(&[hold(), rest]);
        assert_eq!((load.connections, load.heartbeat_s), (50_000.0, Some(25.0)));
        near(table.value(Key::Rest).likely, 0.01);
        // 5 % busy, 1 % at rest: 20 µs for a beat, 10.5 of them awake.
        let more = table.value(Key::Park) + table.value(Key::Sleep) * Range::exact(0.95);
        near(more.likely * 1e6, 9.5);
        near(table.value(Key::SocketBytes).likely, 4000.0 - 296.0);
    }

    #[test]
    fn heartbeats_over_tls_teach_the_keys() {
        let mut secure = hold();
        secure["url"] = json!("https://127.0.0.1:1/");
        secure["server_at_rest"]["cpu"]["total_us"] = json!(900_000.0);
        let (table, _) = taught(&[hold(), rate("https://x/", 20.0), secure]);
        // 5 and 9 % busy: 25 and 45 µs, less what rest takes.
        let park_sleep = table.value(Key::Park).likely + table.value(Key::Sleep).likely * 0.91;
        let rest = table.value(Key::Rest).likely / 2000.0;
        let more = 45e-6 - rest - table.hit_fixed().likely - park_sleep;
        let keys = more - table.value(Key::Record).likely;
        near(table.value(Key::RecordWake).likely * 1e6, keys * 1e6);
        assert!(keys > 0.0, "{keys}");
    }

    #[test]
    fn benches_teach_hits_and_memory() {
        let total = |least, median, most| json!({ "min": least, "median": median, "max": most });
        let row = |server, bytes, total| {
            let cpu = json!({ "total": total });
            json!({ "server": server, "size_bytes": bytes, "cpu_per_request_us": cpu })
        };
        let hit = json!({ "bench": "hit", "tls": false, "rows": [
            row("floor", 0, total(1.0, 1.0, 1.0)),
            row("edge", 0, total(9.0, 10.0, 12.0)),
            row("edge", 102_400, total(29.0, 30.0, 31.0)),
        ]});
        let stage = json!({
            "connections": 100_000, "user_bytes_each": 75.0, "slab_bytes_each_pair": 8000.0,
            "heartbeat_cpu_us": 20.2, "heartbeats_per_s": 1000,
        });
        let curve = json!({ "bench": "curve", "kind": "plain", "stages": [stage] });
        let (table, _) = taught(&[curve, hit]);
        let fixed = table.hit_fixed();
        near(fixed.low * 1e6, 9.0);
        near(fixed.high * 1e6, 12.0);
        near(table.value(Key::SendKib).likely * 1e6, 0.2);
        assert_eq!(table.value(Key::SlotBytes), Range::exact(75.0));
        let more = table.value(Key::Park) + table.value(Key::Sleep) * Range::exact(1.0 - 0.0202);
        let rest = table.value(Key::Rest).likely / 1000.0;
        near(more.likely * 1e6, 10.2 - rest * 1e6 - 0.2);
        near(table.value(Key::SocketBytes).likely, 4000.0 - 296.0);
    }

    #[test]
    fn a_load_test_has_both_within_and_other_things_are_refused() {
        let test = json!({ "loadtest": "smoke", "hold": hold(), "rate": rate("http://x/", 20.0) });
        let (table, load) = taught(&[test]);
        assert_eq!(load.connections, 64.0, "the rate comes last");
        assert_eq!(load.heartbeat_s, Some(25.0));
        assert_ne!(table, Coefficients::longhold());
        for wrong in [
            json!({}),
            json!([1]),
            json!({ "load": "storm" }),
            json!({ "load": "rate", "answers": { "count": 0 } }),
            json!({ "bench": "hit", "rows": [] }),
            json!({ "bench": "curve", "kind": "WebSocket", "stages": [] }),
            json!({ "bench": "micro", "rows": [{ "case": "timer set", "ns": { "low": 1.0 } }] }),
        ] {
            assert!(!Measured::default().take(&wrong, "a test"), "{wrong}");
        }
    }
}
