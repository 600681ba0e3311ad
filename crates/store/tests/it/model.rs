//! ST-1, ST-2, ST-3: the store against a map, through reopens and reclaims.

use std::collections::HashMap;

use longhold_store::{
    Config, FileDevice, Pending, Reader, Store, WriteError, Writer, block_on_ready,
};
use proptest::prelude::*;

use crate::support::{Failed, Object, get, put, remove_now, scratch, tiny};

#[derive(Debug, Clone)]
enum Step {
    Put { key: u32, body_bytes: usize, piece_bytes: usize },
    Begin { key: u32, body_bytes: usize, growing: bool },
    Commit { which: usize },
    Abandon { which: usize },
    Get { key: u32 },
    Remove { key: u32 },
    Seal,
    MakeRoom,
    Reopen,
}

fn steps(count: usize, body_bytes: usize) -> impl Strategy<Value = Vec<Step>> {
    let key = 0..12u32;
    let bytes = prop_oneof![Just(0), 1..300usize, 1..body_bytes, Just(32768), Just(32769)];
    let step = prop_oneof![
        8 => (key.clone(), bytes.clone(), 1..9000usize)
            .prop_map(|(key, body_bytes, piece_bytes)| Step::Put { key, body_bytes, piece_bytes }),
        3 => (key.clone(), bytes, any::<bool>())
            .prop_map(|(key, body_bytes, growing)| Step::Begin { key, body_bytes, growing }),
        3 => (0..4usize).prop_map(|which| Step::Commit { which }),
        1 => (0..4usize).prop_map(|which| Step::Abandon { which }),
        6 => key.clone().prop_map(|key| Step::Get { key }),
        2 => key.prop_map(|key| Step::Remove { key }),
        1 => Just(Step::Seal),
        1 => Just(Step::MakeRoom),
        1 => Just(Step::Reopen),
    ];
    proptest::collection::vec(step, 1..count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn store_agrees_with_a_map(steps in steps(60, 4000)) {
        run(steps, 4096);
    }

    #[test]
    fn store_agrees_with_a_map_while_it_reclaims(steps in steps(200, 50_000)) {
        run(steps, 32 << 10);
    }

    #[test]
    fn store_agrees_with_a_map_in_slices(steps in steps(120, 50_000)) {
        run(steps, 4096);
    }
}

struct World {
    folder: tempfile::TempDir,
    slice_bytes: u64,
    open: Option<(Store, Writer<FileDevice>, Reader)>,
    map: HashMap<u32, Object>,
    pending: Vec<(Object, Pending)>,
    /// The newest version of a key that a removal covers.
    removed: HashMap<u32, u64>,
    /// Something may have been reclaimed or displaced: a miss is allowed from now on.
    lossy: bool,
    version: u64,
}

fn run(steps: Vec<Step>, slice_bytes: u64) {
    let folder = scratch();
    let mut world = World {
        open: None,
        slice_bytes,
        folder,
        map: HashMap::new(),
        pending: Vec::new(),
        removed: HashMap::new(),
        lossy: false,
        version: 0,
    };
    world.reopen();
    for step in steps {
        world.step(step);
    }
    for key in 0..12 {
        world.check(key);
    }
    world.reopen();
    for key in 0..12 {
        world.check(key);
    }
}

impl World {
    fn step(&mut self, step: Step) {
        match step {
            Step::Put { key, body_bytes, piece_bytes } => self.put(key, body_bytes, piece_bytes),
            Step::Begin { key, body_bytes, growing } => self.begin(key, body_bytes, growing),
            Step::Commit { which } => self.commit(which),
            Step::Abandon { which } => {
                if let Some((_, pending)) = self.take(which) {
                    block_on_ready(self.writer().abandon(pending));
                }
            }
            Step::Get { key } => self.check(key),
            Step::Remove { key } => {
                // Refused only when everything is pinned or in drafts; gone from the index all the
                // same.
                self.lossy |= remove_now(self.writer(), key).is_err();
                self.map.remove(&key);
                self.removed.insert(key, self.version);
            }
            Step::Seal => block_on_ready(self.writer().seal()).unwrap(),
            Step::MakeRoom => {
                block_on_ready(self.writer().make_room());
            }
            Step::Reopen => self.reopen(),
        }
        let stats = self.open.as_ref().unwrap().0.stats();
        self.lossy |= stats.reclaimed > 0 || stats.displaced > 0;
        assert_eq!((stats.damaged, stats.write_errors), (0, 0));
    }

    fn put(&mut self, key: u32, body_bytes: usize, piece_bytes: usize) {
        self.version += 1;
        let object = Object { key, version: self.version, body_bytes };
        match block_on_ready(put(self.writer(), object, piece_bytes)) {
            Ok(committed) => {
                assert!(committed.published);
                self.map.insert(key, object);
            }
            Err(Failed::Refused(_)) => self.lossy = true,
            // All segments are clean or in drafts; or those of its first slices are not any more.
            Err(Failed::Write(WriteError::NoCleanSegment | WriteError::Reclaimed)) => {
                self.lossy = true;
            }
            Err(Failed::Write(error)) => panic!("no fault was injected: {error}"),
        }
    }

    fn begin(&mut self, key: u32, body_bytes: usize, growing: bool) {
        self.version += 1;
        let object = Object { key, version: self.version, body_bytes };
        let parts = object.parts();
        let draft = if growing { parts.growing() } else { parts.draft() };
        if let Ok(mut pending) = self.writer().begin(draft) {
            let half = &parts.body[..body_bytes / 2];
            if block_on_ready(self.writer().append(&mut pending, half)).is_ok() {
                self.pending.push((object, pending));
            }
        }
    }

    fn commit(&mut self, which: usize) {
        let Some((object, mut pending)) = self.take(which) else { return };
        let rest = &object.body()[object.body_bytes / 2..];
        let writer = self.writer();
        let committed = block_on_ready(async {
            writer.append(&mut pending, rest).await?;
            writer.commit(pending).await
        });
        // A draft may be so old that its segment was reclaimed.
        let Ok(committed) = committed else { return };
        let newer = self.map.get(&object.key).is_some_and(|now| now.version > object.version);
        assert!(!(newer && committed.published), "an older draft hid a newer object");
        let removed = self.removed.get(&object.key).is_some_and(|to| *to >= object.version);
        assert!(!(removed && committed.published), "a draft outlived the removal of its key");
        if committed.published {
            self.map.insert(object.key, object);
        } else {
            let newer_is_open = self
                .pending
                .iter()
                .any(|(open, _)| open.key == object.key && open.version > object.version);
            assert!(newer || removed || newer_is_open || self.lossy);
        }
    }

    fn take(&mut self, which: usize) -> Option<(Object, Pending)> {
        (which < self.pending.len()).then(|| self.pending.remove(which))
    }

    fn check(&mut self, key: u32) {
        let found = get(&self.open.as_ref().unwrap().2, key);
        match (found, self.map.get(&key)) {
            (Some(found), Some(wanted)) => assert_eq!(found, *wanted),
            (Some(found), None) => panic!("{found:?} was never stored, or was removed"),
            (None, Some(wanted)) => assert!(self.lossy, "{wanted:?} is lost"),
            (None, None) => {}
        }
    }

    fn reopen(&mut self) {
        self.pending.clear();
        self.open = None;
        let config = Config { slice_bytes: self.slice_bytes, ..tiny(self.folder.path()) };
        let (store, _) = Store::open(&config).unwrap();
        let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
        let writer = Writer::new(&store, device).unwrap();
        let reader = store.reader(0);
        self.open = Some((store, writer, reader));
    }

    fn writer(&self) -> &Writer<FileDevice> {
        &self.open.as_ref().unwrap().1
    }
}
