//! Any data file: a real one, cut about by a list of edits, is opened, read, written to and opened
//! again (ST-1, ST-2, ST-6, ST-7).
//!
//! The bytes of the input are the edits, so that what they leave alone keeps its MACs and recovery
//! goes deep. Edits that take bytes from an older state of the same file are what lost and
//! reordered writes leave behind.

use std::cell::RefCell;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::format::FORMAT_VERSION;
use crate::superblock::{Identity, SuperBlock};
use crate::{Config, Draft, FileDevice, Mode, Purge, Reader, Store, Writer, block_on_ready};

/// The file that is cut about, and what was ever stored in it.
pub struct Recovery {
    folder: PathBuf,
    /// The same store in the middle of its life.
    older: Image,
    newer: Image,
    scratch: RefCell<Image>,
    /// Where something begins: headers, records, footers, trailers, areas.
    landmarks: Vec<usize>,
    /// Key, version and length of everything that was committed.
    committed: HashSet<Object>,
}

struct Image {
    super_blocks: [Vec<u8>; 2],
    data: Vec<u8>,
}

/// Its every byte follows from these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Object {
    key: u8,
    version: u32,
    body_bytes: u32,
}

impl Recovery {
    /// Makes the store in `folder`, which each run overwrites.
    pub fn new(folder: &Path) -> Self {
        let config = config(folder);
        // The same identity each time, so that an input means the same each time.
        let geometry = config.shapes().expect("the config is right").disks[0];
        let identity = Identity { store: 1, secret: [7; 32] };
        let (device, members) = (2, vec![2]);
        let first = SuperBlock { geometry, identity, device, epoch: 0, floor_epoch: 0, members };
        let super_blocks = [first.encode().to_vec(), Vec::new()];
        let data = vec![0; geometry.data_bytes() as usize];
        Image { super_blocks, data }.write(folder);
        let mut committed = HashSet::new();
        let mut states = Vec::new();
        for life in 0..3 {
            let (store, _) = Store::open(&config).expect("a whole store opens");
            let device = FileDevice::with_pool(&store, 5, 8192).expect("descriptors");
            let writer = Writer::new(&store, device).expect("the only writer");
            live(&writer, life * 100, &mut committed);
            states.push(Image::read(folder));
        }
        let newer = states.pop().expect("three lives");
        let older = states.pop().expect("three lives");
        let landmarks = landmarks(&newer.data);
        let scratch = RefCell::new(Image::read(folder));
        Self { folder: folder.to_path_buf(), older, newer, scratch, landmarks, committed }
    }

    /// Applies the edits of `input` and opens what comes of it.
    pub fn run(&self, input: &[u8]) {
        let mut edits = Edits { input, landmarks: &self.landmarks, super_blocks_whole: [true; 2] };
        // Kept from one run to the next, so that its pages are.
        let mut image = self.scratch.borrow_mut();
        image.clone_from(&self.newer);
        let mut known = self.committed.clone();
        // A second round edits what the first run has left.
        for round in 1..=2 {
            edits.apply(&mut image, &self.older);
            image.write(&self.folder);
            let in_order = edits.super_blocks_whole.contains(&true);
            let is_last = edits.input.is_empty();
            let left = (!is_last).then_some(&mut *image);
            if self.live_on(round * 1000, in_order, (&mut known, left)).is_none() || is_last {
                return;
            }
        }
    }

