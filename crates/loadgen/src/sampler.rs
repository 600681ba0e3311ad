//! What a server process costs, read from `/proc`: CPU time, memory, and the kernel's sockets.
//!
//! CPU time comes from two places. `/proc/PID/task/*/schedstat` counts the nanoseconds that each
//! thread ran; it is exact for threads that sleep and at most one scheduler tick old for one that
//! runs. `/proc/PID/stat` tells user from system time, in ticks of 10 ms. So the total is the
//! former's and the shares are the latter's. A thread that ended in between took its nanoseconds
//! along; then, and where the kernel has no schedstat, both come from `stat`, and
//! [`CpuUse::source`] says so.
//!
//! Reading costs the server nothing; it takes about 10 µs per thread.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Reads a server's processes, and what the kernel holds for all of them.
#[derive(Clone, Debug)]
pub struct Sampler {
    processes: Vec<PathBuf>,
    system: PathBuf,
}

/// One reading of a server: the sum over its processes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ProcessSample {
    /// Threads.
    pub threads: usize,
    /// Memory.
    pub memory: Memory,
    #[serde(skip)]
    user_ticks: u64,
    #[serde(skip)]
    system_ticks: u64,
    /// By thread; empty where the kernel does not say.
    #[serde(skip)]
    run: BTreeMap<u32, RunTime>,
}

/// What schedstat says of a thread, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct RunTime {
    ran_ns: u64,
    waited_ns: u64,
}

/// A process's memory in bytes, from `smaps_rollup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// Resident, shared pages included.
    pub resident_bytes: u64,
    /// Resident, shared pages divided among those who share them.
    pub proportional_bytes: u64,
    /// Resident and no one else's.
    pub private_bytes: u64,
    /// Resident and not backed by a file: what the process itself allocated and touched.
    pub anonymous_bytes: u64,
}

/// CPU time that a process used between two readings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CpuUse {
    /// In user mode, in microseconds.
    pub user_us: f64,
    /// In the kernel, in microseconds.
    pub system_us: f64,
    /// Both.
    pub total_us: f64,
    /// How long its threads were ready to run and did not, because something else had the core: a
    /// measure of how disturbed the others are. 0 where the kernel does not say.
    pub waited_us: f64,
    /// `schedstat` or `stat`: where the total comes from.
    pub source: &'static str,
}

/// What the kernel holds for the whole machine (or network namespace), client included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KernelSample {
    /// TCP sockets in use, both ends of loopback connections.
    pub tcp_sockets: u64,
    /// TCP sockets in TIME-WAIT.
    pub tcp_time_wait: u64,
    /// Pages of memory that TCP buffers use.
    pub tcp_memory_pages: u64,
    /// All kernel slab memory in bytes.
    pub slab_bytes: u64,
    /// Active objects and their size by slab cache; empty where `/proc/slabinfo` is not readable,
    /// which needs root.
    #[serde(skip)]
    pub slab_caches: BTreeMap<String, SlabCache>,
}

/// One cache of `/proc/slabinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlabCache {
    /// Objects in use.
    pub objects: u64,
    /// Size of each in bytes.
    pub object_bytes: u64,
}

/// A slab cache that grew between two readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlabGrowth {
    /// The cache's name.
    pub cache: String,
    /// Objects more.
    pub objects: u64,
    /// Bytes more.
    pub bytes: u64,
}

impl Sampler {
    /// A sampler of a server that consists of these processes, its main one first. Others may end
    /// meanwhile, as helpers do that have a job at start.
    pub fn new(pids: &[u32]) -> Self {
        let folder = |pid| PathBuf::from(format!("/proc/{pid}"));
        Self { processes: pids.iter().map(folder).collect(), system: PathBuf::from("/proc") }
    }

    /// Reads all processes now.
    ///
    /// # Errors
    /// The main process is gone, or one belongs to another user.
    pub fn processes(&self) -> io::Result<ProcessSample> {
        let mut sum = ProcessSample::default();
        for (index, folder) in self.processes.iter().enumerate() {
            match sum.add(folder) {
                Err(error) if index > 0 && error.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome?,
            }
        }
        Ok(sum)
    }

    /// Reads the kernel's counts now. What is not readable stays zero.
    pub fn kernel(&self) -> KernelSample {
        let slabinfo = read_proc(&self.system, "slabinfo").unwrap_or_default();
        KernelSample { slab_caches: parse_slabinfo(&slabinfo), ..self.kernel_totals() }
    }

    /// The same without the slab caches one by one, for which the kernel counts all it has.
    pub fn kernel_totals(&self) -> KernelSample {
        let read = |name| read_proc(&self.system, name).unwrap_or_default();
        let mut sample = KernelSample::default();
        for file in ["net/sockstat", "net/sockstat6"] {
            add_sockstat(&mut sample, &read(file));
        }
        sample.slab_bytes = kib_field(&read("meminfo"), "Slab:");
        sample
    }
}

