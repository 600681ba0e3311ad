//! Records that are not in memory: their exchange waits, the worker does not (ED-5).
//!
//! ```text
//! lookup, news ── cold ─► AwaitsPages ── PagesIn ─► the same again
//!                  │ pager busy, or too often cold
//!                  └─► past the store: to the origin as it is, or 503
//! window ─────── cold ─► Responding, paging ── PagesIn ─► pump
//!                  │ pager busy
//!                  └─► tried again when the wheel says
//! ```

use longhold_store::PageIn;
use longhold_telemetry::Counter;
use longhold_transport::Transport;

use super::Worker;
use super::active::{Body, Phase};
use super::exchange::Held;
use crate::fill::JobKind;
use crate::inbox::Event;
use crate::outgoing::Outgoing;

/// What an exchange goes on with when its pages are in.
pub(super) enum Resume {
    /// The request is looked up.
    LookUp,
    /// The fill plane's news is looked at.
    News(Event),
}

impl<T: Transport<Payload = Outgoing>> Worker<T> {
    /// Has pages brought in for an exchange that has not been answered. Without a pager's help, or
    /// when they come and go, the request goes past the store.
    pub(super) fn await_pages(
        &mut self,
        index: u32,
        held: Box<Held>,
        cold: &PageIn,
        resume: Resume,
    ) {
        if self.page_in(index, cold) {
            self.hold_for_pages(index, held, resume);
        } else {
            self.go_past(index, held);
        }
    }

    /// Waits for the pager's word, which [`Self::page_in`] has asked for.
    pub(super) fn hold_for_pages(&mut self, index: u32, held: Box<Held>, resume: Resume) {
        let Some(active) = self.actives.get_mut(index) else { return };
        active.held = Some(held);
        active.resume = Some(resume);
        active.phase = Phase::AwaitsPages;
    }

    /// Asks the pager. False when it is busy, or this exchange has asked too often.
    pub(super) fn page_in(&mut self, index: u32, cold: &PageIn) -> bool {
        let Some(reply) = self.reply_to(index) else { return false };
        let Some(active) = self.actives.get_mut(index) else { return false };
        if active.phase != Phase::Responding {
            if active.paged == PAGED_MAX {
                return false;
            }
            active.paged += 1;
        }
        // Whether it succeeded shows at the next look.
        let told = Box::new(move |_| reply.post(Event::PagesIn));
        let taken = self.pager.page_in(cold, told).is_ok();
        let counter = if taken { Counter::PageInsRequested } else { Counter::PageInsRefused };
        self.counters.add(counter, 1);
        taken
    }

    /// The request goes to the origin as if nothing were stored, and nothing of it is.
    fn go_past(&mut self, index: u32, mut held: Box<Held>) {
        if held.facts.directives.only_if_cached {
            let cause = "the store has too much to read; try again later";
            return self.answer(index, 503, cause, Some(1));
        }
        held.passes = true;
        self.ask(index, held, JobKind::Pass { upload: None, length: None });
    }

    /// What was cold is in memory, or cannot be had: the next look tells.
    pub(super) fn on_pages_in(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        match active.phase {
            Phase::AwaitsPages => {
                active.phase = Phase::AwaitsFill;
                match active.resume.take() {
                    Some(Resume::LookUp) => self.look_up_again(index),
                    Some(Resume::News(event)) => self.on_news(index, event),
                    None => {}
                }
            }
            Phase::Responding => {
                active.paging = false;
                self.pump(index);
            }
            Phase::Reading | Phase::AwaitsFill | Phase::AwaitsSocket | Phase::Lingering => {}
        }
    }

    /// The next part of a response under way is cold: it is asked for, again and again if the pager
    /// is busy, since there is no other answer any more.
    pub(super) fn page_in_next(&mut self, index: u32, cold: &PageIn) {
        let taken = self.page_in(index, cold);
        let again_ms = self.now_ms() + PAGE_AGAIN_MS;
        let Some(active) = self.actives.get_mut(index) else { return };
        active.paging = true;
        active.page_again_ms = (!taken).then_some(again_ms);
    }

    /// The moment for a busy pager has come.
    pub(super) fn page_in_again(&mut self, index: u32) {
        let Some(active) = self.actives.get_mut(index) else { return };
        active.page_again_ms = None;
        active.paging = false;
        self.pump(index);
    }

    /// Has the window behind the one in flight paged in.
    pub(super) fn prefetch(&mut self, index: u32) {
        let window_bytes = self.shared.send_window_bytes;
        let Some(active) = self.actives.get(index) else { return };
        let Body::Stored { record, at, end } = &active.body else { return };
        if let Some(cold) = record.cold(*at, (*end - *at).min(window_bytes)) {
            // Where the pager is busy, the window is asked for in its turn.
            let taken = self.pager.prefetch(&cold).is_ok();
            self.counters.add(Counter::PageInsAhead, u64::from(taken));
        }
    }
}

/// How often one exchange may ask before its request goes past the store: a vary base, a variant,
/// its first window, and memory so short that some of it goes again.
const PAGED_MAX: u8 = 12;

/// When the pager is busy, a response under way asks again after this time.
const PAGE_AGAIN_MS: u64 = 20;
