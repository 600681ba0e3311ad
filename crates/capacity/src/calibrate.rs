//! A measurement in the place of the table's figures: the same machine, the same day.
//!
//! A measurement tells a whole (a hit, a heartbeat), and the model wants its parts. So the parts
//! keep their proportions where the whole alone was measured, and the range is that of the
//! measurement.

use crate::coefficients::{Basis, Coefficients, Key};
use crate::range::Range;

/// Server CPU per request on busy connections, by the size of the body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HitCost {
    /// Bytes of the body.
    pub bytes: f64,
    /// Seconds of CPU for each.
    pub cpu_s: Range,
}

/// Server CPU per request on busy connections, some of which were misses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MixedCost {
    /// Bytes of the body.
    pub bytes: f64,
    /// Whether it went over TLS.
    pub is_secure: bool,
    /// Misses, as a share of the requests; above zero.
    pub miss_share: f64,
    /// Seconds of CPU for each request.
    pub cpu_s: f64,
}

/// Server CPU per heartbeat on a parked connection, at one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BeatCost {
    /// Bytes of its answer's body.
    pub bytes: f64,
    /// Seconds of CPU for each, beside an edge at rest.
    pub cpu_s: f64,
    /// Share of the time in which the workers were busy.
    pub busy: f64,
}

impl Coefficients {
    /// Takes what sends alone cost, by their size: one, whatever its size, and a KiB.
    pub fn take_sends(&mut self, sends: &[HitCost], source: &str) -> bool {
        self.take_by_size([Key::Send, Key::SendKib], sends, source)
    }

    /// Takes what misses cost beyond hits of their size: one, whatever its size, and a KiB.
    pub fn take_fetches(&mut self, fetches: &[HitCost], source: &str) -> bool {
        self.take_by_size([Key::Fetch, Key::FetchKib], fetches, source)
    }

    /// Takes requests of which some were misses, after the hits: what is more than hits of their
    /// size is the misses'.
    pub fn take_misses(&mut self, mixed: &[MixedCost], source: &str) -> bool {
        let beyond = |it: &MixedCost| {
            let more = without(Range::exact(it.cpu_s), self.hit(it.bytes, it.is_secure).likely);
            HitCost { bytes: it.bytes, cpu_s: more.over(Range::exact(it.miss_share)) }
        };
        let fetches: alloc::vec::Vec<_> = mixed.iter().map(beyond).collect();
        self.take_fetches(&fetches, source)
    }

    fn take_by_size(&mut self, [one, kib]: [Key; 2], costs: &[HitCost], source: &str) -> bool {
        let Some(least) = smallest(costs) else {
            return false;
        };
        if let Some(slope) = slope(costs, least) {
            let _is_sound = self.set(kib, slope, Basis::Measured, source);
        }
        let bytes = self.value(kib).likely * least.bytes / KIB;
        self.set(one, without(least.cpu_s, bytes), Basis::Measured, source)
    }

    /// Takes what plain hits cost: a fixed part from the smallest body, and a part for each KiB
    /// from the slopes to the larger ones. False when there is nothing to take.
    pub fn take_hits(&mut self, hits: &[HitCost], source: &str) -> bool {
        let Some(least) = smallest(hits) else {
            return false;
        };
        if let Some(slope) = slope(hits, least) {
            let _is_sound = self.set(Key::SendKib, slope, Basis::Measured, source);
        }
        let bytes = self.value(Key::SendKib) * Range::exact(least.bytes / KIB);
        let fixed = without(least.cpu_s, bytes.likely);
        self.rescale(&[Key::Wake, Key::Parse, Key::Send], fixed, source)
    }

    /// Takes what hits over TLS cost, after the plain ones: what is more is that of the records
    /// and, by the slope, their sealing.
    pub fn take_tls_hits(&mut self, hits: &[HitCost], source: &str) -> bool {
        let Some(least) = smallest(hits) else {
            return false;
        };
        if let Some(slope) = slope(hits, least) {
            let more = without(slope, self.value(Key::SendKib).likely);
            let _is_sound = self.set(Key::SealKib, more, Basis::Measured, source);
        }
        let each = self.value(Key::SendKib).likely + self.value(Key::SealKib).likely;
        let plain = self.hit_fixed().likely + each * least.bytes / KIB;
        let more = without(least.cpu_s, plain);
        self.set(Key::Record, more, Basis::Measured, source)
    }

