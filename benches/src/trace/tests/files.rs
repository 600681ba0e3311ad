//! Traces from files.

use std::io::BufReader;

use crate::trace::Request;
use crate::trace::csv::{self, Names, PIECE_REQUESTS};
use crate::trace::replay::{Kind, Ours, Trace, replay};
use crate::trace::workload::{Preset, Shape};

fn read(text: &str) -> anyhow::Result<Vec<Request>> {
    let mut requests = Vec::new();
    csv::read(text.as_bytes(), &mut Names::default(), |piece| {
        requests.extend_from_slice(piece);
        Ok(())
    })?;
    Ok(requests)
}

#[test]
fn lines_become_requests() {
    let text = "# time,key,size\n0.5, /a ,10\r\n\n1,/b,20\n2,/a,10\n3,/a,11";
    let request = |time_ms, object, bytes| Request { time_ms, object, bytes };
    let expected =
        [request(500, 0, 10), request(1000, 1, 20), request(2000, 0, 10), request(3000, 2, 11)];
    assert_eq!(read(text).unwrap(), expected);
}

#[test]
fn a_bad_line_is_named_with_its_number_and_fault() {
    for (line, fault) in [
        ("1,/a", "the size is missing"),
        ("1", "the key is missing"),
        ("now,/a,1", "the time is no number"),
        ("-1,/a,1", "not a number of seconds"),
        ("NaN,/a,1", "not a number of seconds"),
        ("1,/a,1.5", "no whole number"),
        ("1,/a,-1", "no whole number"),
        ("1,/a,0", "the size is zero"),
        ("1,/a,1,1", "more than three"),
    ] {
        let error = format!("{:#}", read(&format!("0,/a,1\n# comment\n{line}\n")).unwrap_err());
        assert!(error.starts_with("line 3") && error.contains(fault), "{error}");
    }
}

#[test]
fn a_long_file_comes_in_pieces() {
    let text: String = (0..PIECE_REQUESTS + 1).map(|at| format!("0,{},1\n", at % 7)).collect();
    let mut pieces = Vec::new();
    let handle = |piece: &[Request]| {
        pieces.push(piece.len());
        Ok(())
    };
    csv::read(BufReader::new(text.as_bytes()), &mut Names::default(), handle).unwrap();
    assert_eq!(pieces, [PIECE_REQUESTS, 1]);
}

#[test]
fn a_written_trace_replays_as_the_generated_one() {
    let shape = Shape { requests: 5_000, seed: 3, scan_percent: 0, flash_percent: 0 };
    let requests = Preset::Download.generate(&shape).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    csv::write(&file, &requests).unwrap();
    let run = |mut trace: Trace| {
        let statistics = trace.statistics().unwrap();
        let outcomes = replay(&mut trace, &statistics, &[5.0], &Ours::default()).unwrap();
        assert_eq!(outcomes.len(), Kind::ALL.len());
        outcomes.into_iter().map(|it| (it.misses, it.missed_bytes)).collect::<Vec<_>>()
    };
    let from_file = Trace::File { path: file.path().to_owned(), names: Names::default() };
    assert_eq!(run(from_file), run(Trace::Generated(requests)));
}
