//! The epoll reactor with a table of descriptors of its thread's own. One test: it lowers the
//! process's limit of open files.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails on whatever it did not expect")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use longhold_transport::epoll::{Reactor, Table};
use longhold_transport::{
    AcceptError, BoundListener, Completion, Config, Parts, Payload, Token, Transport, Waker,
    bind_listeners,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

struct Nothing;

impl Payload for Nothing {
    fn parts<'a>(&'a self, _: &mut Parts<'a>) {}
    fn advance(&mut self, _: usize) {}
}

/// Two threads together accept more connections than the limit allows one table, two others open
/// them; no listener is kept open by a copy of it; and what a full table cannot take waits in the
/// backlog.
#[test]
fn each_private_table_has_the_whole_limit_and_nobody_elses_sockets() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), ..limit }).unwrap();
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let foreign_address = foreign.local_addr().unwrap();
    let listeners = [bind(), bind()];
    let addresses = listeners.each_ref().map(BoundListener::address);
    let servers = listeners.map(|listener| {
        let (ready, readiness) = mpsc::channel();
        let server = thread::spawn(move || serve(listener, &ready));
        (server, readiness.recv().unwrap())
    });
    drop(foreign);
    assert!(TcpStream::connect(foreign_address).is_err(), "a copy keeps a listener open");
    let holders = addresses.map(|address| {
        let (release, released) = mpsc::channel::<()>();
        let (opened, held) = mpsc::channel();
        let holder = thread::spawn(move || hold(address, &opened, &released));
        held.recv().unwrap();
        (holder, release)
    });
    for (server, waker) in servers {
        waker.wake();
        let (accepted, failures) = server.join().unwrap();
        assert_eq!(accepted, ACCEPTED as usize);
        assert_eq!(failures, [AcceptError::TableFull], "once, and not for want of descriptors");
    }
    for (holder, release) in holders {
        drop(release);
        holder.join().unwrap();
    }
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Accepts as many as there are slots, and holds them until it is woken. How many, and which
/// failures it was told.
fn serve(listener: BoundListener, ready: &mpsc::Sender<Waker>) -> (usize, Vec<AcceptError>) {
    let config = Config { slots: ACCEPTED, ..Config::default() };
    let mut edge = Reactor::<Nothing>::with_private_table(&config, vec![listener]).unwrap();
    assert_eq!((edge.table(), edge.slot_count()), (Table::Private, ACCEPTED));
    ready.send(edge.waker()).unwrap();
    let (mut accepted, mut failures, mut done) = (0, Vec::new(), Vec::new());
    let mut is_over = false;
    while !is_over || failures.is_empty() {
        edge.wait(None, &mut done).unwrap();
        for completion in done.drain(..) {
            match completion {
                Completion::Accepted { slot, .. } => {
                    edge.park(Token::new(slot, 1));
                    accepted += 1;
                }
                Completion::AcceptFailed { error, .. } => failures.push(error),
                Completion::Woken => is_over = true,
                other => panic!("{:?}", std::mem::discriminant(&other)),
            }
        }
    }
    (accepted, failures)
}

/// Opens more connections than the other side has slots for, and holds them until it is released.
fn hold(address: SocketAddr, opened: &mpsc::Sender<()>, released: &mpsc::Receiver<()>) {
    let config = Config { slots: 10 * LIMIT as u32, ..Config::default() };
    let mut edge = Reactor::<Nothing>::with_private_table(&config, Vec::new()).unwrap();
    let slots = edge.slot_count();
    assert!(OPENED <= slots && slots < LIMIT as u32, "{slots} slots could not be filled");
    (0..OPENED).for_each(|ticket| edge.connect(address, None, u64::from(ticket)));
    let (mut held, mut done) = (0, Vec::new());
    while held < OPENED {
        edge.wait(None, &mut done).unwrap();
        for completion in done.drain(..) {
            let Completion::Connected { result, .. } = completion else { panic!("not connected") };
            assert!(result.is_ok(), "{result:?}");
            held += 1;
        }
    }
    opened.send(()).unwrap();
    // Ends by the other end's going.
    let _ = released.recv();
}

fn bind() -> BoundListener {
    bind_listeners(([127, 0, 0, 1], 0).into(), 1).unwrap().pop().unwrap()
}

/// Descriptors of each table.
const LIMIT: u64 = 300;
const ACCEPTED: u32 = 180;
const OPENED: u32 = 200;
const _: () = assert!(2 * ACCEPTED as u64 > LIMIT);
