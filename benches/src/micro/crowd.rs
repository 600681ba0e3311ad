//! The clients of the measured front: blocking sockets in a thread of their own, which do as they
//! are told and say when it is done.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_setaffinity};

/// What each client says.
pub const REQUEST: &[u8] = &[b'r'; 200];

/// So many clients, by number.
#[derive(Debug)]
pub struct Crowd {
    orders: Option<SyncSender<Order>>,
    answers: Receiver<Result<Vec<SocketAddr>>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    Open { server: SocketAddr, count: usize },
    Say(Range<usize>),
    Hear { who: Range<usize>, bytes: usize },
    Ask { who: Range<usize>, bytes: usize, every: Duration },
    Leave(Range<usize>),
}

impl Crowd {
    /// Nobody yet; they will run on `core`, if that is given.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub fn gather(core: Option<usize>) -> Result<Self> {
        let (orders, received) = sync_channel(1);
        let (said, answers) = sync_channel(1);
        let work = move || {
            if let Some(core) = core {
                let mut only = CpuSet::new();
                only.set(core);
                // Where it is not allowed, both threads share what there is.
                let _is_allowed = sched_setaffinity(None, &only);
            }
            let mut clients = Clients::default();
            while let Ok(order) = received.recv() {
                if said.send(clients.follow(order)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("crowd".to_owned()).spawn(work)?;
        Ok(Self { orders: Some(orders), answers, thread: Some(thread) })
    }

    /// `count` more of them connect, one after the other; their addresses, in the order of their
    /// numbers.
    ///
    /// # Errors
    /// The server is not there, or descriptors or ports are short.
    pub fn open(&self, server: SocketAddr, count: usize) -> Result<Vec<SocketAddr>> {
        self.begin(Order::Open { server, count })?;
        self.done()
    }

    /// These say a request each.
    ///
    /// # Errors
    /// A connection is broken.
    pub fn say(&self, who: Range<usize>) -> Result<()> {
        self.begin(Order::Say(who))?;
        self.done().map(drop)
    }

    /// These begin to read so many bytes each; [`Crowd::done`] waits for them.
    ///
    /// # Errors
    /// The crowd is gone.
    pub fn hear(&self, who: Range<usize>, bytes: usize) -> Result<()> {
        self.begin(Order::Hear { who, bytes })
    }

    /// These begin to ask, one after the other, `every` so often, and read so many bytes each;
    /// [`Crowd::done`] waits for them.
    ///
    /// # Errors
    /// The crowd is gone.
    pub fn ask(&self, who: Range<usize>, bytes: usize, every: Duration) -> Result<()> {
        self.begin(Order::Ask { who, bytes, every })
    }

    /// These wait for the end of their connections and leave; the numbers of later ones fall.
    ///
    /// # Errors
    /// A connection is broken.
    pub fn leave(&self, who: Range<usize>) -> Result<()> {
        self.begin(Order::Leave(who))?;
        self.done().map(drop)
    }

    /// Waits until what was begun is done.
    ///
    /// # Errors
    /// A connection is broken.
    pub fn done(&self) -> Result<Vec<SocketAddr>> {
        self.answers.recv().context("the crowd is gone")?
    }

    fn begin(&self, order: Order) -> Result<()> {
        let orders = self.orders.as_ref().context("the crowd was dismissed")?;
        orders.send(order).ok().context("the crowd is gone")
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _has_panicked = thread.join();
        }
    }
}

#[derive(Default)]
struct Clients {
    sockets: Vec<TcpStream>,
    heard: Vec<u8>,
}

impl Clients {
    fn follow(&mut self, order: Order) -> Result<Vec<SocketAddr>> {
        match order {
            Order::Open { server, count } => return self.open(server, count),
            Order::Say(who) => {
                for socket in self.named(who)? {
                    socket.write_all(REQUEST)?;
                }
            }
            Order::Hear { who, bytes } => {
                for number in who {
                    self.read(number, bytes)?;
                }
            }
            Order::Ask { who, bytes, every } => {
                let mut due = Instant::now();
                for number in who {
                    due += every;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    for socket in self.named(number..number + 1)? {
                        socket.write_all(REQUEST)?;
                    }
                    self.read(number, bytes)?;
                }
            }
            Order::Leave(who) => {
                for mut socket in self.sockets.drain(who) {
                    let rest = socket.read(&mut [0; 1]).context("a client was cut off")?;
                    anyhow::ensure!(rest == 0, "a client was told more than it asked");
                }
            }
        }
        Ok(Vec::new())
    }

    fn open(&mut self, server: SocketAddr, count: usize) -> Result<Vec<SocketAddr>> {
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            let socket = TcpStream::connect(server).context("a client cannot connect")?;
            socket.set_nodelay(true)?;
            addresses.push(socket.local_addr()?);
            self.sockets.push(socket);
        }
        Ok(addresses)
    }

    fn read(&mut self, number: usize, bytes: usize) -> Result<()> {
        let socket = self.sockets.get_mut(number).context("no such client")?;
        self.heard.resize(bytes, 0);
        socket.read_exact(&mut self.heard).context("a client was cut off")
    }

    fn named(&mut self, who: Range<usize>) -> Result<&mut [TcpStream]> {
        self.sockets.get_mut(who).context("no such client")
    }
}
