//! A file per object, and an index in memory of what they hold.
//!
//! A file is deleted when nobody uses its object any more: replaced, or never to be kept.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::OBJECTS_MAX;

/// All objects, by host and target.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    index: RwLock<HashMap<String, Arc<Object>>>,
    /// Keys that are being fetched.
    fetching: Mutex<HashSet<String>>,
    /// A fetch has ended.
    fetched: Condvar,
    next: AtomicU64,
}

/// A response: its head here, its body in a file.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) status: u16,
    /// Its field lines, without those of one connection.
    pub(super) lines: Vec<u8>,
    pub(super) entity_tag: Option<Vec<u8>>,
    pub(super) length_bytes: u64,
    /// For how long it is fresh; `None`: it must not be kept.
    pub(super) lifetime: Option<Duration>,
    /// Its age when it came.
    pub(super) age: Duration,
    pub(super) came: Instant,
    body: Body,
}

/// A file that goes with its owner.
#[derive(Debug)]
pub(super) struct Body {
    path: PathBuf,
}

/// The head of an object, as it is known before the body has come.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) lines: Vec<u8>,
    pub(super) entity_tag: Option<Vec<u8>>,
    pub(super) lifetime: Option<Duration>,
    pub(super) age: Duration,
}

impl Files {
    /// An empty store in `folder`, which is made.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir(folder)?;
        for number in 0..FOLDERS {
            fs::create_dir(folder.join(format!("{number:02x}")))?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            index: RwLock::default(),
            fetching: Mutex::default(),
            fetched: Condvar::new(),
            next: AtomicU64::new(0),
        })
    }

    /// The fresh object of this key.
    pub(super) fn fresh(&self, key: &str) -> Option<Arc<Object>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.get(key).filter(|object| object.is_fresh()).cloned()
    }

    /// The fresh object of this key, or what `fetch` brings: one fetch of a key at a time, whose
    /// end the others await. True if it was there.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(super) fn obtain<E>(
        &self,
        key: &str,
        fetch: impl FnOnce() -> Result<Object, E>,
    ) -> Result<(Arc<Object>, bool), E> {
        loop {
            if let Some(object) = self.fresh(key) {
                return Ok((object, true));
            }
            let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
            if fetching.insert(key.to_owned()) {
                break;
            }
            // Whoever is ahead brings it; then all look again.
            while fetching.contains(key) {
                fetching = self.fetched.wait(fetching).unwrap_or_else(PoisonError::into_inner);
            }
        }
        // The one before may have ended between the look and the turn.
        let outcome = match self.fresh(key) {
            Some(object) => Ok((object, true)),
            None => fetch().map(|object| (self.keep(key, object), false)),
        };
        self.fetching.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        self.fetched.notify_all();
        outcome
    }

    /// Keeps an object that may be kept, if there is room for it.
    fn keep(&self, key: &str, object: Object) -> Arc<Object> {
        let object = Arc::new(object);
        if object.is_fresh() {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            if index.len() < OBJECTS_MAX || index.contains_key(key) {
                index.insert(key.to_owned(), Arc::clone(&object));
            }
        }
        object
    }

    /// A new file.
    pub(super) fn create(&self) -> io::Result<(File, Body)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("{:02x}", number % FOLDERS));
        let body = Body { path: folder.join(number.to_string()) };
        Ok((File::create_new(&body.path)?, body))
    }
}

impl Object {
    /// The object whose body has come.
    pub(super) fn new(head: Head, body: Body, length_bytes: u64) -> Self {
        let Head { status, lines, entity_tag, lifetime, age } = head;
        let came = Instant::now();
        Self { status, lines, entity_tag, length_bytes, lifetime, age, came, body }
    }

    /// Its present age.
    pub(super) fn age_now(&self) -> Duration {
        self.age + self.came.elapsed()
    }

    fn is_fresh(&self) -> bool {
        self.lifetime.is_some_and(|lifetime| self.age_now() < lifetime)
    }

    /// Its file, opened for this one use.
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(&self.body.path)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // What is gone already need not go.
        let _gone = fs::remove_file(&self.path);
    }
}

/// Folders that files are spread over.
const FOLDERS: u64 = 16;
