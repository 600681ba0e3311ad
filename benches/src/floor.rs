//! The floor: a bare io_uring responder, the least that a server on this kernel can do.
//!
//! One thread, one ring with the edge's flags, direct descriptors, `RECV` into a fixed buffer,
//! `SEND` of one answer built before the first request. Nothing is parsed: whatever bytes one
//! `RECV` brings count as one request. There is no store, no cache rule, no timer, no log and no
//! park: a `RECV` stays armed, which costs 864 bytes of kernel memory per connection where the
//! edge's parked poll costs 256, but one submission less per request. So no server that parses can
//! be cheaper per request, and the ratio of the edge to it says what the edge adds.
//!
//! The body is that of [`Content`] for `/bytes/N`, so that the same verifying client drives the
//! floor, the edge and the peers.
//!
//! Not a server to use: it answers anything, holds one buffer per connection, and dies on a
//! fault of its ring.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, ensure};
use clap::Parser;
use io_uring::squeue::Entry;
use io_uring::types::{Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};
use longhold_loadgen::content::Content;

/// Answers every request with the same bytes over one bare ring.
#[derive(Parser)]
#[command(name = "floor", about)]
struct Arguments {
    /// Address to listen on; port 0 picks a free one, which is printed.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Length of the body in bytes, at most 64 MiB.
    #[arg(long, default_value_t = 1024)]
    body_bytes: u32,
    /// Connections at a time; further ones wait in the backlog.
    #[arg(long, default_value_t = 1024)]
    connections: u32,
    /// Most completions that one wait asks for, as in the edge's ring.
    #[arg(long, default_value_t = 256)]
    wait_batch: u32,
    /// How long a wait insists on them, in microseconds, as in the edge's ring.
    #[arg(long, default_value_t = 50)]
    wait_min_us: u32,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    ensure!(arguments.listen.ip().is_loopback(), "the floor listens on loopback only");
    ensure!(arguments.body_bytes <= BODY_BYTES_MAX, "a body has at most {BODY_BYTES_MAX} bytes");
    let slots_in_bounds = (1..=CONNECTIONS_MAX).contains(&arguments.connections);
    ensure!(slots_in_bounds, "between 1 and {CONNECTIONS_MAX} connections");
    let listener = TcpListener::bind(arguments.listen)
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    // Accepted sockets inherit it; the edge sets it too.
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    let address = listener.local_addr()?;
    let mut floor = Floor::new(listener, &arguments)?;
    println!("{address}");
    std::io::stdout().flush()?;
    floor.run()
}

/// What is in flight on a connection; at most one op at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Accept,
    Receive,
    Send,
    Close,
}

/// The responder: ring, listener, the one answer, and a receive buffer and send position per slot.
///
/// The fields that the kernel reads or writes while ops are in flight (`answer`, `buffers`) are
/// allocated once, never grow, and are declared after `ring`, so that the ring is closed first.
struct Floor {
    ring: IoUring,
    listener: TcpListener,
    answer: Box<[u8]>,
    buffers: Box<[u8]>,
    sent: Box<[usize]>,
    open: u32,
    accepting: bool,
    wait_batch: usize,
    wait_min_us: u32,
}

