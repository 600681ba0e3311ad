//! The files of `/proc` are read as proc(5) has them.

use std::fs;

use super::{CpuUse, KernelSample, Memory, Sampler, SlabCache, parse_slabinfo, parse_stat};

fn stat(user: u64, system: u64) -> String {
    format!("7 (a b) c) S 1 1 1 0 -1 4194560 1 2 3 4 {user} {system} 0 0 20 0 2 0 1 1 1")
}

struct Process {
    folder: tempfile::TempDir,
}

impl Process {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let process = Self { folder };
        process.write("smaps_rollup", "Rss: 10 kB\nPss: 9 kB\nPss_Dirty: 1 kB\nAnonymous: 4 kB\n");
        process
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn sampler(&self) -> Sampler {
        let folder = self.folder.path().to_owned();
        Sampler { processes: vec![folder.clone()], system: folder }
    }
}

#[test]
fn total_is_schedstats_and_shares_are_stats() {
    let process = Process::new();
    process.write("stat", &stat(100, 100));
    process.write("task/7/schedstat", "1000000000 5 6\n");
    let before = process.sampler().processes().expect("a sample");
    process.write("stat", &stat(101, 103));
    process.write("task/7/schedstat", "1044000000 3005 6\n");
    process.write("task/8/schedstat", "4000000 1000 6\n");
    let after = process.sampler().processes().expect("a sample");
    let used = CpuUse::between(&before, &after);
    assert_eq!(used.source, "schedstat");
    assert_eq!((used.total_us, used.user_us, used.system_us), (48_000.0, 12_000.0, 36_000.0));
    assert_eq!(used.waited_us, 4.0);
    assert_eq!((before.threads, after.threads), (1, 2));
}

#[test]
fn stat_alone_counts_when_a_thread_ended() {
    let process = Process::new();
    process.write("stat", &stat(0, 0));
    process.write("task/7/schedstat", "1000 5 6\n");
    let before = process.sampler().processes().expect("a sample");
    fs::remove_dir_all(process.folder.path().join("task/7")).expect("removed");
    process.write("stat", &stat(1, 2));
    process.write("task/8/schedstat", "1 5 6\n");
    let used = CpuUse::between(&before, &process.sampler().processes().expect("a sample"));
    assert_eq!((used.source, used.total_us), ("stat", 30_000.0));
}

#[test]
fn memory_is_in_bytes_and_by_whole_names() {
    let process = Process::new();
    process.write("stat", &stat(0, 0));
    fs::create_dir(process.folder.path().join("task")).expect("a folder");
    process.write(
        "smaps_rollup",
        "55 ---p [rollup]\nRss: 1740 kB\nPss: 316 kB\nPss_Anon: 1 kB\nPrivate_Clean: 40 kB\n\
         Private_Dirty: 112 kB\nAnonymous: 112 kB\nAnonHugePages: 0 kB\n",
    );
    let expected = Memory {
        resident_bytes: 1740 * 1024,
        proportional_bytes: 316 * 1024,
        private_bytes: 152 * 1024,
        anonymous_bytes: 112 * 1024,
    };
    assert_eq!(process.sampler().processes().expect("a sample").memory, expected);
}

#[test]
fn processes_of_one_server_are_added() {
    let (one, other) = (Process::new(), Process::new());
    one.write("stat", &stat(1, 2));
    one.write("task/7/schedstat", "10 5 6\n");
    other.write("stat", &stat(10, 20));
    other.write("task/8/schedstat", "20 5 6\n");
    let mut sampler = one.sampler();
    sampler.processes.push(other.folder.path().to_owned());
    let sum = sampler.processes().expect("a sample");
    assert_eq!((sum.threads, sum.user_ticks, sum.system_ticks), (2, 11, 22));
    assert_eq!((sum.memory.anonymous_bytes, sum.run.len()), (8 * 1024, 2));

    sampler.processes.push("/proc/no-such-process".into());
    assert_eq!(sampler.processes().expect("a helper may end"), sum);
    sampler.processes.reverse();
    assert!(sampler.processes().is_err(), "the main process may not");
}

#[test]
fn kernel_counts_of_both_families_are_added() {
    let process = Process::new();
    process.write("net/sockstat", "sockets: used 17\nTCP: inuse 5 orphan 0 tw 2 alloc 9 mem 246\n");
    process.write("net/sockstat6", "TCP6: inuse 3\nUDP6: inuse 1\n");
    process.write("meminfo", "MemTotal: 1 kB\nSlab:      12 kB\n");
    let sample = process.sampler().kernel();
    assert_eq!((sample.tcp_sockets, sample.tcp_time_wait, sample.tcp_memory_pages), (8, 2, 246));
    assert_eq!(sample.slab_bytes, 12 * 1024);
    assert!(sample.slab_caches.is_empty(), "no slabinfo, no caches");
}

#[test]
fn slab_growth_is_sorted_by_bytes() {
    let sample = |tcp: u64, dentry: u64| KernelSample {
        slab_caches: parse_slabinfo(&format!(
            "slabinfo - version: 2.1\n# name <active_objs> …\n\
             TCP {tcp} 20 2048 13 8 : tunables 0 0 0\ndentry {dentry} 30 192 21 1 : tunables\n"
        )),
        ..KernelSample::default()
    };
    let growth = sample(110, 1000).slab_growth(&sample(10, 2000), 5);
    assert_eq!(growth.len(), 1);
    assert_eq!((growth[0].cache.as_str(), growth[0].bytes), ("TCP", 100 * 2048));
    let both = sample(11, 3000).slab_growth(&sample(10, 2000), 1);
    assert_eq!(both[0].cache, "dentry", "the larger growth comes first and the rest is cut");
    let one = SlabCache { objects: 11, object_bytes: 2048 };
    assert_eq!(sample(11, 0).slab_caches["TCP"], one);
}

#[test]
fn this_process_can_be_read() {
    let sample = Sampler::new(&[std::process::id()]).processes().expect("a sample");
    assert!(sample.threads >= 1 && sample.memory.anonymous_bytes > 0);
    assert!(parse_stat("nonsense").is_err());
}
