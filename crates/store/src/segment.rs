//! The log as the writer plans it: states of segments, reservations, and who comes next.
//!
//! ```text
//!          reserve           full             footer + sync
//!  Clean ──────────► Open ─────────► Closing ───────────────► Sealed
//!    ▲                 │                │  write or sync failed   │
//!    │                 └───────► Failed ◄┘                        │
//!    │ no pin, no write in flight   │    oldest first             │
//!  Waiting ◄──────────────────── Retiring ◄───────────────────────┘
//!            new header durable     (index and generation cleared)
//! ```
//! Segments are retired strictly in the order in which they were opened, one durable header at a
//! time, pinned or not; only the reuse of a pinned one waits (ST-7). A write that a device never
//! answers (its runtime was torn down) keeps its segment waiting until the next open.
//! This file does no I/O.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use crate::config::Geometry;
use crate::error::Refused;
use crate::format::{FooterLine, Layout, SEGMENT_HEADER_BYTES};
use crate::index::Place;
use crate::store::Shared;
use crate::superblock::EPOCH_SHIFT;

/// Where a segment is in its round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum SegmentState {
    Clean,
    Open,
    Closing,
    Sealed,
    Failed,
    Retiring,
    Waiting,
}

impl SegmentState {
    pub(crate) fn from_u8(state: u8) -> Self {
        let all =
            [Self::Clean, Self::Open, Self::Closing, Self::Sealed, Self::Failed, Self::Retiring];
        all.into_iter().find(|known| *known as u8 == state).unwrap_or(Self::Waiting)
    }

    /// Whether drafts in the segment may go on.
    pub(crate) fn takes_writes(self) -> bool {
        matches!(self, Self::Open | Self::Closing)
    }
}

/// One segment's part of the plan.
pub(crate) struct Segment {
    pub(crate) state: SegmentState,
    pub(crate) generation: u64,
    /// Rank among opened segments; higher is younger.
    pub(crate) order: u64,
    /// First free byte.
    pub(crate) tail: u32,
    /// The sequence of the last reservation.
    pub(crate) last_sequence: u64,
    /// Committed records, in order of commit; dropped once they are sealed.
    pub(crate) lines: Vec<FooterLine>,
    /// Drafts that have neither committed nor been abandoned.
    pub(crate) drafts_open: u32,
    /// Writes that the device has not answered yet.
    pub(crate) writes_in_flight: u32,
    /// Writes that have completed, and how many of them a sync has covered.
    pub(crate) writes_done: u64,
    pub(crate) writes_synced: u64,
}

/// All segments.
pub(crate) struct Log {
    geometry: Geometry,
    segments: Vec<Segment>,
    /// Closing, sealed and failed ones, oldest first.
    closed: VecDeque<u32>,
    /// Retired ones whose new header is not durable yet, oldest first.
    retiring: VecDeque<u32>,
    waiting: Vec<u32>,
    clean: VecDeque<u32>,
    current: Option<u32>,
    next_sequence: u64,
    /// First sequence that belongs to the next open.
    sequence_end: u64,
    next_generation: u64,
    next_order: u64,
}

/// What a reservation wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) key_bytes: u32,
    pub(crate) head_bytes: u32,
    pub(crate) body_bytes: u64,
    /// Tombstones may take the last clean segment, so that objects cannot keep removals out.
    pub(crate) last_clean: bool,
}

/// An extent, reserved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved {
    pub(crate) segment: u32,
    pub(crate) generation: u64,
    pub(crate) sequence: u64,
    pub(crate) layout: Layout,
}

