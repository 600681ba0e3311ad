//! TR-7: after warm-up, a connection's whole cycle (park, wake, receive, send, close included)
//! allocates nothing. A counting allocator says so.
#![expect(unsafe_code, reason = "a global allocator is an unsafe trait; this one only counts")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails on whatever it did not expect")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;

use longhold_transport::{
    Completion, Config, Parts, Payload, Token, Transport, bind_listeners, epoll, uring,
};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a plain
// thread-local cell that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_bytes: usize) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, new_bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A head and a body that live for ever.
struct Fixed {
    left_bytes: usize,
}

impl Payload for Fixed {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        let sent_bytes = HEAD.len() + BODY.len() - self.left_bytes;
        parts.push(HEAD.get(sent_bytes..).unwrap_or(&[]));
        parts.push(&BODY[sent_bytes.saturating_sub(HEAD.len())..]);
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.left_bytes -= sent_bytes;
    }
}

#[test]
fn a_cycle_on_uring_allocates_nothing_after_warm_up() {
    assert_no_allocations(uring::Reactor::new(&config()).unwrap());
}

#[test]
fn a_cycle_on_epoll_allocates_nothing_after_warm_up() {
    assert_no_allocations(epoll::Reactor::new(&config()).unwrap());
}

fn config() -> Config {
    Config { slots: 64, slots_per_shard: 24, buffers: 8, ..Config::default() }
}

fn assert_no_allocations(mut edge: impl Transport<Payload = Fixed>) {
    let bound = bind_listeners(([127, 0, 0, 1], 0).into(), 1).unwrap().pop().unwrap();
    let address = bound.address();
    edge.listen(bound).unwrap();
    let mut clients: Vec<TcpStream> =
        (0..CLIENTS).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut done = Vec::with_capacity(1024);
    let mut accepted = 0;
    while accepted < CLIENTS {
        edge.wait(None, &mut done).unwrap();
        for completion in done.drain(..) {
            let Completion::Accepted { slot, .. } = completion else { continue };
            edge.park(Token::new(slot, 1));
            accepted += 1;
        }
    }
    for _ in 0..WARM_UP {
        cycle(&mut edge, &mut clients, &mut done);
    }
    let before = COUNT.get();
    for _ in 0..MEASURED {
        cycle(&mut edge, &mut clients, &mut done);
    }
    assert_eq!(COUNT.get() - before, 0, "allocations in {MEASURED} cycles of {CLIENTS} clients");
}

/// One request and one response on every connection; parked again at the end.
fn cycle(
    edge: &mut impl Transport<Payload = Fixed>,
    clients: &mut [TcpStream],
    done: &mut Vec<Completion<Fixed>>,
) {
    for client in &mut *clients {
        client.write_all(b"request").unwrap();
    }
    let mut answered = 0;
    while answered < clients.len() {
        edge.wait(None, done).unwrap();
        for completion in done.drain(..) {
            match completion {
                Completion::Readable { token } => match edge.buffer() {
                    Some(buffer) => edge.receive(token, buffer),
                    // All buffers are out: stay parked, be readable again.
                    None => edge.park(token),
                },
                Completion::Received { token, buffer, result } => {
                    assert_eq!(result, Ok(7));
                    edge.recycle(buffer);
                    edge.send(token, Fixed { left_bytes: HEAD.len() + BODY.len() });
                }
                Completion::Sent { token, payload, .. } if payload.left_bytes > 0 => {
                    edge.send(token, payload);
                }
                Completion::Sent { token, .. } => {
                    answered += 1;
                    edge.park(token);
                }
                other => panic!("{:?}", std::mem::discriminant(&other)),
            }
        }
    }
    let mut response = [0; HEAD.len() + BODY.len()];
    for client in clients {
        client.read_exact(&mut response).unwrap();
    }
}

const CLIENTS: usize = 40;
const WARM_UP: u32 = 20;
const MEASURED: u32 = 100;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const BODY: &[u8] = &[b'x'; 1024];
