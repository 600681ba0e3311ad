//! Creation that fails half-way, by an allocation that is made to fail.

use std::io;

use crate::{Config, Draft, FileDevice, OpenError, Store, Writer, directory};

fn check(error: io::Error, wanted: impl Fn(&OpenError) -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache");
    let config = Config::new(&path, 1 << 20);
    let code = error.raw_os_error().unwrap();
    let fails = move |_: &std::fs::File, _| Err(io::Error::from_raw_os_error(code));
    let refused = match Store::open_with(&config, &fails) {
        Ok(_) => panic!("it opened"),
        Err(refused) => refused,
    };
    assert!(wanted(&refused), "{refused}");
    assert!(!path.exists(), "what was created is removed again");
    // The same directory, with space, makes a store.
    assert!(Store::open(&config).unwrap().1.created);
}

#[test]
fn a_full_disk_at_creation_is_said_and_cleaned_up() {
    for code in [28, 122, 27] {
        check(io::Error::from_raw_os_error(code), |error| {
            let OpenError::DiskFull { needed, available, .. } = error else { return false };
            *needed > 1 << 20 && available < needed
        });
    }
    check(io::Error::from_raw_os_error(5), |error| matches!(error, OpenError::Io { .. }));
}

#[test]
fn what_was_in_the_directory_stays_when_creation_fails() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("note"), "mine").unwrap();
    let full = |_: &std::fs::File, _| Err(io::ErrorKind::StorageFull.into());
    assert!(Store::open_with(&Config::new(folder.path(), 1 << 20), &full).is_err());
    assert_eq!(std::fs::read(folder.path().join("note")).unwrap(), b"mine");
    assert!(!folder.path().join("data.new").exists());
}

/// As a child process has it between `fork` and `exec`.
#[test]
fn a_copy_of_the_descriptor_does_not_keep_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let held = directory::lock(folder.path()).unwrap();
    let copy = held.0.try_clone().unwrap();
    assert!(matches!(directory::lock(folder.path()), Err(OpenError::Locked { .. })));
    drop(held);
    assert!(directory::lock(folder.path()).is_ok());
    drop(copy);
}

/// The second device is made after the first one's length was looked at.
#[test]
fn a_file_that_is_cut_while_it_is_opened_is_an_error_and_no_signal() {
    let (folder, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = Config::new(folder.path(), 1 << 20);
    {
        let (store, _) = Store::open(&config).unwrap();
        let writer = Writer::new(&store, FileDevice::new(&store).unwrap()).unwrap();
        for key in 0..100_u32 {
            let key = key.to_le_bytes();
            crate::block_on_ready(async {
                let mut pending = writer.begin(Draft::new(&key, b"head", 5000)).unwrap();
                writer.append(&mut pending, &[7; 5000]).await.unwrap();
                writer.commit(pending).await.unwrap();
            });
        }
    }
    let path = folder.path().join("data");
    let whole = std::fs::read(&path).unwrap();
    // In the purge log, between segments, in the middle of one, and at the last page.
    for left in [4096, whole.len() - (1 << 20), whole.len() - 700_000, whole.len() - 4096] {
        let config = config.clone().with_device(second.path().join(left.to_string()), 1 << 20);
        let cut = |_: &std::fs::File, _| {
            std::fs::File::options().write(true).open(&path)?.set_len(left as u64)
        };
        let refused = Store::open_with(&config, &cut).map(|_| ()).unwrap_err();
        let is_named = matches!(&refused, OpenError::Io { path, .. } if path == folder.path());
        assert!(is_named, "{left}: {refused}");
        std::fs::write(&path, &whole).unwrap();
    }
    let (store, _) = Store::open(&config).unwrap();
    assert!(store.reader(0).lookup(&99_u32.to_le_bytes()).is_some());
}
