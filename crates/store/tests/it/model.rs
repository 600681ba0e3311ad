//! ST-1, ST-2, ST-3, ST-7: the store against a map, through purges, reopens and reclaims.

use std::collections::HashMap;

use longhold_store::{
    Config, FileDevice, Mode, Pending, Reader, Store, WriteError, Writer, block_on_ready,
};
use proptest::prelude::*;

use crate::support::{Aim, Failed, Object, PurgedTo, look, put, scratch, tiny};

#[derive(Debug, Clone)]
enum Step {
    Put { key: u32, body_bytes: usize, piece_bytes: usize },
    Begin { key: u32, body_bytes: usize, growing: bool },
    Commit { which: usize },
    Abandon { which: usize },
    Get { key: u32 },
    Purge { aim: Aim, mode: Mode },
    Seal,
    MakeRoom,
    Reopen,
}

fn purge() -> impl Strategy<Value = Step> {
    let aim = prop_oneof![
        4 => (0..KEYS).prop_map(Aim::Key),
        2 => (0..KEYS).prop_map(Aim::Prefix),
        2 => prop_oneof![Just(40), Just(41), Just(u64::MAX)].prop_map(Aim::Tag),
        1 => Just(Aim::All),
    ];
    let mode = prop_oneof![Just(Mode::Hard), Just(Mode::Soft)];
    (aim, mode).prop_map(|(aim, mode)| Step::Purge { aim, mode })
}

fn steps(count: usize, body_bytes: usize) -> impl Strategy<Value = Vec<Step>> {
    let key = 0..KEYS;
    let bytes = prop_oneof![Just(0), 1..300usize, 1..body_bytes, Just(32768), Just(32769)];
    let step = prop_oneof![
        8 => (key.clone(), bytes.clone(), 1..9000usize)
            .prop_map(|(key, body_bytes, piece_bytes)| Step::Put { key, body_bytes, piece_bytes }),
        3 => (key.clone(), bytes, any::<bool>())
            .prop_map(|(key, body_bytes, growing)| Step::Begin { key, body_bytes, growing }),
        3 => (0..4usize).prop_map(|which| Step::Commit { which }),
        1 => (0..4usize).prop_map(|which| Step::Abandon { which }),
        6 => key.clone().prop_map(|key| Step::Get { key }),
        3 => purge(),
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
    purged: PurgedTo,
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
        purged: PurgedTo::default(),
        lossy: false,
        version: 0,
    };
    world.reopen();
    for step in steps {
        world.step(step);
    }
    for key in 0..KEYS {
        world.check(key);
    }
    world.reopen();
    for key in 0..KEYS {
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
            Step::Purge { aim, mode } => {
                let purged = aim.purge(self.writer(), mode).expect("no fault was injected");
                if let (Aim::Key(key), false) = (aim, self.lossy) {
                    // The index may hold a key that another purge has ended and nobody asked for.
                    assert!(purged.found >= u64::from(self.map.contains_key(&key)));
                }
                self.purged.purge(aim, mode, KEYS, self.version);
                if mode == Mode::Hard {
                    self.map.retain(|key, _| !aim.hits(*key));
                }
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
        let purged = self.purged.is_hard(object);
        assert!(!(purged && committed.published), "a draft outlived a purge that concerns it");
        if committed.published {
            self.map.insert(object.key, object);
        } else {
            let newer_is_open = self
                .pending
                .iter()
                .any(|(open, _)| open.key == object.key && open.version > object.version);
            // A growing one is not published when a soft purge has come, either.
            let purged = purged || self.purged.is_soft(object);
            assert!(newer || purged || newer_is_open || self.lossy);
        }
    }

    fn take(&mut self, which: usize) -> Option<(Object, Pending)> {
        (which < self.pending.len()).then(|| self.pending.remove(which))
    }

    fn check(&mut self, key: u32) {
        let found = look(&self.open.as_ref().unwrap().2, key);
        match (found, self.map.get(&key)) {
            (Some((found, is_soft)), Some(wanted)) => {
                assert_eq!(found, *wanted);
                assert_eq!(is_soft, self.purged.is_soft(found), "{found:?}");
            }
            (Some((found, _)), None) => panic!("{found:?} was never stored, or was purged"),
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

const KEYS: u32 = 12;