    /// Opens, compares, works, opens again and compares again.
    ///
    /// When both super blocks are taken back to older ones, and what would tell is damaged, an
    /// epoch is given out twice, and nothing says which of two records is newer (not `in_order`).
    fn live_on(
        &self,
        version: u32,
        in_order: bool,
        (known, left): (&mut HashSet<Object>, Option<&mut Image>),
    ) -> Option<()> {
        let config = config(&self.folder);
        let mut removed = HashSet::new();
        let lossy = {
            let (store, _) = Store::open(&config).ok()?;
            let reader = store.reader(0);
            (0..KEYS).for_each(|key| check(get(&reader, key), known));
            let device = FileDevice::with_pool(&store, 5, 8192).expect("descriptors");
            let writer = Writer::new(&store, device).expect("the only writer");
            for key in [1, 5, 9] {
                let object = Object { key, version: version + u32::from(key), body_bytes: 9000 };
                if put(&writer, object).is_some_and(|published| published) {
                    known.insert(object);
                    let found = get(&reader, key);
                    let is_found = found == Some(object) || !in_order;
                    assert!(is_found, "what was published is found: {found:?}");
                }
            }
            for key in [2, 5] {
                if block_on_ready(writer.remove(&key_bytes(key))).is_ok() {
                    removed.insert(key);
                }
                assert_eq!(get(&reader, key), None, "what was removed is gone");
            }
            for (purge, concerned) in
                [(Purge::Tag(1), [1, 4, 7, 10]), (Purge::Prefix(b"iii"), [8; 4])]
            {
                let purged = block_on_ready(writer.purge(&[purge], Mode::Hard)).is_ok();
                for key in concerned {
                    removed.extend(purged.then_some(key));
                    let found = get(&reader, key);
                    assert!(found.is_none() || !in_order, "what was purged is gone: {found:?}");
                }
            }
            store.stats().reclaimed > 0 || store.stats().displaced > 0
        };
        if let Some(left) = left {
            *left = Image::read(&self.folder);
        }
        let (store, report) = Store::open(&config).ok()?;
        let reader = store.reader(0);
        for key in 0..KEYS {
            let found = get(&reader, key);
            check(found, known);
            if in_order && removed.contains(&key) {
                assert_eq!(found, None, "ST-7: it is back: {report:?}");
            }
        }
        let last = Object { key: 9, version: version + 9, body_bytes: 9000 };
        if in_order && !lossy && known.contains(&last) {
            assert_eq!(get(&reader, 9), Some(last), "ST-2: it is lost: {report:?}");
        }
        Some(())
    }
}

/// Puts of all sizes, removals, a draft that is never ended, a footer in the middle.
fn live(writer: &Writer<FileDevice>, version: u32, committed: &mut HashSet<Object>) {
    let sizes = [0, 1, 100, 5000, 32_768, 40_000, 900, 64, 20_000, 3, 10_000, 31_000];
    for (number, body_bytes) in (0..).zip(sizes.iter().cycle().copied().take(20)) {
        let key = (number * 5 % u32::from(KEYS)) as u8;
        let object = Object { key, version: version + number, body_bytes };
        put(writer, object);
        committed.insert(object);
        match number {
            4 | 11 => {
                block_on_ready(writer.remove(&key_bytes(3))).expect("there is room");
            }
            5 => {
                let purges = [Purge::Tag(77), Purge::Prefix(b"ccc"), Purge::Key(b"none")];
                block_on_ready(writer.purge(&purges, Mode::Soft)).expect("there is room");
            }
            7 => block_on_ready(writer.seal()).expect("nothing fails"),
            13 => {
                let head = [0; 12];
                let key = key_bytes(7);
                let pending = writer.begin(Draft::new(&key, &head, 3000));
                block_on_ready(writer.abandon(pending.expect("there is room")));
            }
            _ => {}
        }
    }
}

fn put(writer: &Writer<FileDevice>, object: Object) -> Option<bool> {
    let (key, head) = (key_bytes(object.key), object.head());
    block_on_ready(async {
        let tags = [u64::from(object.key % 3)];
        let draft = Draft { tags: &tags, ..Draft::new(&key, &head, object.body_bytes.into()) };
        // Some as objects of a length that nobody knows, in slices and a root.
        let body_len = draft.body_len.filter(|_| object.key % 4 < 3);
        let draft = Draft { body_len, ..draft };
        let mut pending = writer.begin_or_reclaim(draft).await.ok()?;
        writer.append(&mut pending, &object.body()).await.ok()?;
        Some(writer.commit(pending).await.ok()?.published)
    })
}

