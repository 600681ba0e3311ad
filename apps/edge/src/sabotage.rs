//! An edge that fails on purpose, so that a load test is seen to notice.
//!
//! Only a development build with the feature `sabotage` has it: the compiler refuses it in a
//! release build, and no other binary holds a word of it. `LONGHOLD_SABOTAGE` says in which way the
//! edge fails; without it, it does not.

#[cfg(not(debug_assertions))]
compile_error!(
    "the feature `sabotage` makes an edge that fails on purpose: it is for development builds only"
);

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use longhold_gateway::rules::{Rule, SiteRules};
use longhold_store::Store;
use longhold_transport::{
    Adopter, BoundListener, Buffer, Completion, ListenError, ListenerId, Now, Payload as _,
    Security, Token, Transport, TransportError, Waker,
};

use crate::config::checked::Checked;
use crate::outgoing::{Outgoing, Piece};

/// In which way the edge fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Keeps memory for each connection.
    Leak,
    /// Keeps full sockets for each connection, and with them memory of the kernel.
    Hoard,
    /// Closes every 500th connection that parks.
    Lost,
    /// Flips a bit in the last byte of every 1,000th answer.
    Byte,
    /// Answers every 200th time half a second late, and everybody else behind it.
    Slow,
    /// Answers each time a third of a second late, and nobody waits behind anybody else.
    Late,
    /// Burns CPU time for each answer.
    Spin,
    /// Never stores.
    Miss,
    /// Never answers again after so many times.
    Mute,
    /// Every fifth operation on the store's disks fails, as a disk that dies does.
    Eio,
    /// Each operation on the store's disks takes a fifth of a second.
    SlowDisk,
}

impl Way {
    /// What `LONGHOLD_SABOTAGE` names, if anything.
    ///
    /// # Panics
    /// When it names nothing that is known: a test would otherwise show nothing.
    fn asked() -> Option<Self> {
        let name = std::env::var(VARIABLE).ok()?;
        let known = WAYS.iter().find(|(known, _)| *known == name);
        let known = known.unwrap_or_else(|| panic!("{VARIABLE}={name} is no way to fail"));
        Some(known.1)
    }
}

/// The configuration as it is to be obeyed.
pub(crate) fn bend(config: &Checked) -> Checked {
    let mut bent = config.clone();
    if Way::asked() == Some(Way::Miss) {
        let otherwise = Some(Rule { bypass: true, ..Rule::default() });
        for site in &mut bent.sites {
            site.rules = Some(SiteRules { rules: Vec::new(), otherwise: otherwise.clone() });
        }
    }
    bent
}

/// Learns which volumes of the store are disks; they come before the memory tier.
pub(crate) fn note_disks(store: &Store) {
    let disks = store.devices().iter().filter(|device| device.path.is_some()).count();
    DISKS.store(disks, Ordering::Relaxed);
}

/// What comes of an operation on one of the store's volumes, after what that itself says: the
/// memory tier is no disk.
pub(crate) async fn disk(volume: usize, result: io::Result<()>) -> io::Result<()> {
    let way = Way::asked().filter(|_| volume < DISKS.load(Ordering::Relaxed));
    if way == Some(Way::SlowDisk) {
        tokio::time::sleep(SLOW_DISK).await;
    }
    let is_eio = way == Some(Way::Eio)
        && DISK_OPERATIONS.fetch_add(1, Ordering::Relaxed) % EIO_EVERY == EIO_EVERY - 1;
    if is_eio { Err(rustix::io::Errno::IO.into()) } else { result }
}

/// A transport that fails as it is asked to.
pub struct Sabotaged<T> {
    inner: T,
    way: Option<Way>,
    /// Parks or sends so far, whichever the way counts.
    count: u64,
    memory: Vec<Box<[u8]>>,
    sockets: Vec<UnixDatagram>,
    /// Sends that are late, and when they begin, µs.
    late: VecDeque<(u64, Token, Outgoing)>,
}

impl<T> Sabotaged<T> {
    /// One over `inner`.
    pub fn new(inner: T) -> Self {
        let (memory, sockets, late) = (Vec::new(), Vec::new(), VecDeque::new());
        Self { inner, way: Way::asked(), count: 0, memory, sockets, late }
    }

    /// Whether this is the time again, if `way` is asked for.
    fn is_due(&mut self, way: Way, every: u64) -> bool {
        if self.way != Some(way) {
            return false;
        }
        self.count += 1;
        self.count.is_multiple_of(every)
    }

    fn hoard(&mut self) {
        match self.way {
            Some(Way::Leak) => self.memory.push(vec![1; LEAKED_BYTES].into()),
            Some(Way::Hoard) => self.sockets.extend(full_socket().into_iter().flatten()),
            Some(Way::Lost | Way::Byte | Way::Slow | Way::Late | Way::Spin) => {}
            Some(Way::Miss | Way::Mute | Way::Eio | Way::SlowDisk) | None => {}
        }
    }
}

/// A pair of sockets with as much in it as nobody reads; nothing where there is no descriptor left.
fn full_socket() -> Option<[UnixDatagram; 2]> {
    let (from, to) = UnixDatagram::pair().ok()?;
    from.set_nonblocking(true).ok()?;
    while from.send(&[0; HOARDED_BYTES]).is_ok() {}
    Some([from, to])
}

impl<T> Deref for Sabotaged<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T> DerefMut for Sabotaged<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T: Transport<Payload = Outgoing>> Transport for Sabotaged<T> {
    type Payload = Outgoing;

