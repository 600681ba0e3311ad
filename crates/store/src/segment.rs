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
//! Segments are retired in the order in which they were opened, pinned or not, but for those whose
//! last record has expired, which go first; only the reuse of a pinned one waits. A write that a
//! device never answers (its runtime was torn down) keeps its segment waiting until the next open.
//! A memory volume has no headers and footers; the states are the same. This file does no I/O.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::Ordering;

use crate::config::Geometry;
use crate::error::Refused;
use crate::eviction::Class;
use crate::format::{FooterLine, Layout, Lengths, SEGMENT_HEADER_BYTES};
use crate::logs::Ids;
use crate::store::Shared;
use crate::volume::{Volume, VolumeKind};

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
    /// First free byte.
    pub(crate) tail: u32,
    /// No record that the segment may hold on its device has a lower sequence; `u64::MAX` when it
    /// cannot hold any.
    pub(crate) first_sequence: u64,
    /// The sequence of the last reservation.
    pub(crate) last_sequence: u64,
    /// Its final footer is durable: nothing is added to it any more.
    pub(crate) is_final: bool,
    /// Committed records, in order of commit; on a disk, dropped once a footer lists them all.
    pub(crate) lines: Vec<FooterLine>,
    pub(crate) class: Class,
    /// When the last record expires, in milliseconds since the Unix epoch.
    pub(crate) expires_at_ms: u64,
    /// Drafts that have neither committed nor been abandoned.
    pub(crate) drafts_open: u32,
    /// Writes that the device has not answered yet.
    pub(crate) writes_in_flight: u32,
    /// Writes that have completed, and how many of them a sync has covered.
    pub(crate) writes_done: u64,
    pub(crate) writes_synced: u64,
}

/// The segments of one volume.
pub(crate) struct Log {
    volume: usize,
    kind: VolumeKind,
    /// Number of the first segment.
    first: u32,
    geometry: Geometry,
    segments: Vec<Segment>,
    /// Closing, sealed and failed ones, oldest first.
    closed: VecDeque<u32>,
    /// Retired ones whose new header is not durable yet, oldest first.
    retiring: VecDeque<u32>,
    waiting: Vec<u32>,
    clean: VecDeque<u32>,
    /// The open segment of each class.
    current: [Option<u32>; CLASSES],
    /// Segments with sequences up to this are to be reclaimed, full volume or not.
    retire_to: u64,
    /// Bytes reserved since the store was opened.
    reserved_bytes: u64,
    /// Failed writes and syncs.
    pub(crate) errors: u32,
}