/// The object under a key, every byte of it compared.
fn get(reader: &Reader, key: u8) -> Option<Object> {
    let record = reader.lookup(&key_bytes(key))?;
    assert_eq!(record.key(), key_bytes(key), "ST-3: another key's record");
    let mut body = Vec::new();
    while (body.len() as u64) < record.body_len() {
        body.extend_from_slice(&record.piece(body.len() as u64, u64::MAX).ok()?);
    }
    let object = Object::from_head(record.head());
    assert_eq!(object.key, key, "ST-1: another key's head");
    assert_eq!(record.body_len(), u64::from(object.body_bytes));
    assert!(body == object.body(), "ST-1: wrong bytes in {object:?}");
    Some(object)
}

fn check(found: Option<Object>, known: &HashSet<Object>) {
    assert!(found.is_none_or(|object| known.contains(&object)), "ST-2: {found:?}");
}

impl Object {
    fn head(&self) -> [u8; 12] {
        let mut head = [self.key; 12];
        head[..4].copy_from_slice(&self.version.to_le_bytes());
        head[4..8].copy_from_slice(&self.body_bytes.to_le_bytes());
        head
    }

    fn from_head(head: &[u8]) -> Self {
        let number = |at: usize| crate::format::u32_at(head, at);
        assert_eq!(head.len(), 12, "ST-1: no head of ours");
        Self { key: head[8], version: number(0), body_bytes: number(4) }
    }

    fn body(&self) -> Vec<u8> {
        let seed = (self.version << 8) ^ u32::from(self.key) ^ FORMAT_VERSION;
        let words = (0..self.body_bytes.div_ceil(4)).map(|at| at.wrapping_mul(0x9e37_79b9) ^ seed);
        let mut body: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
        body.truncate(self.body_bytes as usize);
        body
    }
}

fn key_bytes(key: u8) -> Vec<u8> {
    vec![b'a' + key; 10 + 7 * usize::from(key)]
}

fn config(folder: &Path) -> Config {
    let config = Config::new(folder, 512 << 10);
    Config { pin_rows: 2, index_slots: 256, slice_bytes: 8 << 10, ..config }
}

impl Image {
    fn clone_from(&mut self, other: &Self) {
        self.super_blocks.clone_from(&other.super_blocks);
        self.data.clone_from(&other.data);
    }

    fn read(folder: &Path) -> Self {
        let file = |name| fs::read(folder.join(name)).unwrap_or_default();
        Self { super_blocks: [file("super.0"), file("super.1")], data: file("data") }
    }

    fn write(&self, folder: &Path) {
        for (name, bytes) in ["super.0", "super.1"].iter().zip(&self.super_blocks) {
            fs::write(folder.join(name), bytes).expect("a scratch folder");
        }
        let mut options = fs::File::options();
        let data = options.write(true).create(true).truncate(false).open(folder.join("data"));
        let data = data.expect("a scratch folder");
        data.write_all_at(&self.data, 0).expect("a scratch folder");
        data.set_len(self.data.len() as u64).expect("a scratch folder");
    }
}

fn landmarks(data: &[u8]) -> Vec<usize> {
    let begins = |at: &usize| data[*at..].starts_with(b"LH");
    let found = (0..data.len()).step_by(64).filter(begins);
    // Footers are found by their trailers; areas begin where the store's own arithmetic says.
    let footers = found.clone().filter(|at| data[*at..].starts_with(b"LHf1"));
    let footers: Vec<usize> = footers.map(|at| at.saturating_sub(32)).collect();
    found.chain(footers).chain([0, data.len() - 64]).collect()
}

/// What is left of the input.
struct Edits<'a> {
    input: &'a [u8],
    landmarks: &'a [usize],
    super_blocks_whole: [bool; 2],
}