    /// Takes what heartbeats on parked connections cost, after the hits. What is more than a hit
    /// on a busy connection is the park's, whatever the rate, and the sleep's, which falls as
    /// workers are busier: rates far enough apart tell them from each other. Others leave them
    /// their proportions.
    pub fn take_heartbeats(&mut self, beats: &[BeatCost], source: &str) -> bool {
        let each_kib = self.value(Key::SendKib).likely;
        let awake = self.hit_fixed().likely;
        let more = |beat: &BeatCost| (beat.cpu_s - awake - each_kib * beat.bytes / KIB).max(0.0);
        let Some((park, sleep)) = line(beats, more).or_else(|| self.in_proportion(beats, more))
        else {
            return false;
        };
        let said = |beat: &BeatCost| park + sleep * idle(beat);
        let off = Spread::of(beats.iter().map(|beat| more(beat) / said(beat).max(SPECK_S)));
        self.set(Key::Park, off.around(park), Basis::Measured, source)
            && self.set(Key::Sleep, off.around(sleep), Basis::Measured, source)
    }

    /// Takes what heartbeats on parked TLS connections cost, after the plain ones and the hits
    /// over TLS: what is more is that of the keys.
    pub fn take_tls_heartbeats(&mut self, beats: &[BeatCost], source: &str) -> bool {
        let each = self.value(Key::SendKib).likely + self.value(Key::SealKib).likely;
        let fixed = self.hit_fixed() + self.value(Key::Record) + self.value(Key::Park);
        let sleep = self.value(Key::Sleep).likely;
        let more = |beat: &BeatCost| {
            let plain = fixed.likely + sleep * idle(beat) + each * beat.bytes / KIB;
            (beat.cpu_s - plain).max(0.0)
        };
        if beats.is_empty() {
            return false;
        }
        let keys = Spread::of(beats.iter().map(more));
        self.set(Key::RecordWake, keys.around(1.0), Basis::Measured, source)
    }

    /// Park and sleep in the proportion that they have, as much as the heartbeats took.
    fn in_proportion(
        &self,
        beats: &[BeatCost],
        more: impl Fn(&BeatCost) -> f64,
    ) -> Option<(f64, f64)> {
        let (park, sleep) = (self.value(Key::Park).likely, self.value(Key::Sleep).likely);
        let said: f64 = beats.iter().map(|beat| park + sleep * idle(beat)).sum();
        let took: f64 = beats.iter().map(more).sum();
        (said > 0.0).then(|| (park * took / said, sleep * took / said))
    }

    /// Takes what an edge uses while nothing happens, in cores.
    pub fn take_rest(&mut self, cores: Range, source: &str) -> bool {
        self.set(Key::Rest, cores, Basis::Measured, source)
    }

    /// Takes the user memory of a parked connection; of one with TLS, what is more than a plain
    /// one.
    pub fn take_parked(&mut self, bytes: Range, is_secure: bool, source: &str) -> bool {
        if !is_secure {
            return self.set(Key::SlotBytes, bytes, Basis::Measured, source);
        }
        let more = without(bytes, self.value(Key::SlotBytes).likely);
        self.set(Key::TlsSlotBytes, more, Basis::Measured, source)
    }

    /// Takes the kernel memory of one end of a connection.
    pub fn take_kernel(&mut self, bytes: Range, source: &str) -> bool {
        let socket = without(bytes, self.value(Key::WaitBytes).likely);
        self.set(Key::SocketBytes, socket, Basis::Measured, source)
    }

