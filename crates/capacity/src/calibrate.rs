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

impl Coefficients {
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

    /// Takes what hits over TLS cost, after the plain ones: what is more is the record's waking
    /// and, by the slope, its sealing.
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
        self.set(Key::RecordWake, more, Basis::Measured, source)
    }

    /// Takes what a heartbeat on a parked connection costs beside an edge at rest, after the hits,
    /// with workers that are busy for a share of the time.
    pub fn take_heartbeat(&mut self, beat: HitCost, busy: f64, source: &str) -> bool {
        let bytes = self.value(Key::SendKib).likely * beat.bytes / KIB;
        let awake = self.hit_fixed().likely + bytes;
        let idle = 1.0 - busy.clamp(0.0, BUSY_MAX);
        let sleep = without(beat.cpu_s, awake).over(Range::exact(idle));
        self.set(Key::Sleep, sleep, Basis::Measured, source)
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

#[cfg(test)]
mod tests {
    use super::HitCost;
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
        near(table.value(Key::RecordWake).likely, 3.0);
        near(table.value(Key::SealKib).likely, 0.2);
    }

    #[test]
    fn a_heartbeat_gives_the_sleep() {
        let mut table = Coefficients::longhold();
        assert!(table.take_hits(&[hit(0.0, 10.0)], "plain"));
        assert!(table.take_heartbeat(hit(0.0, 18.0), 0.2, "a beat"));
        near(table.value(Key::Sleep).likely, 10.0);
        assert!(table.take_heartbeat(hit(0.0, 9.0), 0.2, "a beat"), "cheaper than a hit: no sleep");
        near(table.value(Key::Sleep).likely, 0.0);
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
