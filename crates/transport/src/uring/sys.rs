//! The fence: the only place of this crate where memory is lent to the kernel.
//!
//! A [`Ring`] owns an io_uring *and* the memory of everything in flight on it. Its commands take
//! buffers and payloads by value, put them into a body that never moves (chunks are boxed and
//! never freed while the ring lives), and push an entry that points into it. The body is touched
//! again only when the op's final completion has been taken from the completion queue; then it
//! moves out, into an [`Event`]. So nothing outside can free, move or change what the kernel may
//! still read or write, whatever it does with its tokens (TR-1).
//!
//! Descriptors are held in the bodies too, so a number in a queued entry cannot be closed and
//! reused before the kernel has resolved it.
//!
//! Dropping a ring cancels everything, waits for the final completions, and only then frees the
//! bodies; if the kernel does not give them up in time, they are leaked (TR-10).
//!
//! Not here: slots, tokens, tables, policies. An entry without memory in it cannot break memory
//! safety, whatever index it names.
#![expect(unsafe_code, reason = "memory is lent to the kernel here, and only here")]

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue::Entry};

use super::address::RawAddress;
use super::event::{Event, SlotOp, Wait};
use crate::op::{OpHeader, OpKind, OpTable, UserData};
use crate::{Buffer, PARTS_MAX, Parts, Payload};

/// One ring and all memory that is lent to it.
pub(super) struct Ring<P: Payload> {
    io: IoUring,
    ops: OpTable,
    chunks: ManuallyDrop<Vec<Chunk<P>>>,
    /// Entries that found the submission queue full and the kernel unwilling; oldest first.
    overflow: VecDeque<Entry>,
    /// Completions copied from the queue, in order; `next_fetched` is the first not yet handled.
    fetched: Vec<(u64, i32)>,
    next_fetched: usize,
    /// Something was pushed since the last enter.
    has_pushed: bool,
    /// Entries pushed whose final completion has not been taken yet.
    in_flight: u32,
    has_min_wait: bool,
    enter_flags: EnterFlags,
    /// SINGLE_ISSUER: the ring belongs to the thread that made it.
    one_thread: PhantomData<*mut ()>,
}

type Chunk<P> = Box<[Record<P>]>;

/// One op's memory, and whether the kernel has it.
struct Record<P> {
    lent: Cell<bool>,
    memory: UnsafeCell<Memory<P>>,
}

/// The body moves in and out with its op; the list beside it stays where it is.
struct Memory<P> {
    body: Body<P>,
    gather: Gather,
}

/// Memory of one op. The kernel reads or writes what lies in it, or what it owns.
enum Body<P> {
    Empty,
    Receive(Buffer),
    Send(P),
    Accept {
        address: RawAddress,
        length: libc::socklen_t,
        #[expect(dead_code, reason = "held open while its number is in an entry")]
        listener: Rc<OwnedFd>,
    },
    Connect {
        address: RawAddress,
        length: libc::socklen_t,
        /// The socket's number; the kernel replaces it by the index in the table.
        table_index: i32,
        socket: Option<OwnedFd>,
        ticket: u64,
    },
    Watch {
        counter: u64,
        event: Arc<OwnedFd>,
    },
}

/// The list of a payload's parts as the kernel wants it.
struct Gather {
    vectors: [libc::iovec; PARTS_MAX],
    message: libc::msghdr,
}

impl<P: Payload> Ring<P> {
    /// Takes over a ring that the caller has just set up, on the thread that will use it.
    pub(super) fn new(io: IoUring) -> Self {
        let mut enter_flags = EnterFlags::GETEVENTS | EnterFlags::EXT_ARG;
        if io.params().is_feature_no_iowait() {
            enter_flags |= EnterFlags::NO_IOWAIT;
        }
        Self {
            ops: OpTable::default(),
            chunks: ManuallyDrop::new(Vec::new()),
            overflow: VecDeque::new(),
            fetched: Vec::with_capacity(io.params().cq_entries() as usize),
            next_fetched: 0,
            has_pushed: false,
            in_flight: 0,
            has_min_wait: io.params().is_feature_min_timeout(),
            enter_flags,
            io,
            one_thread: PhantomData,
        }
    }