/// What a reservation wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) lengths: Lengths,
    pub(crate) class: Class,
    /// When it expires; 0 for never.
    pub(crate) expires_at_ms: u64,
    /// Copies may take the last clean segment, so that new objects cannot stop the reclaim that
    /// makes room for them.
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
    pub(crate) fn new(number: usize, volume: &Volume) -> Self {
        let segment = |_| Segment {
            state: SegmentState::Retiring,
            generation: 0,
            tail: SEGMENT_HEADER_BYTES,
            first_sequence: u64::MAX,
            last_sequence: 0,
            is_final: false,
            lines: Vec::new(),
            class: Class::Main,
            expires_at_ms: u64::MAX,
            drafts_open: 0,
            writes_in_flight: 0,
            writes_done: 0,
            writes_synced: 0,
        };
        Self {
            volume: number,
            kind: volume.kind,
            first: volume.first,
            geometry: volume.geometry,
            segments: volume.segments().map(segment).collect(),
            closed: VecDeque::new(),
            retiring: VecDeque::new(),
            waiting: Vec::new(),
            clean: VecDeque::new(),
            current: [None; CLASSES],
            retire_to: 0,
            reserved_bytes: 0,
            errors: 0,
        }
    }

    /// A segment of this volume.
    pub(crate) fn segment(&self, segment: u32) -> &Segment {
        &self.segments[(segment - self.first) as usize]
    }

    pub(crate) fn segment_mut(&mut self, segment: u32) -> &mut Segment {
        &mut self.segments[(segment - self.first) as usize]
    }

    /// The open segments.
    pub(crate) fn open_segments(&self) -> impl Iterator<Item = u32> {
        self.current.into_iter().flatten()
    }

    pub(crate) fn kind(&self) -> VolumeKind {
        self.kind
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Has every segment reclaimed that may hold a sequence up to this one.
    pub(crate) fn retire_to(&mut self, sequence: u64, shared: &Shared) {
        self.retire_to = sequence;
        for class in [Class::Main, Class::Short] {
            let open = self.current[class as usize];
            if open.is_some_and(|open| self.segment(open).first_sequence <= sequence) {
                self.close_class(class, shared);
            }
        }
    }

    pub(crate) fn numbers(&self) -> Range<u32> {
        self.first..self.first + self.geometry.segment_count
    }

    /// Bytes reserved since the store was opened.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.reserved_bytes
    }

    /// How much of its size the volume has taken since the store was opened.
    pub(crate) fn share_taken(&self) -> f64 {
        self.reserved_bytes as f64 / self.geometry.data_bytes() as f64
    }

    /// Reserves an extent in the open segment of its class, or in the next one when it is full.
    pub(crate) fn reserve(
        &mut self,
        ids: &mut Ids,
        wanted: Wanted,
        shared: &Shared,
    ) -> Result<Reserved, Refused> {
        if let Some((segment, layout)) = self.fit_current(wanted) {
            return self.take(ids, (segment, wanted), layout);
        }
        let layout = self.fit_empty(wanted).ok_or(Refused::TooLarge)?;
        let kept = usize::from(self.open_segments().next().is_some() && !wanted.last_clean);
        if self.clean.len() <= kept {
            self.collect_clean(shared);
        }
        if self.clean.len() <= kept {
            return Err(Refused::NoCleanSegment);
        }
        let next = self.clean.pop_front().ok_or(Refused::NoCleanSegment)?;
        self.close_class(wanted.class, shared);
        self.open(ids, (next, wanted.class), shared);
        self.take(ids, (next, wanted), layout)
    }

    /// Closes the open segments to new drafts.
    pub(crate) fn close_current(&mut self, shared: &Shared) {
        self.close_class(Class::Main, shared);
        self.close_class(Class::Short, shared);
    }

    fn close_class(&mut self, class: Class, shared: &Shared) {
        if let Some(current) = self.current[class as usize].take() {
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

    /// The final footer of a segment is durable.
    pub(crate) fn sealed(&mut self, segment: u32, shared: &Shared) {
        if self.segment(segment).state == SegmentState::Closing {
            self.set_state(segment, SegmentState::Sealed, shared);
            self.segment_mut(segment).is_final = true;
            if self.kind == VolumeKind::Disk {
                self.segment_mut(segment).lines = Vec::new();
            }
        }
    }

    /// A retired segment whose new header is still to be written.
    pub(crate) fn headless(&self) -> Option<u32> {
        self.retiring.front().copied()
    }

    /// The segment to be reclaimed next: one of which every record has expired, or that is wanted
    /// gone, or when clean ones run short, the oldest; drafts that are still open there are lost.
    pub(crate) fn victim(&self, now_ms: u64) -> Option<u32> {
        // Pinned segments are retired all the same, yet never more than half of the volume.
        if self.waiting.len() >= self.segments.len() / 2 {
            return None;
        }
        let is_expired = |number: &&u32| {
            let segment = self.segment(**number);
            segment.drafts_open == 0 && segment.expires_at_ms < now_ms
        };
        let is_short = self.clean.len() < self.clean_target();
        let is_unwanted = |number: &&u32| self.segment(**number).first_sequence <= self.retire_to;
        let unwanted = || self.closed.iter().find(is_unwanted);
        let oldest = || self.closed.front().filter(|_| is_short);
        self.closed.iter().find(is_expired).or_else(unwanted).or_else(oldest).copied()
    }

    /// Whether there is work for a turn: a header to write, or a segment to reclaim.
    pub(crate) fn wants_turn(&self, now_ms: u64) -> bool {
        !self.retiring.is_empty() || self.victim(now_ms).is_some()
    }

    /// A fresh generation for a header that is about to be written.
    pub(crate) fn renew_generation(&mut self, ids: &mut Ids, segment: u32) -> u64 {
        let generation = ids.generation();
        self.segment_mut(segment).generation = generation;
        generation
    }

    /// The segment's new header is durable.
    pub(crate) fn header_durable(&mut self, segment: u32, shared: &Shared) {
        if self.retiring.front() == Some(&segment) {
            self.retiring.pop_front();
            self.waiting.push(segment);
            self.segment_mut(segment).first_sequence = u64::MAX;
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
        let none_open = self.open_segments().next().is_none();
        self.clean.len() > 1 || none_open && !self.clean.is_empty()
    }

    /// Gives up a segment after a failed write or sync: its records leave the index now, and it
    /// is retired in its turn.
    pub(crate) fn fail(&mut self, segment: u32, shared: &Shared) {
        if !self.segment(segment).state.takes_writes() {
            return;
        }
        for current in &mut self.current {
            if *current == Some(segment) {
                *current = None;
                self.closed.push_back(segment);
            }
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

    // What recovery finds.

    /// A segment with records, younger than all that were adopted before.
    pub(crate) fn adopt(&mut self, number: u32, found: Adopted) {
        let segment = self.segment_mut(number);
        segment.state = SegmentState::Sealed;
        segment.generation = found.generation;
        segment.tail = found.tail;
        segment.first_sequence = found.first_sequence;
        segment.last_sequence = found.last_sequence;
        segment.is_final = found.is_final;
        self.closed.push_back(number);
    }

    /// The youngest segment goes on taking records.
    pub(crate) fn reopen_youngest(&mut self, lines: Vec<FooterLine>) {
        if let Some(youngest) = self.closed.pop_back() {
            let segment = self.segment_mut(youngest);
            segment.state = SegmentState::Open;
            segment.lines = lines;
            self.current[Class::Main as usize] = Some(youngest);
        }
    }

    /// A segment without records: it needs a durable header before anything else.
    pub(crate) fn adopt_empty(&mut self, number: u32) {
        self.retiring.push_back(number);
    }

    /// Segments to be given a header at once, because there is none to go on with: all that are
    /// empty, which in a new store are all there are.
    pub(crate) fn first_clean(&mut self, ids: &mut Ids) -> Vec<(u32, u64)> {
        if self.open_segments().next().is_some() {
            return Vec::new();
        }
        let taken: Vec<u32> = self.retiring.drain(..).collect();
        let renewed = taken.into_iter().map(|n| (n, self.renew_generation(ids, n)));
        let renewed: Vec<_> = renewed.collect();
        for &(segment, _) in &renewed {
            self.segment_mut(segment).state = SegmentState::Clean;
            self.clean.push_back(segment);
        }
        renewed
    }

    /// Clean segments to keep ahead: an eighth of the volume, from two to five. The last is for
    /// copies.
    fn clean_target(&self) -> usize {
        (self.segments.len() / 8).clamp(2, 5)
    }

    fn layout(&self, at: u32, wanted: Wanted) -> Option<Layout> {
        Layout::new(at, wanted.lengths)
    }

    /// The layout of a record at the front of a segment, if it fits one.
    pub(crate) fn fit_empty(&self, wanted: Wanted) -> Option<Layout> {
        let layout = self.layout(SEGMENT_HEADER_BYTES, wanted)?;
        (u64::from(layout.end()) <= self.geometry.records_end(1)).then_some(layout)
    }

    fn fit_current(&self, wanted: Wanted) -> Option<(u32, Layout)> {
        let current = self.current[wanted.class as usize]?;
        let segment = self.segment(current);
        let layout = self.layout(segment.tail, wanted)?;
        let records = segment.lines.len() as u32 + segment.drafts_open + 1;
        (u64::from(layout.end()) <= self.geometry.records_end(records)).then_some((current, layout))
    }

    fn take(
        &mut self,
        ids: &mut Ids,
        (number, wanted): (u32, Wanted),
        layout: Layout,
    ) -> Result<Reserved, Refused> {
        let sequence = ids.sequence().ok_or(Refused::Offline)?;
        self.reserved_bytes += u64::from(layout.extent_bytes);
        let segment = self.segment_mut(number);
        segment.tail = layout.end();
        segment.last_sequence = sequence;
        segment.drafts_open += 1;
        if wanted.class == Class::Short {
            segment.expires_at_ms = segment.expires_at_ms.max(wanted.expires_at_ms);
        }
        Ok(Reserved { segment: number, generation: segment.generation, sequence, layout })
    }

    fn open(&mut self, ids: &Ids, (number, class): (u32, Class), shared: &Shared) {
        shared.volumes[self.volume].forget_segment(number);
        let segment = self.segment_mut(number);
        segment.tail = SEGMENT_HEADER_BYTES;
        segment.first_sequence = ids.next_sequence;
        segment.is_final = false;
        segment.lines = Vec::new();
        segment.class = class;
        segment.expires_at_ms = match class {
            Class::Main => u64::MAX,
            Class::Short => 0,
        };
        segment.drafts_open = 0;
        let generation = segment.generation;
        shared.pins.publish(number, generation);
        self.set_state(number, SegmentState::Open, shared);
        self.current[class as usize] = Some(number);
    }

    /// Voids a closed segment, of which the index names no record any more.
    pub(crate) fn retire(&mut self, number: u32, shared: &Shared) {
        shared.counters.reclaimed.fetch_add(1, Ordering::Relaxed);
        shared.pins.retire(number);
        self.closed.retain(|closed| *closed != number);
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
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) is_final: bool,
}

/// Main and short.
const CLASSES: usize = 2;
