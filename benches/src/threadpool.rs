//! The older architecture, built with care: a thread per connection, a file per object.
//!
//! **What it is.** A caching reverse proxy as they were before event loops: a blocking `accept`
//! hands connections to a bounded pool of threads; a thread serves its connection until that ends,
//! parses each request, opens the object's file, `read()`s it into its own buffer and `write()`s
//! that to the socket. What is missing is fetched from the origin into a file first, once for all
//! who ask at the same time. It is what `cargo xtask compare` sets the edge against.
//!
//! ```text
//!  accept ──► waiting (bounded) ──► thread: read request ─► lookup ─► open, read, write, close
//!                                                            │ missing: fetch into a file, once
//! ```
//!
//! It has what a reasonable server of its kind has: keep-alive and pipelining, one strict parser
//! (`longhold-http1`), an index in memory, head and first part of the body in one `write`, small
//! stacks, threads that are started as they are needed and kept, and an end of keep-alive while
//! others wait for a thread.
//!
//! **What it is not.** No server to use: it caches by `Cache-Control: max-age` alone, knows neither
//! `Vary` nor ranges, and forgets everything at its end.
//!
//! # Bounds
//! Threads and waiting connections ([`Settings`]); objects and their length ([`OBJECTS_MAX`],
//! [`OBJECT_BYTES_MAX`]); a head as `longhold-http1` limits it; every wait on a socket by a
//! timeout.

mod connection;
mod fetch;
mod files;
mod pool;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use connection::Connection;
use files::Files;
use pool::Pool;

/// Who answers what is missing, and how many threads there may be.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The origin.
    pub origin: SocketAddr,
    /// Threads, and so connections that are served at a time.
    pub threads_max: usize,
}

/// A server that is not listening yet.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    files: Arc<Files>,
}

impl Server {
    /// A server with an empty store in `folder`, which is made.
    ///
    /// # Errors
    /// The folder is there already, or cannot be made.
    pub fn new(settings: Settings, folder: &Path) -> io::Result<Self> {
        Ok(Self { settings, files: Arc::new(Files::new(folder)?) })
    }

    /// Serves the listener's connections for as long as the process lives.
    pub fn serve(self, listener: &TcpListener) -> ! {
        let Settings { origin, threads_max } = self.settings;
        let files = self.files;
        let pool =
            Pool::new(threads_max, move |stream: TcpStream, others: &pool::Others, buffer| {
                // A peer that breaks off is the peer's affair.
                let _ended = Connection::new(stream, &files, origin, buffer)
                    .and_then(|mut connection| connection.serve(others));
            });
        loop {
            match listener.accept() {
                Ok((stream, _)) => pool.submit(stream),
                // Out of descriptors, or a peer that left: what is open goes on meanwhile.
                Err(_) => thread::sleep(ACCEPT_PAUSE),
            }
        }
    }
}

/// Objects that are kept; what comes beyond is fetched for each request.
pub const OBJECTS_MAX: usize = 100_000;
/// Longest object.
pub const OBJECT_BYTES_MAX: u64 = 1 << 30;

/// Wait after an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests;