    /// The records of ops in flight.
    pub(super) fn ops(&self) -> &OpTable {
        &self.ops
    }

    /// The same, to keep the lists per slot.
    pub(super) fn ops_mut(&mut self) -> &mut OpTable {
        &mut self.ops
    }

    /// One-shot readiness of a direct descriptor.
    pub(super) fn park(&mut self, at: SlotOp) {
        let events = (libc::POLLIN | libc::POLLRDHUP) as u32;
        let entry = opcode::PollAdd::new(Fixed(at.index), events).build();
        self.push_plain(entry, at.named(OpKind::Park));
    }

    /// Shuts the write half of a direct descriptor.
    pub(super) fn shutdown(&mut self, at: SlotOp) {
        let entry = opcode::Shutdown::new(Fixed(at.index), libc::SHUT_WR).build();
        self.push_plain(entry, at.named(OpKind::Shutdown));
    }

    /// Closes a direct descriptor.
    pub(super) fn close(&mut self, at: SlotOp) {
        let entry = opcode::Close::new(Fixed(at.index)).build();
        self.push_plain(entry, at.named(OpKind::Close));
    }

    /// Asks the op of that name to end. Its completion comes either way.
    pub(super) fn cancel(&mut self, target: UserData) {
        let entry = opcode::AsyncCancel::new(target.pack()).build();
        self.push_plain(entry, UserData::new(OpKind::Cancel, target.generation, target.index));
    }

    /// Asks an op with memory to end. Nothing happens when there is no such op.
    pub(super) fn cancel_op(&mut self, op: u32) {
        let Some(&OpHeader { kind: Some(kind), generation, .. }) = self.ops.header(op) else {
            return;
        };
        self.cancel(UserData::new(kind, generation, op));
    }

    /// Receives into the spare part of `buffer`, if it `waits` not before there is something.
    pub(super) fn receive(&mut self, at: SlotOp, buffer: Buffer, waits: bool) -> u32 {
        let op = self.claim(OpKind::Receive, at.generation, at.index, Body::Receive(buffer));
        if let Some(Body::Receive(buffer)) = self.body_mut(op) {
            let spare = buffer.spare_mut();
            let length = u32::try_from(spare.len()).unwrap_or(u32::MAX);
            let how = if waits { RECVSEND_POLL_FIRST } else { 0 };
            let entry = opcode::Recv::new(Fixed(at.index), spare.as_mut_ptr(), length);
            let entry = entry.ioprio(how).build();
            // SAFETY: the entry points into the buffer's own allocation, which is in the body of
            // `op`; `length` is that of the buffer's spare part.
            unsafe { self.lend(op, entry, OpKind::Receive, at.generation) };
        }
        op
    }

    /// Sends what `payload` has left; returns the op.
    ///
    /// # Errors
    /// Gives the payload back when it has nothing left.
    pub(super) fn send(&mut self, at: SlotOp, payload: P) -> Result<u32, P> {
        let op = self.claim(OpKind::Send, at.generation, at.index, Body::Send(payload));
        let Some(Memory { body: Body::Send(payload), gather }) = self.memory_mut(op) else {
            return Ok(op);
        };
        let Some(entry) = gather.entry(Fixed(at.index), payload) else {
            let Some((_, Body::Send(payload))) = self.take_out(op) else {
                return Ok(op);
            };
            return Err(payload);
        };
        // SAFETY: vectors and message lie beside the body of `op`, as far out of reach; the parts
        // borrow from the payload in the body, so they live as long as it does, unchanged, because
        // nobody can reach it.
        unsafe { self.lend(op, entry, OpKind::Send, at.generation) };
        Ok(op)
    }

