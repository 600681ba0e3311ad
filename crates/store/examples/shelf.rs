//! A shelf: files by name in a store, in one page. Read it from top to bottom; it is the whole
//! round of an embedder: open, write, read, purge, seal.
//!
//! ```text
//! cargo run -p longhold-store --example shelf -- /tmp/shelf put README.md Cargo.toml
//! cargo run -p longhold-store --example shelf -- /tmp/shelf list
//! cargo run -p longhold-store --example shelf -- /tmp/shelf get README.md
//! cargo run -p longhold-store --example shelf -- /tmp/shelf purge README
//! ```
//! Kill it at any point, pull the plug, flip bits in `/tmp/shelf/data`: a file comes back whole or
//! not at all, and what `purge` has confirmed does not come back.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};

use longhold_store::{
    Config, Draft, FileDevice, Mode, Purge, Reader, Store, Writer, block_on_ready,
};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [path, command, names @ ..] = &arguments[..] else {
        return Err("usage: shelf FOLDER put FILE… | get NAME | purge PREFIX | list".into());
    };
    // 256 MiB on disk, taken at once; opened again, whatever a crash has left is sorted out here.
    let (store, report) = Store::open(&Config::new(*path, 256 << 20))?;
    eprintln!("{} objects, {} segments", report.objects, report.segments);
    // One writer for a store, one reader for a thread.
    let writer = Writer::new(&store, FileDevice::new(&store)?)?;
    let reader = store.reader(0);
    match (*command, names) {
        ("put", names) => names.iter().try_for_each(|name| put(&writer, name)),
        ("get", [name]) => get(&reader, name),
        ("purge", [prefix]) => {
            // With FileDevice nothing ever waits, so no runtime is needed.
            let purge = [Purge::Prefix(prefix.as_bytes())];
            block_on_ready(writer.purge(&purge, Mode::Hard))?;
            println!("whatever begins with {prefix:?} is gone for good");
            Ok(())
        }
        ("list", []) => {
            println!("{:#?}", store.stats());
            Ok(())
        }
        _ => Err("no such command".into()),
    }?;
    // A quick start next time; without it, the next one only has more to look through.
    Ok(block_on_ready(writer.seal())?)
}

/// Stores a file in pieces. Readers find it when `commit` has returned, and never a part of it.
fn put(writer: &Writer<FileDevice>, name: &str) -> Outcome<()> {
    let mut file = File::open(name)?;
    let body_len = file.metadata()?.len();
    let head = format!("{body_len} bytes from {name}");
    block_on_ready(async {
        let draft = Draft::new(name.as_bytes(), head.as_bytes(), body_len);
        let mut pending = writer.begin_or_reclaim(draft).await?;
        let mut piece = vec![0; 64 << 10];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            writer.append(&mut pending, &piece[..read]).await?;
        }
        let committed = writer.commit(pending).await?;
        println!("{name}: {body_len} bytes, sequence {}", committed.sequence);
        Ok(())
    })
}

/// Writes a stored file to the standard output, out of the mapping and without a copy.
fn get(reader: &Reader, name: &str) -> Outcome<()> {
    let record = reader.lookup(name.as_bytes()).ok_or("not on the shelf")?;
    eprintln!("{}", String::from_utf8_lossy(record.head()));
    let mut out = std::io::stdout().lock();
    let mut at = 0;
    while at < record.body_len() {
        // The bytes stand still for as long as the slice lives, whatever the writer does.
        let slice = record.piece(at, 1 << 20)?;
        out.write_all(&slice)?;
        at += slice.len() as u64;
    }
    Ok(())
}
