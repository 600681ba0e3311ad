//! The fill plane's thread: a tokio-uring runtime, in which tokio's sockets and timers work too; or
//! tokio's own, where io_uring is forbidden.

use std::io;

use bytes::Bytes;

use crate::body::{Download, PushRefused};
use crate::error::FetchError;
use crate::exchange::OriginBody;

/// On what a fill plane runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// tokio-uring, with a ring of so many submission slots (a power of two).
    Uring {
        /// Submission slots.
        entries: u32,
    },
    /// tokio alone.
    Plain,
}

/// Runs `future` and its local tasks on this thread until it ends. Tasks that still run then are
/// dropped.
///
/// # Errors
/// What the kernel says when it refuses a ring (`ENOSYS`, `EPERM`, `ENOMEM`) or an epoll instance.
pub fn run<F: Future>(runtime: Runtime, future: F) -> io::Result<F::Output> {
    match runtime {
        Runtime::Uring { entries } => run_on_ring(entries, future),
        Runtime::Plain => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(tokio::task::LocalSet::new().block_on(&runtime, future))
        }
    }
}

fn run_on_ring<F: Future>(entries: u32, future: F) -> io::Result<F::Output> {
    let mut ring = tokio_uring::uring_builder();
    // Completions are then reaped when the thread enters the kernel anyway, not by interrupts.
    ring.setup_coop_taskrun();
    let mut builder = tokio_uring::builder();
    builder.entries(entries).uring_builder(&ring);
    let runtime = match tokio_uring::Runtime::new(&builder) {
        // Kernels before 5.19 do not know the flag.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            builder.uring_builder(&tokio_uring::uring_builder());
            tokio_uring::Runtime::new(&builder)?
        }
        made => made?,
    };
    Ok(runtime.block_on(future))
}

/// Carries a body that is not stored from its origin to its readers, and tells them how it ended.
/// The origin is read no faster than the slowest reader reads, and no longer than one is there.
///
/// Returns the number of bytes carried.
///
/// # Errors
/// What the readers were told; [`FetchError::Abandoned`] when there were none left to tell. The
/// body is then to be dropped, which closes its connection.
pub async fn pump<E: Clone + Send + 'static>(
    body: &mut OriginBody,
    download: &Download<E>,
) -> Result<u64, FetchError> {
    let mut carried_bytes = 0;
    loop {
        let piece: Bytes = tokio::select! {
            biased;
            () = download.abandoned() => return Err(FetchError::Abandoned),
            next = body.next() => match next {
                None => return download.finish().map(|()| carried_bytes),
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => {
                    download.fail(error);
                    return Err(error);
                }
            },
        };
        let length = piece.len() as u64;
        match download.push(piece).await {
            Ok(()) => carried_bytes += length,
            Err(PushRefused::Abandoned) => return Err(FetchError::Abandoned),
            Err(PushRefused::TooLong) => return Err(FetchError::BadResponse),
            Err(PushRefused::Ended) => return Err(FetchError::Stopped),
        }
    }
}