    /// Accepts one connection from `listener` into the table of direct descriptors.
    pub(super) fn accept(&mut self, listener: &Rc<OwnedFd>, listener_id: u16) {
        let number = Fd(listener.as_raw_fd());
        let room = RawAddress::BYTES as libc::socklen_t;
        let (address, listener) = (RawAddress::default(), Rc::clone(listener));
        let body = Body::Accept { address, length: room, listener };
        let op = self.claim(OpKind::Accept, 0, u32::from(listener_id), body);
        if let Some(Body::Accept { address, length, .. }) = self.body_mut(op) {
            let entry = opcode::Accept::new(number, std::ptr::from_mut(address).cast(), length)
                .file_index(Some(DestinationSlot::auto_target()))
                .build();
            // SAFETY: address and length lie in the body of `op`, the length says how much room
            // there is, and the body keeps the listener open.
            unsafe { self.lend(op, entry, OpKind::Accept, 0) };
        }
    }

    /// Moves `socket` into the table of direct descriptors. With a `peer` it is the first half of
    /// a connect: answers `Installed`, whose op goes on with [`Ring::connect`]. Without, it is
    /// connected already: answers `Adopted`. Or `InstallFailed`.
    pub(super) fn install(&mut self, socket: OwnedFd, peer: Option<SocketAddr>, ticket: u64) {
        let (address, length) = peer.map(RawAddress::encode).unwrap_or_default();
        let table_index = socket.as_raw_fd();
        let body = Body::Connect { address, length, table_index, socket: Some(socket), ticket };
        let op = self.claim(OpKind::Install, 0, 0, body);
        if let Some(Body::Connect { table_index, .. }) = self.body_mut(op) {
            let entry = opcode::FilesUpdate::new(table_index, 1).offset(FILE_INDEX_ALLOC).build();
            // SAFETY: the one number that the kernel reads and replaces lies in the body of `op`,
            // and the body keeps the socket open.
            unsafe { self.lend(op, entry, OpKind::Install, 0) };
        }
    }

    /// Connects the direct descriptor `index` to the address that [`Ring::install`] was given,
    /// by the op that `Installed` told.
    pub(super) fn connect(&mut self, op: u32, index: u32) {
        if let Some(Body::Connect { address, length, .. }) = self.body_mut(op) {
            let (address, length) = (std::ptr::from_ref(address).cast(), *length);
            let entry = opcode::Connect::new(Fixed(index), address, length).build();
            // SAFETY: the address lies in the body of `op` and has `length` bytes.
            unsafe { self.lend(op, entry, OpKind::Connect, 0) };
        }
    }

    /// Reads the counter of `event` once it is raised; answers `Watched` with `owner`.
    pub(super) fn watch(&mut self, event: Arc<OwnedFd>, owner: u32) {
        let number = Fd(event.as_raw_fd());
        let op = self.claim(OpKind::Watch, 0, owner, Body::Watch { counter: 0, event });
        if let Some(Body::Watch { counter, .. }) = self.body_mut(op) {
            let counter = std::ptr::from_mut(counter).cast::<u8>();
            let entry = opcode::Read::new(number, counter, size_of::<u64>() as u32).build();
            // SAFETY: the eight bytes lie in the body of `op`, which keeps the event open.
            unsafe { self.lend(op, entry, OpKind::Watch, 0) };
        }
    }

    /// Submits what was pushed, and waits. Interrupted and timed-out waits are no errors, nor is
    /// a kernel that is short of memory just now: then it waits a moment and submits later.
    ///
    /// # Errors
    /// The errno when the kernel refuses the ring itself.
    pub(super) fn enter(&mut self, wait: Wait) -> Result<(), i32> {
        self.refill();
        self.has_pushed = !self.overflow.is_empty();
        let queued = self.io.submission().len() as u32;
        match self.raw_enter(queued, wait) {
            // EBUSY: the completion queue is full; what is in it must be fetched first.
            Ok(()) | Err(libc::EBUSY) => Ok(()),
            Err(libc::EAGAIN | libc::ENOMEM) => {
                let timeout = wait.timeout.map_or(SHORTAGE_PAUSE, |time| time.min(SHORTAGE_PAUSE));
                let pause = Wait { want: 1, min_wait_us: 0, timeout: Some(timeout) };
                match self.raw_enter(0, pause) {
                    Ok(()) | Err(libc::EBUSY | libc::EAGAIN | libc::ENOMEM) => Ok(()),
                    Err(errno) => Err(errno),
                }
            }
            Err(errno) => Err(errno),
        }
    }

