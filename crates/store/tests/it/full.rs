//! ST-10 where space really runs out: a file system of 64 MiB, and a limit on the size of files.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use longhold_store::{Config, FileDevice, OpenError, Refused, Store, Writer, block_on_ready};

use crate::support::{Failed, Object, get, put_now, scratch};

/// An ext4 in a file, mounted for as long as this lives.
struct Mounted {
    at: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mounted {
    /// `None`, said aloud, where this process may not mount.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (image, at) = (folder.path().join("image"), folder.path().join("mounted"));
        std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
        std::fs::create_dir(&at).unwrap();
        let made = run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image));
        let mounted = made
            .and_then(|()| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at)));
        match mounted {
            Ok(()) => Some(Self { at, _folder: folder }),
            Err(reason) => {
                eprintln!("NOT RUN: no file system to fill: {reason}");
                None
            }
        }
    }

    /// Takes every block that is left.
    fn fill(&self) {
        let file = std::fs::File::create(self.at.join("filler")).unwrap();
        let mut at = 0;
        for bytes in [1 << 20, 4096, 512] {
            while file.write_all_at(&vec![7; bytes], at).is_ok() {
                at += bytes as u64;
            }
        }
        file.sync_all().unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = run(Command::new("umount").arg(&self.at));
        // A failing test may still hold files there.
        if unmounted.is_err() {
            let _ = run(Command::new("umount").arg("-l").arg(&self.at));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(text.trim().to_owned()) }
}

fn open(path: &Path, size_bytes: u64) -> (Store, Writer<FileDevice>) {
    let config = Config { pin_rows: 2, index_slots: 4096, ..Config::new(path, size_bytes) };
    let (store, _) = Store::open(&config).unwrap();
    let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
    (store, writer)
}

#[test]
fn a_full_file_system_costs_a_store_that_is_there_nothing() {
    let Some(disk) = Mounted::new() else { return };
    let path = disk.at.join("cache");
    let too_large = Store::open(&Config::new(&path, 256 << 20));
    assert!(matches!(too_large, Err(OpenError::DiskFull { .. })), "{:?}", too_large.err());
    assert!(!path.exists(), "nothing is left behind");
    drop(open(&path, 32 << 20));
    disk.fill();
    for round in 0..2 {
        // The super block is written in place, too.
        let (store, writer) = open(&path, 32 << 20);
        let reader = store.reader(0);
        for key in 0..250 {
            let object = Object { key, version: round, body_bytes: 300_000 };
            put_now(&writer, object).unwrap();
            assert_eq!(get(&reader, key), Some(object));
        }
        block_on_ready(writer.seal()).unwrap();
        assert_eq!(store.stats().write_errors, 0);
        assert!(store.stats().reclaimed > 10);
    }
}

/// As on a file system that has promised blocks and does not have them.
#[test]
fn a_disk_that_fills_up_beneath_the_store_goes_offline_and_is_read_on() {
    let Some(disk) = Mounted::new() else { return };
    let path = disk.at.join("cache");
    put_now(&open(&path, 32 << 20).1, Object { key: 1, version: 0, body_bytes: 100 }).unwrap();
    let data = std::fs::File::options().write(true).open(path.join("data")).unwrap();
    // Blocks of the later segments are given back, but for their headers, and taken by others.
    use rustix::fs::{FallocateFlags, fallocate};
    let bytes = std::fs::read(path.join("data")).unwrap();
    let is_header = |at: &usize| bytes[*at..].starts_with(b"LHs1");
    let headers = (0..bytes.len()).step_by(4096).filter(is_header);
    for at in headers.skip(4) {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&data, hole, at as u64 + 4096, (2 << 20) - 4096).unwrap();
    }
    disk.fill();
    let mut stored = Vec::new();
    {
        let (store, writer) = open(&path, 32 << 20);
        let reader = store.reader(0);
        let mut refused = false;
        for key in 0..400 {
            let object = Object { key, version: 1, body_bytes: 100_000 };
            match put_now(&writer, object) {
                Ok(_) => stored.push(object),
                Err(Failed::Refused(Refused::Offline)) => {
                    refused = true;
                    break;
                }
                Err(_) => {}
            }
            for object in &stored {
                // Gone with a segment that was given up, or whole.
                assert!([None, Some(*object)].contains(&get(&reader, object.key)));
            }
        }
        assert!(refused, "the device is offline in the end: {:?}", store.stats());
        let there = stored.iter().filter(|object| get(&reader, object.key).is_some()).count();
        assert!(there > 20, "{there} of {} can still be read", stored.len());
        assert_eq!(store.stats().damaged, 0);
    }
    // With room again the store goes on.
    std::fs::remove_file(disk.at.join("filler")).unwrap();
    let (store, writer) = open(&path, 32 << 20);
    let reader = store.reader(0);
    let there = stored.iter().filter(|object| get(&reader, object.key) == Some(**object)).count();
    assert!(there > 20, "{there} of {}", stored.len());
    assert!(block_on_ready(writer.make_room()));
    for key in 1000..1400 {
        let object = Object { key, version: 1, body_bytes: 100_000 };
        put_now(&writer, object).unwrap();
        assert_eq!(get(&reader, key), Some(object));
    }
}

/// Not a test of its own: reached by running this binary again with the path of a store.
#[test]
fn child_with_a_limit() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let Ok(path) = std::env::var("LONGHOLD_FULL_CHILD") else { return };
    let limit = Rlimit { current: Some(300 << 10), maximum: None };
    setrlimit(Resource::Fsize, limit).unwrap();
    let refused = Store::open(&Config::new(path, 1 << 20)).err().expect("it does not open");
    assert!(matches!(refused, OpenError::DiskFull { .. }), "{refused}");
    println!("refused: {refused}");
}

/// The kernel ends a process that writes beyond the limit, unless it was told not to.
#[test]
fn a_limit_on_the_size_of_files_is_met_at_open() {
    let folder = scratch();
    drop(Store::open(&Config::new(folder.path().join("old"), 1 << 20)).unwrap());
    for name in ["old", "new"] {
        let path = folder.path().join(name);
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["full::child_with_a_limit", "--exact", "--nocapture", "--test-threads=1"])
            .env("LONGHOLD_FULL_CHILD", &path)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("refused: "), "{output:?}");
        assert_eq!(path.exists(), name == "old");
    }
    Store::open(&Config::new(folder.path().join("old"), 1 << 20)).unwrap();
}
