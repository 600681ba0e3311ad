//! Short, interrupted and failing writes.

use std::io::{self, ErrorKind, Write};

use super::super::Sink;
use super::{Output, write_lines};

/// Answers writes by a script: take so many bytes, or fail so.
struct Scripted {
    script: Vec<Result<usize, ErrorKind>>,
    taken: Vec<u8>,
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let step = if self.script.is_empty() { Ok(usize::MAX) } else { self.script.remove(0) };
        let count = step.map_err(io::Error::from)?.min(bytes.len());
        self.taken.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn check(script: &[Result<usize, ErrorKind>], taken: &str, outcome: Result<(), (ErrorKind, bool)>) {
    let mut file = Scripted { script: script.to_vec(), taken: Vec::new() };
    let result = write_lines(&mut file, b"one\ntwo\n");
    assert_eq!(result.map_err(|failure| (failure.error.kind(), failure.mid_line)), outcome);
    assert_eq!(file.taken, taken.as_bytes());
}

#[test]
fn short_and_interrupted_writes_go_on() {
    check(&[], "one\ntwo\n", Ok(()));
    check(&[Ok(2), Err(ErrorKind::Interrupted), Ok(1)], "one\ntwo\n", Ok(()));
}

#[test]
fn a_failure_says_whether_it_stopped_inside_a_line() {
    let full = ErrorKind::StorageFull;
    check(&[Err(full)], "", Err((full, false)));
    check(&[Ok(4), Err(full)], "one\n", Err((full, false)));
    check(&[Ok(5), Err(full)], "one\nt", Err((full, true)));
    check(&[Ok(5), Ok(0)], "one\nt", Err((ErrorKind::WriteZero, true)));
}

#[test]
fn after_a_part_of_a_line_the_next_batch_starts_a_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("access.log");
    let mut output = Output::open(Sink::File(path.clone())).expect("a file");
    output.write_lines(b"one\n").expect("room");
    output.mid_line = true;
    output.write_lines(b"two\n").expect("room");
    output.write_lines(b"three\n").expect("room");
    assert_eq!(std::fs::read_to_string(&path).expect("the log"), "one\n\ntwo\nthree\n");
}
