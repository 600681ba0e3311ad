//! Read-while-write, step by step and in threads.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

use super::{AttachRefused, Demand, Download, DownloadReader, Next, PushRefused};
use crate::body::{COPY_BELOW_BYTES, StagingBudget, WINDOW_SMALL_BYTES};
use crate::error::FetchError;

/// Stands for a store's extent: a name is enough.
type Extent = &'static str;

const PIECE: usize = COPY_BELOW_BYTES;

fn piece(n: u8) -> Bytes {
    vec![n; PIECE].into()
}

/// A download with room for two pieces.
fn download() -> Arc<Download<Extent>> {
    Arc::new(Download::new(2 * PIECE))
}

fn attach(download: &Arc<Download<Extent>>) -> (DownloadReader<Extent>, Arc<AtomicUsize>) {
    let woken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&woken);
    let reader = download.attach(Arc::new(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    (reader.unwrap(), woken)
}

/// Polls a future of the producer once.
fn now<T>(future: impl Future<Output = T>) -> Poll<T> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn push(download: &Download<Extent>, bytes: Bytes) -> Poll<Result<(), PushRefused>> {
    now(download.push(bytes))
}

fn extent(range: Range<u64>) -> Next<Extent> {
    Next::Extent { extent: "x", range }
}

const TAKEN: Poll<Result<(), PushRefused>> = Poll::Ready(Ok(()));

#[test]
fn unstored_waits_for_the_slowest_reader() {
    let download = download();
    let (mut fast, _) = attach(&download);
    let (mut slow, _) = attach(&download);
    assert_eq!(push(&download, piece(1)), TAKEN);
    assert_eq!(push(&download, piece(2)), TAKEN);
    assert_eq!(download.demand(), Demand::Full);
    assert_eq!(push(&download, piece(3)), Poll::Pending, "OR-7");
    assert_eq!(fast.next(usize::MAX), Next::Bytes(piece(1)));
    assert_eq!(fast.next(usize::MAX), Next::Bytes(piece(2)));
    assert_eq!(fast.next(usize::MAX), Next::Pending);
    assert_eq!(push(&download, piece(3)), Poll::Pending);
    assert_eq!(download.held_bytes(), 2 * PIECE as u64);
    assert_eq!(slow.next(usize::MAX), Next::Bytes(piece(1)));
    assert_eq!(download.held_bytes(), PIECE as u64, "read by all: out of memory");
    assert_eq!(download.demand(), Demand::Room(PIECE as u64));
    assert_eq!(push(&download, piece(3)), TAKEN);
    drop(slow);
    assert_eq!(download.held_bytes(), PIECE as u64, "the one that left counts no more");
    assert_eq!(fast.next(usize::MAX), Next::Bytes(piece(3)));
}

#[test]
fn a_waiting_producer_is_told_when_room_came() {
    for leaves in [false, true] {
        let download = download();
        let (mut reader, _) = attach(&download);
        let (other, _) = attach(&download);
        assert_eq!(push(&download, piece(1)), TAKEN);
        assert_eq!(push(&download, piece(2)), TAKEN);
        let mut room = std::pin::pin!(download.room());
        let mut context = Context::from_waker(Waker::noop());
        assert!(room.as_mut().poll(&mut context).is_pending());
        assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(1)));
        assert!(room.as_mut().poll(&mut context).is_pending());
        if leaves {
            drop(other);
        } else {
            let mut other = other;
            assert_eq!(other.next(PIECE - 1), Next::Bytes(piece(1).slice(1..)));
            assert!(room.as_mut().poll(&mut context).is_pending(), "a piece is held whole");
            assert_eq!(other.next(usize::MAX), Next::Bytes(piece(1).slice(..1)));
        }
        assert_eq!(room.as_mut().poll(&mut context), Poll::Ready(Ok(())));
    }
}

#[test]
fn before_the_first_reader_the_window_fills_and_waits() {
    let download = download();
    assert_eq!(push(&download, piece(1)), TAKEN);
    assert_eq!(push(&download, piece(2)), TAKEN);
    assert_eq!(push(&download, piece(3)), Poll::Pending);
    assert!(!download.is_abandoned());
    let (mut reader, _) = attach(&download);
    assert_eq!(reader.next(10), Next::Bytes(piece(1).slice(..10)));
    assert_eq!(reader.position(), 10);
}

#[test]
fn no_range_of_an_extent_crosses_its_grain() {
    let download = download();
    download.set_extent("x", 1000);
    push(&download, Bytes::from(vec![7; PIECE])).is_ready();
    download.set_written(PIECE as u64);
    let (mut reader, _) = attach(&download);
    assert_eq!(reader.next(300), extent(0..300));
    assert_eq!(reader.next(usize::MAX), extent(300..1000));
    assert_eq!(reader.next(usize::MAX), extent(1000..2000));
    assert_eq!(reader.next(1000), extent(2000..3000));
}

