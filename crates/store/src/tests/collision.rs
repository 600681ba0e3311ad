//! ST-3 where hashes collide: with a few bits of key hash left, a collision is a miss or the right
//! object, never another key's bytes, and a removal of one key brings none of another back.

use std::cell::Cell;

thread_local! {
    /// Bits of the key hash that count on this thread.
    static BITS: Cell<u32> = const { Cell::new(128) };
}

/// What is left of a key's hash on this thread: all of it unless a test here says otherwise.
pub(crate) fn narrowed(hash: u128) -> u128 {
    match BITS.get() {
        128 => hash,
        // Spread again, so that the index uses all of its lines and tags.
        bits => ((hash & ((1 << bits) - 1)) + 1).wrapping_mul(SPREAD),
    }
}

const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

#[cfg(not(loom))]
mod model {
    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    use super::BITS;
    use crate::{Config, Draft, FileDevice, ReadError, Reader, Store, Writer, block_on_ready};

    #[derive(Debug, Clone)]
    enum Step {
        Put { key: u8, body_bytes: u16 },
        Get { key: u8 },
        Remove { key: u8 },
        Seal,
        MakeRoom,
        Reopen,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let key = 0..60u8;
        let step = prop_oneof![
            20 => (key.clone(), 0..12_000u16)
                .prop_map(|(key, body_bytes)| Step::Put { key, body_bytes }),
            20 => key.clone().prop_map(|key| Step::Get { key }),
            4 => key.prop_map(|key| Step::Remove { key }),
            1 => Just(Step::Seal),
            1 => Just(Step::MakeRoom),
            1 => Just(Step::Reopen),
        ];
        proptest::collection::vec(step, 1..250)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_key_gets_the_bytes_of_another(steps in steps(), bits in 1..10u32, tier: bool) {
            run(&steps, bits, tier);
        }
    }

    #[test]
    fn colliding_keys_take_each_other_s_place_and_are_found_by_their_own_name() {
        let put = |key| Step::Put { key, body_bytes: 100 };
        let get = |key| Step::Get { key };
        let steps: Vec<Step> = (0..60).map(put).chain((0..60).map(get)).collect();
        let (hits, misses) = run(&steps, 4, false);
        assert!(hits >= 16, "sixteen hashes have one key each: {hits} hits");
        assert!(misses > 60, "the others have lost their place, and all again later: {misses}");
    }

    /// Hits and misses of keys that were stored.
    fn run(steps: &[Step], bits: u32, tier: bool) -> (u32, u32) {
        BITS.set(bits);
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let config = Config { pin_rows: 2, ..Config::new(folder.path(), 1 << 20) };
        let config = if tier { config.with_memory(512 << 10) } else { config };
        let mut world =
            World { open: None, config, tier, objects: HashMap::new(), figures: (0, 0) };
        world.reopen();
        for (version, step) in (1..).zip(steps) {
            world.step(step, version);
        }
        for _ in 0..2 {
            (0..60).for_each(|key| world.check(key));
            world.reopen();
        }
        BITS.set(128);
        world.figures
    }

    struct World {
        open: Option<(Store, Writer<FileDevice>, Reader)>,
        config: Config,
        tier: bool,
        /// The newest object of a key, and all since it was last removed.
        objects: HashMap<u8, (Object, HashSet<Object>)>,
        figures: (u32, u32),
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    struct Object {
        key: u8,
        version: u16,
        body_bytes: u16,
    }

    impl Object {
        fn head(self) -> Vec<u8> {
            let fields = [u16::from(self.key), self.version, self.body_bytes];
            fields.iter().flat_map(|field| field.to_le_bytes()).collect()
        }

        fn body(self) -> Vec<u8> {
            let mixed = u32::from(self.version) << 8 | u32::from(self.key);
            let words = (0..u32::from(self.body_bytes).div_ceil(4)).map(|at| (at * 0x0101) ^ mixed);
            let mut body: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
            body.truncate(self.body_bytes.into());
            body
        }
    }

    fn key_bytes(key: u8) -> Vec<u8> {
        // Of equal length: a hash that is told apart by it proves nothing.
        format!("key {key:03}").into_bytes()
    }

    impl World {
        fn step(&mut self, step: &Step, version: u16) {
            let writer = &self.open.as_ref().unwrap().1;
            match *step {
                Step::Put { key, body_bytes } => {
                    let object = Object { key, version, body_bytes };
                    let stored: Option<bool> = block_on_ready(async {
                        let (key, head) = (key_bytes(key), object.head());
                        let draft = Draft::new(&key, &head, body_bytes.into());
                        let mut pending = writer.begin_or_reclaim(draft).await.ok()?;
                        writer.append(&mut pending, &object.body()).await.ok()?;
                        Some(writer.commit(pending).await.ok()?.published)
                    });
                    // Slices take each other's places, too, and that of their root.
                    let is_sliced = body_bytes > 8192;
                    if is_sliced && stored != Some(true) {
                        return;
                    }
                    assert_eq!(stored, Some(true));
                    let (newest, all) = self.objects.entry(key).or_insert((object, HashSet::new()));
                    *newest = object;
                    all.insert(object);
                    let found = self.find(key);
                    assert!(found == Some(object) || is_sliced && found.is_none(), "just stored");
                }
                Step::Get { key } => self.check(key),
                Step::Remove { key } => {
                    block_on_ready(writer.remove(&key_bytes(key))).unwrap();
                    self.objects.remove(&key);
                }
                Step::Seal => block_on_ready(writer.seal()).unwrap(),
                Step::MakeRoom => {
                    block_on_ready(writer.make_room());
                }
                Step::Reopen => self.reopen(),
            }
        }

        fn check(&mut self, key: u8) {
            let found = self.find(key);
            let Some((newest, all)) = self.objects.get(&key) else {
                return assert_eq!(found, None, "{key} was removed, or never stored");
            };
            match found {
                Some(found) => {
                    // A restart forgets what only the memory tier had.
                    let is_right = found == *newest || self.tier && all.contains(&found);
                    assert!(is_right, "{found:?} for {newest:?}");
                    self.figures.0 += 1;
                }
                None => self.figures.1 += 1,
            }
        }

        /// What is found under a key, every byte of it compared.
        fn find(&self, key: u8) -> Option<Object> {
            let reader = &self.open.as_ref().unwrap().2;
            let record = reader.lookup(&key_bytes(key))?;
            assert_eq!(record.key(), key_bytes(key), "ST-3");
            let field = |at: usize| u16::from_le_bytes([record.head()[at], record.head()[at + 1]]);
            let object = Object { key: field(0) as u8, version: field(2), body_bytes: field(4) };
            assert_eq!((object.key, record.head()), (key, &object.head()[..]));
            let mut body = Vec::new();
            while (body.len() as u64) < record.body_len() {
                match record.piece(body.len() as u64, u64::MAX) {
                    Ok(piece) => body.extend_from_slice(&piece),
                    Err(error) => {
                        assert_eq!(error, ReadError::Missing, "nothing is damaged");
                        return None;
                    }
                }
            }
            assert!(body == object.body(), "ST-1: {object:?}");
            Some(object)
        }

        fn reopen(&mut self) {
            self.open = None;
            let (store, _) = Store::open(&self.config).unwrap();
            let device = FileDevice::with_pool(&store, 6, 16_384).unwrap();
            let writer = Writer::new(&store, device).unwrap();
            let reader = store.reader(0);
            self.open = Some((store, writer, reader));
        }
    }
}