    /// What a hit of so many bytes costs on a busy worker.
    fn hit(&self, bytes: f64, is_secure: bool) -> Range {
        let kib = Range::exact(bytes / KIB);
        let plain = self.hit_fixed() + self.value(Key::SendKib) * kib;
        match is_secure {
            true => plain + self.value(Key::Record) + self.value(Key::SealKib) * kib,
            false => plain,
        }
    }

    /// What a hit costs on a busy worker, but for its bytes.
    #[must_use]
    pub fn hit_fixed(&self) -> Range {
        self.value(Key::Wake) + self.value(Key::Parse) + self.value(Key::Send)
    }

    /// Gives parts a new whole, in the proportions that they have.
    fn rescale(&mut self, keys: &[Key], whole: Range, source: &str) -> bool {
        let known: f64 = keys.iter().map(|&key| self.value(key).likely).sum();
        if known <= 0.0 || whole.likely <= 0.0 {
            return false;
        }
        let parts = keys.iter().map(|&key| {
            let share = self.value(key).likely / known;
            (key, whole * Range::exact(share))
        });
        let parts: alloc::vec::Vec<_> = parts.collect();
        parts.into_iter().all(|(key, part)| self.set(key, part, Basis::Measured, source))
    }
}

/// Share of the time in which workers sleep.
fn idle(beat: &BeatCost) -> f64 {
    1.0 - beat.busy.clamp(0.0, BUSY_MAX)
}

/// What `more` is when workers never sleep, and what it rises by when they always do; nothing
/// when they slept much the same in all of them.
fn line(beats: &[BeatCost], more: impl Fn(&BeatCost) -> f64) -> Option<(f64, f64)> {
    let count = beats.len() as f64;
    let mean = |of: &dyn Fn(&BeatCost) -> f64| beats.iter().map(of).sum::<f64>() / count;
    let all = Spread::of(beats.iter().map(idle));
    if beats.is_empty() || all.high - all.low < IDLE_SPAN_MIN {
        return None;
    }
    let (idle_mean, more_mean) = (mean(&idle), mean(&more));
    let both = mean(&|beat| (idle(beat) - idle_mean) * (more(beat) - more_mean));
    let square = mean(&|beat| (idle(beat) - idle_mean) * (idle(beat) - idle_mean));
    let sleep = (both / square).clamp(0.0, more_mean / idle_mean.max(f64::MIN_POSITIVE));
    Some((more_mean - sleep * idle_mean, sleep))
}

/// The least, the mean and the greatest.
#[derive(Clone, Copy, Debug)]
struct Spread {
    low: f64,
    mean: f64,
    high: f64,
}

impl Spread {
    /// Of some values; nothing sound of none.
    fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let count = values.clone().count() as f64;
        Self {
            low: values.clone().fold(f64::INFINITY, f64::min),
            mean: values.clone().sum::<f64>() / count,
            high: values.fold(0.0, f64::max),
        }
    }

    /// A value times these.
    fn around(self, value: f64) -> Range {
        Range::of([value * self.low, value * self.mean, value * self.high])
    }
}

fn smallest(hits: &[HitCost]) -> Option<&HitCost> {
    let sound = hits.iter().filter(|hit| hit.cpu_s.likely > 0.0 && hit.bytes >= 0.0);
    sound.min_by(|a, b| a.bytes.total_cmp(&b.bytes))
}

/// What a KiB more costs: from the smallest body to each of the larger ones.
fn slope(hits: &[HitCost], least: &HitCost) -> Option<Range> {
    let larger = hits.iter().filter(|hit| hit.bytes >= least.bytes + SPAN_MIN_BYTES);
    let slopes = larger.map(|hit| {
        (hit.cpu_s.likely - least.cpu_s.likely).max(0.0) / ((hit.bytes - least.bytes) / KIB)
    });
    let slopes: alloc::vec::Vec<f64> = slopes.collect();
    if slopes.is_empty() {
        return None;
    }
    let low = slopes.iter().copied().fold(f64::INFINITY, f64::min);
    let high = slopes.iter().copied().fold(0.0, f64::max);
    let mean = slopes.iter().sum::<f64>() / slopes.len() as f64;
    Some(Range::new(low, mean, high))
}

