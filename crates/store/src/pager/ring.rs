//! The pager's ring: one thread that starts reads and hears of their ends; it reads nothing itself.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, eventfd};

use super::{PageInError, Queue, Wake, thread};
use crate::residency::{PageIn, Reading};
use crate::sys::{AdviceRing, RingEvent};

/// Starts the thread, when the kernel gives it a ring.
pub(super) fn start(
    queue: &impl Fn(Wake) -> Arc<Queue>,
    readers: u32,
) -> io::Result<(Arc<Queue>, JoinHandle<()>)> {
    let queue = queue(Wake::Ring(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?));
    let (said, ready) = mpsc::channel();
    let shared = Arc::clone(&queue);
    let thread = thread().spawn(move || {
        // A ring belongs to the thread that made it: its reads run in that thread's name.
        let made = AdviceRing::new(PARTS_MAX as u32, readers);
        let made = made.map(|ring| Loop::new(&shared, ring));
        let (state, outcome) = match made {
            Ok(state) => (Some(state), Ok(())),
            Err(error) => (None, Err(error)),
        };
        // The starter waits for the word.
        let _ = said.send(outcome);
        if let Some(mut state) = state {
            state.run();
        }
    })?;
    ready.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))??;
    Ok((queue, thread))
}

/// The thread's state.
struct Loop<'a> {
    queue: &'a Queue,
    ring: AdviceRing,
    /// Page-ins that have begun; places are used again. A read's token is its place and part.
    begun: Vec<Option<Begun>>,
    /// Parts that have no place on the ring yet: place and part.
    unsent: VecDeque<(usize, Range<u64>)>,
    /// Parts on the ring, by token.
    in_flight: Vec<Option<(usize, Range<u64>)>>,
    watching: bool,
}

struct Begun {
    cold: PageIn,
    parts_left: usize,
    outcome: Result<(), PageInError>,
}

impl<'a> Loop<'a> {
    fn new(queue: &'a Queue, ring: AdviceRing) -> Self {
        let in_flight = (0..PARTS_MAX).map(|_| None).collect();
        let unsent = VecDeque::new();
        Self { queue, ring, begun: Vec::new(), unsent, in_flight, watching: false }
    }

    /// Works until the queue has stopped and all that was begun is through.
    fn run(&mut self) {
        let Wake::Ring(event) = &self.queue.wake else { return };
        let mut events = Vec::new();
        loop {
            let stopping = self.take();
            if stopping && self.begun.iter().all(Option::is_none) {
                return;
            }
            self.send();
            if !self.watching {
                self.watching = self.ring.watch(event.as_fd());
            }
            if self.ring.wait(&mut events).is_err() {
                // The ring itself is broken. Nobody may take what it was reading for read.
                return self.give_up();
            }
            for event in events.drain(..) {
                self.on_event(event);
            }
        }
    }

    /// Begins what waits, as long as there is little to do. Says whether the queue stops.
    fn take(&mut self) -> bool {
        while self.unsent.len() < PARTS_MAX {
            let cold = {
                let mut state = self.queue.lock();
                if state.stopping {
                    return true;
                }
                match state.waiting.pop_front() {
                    Some(cold) => cold,
                    None => return false,
                }
            };
            let parts = self.queue.begin(&cold);
            if parts.is_empty() {
                // It has come in meanwhile.
                self.queue.finish(&cold, Ok(()));
                continue;
            }
            let begun = Some(Begun { cold, parts_left: parts.len(), outcome: Ok(()) });
            let place = match self.begun.iter().position(Option::is_none) {
                Some(place) => {
                    self.begun[place] = begun;
                    place
                }
                None => {
                    self.begun.push(begun);
                    self.begun.len() - 1
                }
            };
            self.unsent.extend(parts.into_iter().map(|part| (place, part)));
        }
        false
    }

    /// Puts parts on the ring while it has places for them.
    fn send(&mut self) {
        while let Some((place, part)) = self.unsent.front().cloned() {
            let Some(token) = self.in_flight.iter().position(Option::is_none) else { return };
            let begun = self.begun[place].as_ref();
            let volume = begun.and_then(|begun| self.queue.store.volumes.get(begun.cold.volume));
            let sent = volume
                .is_some_and(|volume| self.ring.page_in(volume.map.raw(), &part, token as u64));
            if !sent {
                return;
            }
            self.unsent.pop_front();
            self.in_flight[token] = Some((place, part));
        }
    }

    fn on_event(&mut self, event: RingEvent) {
        match event {
            RingEvent::Readable => {
                self.watching = false;
                if let Wake::Ring(event) = &self.queue.wake {
                    // Whatever the count is, and even if it is gone: the queue is looked at now.
                    let _ = rustix::io::read(event, &mut [0u8; 8]);
                }
            }
            RingEvent::PagedIn { token, errno } => {
                let part = self.in_flight.get_mut(token as usize).and_then(Option::take);
                if let Some((place, part)) = part {
                    self.part_done((place, part), reading_of(errno));
                }
            }
        }
    }

    fn part_done(&mut self, (place, part): (usize, Range<u64>), reading: Reading) {
        let Some(begun) = &mut self.begun[place] else { return };
        self.queue.settle(&begun.cold, &part, reading);
        if reading == Reading::Failed {
            begun.outcome = Err(PageInError::Device);
        }
        begun.parts_left -= 1;
        if begun.parts_left == 0
            && let Some(begun) = self.begun[place].take()
        {
            self.queue.finish(&begun.cold, begun.outcome);
        }
    }

    fn give_up(&mut self) {
        self.queue.lock().stopping = true;
        let unsent = self.unsent.drain(..);
        let in_flight = self.in_flight.iter_mut().filter_map(Option::take);
        for (place, part) in in_flight.chain(unsent) {
            if let Some(begun) = &self.begun[place] {
                self.queue.settle(&begun.cold, &part, Reading::Unknown);
            }
        }
        self.queue.answer_rest();
    }
}

/// What the second step's result says of the pages.
fn reading_of(errno: i32) -> Reading {
    match errno {
        0 => Reading::Done,
        // The kernel had no memory or no thread for it. Whoever asked looks again.
        libc::EINTR | libc::EAGAIN | libc::ENOMEM => Reading::Unknown,
        // EFAULT for a page behind the end or with an I/O error, EHWPOISON for broken memory.
        _ => Reading::Failed,
    }
}

/// Parts on the ring at one time.
const PARTS_MAX: usize = 64;