impl Floor {
    fn new(listener: TcpListener, arguments: &Arguments) -> anyhow::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(8192)
            .build(1024)
            .context("cannot set up a ring: is io_uring allowed here?")?;
        ring.submitter()
            .register_files_sparse(arguments.connections)
            .context("cannot register direct descriptors: raise RLIMIT_NOFILE")?;
        let slots = arguments.connections as usize;
        Ok(Self {
            ring,
            listener,
            answer: answer(arguments.body_bytes),
            buffers: vec![0; slots * RECEIVE_BYTES].into_boxed_slice(),
            sent: vec![0; slots].into_boxed_slice(),
            open: 0,
            accepting: false,
            wait_batch: arguments.wait_batch.max(1) as usize,
            wait_min_us: arguments.wait_min_us,
        })
    }

    /// Serves until the ring fails; the caller ends the process.
    fn run(&mut self) -> anyhow::Result<()> {
        let mut finished: Vec<cqueue::Entry> = Vec::with_capacity(8192);
        let mut last_batch = 0;
        // Bounds only the wait of an idle floor; EXT_ARG needs a timeout for its minimum wait.
        let idle = Timespec::new().sec(3600);
        self.accept()?;
        loop {
            let arguments = SubmitArgs::new().timespec(&idle).min_wait_usec(self.wait_min_us);
            // The edge's rule: gather half of what the last wait brought.
            let want = (last_batch / 2).clamp(1, self.wait_batch);
            match self.ring.submitter().submit_with_args(want, &arguments) {
                Ok(_) => {}
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::ETIME | libc::EINTR | libc::EBUSY)
                    ) => {}
                Err(error) => return Err(error).context("the ring failed"),
            }
            finished.extend(self.ring.completion());
            last_batch = finished.len();
            for entry in finished.drain(..) {
                self.handle_completion(&entry)?;
            }
        }
    }

    fn handle_completion(&mut self, entry: &cqueue::Entry) -> anyhow::Result<()> {
        let (kind, slot) = unpack(entry.user_data())?;
        let result = entry.result();
        match kind {
            Kind::Accept => {
                self.accepting = cqueue::more(entry.flags());
                if let Ok(slot) = u32::try_from(result) {
                    self.open += 1;
                    self.receive(slot)?;
                }
                // A full table ends the accept; a close arms it again.
                if self.accepting || self.open as usize == self.sent.len() {
                    return Ok(());
                }
                self.accept()
            }
            Kind::Receive => match usize::try_from(result) {
                Ok(received) if received > 0 => {
                    self.sent[slot as usize] = 0;
                    self.send(slot)
                }
                Ok(_) | Err(_) => self.close(slot),
            },
            Kind::Send => match usize::try_from(result) {
                Ok(sent) if sent > 0 => {
                    let position = &mut self.sent[slot as usize];
                    *position += sent;
                    if *position < self.answer.len() { self.send(slot) } else { self.receive(slot) }
                }
                Ok(_) | Err(_) => self.close(slot),
            },
            Kind::Close => {
                self.open -= 1;
                if self.accepting { Ok(()) } else { self.accept() }
            }
        }
    }

    fn accept(&mut self) -> anyhow::Result<()> {
        self.accepting = true;
        let entry = opcode::AcceptMulti::new(Fd(self.listener.as_raw_fd()))
            .allocate_file_index(true)
            .build();
        self.push(entry, Kind::Accept, 0)
    }

    fn receive(&mut self, slot: u32) -> anyhow::Result<()> {
        let start = slot as usize * RECEIVE_BYTES;
        let buffer = &mut self.buffers[start..start + RECEIVE_BYTES];
        let entry =
            opcode::Recv::new(Fixed(slot), buffer.as_mut_ptr(), RECEIVE_BYTES as u32).build();
        self.push(entry, Kind::Receive, slot)
    }

    fn send(&mut self, slot: u32) -> anyhow::Result<()> {
        let rest = &self.answer[self.sent[slot as usize]..];
        let window = rest.len().min(WINDOW_BYTES) as u32;
        let entry =
            opcode::Send::new(Fixed(slot), rest.as_ptr(), window).flags(libc::MSG_NOSIGNAL).build();
        self.push(entry, Kind::Send, slot)
    }

    fn close(&mut self, slot: u32) -> anyhow::Result<()> {
        self.push(opcode::Close::new(Fixed(slot)).build(), Kind::Close, slot)
    }

    #[expect(unsafe_code, reason = "the ring takes entries whose memory the caller vouches for")]
    fn push(&mut self, entry: Entry, kind: Kind, slot: u32) -> anyhow::Result<()> {
        let entry = entry.user_data(pack(kind, slot));
        // SAFETY: an entry points at nothing (accept, close), at `answer`, which nobody writes, or
        // at the slot's own part of `buffers`. Both boxes are allocated before the first entry,
        // never replaced, and outlive the ring, which is dropped before them (field order). A
        // slot's part of `buffers` is handed to one RECV at a time: the next one is pushed only
        // when that slot's SEND has completed, and nobody else reads or writes it.
        let pushed = unsafe { self.ring.submission().push(&entry) };
        if pushed.is_ok() {
            return Ok(());
        }
        self.ring.submit().context("the ring failed")?;
        // SAFETY: as above.
        unsafe { self.ring.submission().push(&entry) }.context("the submission queue stays full")
    }
}

fn pack(kind: Kind, slot: u32) -> u64 {
    let kind: u64 = match kind {
        Kind::Accept => 0,
        Kind::Receive => 1,
        Kind::Send => 2,
        Kind::Close => 3,
    };
    (kind << 32) | u64::from(slot)
}

fn unpack(user_data: u64) -> anyhow::Result<(Kind, u32)> {
    let kind = match user_data >> 32 {
        0 => Kind::Accept,
        1 => Kind::Receive,
        2 => Kind::Send,
        3 => Kind::Close,
        other => anyhow::bail!("a completion of unknown kind {other}"),
    };
    Ok((kind, user_data as u32))
}

/// Head and body in one piece, the head as long as the edge's own.
fn answer(body_bytes: u32) -> Box<[u8]> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\n\
         Content-Type: application/octet-stream\r\n\
         Cache-Control: max-age=3600\r\n\
         ETag: \"0123456789abcdef\"\r\n\
         Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
         Age: 10\r\n\
         Via: 1.1 floor\r\n\
         Cache-Status: floor; hit; ttl=3590\r\n\
         Content-Length: {body_bytes}\r\n\
         \r\n"
    )
    .into_bytes();
    let head_bytes = bytes.len();
    bytes.resize(head_bytes + body_bytes as usize, 0);
    if let Some(content) = Content::of_target(&format!("/bytes/{body_bytes}")) {
        content.fill(0, &mut bytes[head_bytes..]);
    }
    bytes.into_boxed_slice()
}

/// Longest body: the answer is one buffer in memory.
const BODY_BYTES_MAX: u32 = 64 << 20;
/// Most connections: a buffer and a direct descriptor each.
const CONNECTIONS_MAX: u32 = 16_384;
/// Room for one request per connection.
const RECEIVE_BYTES: usize = 4096;
/// Most bytes that one SEND offers, as the edge's windows.
const WINDOW_BYTES: usize = 1 << 20;
