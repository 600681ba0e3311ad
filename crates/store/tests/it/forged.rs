//! ST-6: a body may hold whole segments of this store and of others, and be torn anywhere: nothing
//! in it is ever a record.

use std::os::unix::fs::FileExt;
use std::path::Path;

use longhold_store::{Draft, Store, block_on_ready};
use proptest::prelude::*;

use crate::support::{Object, get, open, put_now, remove_now, scratch, tiny};

const KEYS: u32 = 8;

/// A data file with objects in it.
fn filled(folder: &Path) -> Vec<u8> {
    let (_store, writer) = open(folder);
    for key in 0..KEYS {
        put_now(&writer, Object { key, version: 1, body_bytes: key as usize * 700 }).unwrap();
    }
    block_on_ready(writer.seal()).unwrap();
    std::fs::read(folder.join("data")).unwrap()
}

/// Where things of the store begin.
fn places(bytes: &[u8], magic: &[u8]) -> Vec<usize> {
    (0..bytes.len()).step_by(64).filter(|at| bytes[*at..].starts_with(magic)).collect()
}

#[derive(Debug, Clone)]
struct Forgery {
    /// Bytes of another store, or of this one.
    foreign: bool,
    /// Bytes in front, so that what is copied lies as real records do, or does not.
    pad: usize,
    /// What is copied: records and all behind them, or a footer.
    footer: bool,
    bytes: usize,
    /// Where the outer record is torn, and how much of it is lost.
    torn_at: usize,
    torn_bytes: usize,
}

fn forgery() -> impl Strategy<Value = Forgery> {
    let pad = prop_oneof![4 => (0..64usize).prop_map(|pad| pad * 8), 1 => 0..4096usize];
    (any::<bool>(), pad, any::<bool>(), 100..40_000usize, 0..40_000usize, 1..8192usize).prop_map(
        |(foreign, pad, footer, bytes, torn_at, torn_bytes)| Forgery {
            foreign,
            pad,
            footer,
            bytes,
            torn_at,
            torn_bytes,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_lies_in_a_body_is_no_record(forgeries in proptest::collection::vec(forgery(), 1..6)) {
        run(&forgeries);
    }
}

fn run(forgeries: &[Forgery]) {
    let (folder, other) = (scratch(), scratch());
    let (own, foreign) = (filled(folder.path()), filled(other.path()));
    {
        let (_store, writer) = open(folder.path());
        // Whatever is found of them afterwards has come out of a body.
        for key in 0..KEYS {
            remove_now(&writer, key).unwrap();
        }
        for forgery in forgeries {
            let real = if forgery.foreign { &foreign } else { &own };
            let magic: &[u8] = if forgery.footer { b"LHf1" } else { b"LHr1" };
            let from = places(real, magic)[0].saturating_sub(if forgery.footer { 320 } else { 0 });
            let mut body = vec![0; forgery.pad];
            body.extend_from_slice(&real[from..(from + forgery.bytes).min(real.len())]);
            block_on_ready(async {
                let draft = Draft::new(b"the forger's", b"", body.len() as u64);
                let mut pending = writer.begin_or_reclaim(draft).await.unwrap();
                writer.append(&mut pending, &body).await.unwrap();
                writer.commit(pending).await.unwrap();
            });
        }
    }
    let file = std::fs::File::options().read(true).write(true).open(folder.path().join("data"));
    let file = file.unwrap();
    let whole = std::fs::read(folder.path().join("data")).unwrap();
    let outer: Vec<usize> = places(&whole, b"LHr1");
    for (number, forgery) in forgeries.iter().enumerate() {
        // Headers of outer records and of those in the bodies, as they come.
        let record = outer[(number * 7 + forgery.torn_at) % outer.len()];
        let at = (record + forgery.torn_at % 5000).min(whole.len() - 1);
        let end = (at + forgery.torn_bytes).min(whole.len());
        file.write_all_at(&vec![0; end - at], at as u64).unwrap();
        let (store, _) = Store::open(&tiny(folder.path())).unwrap();
        let reader = store.reader(0);
        for key in 0..KEYS {
            assert_eq!(get(&reader, key), None, "out of a body");
        }
        drop((reader, store));
        file.write_all_at(&whole[at..end], at as u64).unwrap();
    }
}
