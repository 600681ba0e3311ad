//! Compression on the way from the origin: the body is coded once, as it streams, and each coding
//! is stored as a variant of its own.
//!
//! ```text
//! origin ─► Coder::next ─► (short pieces here, long ones on a helper thread) ─► store and readers
//! ```
//! Invariants:
//! - What the coder holds back goes out as soon as the origin pauses, so that a slow page is seen
//!   as it grows.
//! - At most [`CODERS_MAX`] bodies are coded at once; one more goes out plain. At most
//!   `THREADS_MAX` pieces are worked on at once, so that fetches of others find the processor.
//!
//! Not here: which responses are coded, and what their heads say (the gateway's `coding`).

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhold_gateway::coding::{self, Candidate, Coding};
use longhold_http1::RequestHead;
use longhold_origin::{Download, FetchError, OriginBody, PushRefused};
use longhold_store::Extent;
use longhold_telemetry::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::lead::Answer;
use super::plane::Plane;
use super::{FillJob, JobKind, request};

/// The bounds of all coding in a process.
pub(super) struct Workshop {
    coders: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

impl Workshop {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            coders: Arc::new(Semaphore::new(CODERS_MAX)),
            threads: Arc::new(Semaphore::new(cores.min(THREADS_MAX))),
        }
    }
}

/// Codes one body.
pub(super) struct Coder {
    /// `None` while a helper has it, and after the end.
    stream: Option<Stream>,
    threads: Arc<Semaphore>,
    /// Taken in since the last flush.
    holds: bool,
    /// Plain bytes that have not been counted yet.
    received: u64,
    _place: OwnedSemaphorePermit,
}

enum Stream {
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Gzip(Box<flate2::write::GzEncoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

/// What is to be done with a stream.
enum Work {
    Take(Bytes),
    Flush,
    Finish,
}

impl Plane {
    /// Says in the head of a response that it is coded, where the site's rule asks for it and the
    /// client accepts it, and makes its coder. A HEAD says what a GET would.
    pub(super) fn begin_coding(
        &self,
        job: &FillJob,
        request: &RequestHead<'_>,
        answer: &mut Answer,
    ) {
        let rule = self.rule(job).filter(|_| !matches!(job.kind, JobKind::Pass { .. }));
        let Some(compress) = rule.and_then(|rule| rule.compress.as_ref()) else { return };
        let candidate = Candidate {
            status: answer.response.status.as_u16(),
            fields: &request::borrowed(&answer.fields),
            body_len: request::declared_len(&answer.response),
        };
        if !compress.suits(&candidate) {
            return;
        }
        let mut coding = compress.choose(&request.fields);
        if let Some(wanted) = coding.filter(|_| request.method != "HEAD") {
            answer.coder = self.coder(wanted);
            if answer.coder.is_none() {
                coding = None;
            }
        }
        answer.is_coded = coding.is_some();
        coding::mark(&mut answer.fields, coding);
    }

    fn coder(&self, coding: Coding) -> Option<Coder> {
        let place = Arc::clone(&self.workshop.coders).try_acquire_owned().ok();
        let stream = place.as_ref().and_then(|_| Stream::new(coding).ok());
        let counter =
            if stream.is_some() { Counter::BodiesCompressed } else { Counter::BodiesUncompressed };
        self.parts.counters.add(counter, 1);
        let threads = Arc::clone(&self.workshop.threads);
        Some(Coder { stream: Some(stream?), threads, holds: false, received: 0, _place: place? })
    }
}

impl Coder {
    /// The next piece of the coded body; `None` is its end.
    ///
    /// # Errors
    /// The origin's, or [`FetchError::Abandoned`] where a helper is gone.
    pub(super) async fn next(
        &mut self,
        body: &mut OriginBody,
    ) -> Option<Result<Bytes, FetchError>> {
        while self.stream.is_some() {
            let came =
                if self.holds { timeout(PAUSE, body.next()).await } else { Ok(body.next().await) };
            let work = match came {
                Ok(Some(Ok(bytes))) => {
                    self.received += bytes.len() as u64;
                    self.holds = true;
                    Work::Take(bytes)
                }
                Ok(Some(Err(error))) => return Some(Err(error)),
                Ok(None) => Work::Finish,
                Err(_) => {
                    self.holds = false;
                    Work::Flush
                }
            };
            match self.work(work).await {
                Ok(coded) if coded.is_empty() => {}
                done => return Some(done),
            }
        }
        None
    }

    /// Plain bytes taken in since this was asked last.
    pub(super) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    async fn work(&mut self, work: Work) -> Result<Bytes, FetchError> {
        let Some(stream) = self.stream.take() else { return Err(FetchError::Abandoned) };
        let is_short = matches!(&work, Work::Take(bytes) if bytes.len() < SHORT_BYTES);
        let (stream, coded) = if is_short {
            stream.work(work)
        } else {
            let turn = Arc::clone(&self.threads).acquire_owned().await;
            let helper = tokio::task::spawn_blocking(move || {
                let done = stream.work(work);
                drop(turn);
                done
            });
            helper.await.map_err(|_| FetchError::Abandoned)?
        };
        self.stream = stream;
        coded.map(Bytes::from).map_err(|_| FetchError::Abandoned)
    }
}

impl Stream {
    fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Brotli => {
                let writer = brotli::CompressorWriter::new(
                    Vec::new(),
                    OUTPUT_BYTES,
                    BROTLI_QUALITY,
                    BROTLI_WINDOW_LOG,
                );
                Self::Brotli(Box::new(writer))
            }
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(flate2::write::GzEncoder::new(Vec::new(), level)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                // RFC 9659 section 3: at most 8 MiB; memory is what bounds it here.
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Does one piece of work; the stream comes back unless it has ended.
    fn work(mut self, work: Work) -> (Option<Self>, io::Result<Vec<u8>>) {
        let done = match &work {
            Work::Take(bytes) => self.writer().write_all(bytes),
            Work::Flush => self.writer().flush(),
            Work::Finish => return (None, self.finish()),
        };
        let coded = std::mem::take(self.sink());
        (Some(self), done.map(|()| coded))
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Brotli(writer) => writer,
            Self::Gzip(writer) => writer,
            Self::Zstd(writer) => writer,
        }
    }

    fn sink(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Brotli(writer) => writer.get_mut(),
            Self::Gzip(writer) => writer.get_mut(),
            Self::Zstd(writer) => writer.get_mut(),
        }
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Brotli(writer) => Ok(writer.into_inner()),
            Self::Gzip(writer) => writer.finish(),
            Self::Zstd(writer) => writer.finish(),
        }
    }
}

