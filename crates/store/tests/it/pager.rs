//! The pager: what is cold comes in on other threads, with a bound, and somebody is told.

use std::sync::mpsc::{self, Receiver, Sender};

use longhold_store::{Found, PageIn, PageInError, Pager, PagerBackend, PagerConfig, Reader, Store};

use crate::support::{Object, disk_scratch, open, put_now};

const BACKENDS: [PagerBackend; 2] = [PagerBackend::Uring, PagerBackend::Threads];

/// A pager of a kind, or none where the kernel forbids it.
fn pager(store: &Store, backend: PagerBackend, queue_max: usize) -> Option<Pager> {
    let config = PagerConfig { queue_max, readers_max: 1, backend: Some(backend) };
    match Pager::start(store, config) {
        Ok(pager) => {
            assert_eq!(pager.backend(), backend);
            Some(pager)
        }
        Err(error) if backend == PagerBackend::Uring => {
            eprintln!("no ring here: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn stored(objects: &[Object]) -> (tempfile::TempDir, Store) {
    let folder = disk_scratch();
    let (store, writer) = open(folder.path());
    for object in objects {
        put_now(&writer, *object).unwrap();
    }
    (folder, store)
}

fn cold(store: &Store, reader: &Reader, key: u32) -> PageIn {
    store.drop_pages(&Object::key_bytes(key)).unwrap();
    match reader.find(&Object::key_bytes(key)) {
        Found::Cold(cold) => cold,
        other @ (Found::Miss | Found::Record(_)) => panic!("{other:?}"),
    }
}

type Outcome = Result<(), PageInError>;

fn tell(said: &Sender<(u32, Outcome)>, name: u32) -> longhold_store::PageInDone {
    let said = said.clone();
    // A test that has failed listens no more.
    Box::new(move |outcome| said.send((name, outcome)).unwrap_or_default())
}

#[test]
fn each_backend_reads_and_tells() {
    for backend in BACKENDS {
        let objects: Vec<Object> =
            (0..9).map(|key| Object { key, version: 1, body_bytes: 50_000 }).collect();
        let (_folder, store) = stored(&objects);
        let Some(pager) = pager(&store, backend, 64) else { continue };
        let (said, heard) = mpsc::channel();
        let reader = store.reader(0);
        for object in &objects {
            store.drop_pages(&Object::key_bytes(object.key)).unwrap();
        }
        for object in &objects {
            let record = loop {
                match reader.find(&Object::key_bytes(object.key)) {
                    Found::Record(record) => break record,
                    Found::Cold(cold) => {
                        pager.page_in(&cold, tell(&said, object.key)).unwrap();
                        assert_eq!(heard.recv().unwrap(), (object.key, Ok(())));
                    }
                    Found::Miss => panic!("{object:?} is gone"),
                }
            };
            assert_eq!(Object::from_record(object.key, &record), Some(*object));
        }
        let stats = pager.stats();
        assert!(stats.requested >= 9 && stats.completed == stats.requested, "{stats:?}");
        assert_eq!((stats.failed, stats.refused, stats.merged), (0, 0, 0));
    }
}

/// Holds the pager's thread in a callback, so that what comes after it waits.
fn hold(pager: &Pager, cold: &PageIn) -> Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (said, entered) = mpsc::channel();
    let callback = move |_| {
        said.send(()).unwrap();
        // It ends when the other side is dropped.
        let _ = held.recv();
    };
    pager.page_in(cold, Box::new(callback)).unwrap();
    entered.recv().unwrap();
    release
}

#[test]
fn equal_ranges_are_read_once_and_a_full_queue_refuses() {
    for backend in BACKENDS {
        let objects = [1, 2].map(|key| Object { key, version: 1, body_bytes: 50_000 });
        let (_folder, store) = stored(&objects);
        let Some(pager) = pager(&store, backend, 3) else { continue };
        let reader = store.reader(0);
        let (first, second) = (cold(&store, &reader, 1), cold(&store, &reader, 2));
        let release = hold(&pager, &first);
        let (said, heard) = mpsc::channel();
        for name in 0..2 {
            pager.page_in(&second, tell(&said, name)).unwrap();
        }
        pager.prefetch(&second).unwrap();
        assert!(pager.page_in(&second, tell(&said, 9)).is_err());
        assert!(pager.prefetch(&second).is_err());
        let stats = pager.stats();
        assert_eq!((stats.requested, stats.merged, stats.refused), (4, 2, 2), "{stats:?}");
        drop(release);
        let mut told: Vec<(u32, Outcome)> = heard.iter().take(2).collect();
        told.sort_by_key(|(name, _)| *name);
        assert_eq!(told, [(0, Ok(())), (1, Ok(()))]);
        drop(pager);
        assert!(heard.try_recv().is_err(), "the refused one is not told");
    }
}

#[test]
fn a_pager_that_ends_tells_those_who_wait() {
    for backend in BACKENDS {
        let objects = [1, 2].map(|key| Object { key, version: 1, body_bytes: 50_000 });
        let (_folder, store) = stored(&objects);
        let Some(pager) = pager(&store, backend, 8) else { continue };
        let reader = store.reader(0);
        let (first, second) = (cold(&store, &reader, 1), cold(&store, &reader, 2));
        let release = hold(&pager, &first);
        let (said, heard): (_, Receiver<(u32, Outcome)>) = mpsc::channel();
        pager.page_in(&second, tell(&said, 2)).unwrap();
        let ender = std::thread::spawn(move || drop(pager));
        // The drop waits for the held thread; whichever comes first, the second is answered.
        drop(release);
        ender.join().unwrap();
        let (_, outcome) = heard.recv().unwrap();
        assert!(matches!(outcome, Ok(()) | Err(PageInError::Stopped)));
        assert!(!matches!(reader.find(&Object::key_bytes(1)), Found::Miss));
    }
}
