//! What a worker keeps of open tunnels beside their slots, and what those borrow that are awake.

use longhold_conn::deadline::Flow;
use longhold_conn::tunnel::{Relay, Side, Watch};
use longhold_transport::Token;

use super::told::{Phrases, Told};

/// One open tunnel; 24 bytes, so that with two slots and the reactor's words it is under 200.
#[derive(Default)]
pub(super) struct Tunnel {
    /// For the line in the access log, where there is one.
    pub(super) told: Option<Box<Told>>,
    /// Of a stream.
    pub(super) watched: Option<Box<Watched>>,
    /// Only while bytes move.
    pub(super) awake: Option<Box<Awake>>,
}

const _: () = assert!(size_of::<Tunnel>() == 24);

/// An endless response.
pub(super) struct Watched {
    /// Looks for its end.
    pub(super) watch: Watch,
    /// What the client has sent, which nobody reads.
    pub(super) discarded_bytes: u64,
}

/// A tunnel at work.
pub(super) struct Awake {
    pub(super) relay: Relay,
    /// Sends in flight, by the side that their bytes came from.
    pub(super) flows: [Flow; 2],
    /// Sides that wait for a buffer to receive into.
    pub(super) starving: [bool; 2],
}

/// A half of a tunnel that is named by one of its connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) client: Token,
    pub(super) origin: Token,
    /// The side that the name belongs to.
    pub(super) side: Side,
    /// The place of the tunnel's record.
    pub(super) place: u32,
}

impl Pair {
    pub(super) const fn token(&self, side: Side) -> Token {
        match side {
            Side::Client => self.client,
            Side::Origin => self.origin,
        }
    }
}

impl Awake {
    pub(super) fn new(relay: Relay) -> Box<Self> {
        Box::new(Self { relay, flows: [Flow::default(); 2], starving: [false; 2] })
    }
}

/// All open tunnels of a worker. Pages, so that room for one more never moves or doubles the rest.
#[derive(Default)]
pub(super) struct Tunnels {
    pages: Vec<Vec<Tunnel>>,
    free: Vec<u32>,
    pub(super) phrases: Phrases,
    /// Kept for tunnels that wake.
    #[expect(clippy::vec_box, reason = "they go in and out as the boxes that they are")]
    spare: Vec<Box<Awake>>,
}

impl Tunnels {
    /// A place for a tunnel. Bounded by half of the worker's slots.
    pub(super) fn open(&mut self, tunnel: Tunnel) -> u32 {
        if let Some(place) = self.free.pop() {
            if let Some(cell) = self.get_mut(place) {
                *cell = tunnel;
            }
            return place;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE_LEN) {
            self.pages.push(Vec::with_capacity(PAGE_LEN));
        }
        let page = self.pages.len() - 1;
        let cells = &mut self.pages[page];
        cells.push(tunnel);
        (page * PAGE_LEN + cells.len() - 1) as u32
    }

    /// The tunnel is over: what was kept of it. The place is free; only its last holder calls this.
    pub(super) fn close(&mut self, place: u32) -> Tunnel {
        let kept = self.get_mut(place).map(std::mem::take).unwrap_or_default();
        self.free.push(place);
        kept
    }

    pub(super) fn get(&self, place: u32) -> Option<&Tunnel> {
        self.pages.get(place as usize / PAGE_LEN)?.get(place as usize % PAGE_LEN)
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Tunnel> {
        self.pages.get_mut(place as usize / PAGE_LEN)?.get_mut(place as usize % PAGE_LEN)
    }

    /// A tunnel wakes.
    pub(super) fn awaken(&mut self, relay: Relay) -> Box<Awake> {
        match self.spare.pop() {
            Some(mut awake) => {
                *awake = Awake { relay, flows: [Flow::default(); 2], starving: [false; 2] };
                awake
            }
            None => Awake::new(relay),
        }
    }

    /// A tunnel rests, or is over.
    pub(super) fn retire(&mut self, awake: Option<Box<Awake>>) {
        self.spare.extend(awake.filter(|_| self.spare.len() < SPARE_MAX));
    }
}

/// Records of one page.
const PAGE_LEN: usize = 256;

/// Boxes kept for the next tunnels that wake.
const SPARE_MAX: usize = 1024;