/// Carries a coded body that is not stored to its readers, as `longhold_origin::fill::pump` does a
/// plain one; returns the plain bytes.
///
/// # Errors
/// What the readers were told; [`FetchError::Abandoned`] when there were none left to tell.
pub(super) async fn pump(
    body: &mut OriginBody,
    coder: &mut Coder,
    download: &Download<Extent>,
) -> Result<u64, FetchError> {
    loop {
        let next = tokio::select! {
            biased;
            () = download.abandoned() => return Err(FetchError::Abandoned),
            next = coder.next(body) => next,
        };
        match next {
            None => return download.finish().map(|()| coder.take_received()),
            Some(Err(error)) => {
                download.fail(error);
                return Err(error);
            }
            Some(Ok(bytes)) => match download.push(bytes).await {
                Ok(()) => {}
                Err(PushRefused::Abandoned) => return Err(FetchError::Abandoned),
                Err(PushRefused::TooLong) => return Err(FetchError::BadResponse),
                Err(PushRefused::Ended) => return Err(FetchError::Stopped),
            },
        }
    }
}

/// Bodies coded at once; each takes up to [`CODER_BYTES_MAX`].
pub const CODERS_MAX: usize = 32;

/// Memory of one coder: brotli takes 5.1 MiB at most, zstd 1.9, gzip 1.
pub const CODER_BYTES_MAX: u64 = 6 << 20;

/// Pieces worked on at once, where there are as many cores.
const THREADS_MAX: usize = 8;

/// Shorter pieces are coded where they come: a fraction of a millisecond, less than the way to a
/// helper and back is worth.
const SHORT_BYTES: usize = 8 * 1024;

/// An origin that says nothing for so long has paused.
const PAUSE: Duration = Duration::from_millis(10);

const OUTPUT_BYTES: usize = 16 * 1024;
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW_LOG: u32 = 18;
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WINDOW_LOG: u32 = 19;

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn plain(coding: Coding, coded: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(coded, 4096).read_to_end(&mut out),
            Coding::Gzip => flate2::read::MultiGzDecoder::new(coded).read_to_end(&mut out),
            Coding::Zstd => zstd::stream::read::Decoder::new(coded).unwrap().read_to_end(&mut out),
        }
        .unwrap();
        out
    }

    #[test]
    fn pieces_come_back_as_one_body() {
        let pieces: Vec<Bytes> =
            (0..50).map(|at| Bytes::from(format!("piece {at} ").repeat(at * 7))).collect();
        for coding in [Coding::Brotli, Coding::Gzip, Coding::Zstd] {
            let mut stream = Some(Stream::new(coding).unwrap());
            let mut coded = Vec::new();
            let works = pieces.iter().cloned().flat_map(|piece| [Work::Take(piece), Work::Flush]);
            for work in works.chain([Work::Finish]) {
                let (left, out) = stream.take().unwrap().work(work);
                (stream, _) = (left, coded.append(&mut out.unwrap()));
            }
            assert!(stream.is_none());
            assert!(coded.len() < pieces.concat().len() / 4, "{coding:?}: {}", coded.len());
            assert_eq!(plain(coding, &coded), pieces.concat(), "{coding:?}");
        }
    }

    /// What has been flushed can be read without what follows.
    #[test]
    fn flushed_bytes_are_whole() {
        for coding in [Coding::Brotli, Coding::Gzip, Coding::Zstd] {
            let stream = Stream::new(coding).unwrap();
            let (stream, begun) = stream.work(Work::Take(Bytes::from_static(b"first words")));
            let (_, flushed) = stream.unwrap().work(Work::Flush);
            let coded = [begun.unwrap(), flushed.unwrap()].concat();
            let mut out = [0; 11];
            match coding {
                Coding::Brotli => brotli::Decompressor::new(&coded[..], 4096).read_exact(&mut out),
                Coding::Gzip => flate2::read::GzDecoder::new(&coded[..]).read_exact(&mut out),
                Coding::Zstd => {
                    zstd::stream::read::Decoder::new(&coded[..]).unwrap().read_exact(&mut out)
                }
            }
            .unwrap();
            assert_eq!(&out, b"first words", "{coding:?}");
        }
    }
}
