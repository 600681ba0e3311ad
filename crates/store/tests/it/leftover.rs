//! ST-4, ST-8: what an earlier run left behind the end of a segment, placed as badly as possible.

use std::os::unix::fs::FileExt;
use std::path::Path;

use longhold_store::{Draft, FileDevice, Store, Writer, block_on_ready};

use crate::support::{open, scratch, tiny};

fn store_one(writer: &Writer<FileDevice>, key: &[u8], body_bytes: usize) {
    block_on_ready(async {
        let draft = Draft::new(key, b"", body_bytes as u64);
        let mut pending = writer.begin(draft).unwrap();
        writer.append(&mut pending, &vec![key[0]; body_bytes]).await.unwrap();
        writer.commit(pending).await.unwrap();
    });
}

fn record_places(folder: &Path) -> Vec<u64> {
    let bytes = std::fs::read(folder.join("data")).unwrap();
    let units = (0..bytes.len()).step_by(64);
    units.filter(|at| bytes[*at..].starts_with(b"LHr1")).map(|at| at as u64).collect()
}

/// The sectors of this range never reached the disk.
fn lose(folder: &Path, start: u64, end: u64) {
    let file = std::fs::File::options().write(true).open(folder.join("data")).unwrap();
    file.write_all_at(&vec![0; (end - start) as usize], start).unwrap();
}

#[test]
fn a_leftover_record_behind_a_new_one_stays_dead() {
    let folder = scratch();
    {
        let (_store, writer) = open(folder.path());
        store_one(&writer, b"a", 1000);
        store_one(&writer, b"b", 1000);
        store_one(&writer, b"c", 1000);
    }
    let places = record_places(folder.path());
    let [_, b, c] = places[..] else { panic!("{places:?}") };
    assert_eq!(c - b, 1152);
    lose(folder.path(), b, c);
    {
        // The walk ends behind "a"; "c" is not found, and is removed all the same.
        let (_store, writer) = open(folder.path());
        assert_eq!(block_on_ready(writer.remove(b"c")), Ok(false));
        // This record ends exactly where the old "c" begins.
        store_one(&writer, b"b", 1000);
        assert_eq!(record_places(folder.path()), places);
    }
    let (store, report) = Store::open(&tiny(folder.path())).unwrap();
    assert!(store.reader(0).lookup(b"c").is_none(), "ST-7: {report:?}");
    assert_eq!((report.objects, report.purges), (2, 1));
}

#[test]
fn a_footer_line_behind_the_end_of_the_walk_is_forgotten() {
    let folder = scratch();
    {
        let (_store, writer) = open(folder.path());
        store_one(&writer, b"a", 1000);
        // A checkpoint while a draft is open: its footer ends before the draft, and lists "c".
        let pending = writer.begin(Draft::new(b"b", b"", 1000)).unwrap();
        store_one(&writer, b"c", 1000);
        block_on_ready(writer.seal()).unwrap();
        drop(pending);
    }
    let places = record_places(folder.path());
    let [_, b, c] = places[..] else { panic!("{places:?}") };
    // The sync was cut short: the footer is there, what it speaks of is not.
    lose(folder.path(), b, c + 1152);
    let (store, writer) = open(folder.path());
    assert_eq!(store.stats().objects, 1);
    let reader = store.reader(0);
    store_one(&writer, b"d", 3000);
    assert!(reader.lookup(b"c").is_none());
    assert_eq!(store.stats().damaged, 0, "no index slot speaks of what is written over");
}

#[test]
fn a_segment_that_cannot_be_walked_without_its_footer_takes_no_more_records() {
    let folder = scratch();
    {
        let (_store, writer) = open(folder.path());
        store_one(&writer, b"a", 1000);
        store_one(&writer, b"b", 1000);
        block_on_ready(writer.seal()).unwrap();
    }
    let places = record_places(folder.path());
    lose(folder.path(), places[0], places[0] + 512);
    for _ in 0..2 {
        let (store, writer) = open(folder.path());
        assert_eq!(store.stats().segments_open, 0, "a commit here could be lost with the footer");
        assert!(store.reader(0).lookup(b"b").is_some(), "the footer still finds it");
        drop(writer);
    }
    let (store, writer) = open(folder.path());
    store_one(&writer, b"d", 1000);
    drop((store, writer));
    // The process dies while it writes the first segment's footer again.
    let segment = places[0] - 4096;
    lose(folder.path(), segment + 65_536 - 64, segment + 65_536);
    let (store, _) = open(folder.path());
    assert!(store.reader(0).lookup(b"d").is_some(), "ST-2: it was answered");
}
