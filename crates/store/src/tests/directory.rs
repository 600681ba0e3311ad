//! Creation that fails half-way, by an allocation that is made to fail.

use std::io;

use crate::{Config, OpenError, Store, directory};

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