    /// Copies all completions from the queue, behind those that were copied and not yet taken.
    pub(super) fn fetch(&mut self) {
        if self.next_fetched == self.fetched.len() {
            self.fetched.clear();
            self.next_fetched = 0;
        }
        // No op of ours answers more than once; an answer with more to come is not its last.
        let last_ones = self.io.completion().filter(|cqe| !cqueue::more(cqe.flags()));
        self.fetched.extend(last_ones.map(|cqe| (cqe.user_data(), cqe.result())));
    }

    /// The oldest fetched completion, with the memory of its op.
    pub(super) fn next_event(&mut self) -> Option<Event<P>> {
        let &(packed, result) = self.fetched.get(self.next_fetched)?;
        self.next_fetched += 1;
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(UserData { kind, generation, index }) = UserData::unpack(packed) else {
            return Some(Event::Ignored);
        };
        let at = SlotOp { index, generation };
        Some(match kind {
            OpKind::Park => Event::Parked { at, result },
            OpKind::Shutdown => Event::ShutDown { at },
            OpKind::Close => Event::Closed { at },
            OpKind::Cancel => Event::Ignored,
            OpKind::Install => {
                self.end_loan(index);
                self.resolve_install(index, result)
            }
            OpKind::Receive | OpKind::Send | OpKind::Accept | OpKind::Connect | OpKind::Watch => {
                self.end_loan(index);
                self.resolve(index, generation, result)
            }
        })
    }

    /// Whether completions were fetched and not yet taken.
    pub(super) fn has_fetched(&self) -> bool {
        self.next_fetched < self.fetched.len()
    }

    /// Whether entries wait to be submitted.
    pub(super) fn has_pushed(&self) -> bool {
        self.has_pushed
    }