#[test]
fn stored_pieces_leave_memory_and_are_read_from_the_extent() {
    let download = download();
    download.set_extent("x", u64::MAX);
    let (mut early, _) = attach(&download);
    for n in 1..=5 {
        assert_eq!(push(&download, piece(n)), TAKEN, "stored: no reader holds the producer back");
    }
    assert_eq!(download.demand(), Demand::Full, "by unwritten bytes: flush the writer");
    let written = 3 * PIECE as u64;
    download.set_written(written);
    download.set_written(1);
    assert_eq!(download.held_bytes(), 2 * PIECE as u64);
    assert_eq!(download.unwritten_bytes(), 2 * PIECE as u64);
    let (mut late, _) = attach(&download);
    for reader in [&mut early, &mut late] {
        assert_eq!(reader.next(100), extent(0..100));
        assert_eq!(reader.next(usize::MAX), extent(100..written), "OR-8");
        assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(4)));
    }
    download.set_written(5 * PIECE as u64);
    assert_eq!(download.held_bytes(), PIECE as u64, "near the end, until all have read it");
    for reader in [&mut early, &mut late] {
        assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(5)));
        assert_eq!(reader.next(1), Next::Pending);
    }
    assert_eq!(download.held_bytes(), 0);
    assert_eq!(download.finish(), Ok(()));
    assert_eq!(early.next(1), Next::End);
    assert_eq!(attach(&download).0.next(7), extent(0..7), "the finished body is still there");
}

#[test]
fn written_may_run_ahead_of_push() {
    let download = download();
    download.set_extent("x", u64::MAX);
    let (mut reader, _) = attach(&download);
    download.set_written(PIECE as u64 + 5);
    assert_eq!(reader.next(1), Next::Pending);
    drop(reader);
    assert_eq!(push(&download, piece(1)), TAKEN);
    assert_eq!(download.held_bytes(), 0);
    let (mut reader, _) = attach(&download);
    assert_eq!(reader.next(usize::MAX), extent(0..PIECE as u64));
    assert_eq!(push(&download, piece(2)), TAKEN);
    assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(2)));
}

#[test]
fn what_the_store_loses_again_harms_no_reader_within_the_window() {
    let download = download();
    download.set_extent("x", u64::MAX);
    let (mut near, _) = attach(&download);
    let (mut far, _) = attach(&download);
    for n in 1..=3 {
        assert_eq!(push(&download, piece(n)), TAKEN);
        download.set_written(u64::from(n) * PIECE as u64);
        if n == 1 {
            assert_eq!(near.next(usize::MAX), Next::Bytes(piece(1)));
        }
    }
    assert_eq!(download.held_bytes(), 2 * PIECE as u64, "no more than the window");
    download.end_storing();
    assert_eq!(far.next(usize::MAX), extent(0..PIECE as u64), "as far as that still has it");
    for reader in [&mut near, &mut far] {
        assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(2)));
        assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(3)));
    }
}

#[test]
fn when_the_store_gives_up_the_slowest_reader_counts_again() {
    let download = download();
    download.set_extent("x", u64::MAX);
    let (mut behind, _) = attach(&download);
    let (mut ahead, _) = attach(&download);
    for n in 1..=3 {
        assert_eq!(push(&download, piece(n)), TAKEN);
    }
    download.set_written(PIECE as u64);
    assert_eq!(ahead.next(usize::MAX), extent(0..PIECE as u64));
    download.end_storing();
    download.set_written(3 * PIECE as u64);
    assert_eq!(push(&download, piece(4)), Poll::Pending);
    assert_eq!(behind.next(usize::MAX), extent(0..PIECE as u64), "what was written stays readable");
    for reader in [&mut ahead, &mut behind] {
        assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(2)));
        assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(3)));
    }
    assert_eq!(push(&download, piece(4)), TAKEN);
    let refused = download.attach(Arc::new(|| {}));
    assert_eq!(refused.err(), Some(AttachRefused::Gone));
    drop((ahead, behind));
    assert!(download.is_abandoned());
}

#[test]
fn a_store_that_gives_up_without_readers_abandons() {
    let download = download();
    download.set_extent("x", u64::MAX);
    drop(attach(&download));
    assert!(!download.is_abandoned(), "stored: it goes on without readers");
    assert!(now(download.abandoned()).is_pending());
    download.end_storing();
    assert_eq!(now(download.abandoned()), Poll::Ready(()));
    assert_eq!(push(&download, piece(1)), Poll::Ready(Err(PushRefused::Abandoned)));
}