impl Log {
    /// A log in which every segment waits for its first header. `ids` is below every sequence and
    /// generation that it will give out.
    pub(crate) fn new(geometry: Geometry, ids: u64) -> Self {
        let segment = |_| Segment {
            state: SegmentState::Retiring,
            generation: 0,
            order: 0,
            tail: SEGMENT_HEADER_BYTES,
            last_sequence: 0,
            lines: Vec::new(),
            drafts_open: 0,
            writes_in_flight: 0,
            writes_done: 0,
            writes_synced: 0,
        };
        Self {
            geometry,
            segments: (0..geometry.segment_count).map(segment).collect(),
            closed: VecDeque::new(),
            retiring: VecDeque::new(),
            waiting: Vec::new(),
            clean: VecDeque::new(),
            current: None,
            next_sequence: ids + 1,
            sequence_end: ids.saturating_add(1 << EPOCH_SHIFT),
            next_generation: ids + 1,
            next_order: 1,
        }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// A segment that exists: numbers come from this log or from the bounded index.
    pub(crate) fn segment(&self, segment: u32) -> &Segment {
        &self.segments[segment as usize]
    }

    pub(crate) fn segment_mut(&mut self, segment: u32) -> &mut Segment {
        &mut self.segments[segment as usize]
    }

    pub(crate) fn current(&self) -> Option<u32> {
        self.current
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.geometry.segment_count
    }

    /// Age of a place's record: later reservations rank higher.
    pub(crate) fn rank(&self, place: Place) -> (u64, u32) {
        (self.segments.get(place.segment() as usize).map_or(0, |s| s.order), place.at())
    }

    /// Reserves an extent in the current segment, or in the next one when it is full.
    pub(crate) fn reserve(&mut self, wanted: Wanted, shared: &Shared) -> Result<Reserved, Refused> {
        if self.next_sequence >= self.sequence_end {
            return Err(Refused::Offline);
        }
        if let Some((segment, layout)) = self.fit_current(wanted) {
            return Ok(self.take(segment, layout));
        }
        let layout = self.layout(SEGMENT_HEADER_BYTES, wanted);
        let end_max = self.geometry.records_end(1);
        let layout = layout.filter(|layout| u64::from(layout.end()) <= end_max);
        let layout = layout.ok_or(Refused::TooLarge)?;
        let kept = usize::from(self.current.is_some() && !wanted.last_clean);
        if self.clean.len() <= kept {
            self.collect_clean(shared);
        }
        if self.clean.len() <= kept {
            return Err(Refused::NoCleanSegment);
        }
        let next = self.clean.pop_front().ok_or(Refused::NoCleanSegment)?;
        self.close_current(shared);
        self.open(next, shared);
        Ok(self.take(next, layout))
    }

    /// Closes the current segment to new drafts.
    pub(crate) fn close_current(&mut self, shared: &Shared) {
        if let Some(current) = self.current.take() {
            self.set_state(current, SegmentState::Closing, shared);
            self.closed.push_back(current);
        }
    }

    /// Segments whose footer can be written: closed, and no draft open in them.
    pub(crate) fn sealable(&self) -> Vec<u32> {
        let done = |segment: &u32| {
            let segment = self.segment(*segment);
            segment.state == SegmentState::Closing && segment.drafts_open == 0
        };
        self.closed.iter().copied().filter(done).collect()
    }

    pub(crate) fn sealed(&mut self, segment: u32, shared: &Shared) {
        if self.segment(segment).state == SegmentState::Closing {
            self.set_state(segment, SegmentState::Sealed, shared);
            self.segment_mut(segment).lines = Vec::new();
        }
    }

    /// The segment whose new header is to be written next, when clean ones run short: one that
    /// waits for its header already, or else the oldest closed one, which is retired here.
    /// `sealing` ones are left alone until they are sealed.
    pub(crate) fn next_to_retire(&mut self, sealing: &[u32], shared: &Shared) -> Option<u32> {
        if self.clean.len() >= self.clean_target() {
            return None;
        }
        if let Some(&segment) = self.retiring.front() {
            return Some(segment);
        }
        // Pinned segments are retired all the same, yet never more than half of the store.
        if self.waiting.len() >= self.segments.len() / 2 {
            return None;
        }
        let oldest = *self.closed.front()?;
        if sealing.contains(&oldest) {
            return None;
        }
        self.closed.pop_front();
        self.retire(oldest, shared);
        Some(oldest)
    }

    /// Whether [`Log::next_to_retire`] would find one.
    pub(crate) fn wants_segment(&self) -> bool {
        let room = self.waiting.len() < self.segments.len() / 2;
        let candidate = !self.retiring.is_empty() || (room && !self.closed.is_empty());
        self.clean.len() < self.clean_target() && candidate
    }

    /// A fresh generation for a header that is about to be written.
    pub(crate) fn renew_generation(&mut self, segment: u32) -> u64 {
        let generation = self.next_generation;
        self.next_generation += 1;
        self.segment_mut(segment).generation = generation;
        generation
    }

    /// The segment's new header is durable.
    pub(crate) fn header_durable(&mut self, segment: u32, shared: &Shared) {
        if self.retiring.front() == Some(&segment) {
            self.retiring.pop_front();
            self.waiting.push(segment);
            self.set_state(segment, SegmentState::Waiting, shared);
        }
    }

    /// Moves waiting segments that nobody reads or writes any more to the clean ones.
    pub(crate) fn collect_clean(&mut self, shared: &Shared) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.retain(|&segment| {
            let busy = self.segment(segment).writes_in_flight > 0 || shared.pins.is_pinned(segment);
            if !busy {
                self.set_state(segment, SegmentState::Clean, shared);
                self.clean.push_back(segment);
            }
            busy
        });
        self.waiting = waiting;
    }

    pub(crate) fn has_clean(&self) -> bool {
        self.clean.len() > 1 || self.current.is_none() && !self.clean.is_empty()
    }

    /// Gives up a segment after a failed write or sync: its records leave the index now, and it
    /// is retired in its turn.
    pub(crate) fn fail(&mut self, segment: u32, shared: &Shared) {
        if !self.segment(segment).state.takes_writes() {
            return;
        }
        if self.current == Some(segment) {
            self.current = None;
            self.closed.push_back(segment);
        }
        shared.index.remove_segment(segment);
        shared.pins.retire(segment);
        self.segment_mut(segment).lines = Vec::new();
        self.set_state(segment, SegmentState::Failed, shared);
    }