    /// Whether the kernel holds finished work that only another enter brings out.
    pub(super) fn has_deferred(&mut self) -> bool {
        let queue = self.io.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// The ring itself, for registrations.
    pub(super) fn io(&self) -> &IoUring {
        &self.io
    }

    /// An install ends, its op goes on as a connect: only the plain socket leaves the body.
    fn resolve_install(&mut self, op: u32, result: i32) -> Event<P> {
        let Some(Body::Connect { table_index, socket, ticket, length, .. }) = self.body_mut(op)
        else {
            return Event::Ignored;
        };
        drop(socket.take());
        let (ticket, has_peer) = (*ticket, *length > 0);
        if let (1, Ok(index)) = (result, u32::try_from(*table_index)) {
            if has_peer {
                self.ops.retarget(op, OpKind::Connect);
                return Event::Installed { op, index };
            }
            drop(self.take_out(op));
            return Event::Adopted { ticket, index };
        }
        drop(self.take_out(op));
        let errno = if result < 0 { -result } else { libc::ENFILE };
        Event::InstallFailed { ticket, errno }
    }

    fn resolve(&mut self, op: u32, generation: u32, result: i32) -> Event<P> {
        let Some((header, body)) = self.take_out(op) else {
            return Event::Ignored;
        };
        let at = SlotOp { index: header.owner, generation };
        let bytes = usize::try_from(result).unwrap_or(0);
        match body {
            Body::Receive(mut buffer) => {
                buffer.commit(bytes);
                Event::Received { at, op, header, buffer, result }
            }
            Body::Send(mut payload) => {
                payload.advance(bytes);
                Event::Sent { at, op, header, payload, result }
            }
            Body::Accept { address, .. } => {
                Event::Accepted { listener: header.owner as u16, peer: address.decode(), result }
            }
            Body::Connect { table_index, ticket, .. } => {
                Event::Connected { ticket, index: table_index.unsigned_abs(), result }
            }
            Body::Watch { event, .. } => Event::Watched { owner: header.owner, event },
            Body::Empty => Event::Ignored,
        }
    }

    /// A record with `body` for a new op; grows by a chunk when all are in use.
    fn claim(&mut self, kind: OpKind, generation: u32, owner: u32, body: Body<P>) -> u32 {
        let op = self.ops.allocate(kind, generation, owner);
        if op as usize / CHUNK_OPS == self.chunks.len() {
            self.chunks.push(std::iter::repeat_with(Record::empty).take(CHUNK_OPS).collect());
        }
        if let Some(place) = self.body_mut(op) {
            *place = body;
        }
        op
    }

    /// Takes a finished op out of the table; `None` while the kernel has it.
    fn take_out(&mut self, op: u32) -> Option<(OpHeader, Body<P>)> {
        let body = mem::replace(self.body_mut(op)?, Body::Empty);
        Some((self.ops.release(op)?, body))
    }

    fn record(&self, op: u32) -> Option<&Record<P>> {
        self.chunks.get(op as usize / CHUNK_OPS)?.get(op as usize % CHUNK_OPS)
    }

    /// The body of `op`, unless the kernel has it.
    fn body_mut(&mut self, op: u32) -> Option<&mut Body<P>> {
        self.memory_mut(op).map(|memory| &mut memory.body)
    }

    /// The memory of `op`, unless the kernel has it.
    fn memory_mut(&mut self, op: u32) -> Option<&mut Memory<P>> {
        let record = self.record(op)?;
        if record.lent.get() {
            return None;
        }
        // SAFETY: the kernel does not have the memory, and `&mut self` is the only way to it.
        Some(unsafe { &mut *record.memory.get() })
    }

    fn end_loan(&self, op: u32) {
        if let Some(record) = self.record(op) {
            record.lent.set(false);
        }
    }

    /// Pushes an entry that points into the memory of `op`, which is out of reach from here to the
    /// op's final completion.
    ///
    /// # Safety
    /// Every pointer in `entry` must be valid for what the operation does with it for as long as
    /// the memory of `op` is neither moved, changed nor dropped.
    unsafe fn lend(&mut self, op: u32, entry: Entry, kind: OpKind, generation: u32) {
        if let Some(record) = self.record(op) {
            record.lent.set(true);
            // SAFETY: the caller's promise holds until the loan ends, which happens when the
            // final completion is taken; records never move, and outlive the ring's last op.
            unsafe { self.push(entry.user_data(UserData::new(kind, generation, op).pack())) };
        }
    }

    fn push_plain(&mut self, entry: Entry, name: UserData) {
        // SAFETY: the callers' entries carry no pointers.
        unsafe { self.push(entry.user_data(name.pack())) };
    }

    /// Queues an entry. A full queue is submitted; if the kernel does not take it just now, the
    /// entry waits in our own list for the next enter.
    ///
    /// # Safety
    /// Pointers in `entry` must stay valid until its final completion.
    unsafe fn push(&mut self, entry: Entry) {
        self.in_flight += 1;
        self.has_pushed = true;
        if self.overflow.is_empty() {
            // SAFETY: the caller's promise.
            if unsafe { self.io.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full. What this enter complains of, the next one that waits tells.
            let _ = self.enter(Wait::NO);
        }
        self.overflow.push_back(entry);
        self.refill();
    }

    /// Moves entries from our own list to the submission queue while there is room.
    fn refill(&mut self) {
        let mut queue = self.io.submission();
        while let Some(entry) = self.overflow.front() {
            // SAFETY: the promise that came with the entry in `Ring::push` still holds.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            self.overflow.pop_front();
        }
    }

    fn raw_enter(&self, to_submit: u32, wait: Wait) -> Result<(), i32> {
        // Without a timeout the kernel takes the least wait for the whole one.
        let gathers = self.has_min_wait && wait.min_wait_us > 0;
        let timeout = wait.timeout.or(gathers.then_some(LONGEST_WAIT)).map(Timespec::from);
        let mut args = SubmitArgs::new();
        if self.has_min_wait {
            args = args.min_wait_usec(wait.min_wait_us);
        }
        if let Some(timeout) = &timeout {
            args = args.timespec(timeout);
        }
        // Kernels before 6.12 cannot gather: then one completion must be enough.
        let gathers_in_vain = wait.min_wait_us > 0 && !self.has_min_wait;
        let want = if gathers_in_vain { wait.want.min(1) } else { wait.want };
        let flags = self.enter_flags.bits();
        // SAFETY: EXT_ARG is set and the argument is of its type, alive for the call; what the
        // queued entries point to is upheld by `Ring::push`.
        let entered = unsafe { self.io.submitter().enter(to_submit, want, flags, Some(&args)) };
        match entered {
            Ok(_) => Ok(()),
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR) | None => Ok(()),
                Some(errno) => Err(errno),
            },
        }
    }