#[test]
fn the_last_reader_to_leave_abandons() {
    let download = download();
    let (one, _) = attach(&download);
    let (two, _) = attach(&download);
    assert_eq!(push(&download, piece(1)), TAKEN);
    let mut abandoned = std::pin::pin!(download.abandoned());
    let mut context = Context::from_waker(Waker::noop());
    drop(one);
    assert!(abandoned.as_mut().poll(&mut context).is_pending());
    drop(two);
    assert_eq!(abandoned.as_mut().poll(&mut context), Poll::Ready(()), "OR-9");
    assert_eq!(download.held_bytes(), 0);
    assert_eq!(download.demand(), Demand::Abandoned);
    assert_eq!(download.attach(Arc::new(|| {})).err(), Some(AttachRefused::Abandoned));
}

#[test]
fn a_late_reader_is_refused_when_the_first_bytes_are_gone() {
    let download = download();
    let (mut reader, _) = attach(&download);
    assert_eq!(push(&download, piece(1)), TAKEN);
    let (mut in_time, _) = attach(&download);
    assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(1)));
    assert_eq!(in_time.next(usize::MAX), Next::Bytes(piece(1)));
    assert_eq!(download.attach(Arc::new(|| {})).err(), Some(AttachRefused::Gone), "OR-8");
}

#[test]
fn a_failure_follows_the_bytes_that_came() {
    let download = download();
    let (mut reader, woken) = attach(&download);
    assert_eq!(reader.next(1), Next::Pending);
    assert_eq!(push(&download, piece(1)), TAKEN);
    download.fail(FetchError::Truncated);
    assert_eq!(download.finish(), Err(FetchError::Truncated), "OR-2: no end behind a failure");
    assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(1)));
    assert_eq!(reader.next(1), Next::Failed(FetchError::Truncated));
    assert_eq!(woken.load(Ordering::Relaxed), 1, "one wake for one pending");
    assert_eq!(push(&download, piece(2)), Poll::Ready(Err(PushRefused::Ended)));
    let refused = download.attach(Arc::new(|| {}));
    assert_eq!(refused.err(), Some(AttachRefused::Failed(FetchError::Truncated)));
}

#[test]
fn a_promised_length_is_held_to() {
    let short = download();
    short.set_length(PIECE as u64 + 1);
    let (mut reader, _) = attach(&short);
    assert_eq!(reader.length(), Some(PIECE as u64 + 1));
    assert_eq!(push(&short, piece(1)), TAKEN);
    assert_eq!(short.finish(), Err(FetchError::Truncated));
    assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(1)));
    assert_eq!(reader.next(1), Next::Failed(FetchError::Truncated), "OR-2");

    let long = download();
    long.set_length(PIECE as u64);
    let (mut reader, _) = attach(&long);
    assert_eq!(push(&long, piece(1)), TAKEN);
    assert_eq!(push(&long, Bytes::from_static(b"!")), Poll::Ready(Err(PushRefused::TooLong)));
    assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(1)));
    assert_eq!(reader.next(1), Next::Failed(FetchError::BadResponse));

    let exact = download();
    exact.set_length(PIECE as u64);
    let (mut reader, _) = attach(&exact);
    assert_eq!(push(&exact, piece(1)), TAKEN);
    assert_eq!(exact.finish(), Ok(()));
    exact.fail(FetchError::Reset);
    assert_eq!(reader.next(usize::MAX), Next::Bytes(piece(1)));
    assert_eq!(reader.next(1), Next::End);
}

#[test]
fn the_length_is_known_once_finished() {
    let download = download();
    let (reader, _) = attach(&download);
    assert_eq!(reader.length(), None);
    assert_eq!(push(&download, piece(1)), TAKEN);
    assert_eq!(download.finish(), Ok(()));
    assert_eq!(reader.length(), Some(PIECE as u64));
}

#[test]
fn a_producer_that_vanishes_fails_its_readers() {
    let download = download();
    let (mut reader, woken) = attach(&download);
    assert_eq!(reader.next(1), Next::Pending);
    let guard = download.guard();
    drop(guard);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    assert_eq!(reader.next(1), Next::Failed(FetchError::Stopped));

    let ended = self::download();
    let guard = ended.guard();
    let (mut reader, _) = attach(&ended);
    assert_eq!(ended.finish(), Ok(()));
    drop(guard);
    assert_eq!(reader.next(1), Next::End);
}

#[test]
fn a_wake_may_use_the_download() {
    let download = download();
    let inner = Arc::downgrade(&download);
    let wake = Arc::new(move || {
        let held = inner.upgrade().map(|download| download.held_bytes());
        assert_eq!(held, Some(PIECE as u64), "OR-10: called without the lock");
    });
    let mut reader = download.attach(wake).unwrap();
    assert_eq!(reader.next(1), Next::Pending);
    assert_eq!(push(&download, piece(1)), TAKEN);
}