    /// A draft has committed or was abandoned.
    pub(crate) fn end_draft(&mut self, segment: u32, generation: u64) {
        let segment = self.segment_mut(segment);
        if segment.generation == generation {
            segment.drafts_open = segment.drafts_open.saturating_sub(1);
        }
    }

    /// Ends the writer's term. Unfinished extents without a header on disk would stop the forward
    /// walk, so a segment with `holes` takes no more records.
    pub(crate) fn end_term(&mut self, holes: bool, shared: &Shared) {
        if holes {
            self.close_current(shared);
        }
    }

    // What recovery finds.

    /// A segment with records, younger than all that were adopted before.
    pub(crate) fn adopt(&mut self, number: u32, found: Adopted) {
        let order = self.next_order;
        self.next_order += 1;
        let segment = self.segment_mut(number);
        segment.state = SegmentState::Sealed;
        segment.order = order;
        segment.generation = found.generation;
        segment.tail = found.tail;
        segment.last_sequence = found.last_sequence;
        self.closed.push_back(number);
    }

    /// The youngest segment goes on taking records.
    pub(crate) fn reopen_youngest(&mut self, lines: Vec<FooterLine>) {
        if let Some(youngest) = self.closed.pop_back() {
            let segment = self.segment_mut(youngest);
            segment.state = SegmentState::Open;
            segment.lines = lines;
            self.current = Some(youngest);
        }
    }

    /// A segment without records: it needs a durable header before anything else.
    pub(crate) fn adopt_empty(&mut self, number: u32) {
        self.retiring.push_back(number);
    }

    /// Segments to be given a header at once, because there is none to go on with: all that are
    /// empty, which in a new store are all there are.
    pub(crate) fn first_clean(&mut self) -> Vec<(u32, u64)> {
        if self.current.is_some() {
            return Vec::new();
        }
        let taken: Vec<u32> = self.retiring.drain(..).collect();
        let renewed = taken.into_iter().map(|segment| (segment, self.renew_generation(segment)));
        let renewed: Vec<_> = renewed.collect();
        for &(segment, _) in &renewed {
            self.segment_mut(segment).state = SegmentState::Clean;
            self.clean.push_back(segment);
        }
        renewed
    }

    /// Publishes generations and states after recovery.
    pub(crate) fn show(&self, shared: &Shared) {
        for (number, segment) in (0..).zip(&self.segments) {
            if matches!(segment.state, SegmentState::Open | SegmentState::Sealed) {
                shared.pins.publish(number, segment.generation);
            }
            shared.show_segment(number, segment.state, segment.tail);
        }
    }

    /// Clean segments to keep ahead: an eighth of the store, from two to four. The last is for
    /// tombstones.
    fn clean_target(&self) -> usize {
        (self.segments.len() / 8).clamp(2, 4)
    }

    fn layout(&self, at: u32, wanted: Wanted) -> Option<Layout> {
        Layout::new(at, wanted.key_bytes, wanted.head_bytes, wanted.body_bytes)
    }

    fn fit_current(&self, wanted: Wanted) -> Option<(u32, Layout)> {
        let current = self.current?;
        let segment = self.segment(current);
        let layout = self.layout(segment.tail, wanted)?;
        let records = segment.lines.len() as u32 + segment.drafts_open + 1;
        (u64::from(layout.end()) <= self.geometry.records_end(records)).then_some((current, layout))
    }

    fn take(&mut self, number: u32, layout: Layout) -> Reserved {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let segment = self.segment_mut(number);
        segment.tail = layout.end();
        segment.last_sequence = sequence;
        segment.drafts_open += 1;
        Reserved { segment: number, generation: segment.generation, sequence, layout }
    }

    fn open(&mut self, number: u32, shared: &Shared) {
        let order = self.next_order;
        self.next_order += 1;
        let base = self.geometry.base(number);
        shared.verified.clear(base, base + u64::from(self.geometry.segment_bytes));
        let segment = self.segment_mut(number);
        segment.order = order;
        segment.tail = SEGMENT_HEADER_BYTES;
        segment.lines = Vec::new();
        segment.drafts_open = 0;
        let generation = segment.generation;
        shared.pins.publish(number, generation);
        self.set_state(number, SegmentState::Open, shared);
        self.current = Some(number);
    }

    fn retire(&mut self, number: u32, shared: &Shared) {
        shared.counters.reclaimed.fetch_add(1, Ordering::Relaxed);
        shared.index.remove_segment(number);
        shared.pins.retire(number);
        let segment = self.segment_mut(number);
        segment.lines = Vec::new();
        // Drafts that are still open here find their generation gone.
        segment.generation = 0;
        segment.drafts_open = 0;
        self.retiring.push_back(number);
        self.set_state(number, SegmentState::Retiring, shared);
    }

    fn set_state(&mut self, number: u32, state: SegmentState, shared: &Shared) {
        let segment = self.segment_mut(number);
        segment.state = state;
        shared.show_segment(number, state, segment.tail);
    }
}

/// What recovery knows about a segment with records.
pub(crate) struct Adopted {
    pub(crate) generation: u64,
    pub(crate) tail: u32,
    pub(crate) last_sequence: u64,
}