impl ProcessSample {
    /// Adds a reading of the process behind `folder`.
    fn add(&mut self, folder: &Path) -> io::Result<()> {
        let (user_ticks, system_ticks) = parse_stat(&read_proc(folder, "stat")?)?;
        self.user_ticks += user_ticks;
        self.system_ticks += system_ticks;
        self.memory.add(&read_proc(folder, "smaps_rollup")?);
        for entry in fs::read_dir(folder.join("task"))? {
            let entry = entry?;
            self.threads += 1;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            // A thread may end between the listing and the reading.
            if let Ok(text) = fs::read_to_string(entry.path().join("schedstat"))
                && let Some(run) = parse_schedstat(&text)
            {
                self.run.insert(thread, run);
            }
        }
        Ok(())
    }
}

impl Memory {
    fn add(&mut self, smaps: &str) {
        let field = |name| kib_field(smaps, name);
        self.resident_bytes += field("Rss:");
        self.proportional_bytes += field("Pss:");
        self.private_bytes += field("Private_Clean:") + field("Private_Dirty:");
        self.anonymous_bytes += field("Anonymous:");
    }
}

impl CpuUse {
    /// CPU time from `before` to `after`.
    pub fn between(before: &ProcessSample, after: &ProcessSample) -> Self {
        let ticks = |before: u64, after: u64| after.saturating_sub(before) as f64 * TICK_US;
        let user_us = ticks(before.user_ticks, after.user_ticks);
        let system_us = ticks(before.system_ticks, after.system_ticks);
        let by_ticks_us = user_us + system_us;
        let thread_ended = before.run.keys().any(|thread| !after.run.contains_key(thread));
        if thread_ended || after.run.is_empty() {
            let (total_us, waited_us, source) = (by_ticks_us, 0.0, "stat");
            return Self { user_us, system_us, total_us, waited_us, source };
        }
        let (mut ran_ns, mut waited_ns) = (0, 0);
        for (thread, now) in &after.run {
            let then = before.run.get(thread).copied().unwrap_or_default();
            ran_ns += now.ran_ns.saturating_sub(then.ran_ns);
            waited_ns += now.waited_ns.saturating_sub(then.waited_ns);
        }
        let total_us = ran_ns as f64 / 1000.0;
        let user_share = if by_ticks_us > 0.0 { user_us / by_ticks_us } else { 0.0 };
        Self {
            user_us: total_us * user_share,
            system_us: total_us * (1.0 - user_share),
            total_us,
            waited_us: waited_ns as f64 / 1000.0,
            source: "schedstat",
        }
    }
}

impl KernelSample {
    /// The caches that grew most from `before` to `self`, by bytes, at most `count_max` of them.
    pub fn slab_growth(&self, before: &Self, count_max: usize) -> Vec<SlabGrowth> {
        let mut grown: Vec<_> = self
            .slab_caches
            .iter()
            .filter_map(|(name, cache)| {
                let objects_before = before.slab_caches.get(name).map_or(0, |cache| cache.objects);
                let objects = cache.objects.checked_sub(objects_before).filter(|&n| n > 0)?;
                let bytes = objects * cache.object_bytes;
                Some(SlabGrowth { cache: name.clone(), objects, bytes })
            })
            .collect();
        grown.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.cache.cmp(&b.cache)));
        grown.truncate(count_max);
        grown
    }
}

fn read_proc(folder: &Path, name: &str) -> io::Result<String> {
    fs::read_to_string(folder.join(name))
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// `ran waited slices`, as sched-stats of the kernel's documentation has it.
fn parse_schedstat(text: &str) -> Option<RunTime> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    let (ran_ns, waited_ns) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(RunTime { ran_ns, waited_ns })
}

/// User and system ticks: fields 14 and 15 of proc_pid_stat(5), counted behind the command name,
/// which is in parentheses and may hold anything.
fn parse_stat(text: &str) -> io::Result<(u64, u64)> {
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "malformed /proc/PID/stat");
    let (_, rest) = text.rsplit_once(')').ok_or_else(malformed)?;
    let mut fields = rest.split_ascii_whitespace().skip(11).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok((user, system)),
        _ => Err(malformed()),
    }
}

/// The value of a line `Name:   123 kB`, in bytes; 0 when there is no such line.
fn kib_field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(first_number).unwrap_or(0) * 1024
}

/// Adds a line such as `TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 246`.
fn add_sockstat(sample: &mut KernelSample, text: &str) {
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("TCP:").or_else(|| line.strip_prefix("TCP6:")) else {
            continue;
        };
        let words: Vec<_> = rest.split_ascii_whitespace().collect();
        for pair in words.chunks_exact(2) {
            let [name, value] = pair else { continue };
            let value = value.parse().unwrap_or(0);
            match *name {
                "inuse" => sample.tcp_sockets += value,
                "tw" => sample.tcp_time_wait += value,
                "mem" => sample.tcp_memory_pages += value,
                _ => {}
            }
        }
    }
}

/// Lines `name active_objs num_objs objsize …` behind two lines of headings.
fn parse_slabinfo(text: &str) -> BTreeMap<String, SlabCache> {
    let line = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?.to_owned();
        let objects = words.next()?.parse().ok()?;
        let object_bytes = words.nth(1)?.parse().ok()?;
        Some((name, SlabCache { objects, object_bytes }))
    };
    text.lines().skip(2).filter_map(line).collect()
}

/// One tick of `/proc/PID/stat` in microseconds: USER_HZ is 100 on every Linux that runs io_uring.
const TICK_US: f64 = 10_000.0;

#[cfg(test)]
mod tests;
