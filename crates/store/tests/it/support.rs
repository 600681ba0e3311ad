//! What all tests of the store share: a small store, and objects whose every byte is known.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use longhold_store::{
    Committed, Config, Device, Draft, FileDevice, Found, Mode, Purge, Purged, Reader, Record,
    Refused, Store, WriteError, Writer, block_on_ready,
};
use tempfile::TempDir;

/// A scratch folder, in memory where that is possible.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A scratch folder on a disk, where a file's pages can leave memory.
pub(crate) fn disk_scratch() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Looks a key up as a thread must that may not wait, and pages in what is cold, until the record
/// is there. Says how often.
pub(crate) fn find_paging(store: &Store, reader: &Reader, key: u32) -> (Option<Record>, u32) {
    for paged in 0..8 {
        match reader.find(&Object::key_bytes(key)) {
            Found::Record(record) => return (Some(record), paged),
            Found::Miss => return (None, paged),
            Found::Cold(cold) => {
                // What cannot be paged in is a miss at the next look.
                let _ = store.page_in(&cold);
            }
        }
    }
    panic!("still cold after eight page-ins");
}

/// Sixteen segments of 64 KiB, and the largest slices that fit there.
pub(crate) fn tiny(path: impl Into<PathBuf>) -> Config {
    Config { pin_rows: 8, index_slots: 4096, slice_bytes: 32 << 10, ..Config::new(path, 1 << 20) }
}

/// The devices of a store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) disks: usize,
    pub(crate) memory: bool,
}

impl Shape {
    /// Eight segments on each, so that the log comes round within a run. What is larger than the
    /// memory tier takes is in slices.
    pub(crate) fn config(self, path: &Path) -> Config {
        let one = Config::new(path.join("0"), 512 << 10);
        let more = (1..self.disks)
            .fold(one, |config, disk| config.with_device(path.join(disk.to_string()), 512 << 10));
        let all = if self.memory { more.with_memory(512 << 10) } else { more };
        Config { pin_rows: 8, index_slots: 4096, slice_bytes: 16 << 10, ..all }
    }

    /// All data files.
    pub(crate) fn read(self, folder: &Path) -> Vec<Vec<u8>> {
        let data = |disk: usize| std::fs::read(folder.join(disk.to_string()).join("data"));
        (0..self.disks).map(|disk| data(disk).unwrap()).collect()
    }
}

pub(crate) fn open(path: &Path) -> (Store, Writer<FileDevice>) {
    let (store, _) = Store::open(&tiny(path)).unwrap();
    let device = FileDevice::with_pool(&store, 6, 8192).unwrap();
    let writer = Writer::new(&store, device).unwrap();
    (store, writer)
}

/// An object that is wholly determined by its key, version and length. Version and length stand
/// in the head, so that a reader can compute what the body must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: u32,
    pub(crate) version: u64,
    pub(crate) body_bytes: usize,
}

impl Object {
    pub(crate) fn key_bytes(key: u32) -> Vec<u8> {
        format!("https://example.org/object/{key}?q={}", "x".repeat(key as usize % 70)).into_bytes()
    }

    /// None, one or two: three keys of four have the first, every third the second.
    pub(crate) fn tags(key: u32) -> Vec<u64> {
        let first = (!key.is_multiple_of(4), 40 + u64::from(key % 2));
        let second = (key.is_multiple_of(3), u64::MAX);
        [first, second].into_iter().filter_map(|(has, tag)| has.then_some(tag)).collect()
    }

    pub(crate) fn head(&self) -> Vec<u8> {
        format!("version {} length {}", self.version, self.body_bytes).into_bytes()
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let mut state = (u64::from(self.key) << 32) ^ self.version ^ 0x9e37_79b9_7f4a_7c15;
        let mut body = Vec::with_capacity(self.body_bytes + 8);
        while body.len() < self.body_bytes {
            state = next(&mut state.clone());
            body.extend_from_slice(&state.to_le_bytes());
        }
        body.truncate(self.body_bytes);
        body
    }

