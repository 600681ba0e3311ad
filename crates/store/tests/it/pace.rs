//! A disk that does not answer: nothing more is begun there, others go on, and one object at a time
//! shows when it answers again.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use longhold_store::{
    Config, Device, Draft, FileDevice, Refused, Store, WriteError, Writer, block_on_ready,
};

use crate::support::{Object, Shape, get, put_now, scratch};

/// Answers no write to the volume that is held.
struct HeldDevice {
    inner: FileDevice,
    held: Rc<Cell<Option<usize>>>,
}

impl Device for HeldDevice {
    type Block = <FileDevice as Device>::Block;

    fn block_bytes(&self) -> usize {
        self.inner.block_bytes()
    }

    fn allocate_block(&self) -> Option<Self::Block> {
        self.inner.allocate_block()
    }

    fn write_at(
        &self,
        place: (usize, u64),
        block: Self::Block,
        range: Range<usize>,
    ) -> impl Future<Output = (io::Result<()>, Self::Block)> + 'static {
        let (held, write) = (Rc::clone(&self.held), self.inner.write_at(place, block, range));
        async move {
            let is_held = |_: &mut Context<'_>| match held.get() == Some(place.0) {
                true => Poll::Pending,
                false => Poll::Ready(()),
            };
            std::future::poll_fn(is_held).await;
            write.await
        }
    }

    fn sync_data(&self, volume: usize) -> impl Future<Output = io::Result<()>> + 'static {
        self.inner.sync_data(volume)
    }
}

type Stage = (Store, Writer<HeldDevice>, Rc<Cell<Option<usize>>>);

fn open(config: &Config) -> Stage {
    let (store, _) = Store::open(config).unwrap();
    let held = Rc::new(Cell::new(None));
    let inner = FileDevice::with_pool(&store, 8, 8192).unwrap();
    let writer = Writer::new(&store, HeldDevice { inner, held: Rc::clone(&held) }).unwrap();
    (store, writer, held)
}

fn shape(disks: usize, memory: bool, patience: Duration) -> (tempfile::TempDir, Config) {
    let folder = scratch();
    let config = Shape { disks, memory }.config(folder.path());
    (folder, Config { write_patience: patience, ..config })
}

/// Polls a call once: it must wait.
fn waits(call: impl Future) {
    let polled = pin!(call).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending());
}

fn object(key: u32) -> Object {
    Object { key, version: 1, body_bytes: 9000 }
}

const LARGE: Draft<'_> = Draft::new(b"large", b"", 100_000);

#[test]
fn a_disk_that_does_not_answer_is_spared_until_it_does() {
    let (_folder, config) = shape(1, false, Duration::ZERO);
    let (store, writer, held) = open(&config);
    assert!(!writer.is_behind());
    held.set(Some(0));
    // Its write is left under way.
    waits(writer.commit({
        let mut pending = writer.begin(Draft::new(b"first", b"", 5)).unwrap();
        block_on_ready(writer.append(&mut pending, b"hello")).unwrap();
        pending
    }));
    assert!(writer.is_behind());
    for draft in [Draft::new(b"other", b"", 5), LARGE] {
        assert_eq!(writer.begin(draft).err(), Some(Refused::Behind));
    }
    assert_eq!(block_on_ready(writer.outline(LARGE)), Err(WriteError::Behind));
    assert!(store.devices()[0].behind);
    held.set(None);
    block_on_ready(writer.make_room());
    // Late, as everything is without patience: so one is begun when none is under way.
    put_now(&writer, object(1)).expect("a write shows that it answers");
    assert_eq!(get(&store.reader(0), 1), Some(object(1)));
}

#[test]
fn what_begins_in_memory_does_not_see_the_disk() {
    let (_folder, config) = shape(1, true, Duration::ZERO);
    let (store, writer, held) = open(&config);
    held.set(Some(0));
    waits(writer.outline(LARGE));
    assert_eq!(writer.begin(LARGE).err(), Some(Refused::Behind));
    put_now(&writer, object(1)).expect("room in memory");
    assert_eq!(get(&store.reader(0), 1), Some(object(1)));
}

#[test]
fn another_disk_takes_what_one_that_is_behind_does_not() {
    let (_folder, config) = shape(2, false, Duration::ZERO);
    let (store, writer, held) = open(&config);
    held.set(Some(0));
    waits(writer.commit(writer.begin(Draft::new(b"first", b"", 0)).unwrap()));
    for key in 0..5 {
        put_now(&writer, object(key)).expect("the other disk");
    }
    let reader = store.reader(0);
    assert!((0..5).all(|key| get(&reader, key) == Some(object(key))));
    assert!(store.devices()[0].behind);
}

#[test]
fn a_disk_within_its_patience_is_given_more() {
    let (_folder, config) = shape(1, false, Duration::from_secs(3600));
    let (_store, writer, held) = open(&config);
    held.set(Some(0));
    waits(writer.commit(writer.begin(Draft::new(b"first", b"", 0)).unwrap()));
    assert!(!writer.is_behind());
    drop(writer.begin(Draft::new(b"other", b"", 5)).unwrap());
}