    fn wait(
        &mut self,
        until_us: Option<u64>,
        completions: &mut Vec<Completion<Outgoing>>,
    ) -> Result<(), TransportError> {
        let due_us = self.late.front().map(|(due_us, ..)| *due_us);
        self.inner.wait(until_us.into_iter().chain(due_us).min(), completions)?;
        let now_us = self.inner.now().monotonic_us;
        while let Some((_, token, payload)) =
            self.late.pop_front_if(|(due_us, ..)| *due_us <= now_us)
        {
            self.inner.send(token, payload);
        }
        let is_accept = |it: &&Completion<Outgoing>| matches!(it, Completion::Accepted { .. });
        let accepted = completions.iter().filter(is_accept).count();
        (0..accepted).for_each(|_| self.hoard());
        Ok(())
    }

    fn park(&mut self, token: Token) {
        self.inner.park(token);
        if self.is_due(Way::Lost, LOST_EVERY) {
            self.inner.shutdown(token);
        }
    }

    fn send(&mut self, token: Token, payload: Outgoing) {
        if self.is_due(Way::Slow, SLOW_EVERY) {
            thread::sleep(SLOW);
        }
        if self.way == Some(Way::Late) && payload.sent_bytes() == 0 {
            let due_us = self.inner.now().monotonic_us + LATE_US;
            return self.late.push_back((due_us, token, payload));
        }
        if self.is_due(Way::Spin, 1) {
            let begin = Instant::now();
            while begin.elapsed() < SPUN {}
        }
        if self.way == Some(Way::Mute) {
            self.count += 1;
            if self.count > MUTE_AFTER {
                return;
            }
        }
        if self.is_due(Way::Byte, BYTE_EVERY) {
            let mut bytes = vec![0; payload.remaining_bytes()];
            if payload.copy_to(0, &mut bytes)
                && let Some(last) = bytes.last_mut()
            {
                *last ^= 1;
                if let Some(buffer) = payload.into_buffer() {
                    self.inner.recycle(buffer);
                }
                let flipped = Outgoing::new(None, Piece::Staged(bytes.into()));
                return self.inner.send(token, flipped);
            }
        }
        self.inner.send(token, payload);
    }

    fn listen(&mut self, listener: BoundListener) -> Result<ListenerId, ListenError> {
        self.inner.listen(listener)
    }

    fn local_address(&self, listener: ListenerId) -> SocketAddr {
        self.inner.local_address(listener)
    }

    fn stop_accepting(&mut self) {
        self.inner.stop_accepting();
    }

    fn slot_count(&self) -> u32 {
        self.inner.slot_count()
    }

    fn slots_per_shard(&self) -> u32 {
        self.inner.slots_per_shard()
    }

    fn used_count(&self, shard: u32) -> u32 {
        self.inner.used_count(shard)
    }

    fn now(&self) -> Now {
        self.inner.now()
    }

    fn connect(&mut self, address: SocketAddr, from: Option<SocketAddr>, ticket: u64) {
        self.inner.connect(address, from, ticket);
    }

    fn adopter(&self) -> Adopter {
        self.inner.adopter()
    }

    fn receive(&mut self, token: Token, buffer: Buffer) {
        self.inner.receive(token, buffer);
    }

    fn shutdown(&mut self, token: Token) {
        self.inner.shutdown(token);
    }

    fn cancel(&mut self, token: Token) {
        self.inner.cancel(token);
    }

    fn close(&mut self, token: Token) {
        self.inner.close(token);
    }

    fn buffer(&mut self) -> Option<Buffer> {
        self.inner.buffer()
    }

    fn recycle(&mut self, buffer: Buffer) {
        self.inner.recycle(buffer);
    }

    fn buffer_count(&self) -> u32 {
        self.inner.buffer_count()
    }

    fn trim(&mut self) {
        self.inner.trim();
    }

    fn security(&self, token: Token) -> Security {
        self.inner.security(token)
    }

    fn waker(&self) -> Waker {
        self.inner.waker()
    }
}

const VARIABLE: &str = "LONGHOLD_SABOTAGE";
const WAYS: [(&str, Way); 11] = [
    ("leak", Way::Leak),
    ("hoard", Way::Hoard),
    ("lost", Way::Lost),
    ("byte", Way::Byte),
    ("slow", Way::Slow),
    ("late", Way::Late),
    ("spin", Way::Spin),
    ("miss", Way::Miss),
    ("mute", Way::Mute),
    ("eio", Way::Eio),
    ("slow-disk", Way::SlowDisk),
];
const LEAKED_BYTES: usize = 4096;
/// Small enough that the kernel has it in its slabs.
const HOARDED_BYTES: usize = 3000;
const LOST_EVERY: u64 = 500;
const BYTE_EVERY: u64 = 1000;
const SLOW_EVERY: u64 = 200;
const SLOW: Duration = Duration::from_millis(500);
const LATE_US: u64 = 300_000;
const SPUN: Duration = Duration::from_millis(1);
const MUTE_AFTER: u64 = 2000;
const EIO_EVERY: u64 = 5;
const SLOW_DISK: Duration = Duration::from_millis(200);
/// How many disks the store has.
static DISKS: AtomicUsize = AtomicUsize::new(0);
/// Operations on the store's disks so far.
static DISK_OPERATIONS: AtomicU64 = AtomicU64::new(0);