#[test]
fn an_empty_piece_is_no_news() {
    let download = download();
    let (mut reader, woken) = attach(&download);
    assert_eq!(reader.next(1), Next::Pending);
    assert_eq!(push(&download, Bytes::new()), TAKEN);
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    assert_eq!(download.finish(), Ok(()));
    assert_eq!(reader.next(1), Next::End);
}

#[test]
fn windows_come_from_the_budget_and_return_to_it() {
    let budget = StagingBudget::new(100_000);
    let first = Download::<Extent>::with_share(budget.take(60_000).unwrap());
    assert!(first.is_granted());
    assert!(budget.take(60_000).is_none(), "OR-11");
    let small = Download::<Extent>::with_share(budget.take_small());
    assert!(!small.is_granted());
    assert_eq!(small.demand(), Demand::Room(WINDOW_SMALL_BYTES as u64));
    let stats = budget.stats();
    assert_eq!((stats.taken_bytes, stats.overdrawn_bytes), (60_000, WINDOW_SMALL_BYTES));
    assert_eq!((stats.granted_count, stats.refused_count), (1, 1));
    drop((first, small));
    let stats = budget.stats();
    assert_eq!((stats.taken_bytes, stats.overdrawn_bytes), (0, 0));
    assert!(budget.take(100_000).is_some());
    assert!(!Download::<Extent>::new(5).is_granted());
}

/// One producer on a runtime, readers in threads that park until woken.
fn many_readers(stored: bool) {
    const BODY: usize = 1 << 20;
    let body: Bytes = (0..BODY).map(|n| (n * 7 % 251) as u8).collect::<Vec<_>>().into();
    let download = Arc::new(Download::<Extent>::new(64 * 1024));
    if stored {
        download.set_extent("x", u64::MAX);
    }
    let readers: Vec<_> = (1..=6).map(|n| spawn_reader(&download, &body, n * 1500)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut sent = 0;
        for (index, step) in [1, 700, 16_384, 40_000, 65_536].into_iter().cycle().enumerate() {
            if sent == BODY {
                break;
            }
            let end = BODY.min(sent + step);
            download.push(body.slice(sent..end)).await.unwrap();
            sent = end;
            if stored && index % 3 == 0 {
                download.set_written(sent as u64);
            }
            assert!(stored || download.held_bytes() <= 2 * 65_536, "OR-7");
        }
    });
    assert_eq!(download.finish(), Ok(()));
    for reader in readers {
        reader.join().unwrap();
    }
}

fn spawn_reader(
    download: &Arc<Download<Extent>>,
    body: &Bytes,
    step: usize,
) -> std::thread::JoinHandle<()> {
    let (tell, told) = std::sync::mpsc::channel();
    let mut reader = download.attach(Arc::new(move || tell.send(()).unwrap())).unwrap();
    let body = body.clone();
    std::thread::spawn(move || {
        let mut at = 0;
        loop {
            match reader.next(step) {
                Next::Bytes(bytes) => {
                    assert_eq!(bytes, body.slice(at..at + bytes.len()), "OR-8");
                    at += bytes.len();
                }
                Next::Extent { range, .. } => {
                    assert_eq!(range.start, at as u64, "OR-8");
                    at = range.end as usize;
                }
                Next::Pending => told.recv().unwrap(),
                Next::End => break assert_eq!(at, body.len()),
                Next::Failed(error) => panic!("{error}"),
            }
        }
    })
}

#[test]
fn many_readers_see_the_same_bytes_unstored() {
    many_readers(false);
}

#[test]
fn many_readers_see_the_same_bytes_stored() {
    many_readers(true);
}

#[test]
fn skipped_bytes_hold_nobody_back() {
    let download = download();
    let (mut reader, _) = attach(&download);
    let wanted = 5 * PIECE as u64 + 7;
    reader.skip_to(wanted);
    reader.skip_to(3);
    assert_eq!(reader.position(), wanted);
    for number in 0..6 {
        assert_eq!(push(&download, piece(number)), TAKEN, "{number}");
    }
    assert_eq!(download.held_bytes(), PIECE as u64);
    assert!(matches!(reader.next(10), Next::Bytes(bytes) if bytes[..] == [5; 10]));
}

#[test]
fn body_is_given_from_its_middle() {
    let download = download();
    download.set_start(1000);
    let (mut reader, _) = attach(&download);
    assert_eq!(reader.position(), 1000);
    assert_eq!(push(&download, piece(1)), TAKEN);
    assert_eq!(download.received_bytes(), 1000 + PIECE as u64);
    assert!(matches!(reader.next(usize::MAX), Next::Bytes(bytes) if bytes.len() == PIECE));
    assert_eq!(download.finish(), Ok(()));
    assert_eq!(reader.next(1), Next::End);
    // What has left memory is nobody's beginning.
    assert!(matches!(
        download.attach(Arc::new(|| {})),
        Err(AttachRefused::Gone | AttachRefused::Abandoned)
    ));
}