    /// Cancels all that is in flight and waits for the final completions; whether all came.
    fn drain(&mut self) -> bool {
        for _ in 0..DRAIN_ROUNDS {
            while self.next_event().is_some() {}
            if self.in_flight == 0 {
                return true;
            }
            let everything = CancelBuilder::any().all();
            let entry = opcode::AsyncCancel2::new(everything).build();
            self.push_plain(entry, UserData::new(OpKind::Cancel, 0, 0));
            let wait = Wait { want: self.in_flight, min_wait_us: 0, timeout: Some(DRAIN_ROUND) };
            if self.enter(wait).is_err() {
                return false;
            }
            self.fetch();
        }
        false
    }
}

impl<P: Payload> Drop for Ring<P> {
    fn drop(&mut self) {
        if self.drain() {
            // SAFETY: dropped here and nowhere else, and nothing is in flight that points here.
            unsafe { ManuallyDrop::drop(&mut self.chunks) };
        }
    }
}

impl<P> Record<P> {
    fn empty() -> Self {
        let memory = Memory { body: Body::Empty, gather: Gather::empty() };
        Self { lent: Cell::new(false), memory: UnsafeCell::new(memory) }
    }
}

impl Gather {
    fn empty() -> Self {
        let vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PARTS_MAX];
        // SAFETY: all zeroes are a valid msghdr: null pointers with zero lengths.
        let message = unsafe { mem::zeroed::<libc::msghdr>() };
        Self { vectors, message }
    }

    /// The entry that sends the payload's parts from where they lie; `None` without any.
    fn entry<P: Payload>(&mut self, target: Fixed, payload: &P) -> Option<Entry> {
        let mut parts = Parts::new();
        payload.parts(&mut parts);
        let flags = libc::MSG_NOSIGNAL;
        match parts.as_slices() {
            [] => None,
            [only] => {
                let length = u32::try_from(only.len()).unwrap_or(u32::MAX);
                Some(opcode::Send::new(target, only.as_ptr(), length).flags(flags).build())
            }
            several => {
                for (vector, part) in self.vectors.iter_mut().zip(several) {
                    vector.iov_base = part.as_ptr().cast_mut().cast();
                    vector.iov_len = part.len();
                }
                self.message.msg_iov = self.vectors.as_mut_ptr();
                self.message.msg_iovlen = several.len();
                Some(opcode::SendMsg::new(target, &self.message).flags(flags as u32).build())
            }
        }
    }
}

/// Records per chunk: memory of ops in flight grows in steps of this many.
const CHUNK_OPS: usize = 64;
/// `IORING_FILE_INDEX_ALLOC` as an offset: let the kernel choose a free entry of the table.
const FILE_INDEX_ALLOC: i32 = -1;
/// `IORING_RECVSEND_POLL_FIRST`: look whether there is something before the first try.
const RECVSEND_POLL_FIRST: u16 = 1;
/// How long to wait before submitting again when the kernel is short of memory.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(1);
/// Stands for a wait without an end; whoever waits so begins anew.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// A drop waits this long at most for what it has cancelled, in rounds.
const DRAIN_ROUND: Duration = Duration::from_millis(100);
const DRAIN_ROUNDS: u32 = 50;