    pub(crate) fn parts(&self) -> Parts {
        let (key, tags) = (Self::key_bytes(self.key), Self::tags(self.key));
        Parts { key, tags, head: self.head(), body: self.body() }
    }

    /// Reads an object back; panics on any byte that is not as it was stored.
    pub(crate) fn from_record(key: u32, record: &Record) -> Option<Self> {
        assert_eq!(record.key(), Self::key_bytes(key), "ST-3: another key's record");
        let head = std::str::from_utf8(record.head()).unwrap();
        let mut words = head.split(' ');
        let version = words.nth(1).unwrap().parse().unwrap();
        let body_bytes = words.nth(1).unwrap().parse().unwrap();
        let object = Self { key, version, body_bytes };
        assert_eq!(record.body_len(), body_bytes as u64);
        assert!(record.tags().eq(Self::tags(key)));
        read(record, 0..record.body_len()).then_some(object)
    }
}

/// Compares a range of an object's body, slice by slice; `false` when some of it cannot be read.
pub(crate) fn read(record: &Record, range: std::ops::Range<u64>) -> bool {
    let words: Vec<&str> = std::str::from_utf8(record.head()).unwrap().split(' ').collect();
    let key = std::str::from_utf8(record.key()).unwrap();
    let key = key["https://example.org/object/".len()..].split('?').next().unwrap();
    let object = Object {
        key: key.parse().unwrap(),
        version: words[1].parse().unwrap(),
        body_bytes: words[3].parse().unwrap(),
    };
    let (body, mut at) = (object.body(), range.start);
    loop {
        let Ok(slice) = record.piece(at, range.end - at) else { return false };
        let end = at + slice.len() as u64;
        assert!(*slice == body[at as usize..end as usize], "ST-1: wrong bytes in {object:?}");
        assert!(end > at || at == range.end, "no progress");
        at = end;
        if at == range.end {
            return true;
        }
    }
}

/// What a draft borrows.
pub(crate) struct Parts {
    key: Vec<u8>,
    tags: Vec<u64>,
    head: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Parts {
    pub(crate) fn draft(&self) -> Draft<'_> {
        let draft = Draft::new(&self.key, &self.head, self.body.len() as u64);
        Draft { tags: &self.tags, ..draft }
    }

    /// The same without its length.
    pub(crate) fn growing(&self) -> Draft<'_> {
        Draft { body_len: None, ..self.draft() }
    }
}

/// Stores an object in pieces.
pub(crate) async fn put<D: Device>(
    writer: &Writer<D>,
    object: Object,
    piece_bytes: usize,
) -> Result<Committed, Failed> {
    let parts = object.parts();
    let mut pending = writer.begin(parts.draft())?;
    for piece in parts.body.chunks(piece_bytes.max(1)) {
        writer.append(&mut pending, piece).await?;
    }
    Ok(writer.commit(pending).await?)
}

/// Stores an object without saying how long it is.
pub(crate) async fn grow<D: Device>(
    writer: &Writer<D>,
    object: Object,
    piece_bytes: usize,
) -> Result<Committed, Failed> {
    let parts = object.parts();
    let mut pending = writer.begin(parts.growing())?;
    for piece in parts.body.chunks(piece_bytes) {
        writer.append(&mut pending, piece).await?;
    }
    Ok(writer.commit(pending).await?)
}

pub(crate) fn put_now<D: Device>(writer: &Writer<D>, object: Object) -> Result<Committed, Failed> {
    block_on_ready(put(writer, object, 5000))
}

pub(crate) fn remove_now<D: Device>(writer: &Writer<D>, key: u32) -> Result<bool, WriteError> {
    block_on_ready(writer.remove(&Object::key_bytes(key)))
}

pub(crate) fn get(reader: &Reader, key: u32) -> Option<Object> {
    look(reader, key).map(|(object, _)| object)
}