/// Less a known part, and never below zero.
fn without(range: Range, part: f64) -> Range {
    range.each(|value| (value - part).max(0.0))
}

const KIB: f64 = 1024.0;
/// Bodies nearer than this to each other say nothing about a KiB.
const SPAN_MIN_BYTES: f64 = 8192.0;
/// Workers busier than this say nothing about sleep.
const BUSY_MAX: f64 = 0.9;
/// Shares of idle time nearer than this to each other do not tell a park from a sleep.
const IDLE_SPAN_MIN: f64 = 0.15;
/// What a heartbeat takes at least, seconds: a part of nothing is none.
const SPECK_S: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::{BeatCost, HitCost, MixedCost};
    use crate::coefficients::{Coefficients, Key};
    use crate::range::Range;

    const US: f64 = 1e-6;

    fn hit(bytes: f64, us: f64) -> HitCost {
        HitCost { bytes, cpu_s: Range::exact(us * US) }
    }

    fn near(found: f64, us: f64) {
        assert!((found / US - us).abs() < 1e-6, "{} for {us}", found / US);
    }

    #[test]
    fn plain_hits_give_a_fixed_part_and_a_part_for_each_kib() {
        let mut table = Coefficients::longhold();
        let hits = [hit(1024.0 * 101.0, 30.0), hit(1024.0, 10.0), hit(1024.0 * 1001.0, 410.0)];
        assert!(table.take_hits(&hits, "a test"));
        let slope = table.value(Key::SendKib);
        near(slope.low, 0.2);
        near(slope.high, 0.4);
        near(table.hit_fixed().likely, 10.0 - slope.likely / US);
        // Parts keep their proportions.
        let usual = Coefficients::longhold();
        let share =
            |table: &Coefficients| table.value(Key::Parse).likely / table.hit_fixed().likely;
        assert!((share(&table) - share(&usual)).abs() < 1e-9);
        assert_eq!(table.rows()[Key::Parse as usize].source, "a test");
    }

    #[test]
    fn one_size_leaves_the_part_for_each_kib_as_it_was() {
        let mut table = Coefficients::longhold();
        assert!(table.take_hits(&[hit(1024.0, 20.19)], "a test"));
        assert_eq!(table.value(Key::SendKib), Coefficients::longhold().value(Key::SendKib));
        near(table.hit_fixed().likely, 20.0);
        assert!(!table.take_hits(&[], "a test") && !table.take_hits(&[hit(1.0, 0.0)], "a test"));
    }

    #[test]
    fn tls_hits_give_what_is_more_than_plain() {
        let mut table = Coefficients::longhold();
        assert!(table.take_hits(&[hit(0.0, 10.0), hit(102_400.0, 30.0)], "plain"));
        assert!(table.take_tls_hits(&[hit(0.0, 13.0), hit(102_400.0, 53.0)], "secure"));
        near(table.value(Key::Record).likely, 3.0);
        near(table.value(Key::SealKib).likely, 0.2);
    }

    fn beat(us: f64, busy: f64) -> BeatCost {
        BeatCost { bytes: 0.0, cpu_s: us * US, busy }
    }

    #[test]
    fn sends_give_one_and_a_kib() {
        let mut table = Coefficients::longhold();
        let sends = [hit(1024.0, 2.2), hit(1024.0 * 101.0, 22.2), hit(1024.0 * 2.0, 9.0)];
        assert!(table.take_sends(&sends, "a test"));
        near(table.value(Key::SendKib).likely, 0.2);
        near(table.value(Key::Send).likely, 2.0);
        assert!(!table.take_sends(&[], "a test"));
    }

    #[test]
    fn what_misses_take_beyond_hits_is_theirs() {
        let mut table = Coefficients::longhold();
        assert!(table.take_hits(&[hit(0.0, 10.0), hit(102_400.0, 30.0)], "plain"));
        assert!(table.take_tls_hits(&[hit(0.0, 13.0), hit(102_400.0, 53.0)], "secure"));
        let mixed = |bytes, is_secure, miss_share, us: f64| MixedCost {
            bytes,
            is_secure,
            miss_share,
            cpu_s: us * US,
        };
        assert!(table.take_misses(&[mixed(0.0, false, 0.5, 30.0)], "half"));
        near(table.value(Key::Fetch).likely, 40.0);
        let sizes = [mixed(0.0, true, 1.0, 53.0), mixed(102_400.0, true, 0.5, 118.0)];
        assert!(table.take_misses(&sizes, "by size"));
        near(table.value(Key::Fetch).likely, 40.0);
        near(table.value(Key::FetchKib).likely, 0.9);
        assert!(!table.take_misses(&[], "none"));
        assert!(!table.take_misses(&[mixed(0.0, false, 1.0, 9.0)], "cheaper than hits"));
    }

    #[test]
    fn heartbeats_at_two_rates_tell_park_from_sleep() {
        let mut table = Coefficients::longhold();
        assert!(table.take_hits(&[hit(0.0, 10.0)], "plain"));
        assert!(table.take_heartbeats(&[beat(21.0, 0.0), beat(16.0, 0.5)], "beats"));
        near(table.value(Key::Park).likely, 1.0);
        near(table.value(Key::Sleep).likely, 10.0);
        // A third one that lies beside their line makes both uncertain.
        let off = [beat(21.0, 0.0), beat(16.0, 0.5), beat(20.0, 0.25)];
        assert!(table.take_heartbeats(&off, "beats"));
        let park = table.value(Key::Park);
        assert!(park.low < park.likely && park.likely < park.high, "{park:?}");
        // Dearer the busier they are: no sleep, for there is none below nothing.
        assert!(table.take_heartbeats(&[beat(15.0, 0.0), beat(16.0, 0.5)], "beats"));
        near(table.value(Key::Park).likely, 5.5);
        near(table.value(Key::Sleep).likely, 0.0);
    }

    #[test]
    fn heartbeats_at_one_rate_leave_park_and_sleep_their_proportions() {
        let mut table = Coefficients::longhold();
        let share =
            |table: &Coefficients| table.value(Key::Park).likely / table.value(Key::Sleep).likely;
        let usual = share(&table);
        assert!(table.take_hits(&[hit(0.0, 10.0)], "plain"));
        assert!(table.take_heartbeats(&[beat(18.0, 0.2), beat(18.0, 0.2)], "beats"));
        let whole = table.value(Key::Park).likely + table.value(Key::Sleep).likely * 0.8;
        near(whole, 8.0);
        assert!((share(&table) - usual).abs() < 1e-9);
        assert!(table.take_heartbeats(&[beat(9.0, 0.2)], "cheaper than a hit"));
        near(table.value(Key::Sleep).likely, 0.0);
        assert!(!table.take_heartbeats(&[], "none"));
    }

    #[test]
    fn heartbeats_over_tls_give_the_keys() {
        let mut table = Coefficients::longhold();
        assert!(table.take_hits(&[hit(0.0, 10.0)], "plain"));
        assert!(table.take_heartbeats(&[beat(21.0, 0.0), beat(16.0, 0.5)], "beats"));
        assert!(table.take_tls_hits(&[hit(0.0, 13.0)], "secure"));
        assert!(table.take_tls_heartbeats(&[beat(26.0, 0.0)], "secure beats"));
        near(table.value(Key::RecordWake).likely, 2.0);
        assert!(!table.take_tls_heartbeats(&[], "none"));
    }

    #[test]
    fn memory_is_taken_for_one_end() {
        let mut table = Coefficients::longhold();
        assert!(table.take_parked(Range::exact(73.0), false, "plain"));
        assert!(table.take_parked(Range::exact(203.0), true, "secure"));
        assert_eq!(table.value(Key::TlsSlotBytes), Range::exact(130.0));
        assert!(table.take_kernel(Range::exact(4296.0), "slab"));
        assert_eq!(table.value(Key::SocketBytes), Range::exact(4000.0));
    }
}