impl Edits<'_> {
    /// Applies edits up to the one that ends a round.
    fn apply(&mut self, image: &mut Image, older: &Image) {
        for _ in 0..EDITS_MAX {
            if self.input.is_empty() {
                return;
            }
            match self.byte() % 10 {
                0 => {
                    let (at, with) = (self.place(&image.data), self.byte());
                    image.data[at] ^= with;
                }
                1 => {
                    let (at, len) = (self.place(&image.data), usize::from(self.byte() % 33));
                    for byte in image.data[at..].iter_mut().take(len) {
                        *byte = self.byte();
                    }
                }
                2 => {
                    let at = self.place(&image.data);
                    let end = image.data.len().min(at + self.len());
                    image.data[at..end].fill(0);
                }
                3 => {
                    let (from, to) = (self.place(&image.data), self.place(&image.data));
                    let end = image.data.len().min(from + self.len());
                    let len = (end - from).min(image.data.len() - to);
                    image.data.copy_within(from..from + len, to);
                }
                4 => {
                    let at = self.place(&image.data) / SECTOR_BYTES * SECTOR_BYTES;
                    let end = image.data.len().min(at + self.len());
                    image.data[at..end].copy_from_slice(&older.data[at..end]);
                }
                5 => {
                    let (from, to) = (self.place(&image.data), self.place(&image.data));
                    let end = image.data.len().min(from + self.len());
                    let len = (end - from).min(image.data.len() - to);
                    image.data[to..to + len].copy_from_slice(&older.data[from..from + len]);
                }
                6 => self.edit_super_block(image, older),
                7 => return,
                // The sectors of one write that came and those that did not.
                8 => {
                    let at = self.place(&image.data) / SECTOR_BYTES * SECTOR_BYTES;
                    let mut lost = self.byte();
                    for at in (at..image.data.len()).step_by(SECTOR_BYTES).take(8) {
                        let end = image.data.len().min(at + SECTOR_BYTES);
                        if lost & 1 == 1 {
                            image.data[at..end].copy_from_slice(&older.data[at..end]);
                        }
                        lost >>= 1;
                    }
                }
                // A length in a header: the bytes in front of a landmark's MAC.
                _ => {
                    let at = self.place(&image.data) + usize::from(self.byte() % 96);
                    let with = [self.byte(), self.byte(), self.byte(), self.byte()];
                    for (byte, with) in image.data.iter_mut().skip(at).zip(with) {
                        *byte = with;
                    }
                }
            }
        }
    }

    fn edit_super_block(&mut self, image: &mut Image, older: &Image) {
        let which = usize::from(self.byte());
        self.super_blocks_whole[which % 2] = false;
        let block = &mut image.super_blocks[which % 2];
        match which / 2 % 4 {
            0 => block.clone_from(&older.super_blocks[which % 2]),
            1 => block.clear(),
            2 => block.truncate(usize::from(self.byte()) * 16),
            _ => {
                let at = usize::from(self.byte()) * 16 + usize::from(self.byte() % 16);
                let with = self.byte();
                if let Some(byte) = block.get_mut(at) {
                    *byte ^= with;
                }
            }
        }
    }

    /// Anywhere, or near something.
    fn place(&mut self, data: &[u8]) -> usize {
        let (kind, low) = (self.byte(), self.byte());
        let at = if kind < 192 {
            let number = (usize::from(kind) / 64 * 256 + usize::from(low)) % self.landmarks.len();
            let near = kind % 64;
            self.landmarks[number] + usize::from(near / 32 * self.byte())
        } else {
            let high = [self.byte(), kind];
            usize::from(low) | usize::from(high[0]) << 8 | usize::from(high[1] & 63) << 16
        };
        at % data.len()
    }

    /// Short or long, up to a segment.
    fn len(&mut self) -> usize {
        let len = usize::from(self.byte());
        if len < 128 { len } else { (len - 127) * SECTOR_BYTES }
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.input.split_first() else { return 0 };
        self.input = rest;
        first
    }
}

const KEYS: u8 = 12;
const EDITS_MAX: usize = 40;
const SECTOR_BYTES: usize = 512;