/// The object of a key, and whether it is softly purged.
pub(crate) fn look(reader: &Reader, key: u32) -> Option<(Object, bool)> {
    let record = reader.lookup(&Object::key_bytes(key))?;
    Some((Object::from_record(key, &record)?, record.is_soft_purged()))
}

/// A purge as tests choose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    Key(u32),
    /// Keys whose number begins with this one's.
    Prefix(u32),
    /// One of those that [`Object::tags`] gives.
    Tag(u64),
    All,
}

impl Aim {
    /// Mostly keys.
    pub(crate) fn random(random: &mut Random, keys: u32) -> Self {
        let key = random.below(u64::from(keys)) as u32;
        match random.below(10) {
            0..=4 => Self::Key(key),
            5..=6 => Self::Prefix(key),
            7..=8 => Self::Tag([40, 41, u64::MAX][random.below(3) as usize]),
            _ => Self::All,
        }
    }

    /// One word, for another process.
    pub(crate) fn code(self) -> String {
        match self {
            Self::Key(key) => format!("key-{key}"),
            Self::Prefix(key) => format!("prefix-{key}"),
            Self::Tag(tag) => format!("tag-{tag}"),
            Self::All => "all-0".to_owned(),
        }
    }

    pub(crate) fn from_code(code: &str) -> Option<Self> {
        let (kind, number) = code.split_once('-')?;
        match kind {
            "key" => Some(Self::Key(number.parse().ok()?)),
            "prefix" => Some(Self::Prefix(number.parse().ok()?)),
            "tag" => Some(Self::Tag(number.parse().ok()?)),
            "all" => Some(Self::All),
            _ => None,
        }
    }

    /// Whether it concerns a key.
    pub(crate) fn hits(self, key: u32) -> bool {
        match self {
            Self::Key(aimed) => key == aimed,
            Self::Prefix(aimed) => key.to_string().starts_with(&aimed.to_string()),
            Self::Tag(tag) => Object::tags(key).contains(&tag),
            Self::All => true,
        }
    }

    /// The key or prefix.
    pub(crate) fn name(self) -> Vec<u8> {
        match self {
            Self::Key(key) => Object::key_bytes(key),
            Self::Prefix(key) => format!("https://example.org/object/{key}").into_bytes(),
            Self::Tag(_) | Self::All => Vec::new(),
        }
    }

    /// As the store takes it; `name` is [`Aim::name`].
    pub(crate) fn of(self, name: &[u8]) -> Purge<'_> {
        match self {
            Self::Key(_) => Purge::Key(name),
            Self::Prefix(_) => Purge::Prefix(name),
            Self::Tag(tag) => Purge::Tag(tag),
            Self::All => Purge::All,
        }
    }

    pub(crate) fn purge<D: Device>(
        self,
        writer: &Writer<D>,
        mode: Mode,
    ) -> Result<Purged, WriteError> {
        block_on_ready(writer.purge(&[self.of(&self.name())], mode))
    }
}

/// Which versions of each key are purged.
#[derive(Debug, Clone, Default)]
pub(crate) struct PurgedTo {
    hard: HashMap<u32, u64>,
    soft: HashMap<u32, u64>,
}

impl PurgedTo {
    /// A purge of all versions up to one.
    pub(crate) fn purge(&mut self, aim: Aim, mode: Mode, keys: u32, to: u64) {
        let versions = match mode {
            Mode::Hard => &mut self.hard,
            Mode::Soft => &mut self.soft,
        };
        for key in (0..keys).filter(|key| aim.hits(*key)) {
            let known = versions.entry(key).or_default();
            *known = to.max(*known);
        }
    }

    pub(crate) fn is_hard(&self, object: Object) -> bool {
        self.hard.get(&object.key).is_some_and(|to| object.version <= *to)
    }

    pub(crate) fn is_soft(&self, object: Object) -> bool {
        self.soft.get(&object.key).is_some_and(|to| object.version <= *to)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    Refused(Refused),
    Write(WriteError),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<WriteError> for Failed {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

/// A small generator of the splitmix kind: the tests name their seeds.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        next(&mut self.0) % bound.max(1)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
