//! SIGBUS: what this crate copies survives a file that was cut; every other fault kills, as ever.
//!
//! Each case runs in a child of its own. These tests stand apart from the others because a fork
//! holds every lock file of the process until it has become its child.
#![cfg(all(not(loom), target_arch = "x86_64"))]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use longhold_store::{Config, Draft, FileDevice, Reader, Store, Writer, block_on_ready};

static BODY: [u8; 20_000] = [7; 20_000];
const SIGBUS: i32 = 7;

/// Runs [`child`] as a process.
fn run(case: &str) -> ExitStatus {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--test-threads=1"])
        .env("LONGHOLD_SIGBUS_CASE", case)
        .env("LONGHOLD_SIGBUS_PATH", folder.path())
        .output()
        .unwrap();
    status.status
}

#[test]
fn child() {
    let Ok(case) = std::env::var("LONGHOLD_SIGBUS_CASE") else { return };
    let path = std::env::var("LONGHOLD_SIGBUS_PATH").unwrap();
    let config = Config { slice_bytes: 32 << 10, ..Config::new(&path, 1 << 20) };
    let (store, _) = Store::open(&config).unwrap();
    let reader = filled(&store);
    let slice = reader.lookup(b"key").unwrap().body(0..BODY.len() as u64).unwrap();
    let cut = |path: &Path| {
        let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
        file.set_len(0).unwrap();
    };
    cut(&Path::new(&path).join("data"));
    match case.as_str() {
        "copy" => {
            let mut into = vec![0; BODY.len()];
            assert!(slice.copy_to(0, &mut into).is_err());
            // Again, by a lookup.
            assert!(reader.lookup(b"key").is_none());
            assert_eq!(store.stats().devices_unreadable, 1);
        }
        "touch" => {
            let sum: u64 = slice.iter().map(|byte| u64::from(*byte)).sum();
            unreachable!("the sum of nothing is {sum}");
        }
        "touch after a copy" => {
            assert!(slice.copy_to(0, &mut [0; 8]).is_err());
            unreachable!("the first byte of nothing is {}", slice[0]);
        }
        "sent" => {
            let own = rustix::process::getpid();
            // The standard library's handler, which was there before, lets the first one pass; and
            // another thread may be the one that gets them.
            loop {
                rustix::process::kill_process(own, rustix::process::Signal::BUS).unwrap();
                std::thread::yield_now();
            }
        }
        other => panic!("no case {other}"),
    }
}

fn filled(store: &Store) -> Reader {
    let writer = Writer::new(store, FileDevice::new(store).unwrap()).unwrap();
    block_on_ready(async {
        let draft = Draft::new(b"key", b"head", BODY.len() as u64);
        let mut pending = writer.begin(draft).unwrap();
        writer.append(&mut pending, &BODY).await.unwrap();
        writer.commit(pending).await.unwrap();
    });
    store.reader(0)
}

#[test]
fn a_copy_of_what_is_gone_is_an_error() {
    let status = run("copy");
    assert!(status.success(), "{status}");
}

#[test]
fn a_touch_of_what_is_gone_kills() {
    for case in ["touch", "touch after a copy"] {
        assert_eq!(run(case).signal(), Some(SIGBUS), "{case}");
    }
}

#[test]
fn a_signal_that_was_sent_kills() {
    assert_eq!(run("sent").signal(), Some(SIGBUS));
}
