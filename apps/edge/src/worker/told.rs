//! What a tunnel keeps of its request for its line in the access log, which is written at its end.
//!
//! ```text
//! tunnel ─► Told: its target, its bytes, when it began ─► Phrase: all that others say as well
//! ```
//! Those who open tunnels by the hundred thousand are programs of one kind: they ask the same host
//! by the same method under the same name. So that is kept once.

use std::collections::HashSet;
use std::sync::Arc;

use longhold_gateway::outcome::Outcome;
use longhold_telemetry::access_log::{
    FIELD_BYTES_MAX, HOST_BYTES_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX,
};

use super::active::{Draft, Line};

/// Of one tunnel; 48 bytes and its target.
pub(super) struct Told {
    phrase: Arc<Phrase>,
    target: Box<[u8]>,
    started_us: u64,
    /// From the client, its request included.
    pub(super) received_bytes: u64,
    /// To the client, the head of the answer included.
    pub(super) sent_bytes: u64,
}

const _: () = assert!(size_of::<Told>() == 48);

/// What requests have in common.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Phrase {
    /// Method, host, referer, user agent.
    text: Box<[u8]>,
    ends: [u16; 4],
    is_http10: bool,
    outcome: Outcome,
}

/// The phrases of a worker's tunnels, each once.
#[derive(Default)]
pub(super) struct Phrases {
    known: HashSet<Arc<Phrase>>,
}

impl Phrases {
    /// What is kept of a request that has opened a tunnel, cut to what the log shows.
    pub(super) fn tell(&mut self, draft: &Draft, outcome: Outcome) -> Box<Told> {
        let line = draft.line(outcome);
        let [method, target, host, referer, user_agent] = line.parts;
        let mut text = Vec::new();
        let mut ends = [0; 4];
        let kept = [
            (method, METHOD_BYTES_MAX),
            (host, HOST_BYTES_MAX),
            (referer, FIELD_BYTES_MAX),
            (user_agent, FIELD_BYTES_MAX),
        ];
        for ((part, bytes_max), end) in kept.into_iter().zip(&mut ends) {
            text.extend_from_slice(cut(part, bytes_max));
            *end = text.len() as u16;
        }
        let is_http10 = line.is_http10;
        Box::new(Told {
            phrase: self.shared(Phrase { text: text.into(), ends, is_http10, outcome }),
            target: cut(target, TARGET_BYTES_MAX).into(),
            started_us: line.started_us,
            received_bytes: line.received_bytes,
            sent_bytes: line.sent_bytes,
        })
    }

    /// The phrase that others have already, or this one. Beyond so many it is not kept for others.
    fn shared(&mut self, phrase: Phrase) -> Arc<Phrase> {
        if let Some(known) = self.known.get(&phrase) {
            return Arc::clone(known);
        }
        if self.known.len() >= PHRASES_MAX {
            self.known.retain(|known| Arc::strong_count(known) > 1);
        }
        let phrase = Arc::new(phrase);
        if self.known.len() < PHRASES_MAX {
            self.known.insert(Arc::clone(&phrase));
        }
        phrase
    }
}

impl Told {
    /// What the log line says.
    pub(super) fn line(&self) -> Line<'_> {
        let Phrase { text, ends, is_http10, outcome } = &*self.phrase;
        let [method, host, referer, user_agent] = [0, 1, 2, 3].map(|part: usize| {
            let start = part.checked_sub(1).map_or(0, |before| usize::from(ends[before]));
            &text[start..usize::from(ends[part])]
        });
        Line {
            parts: [method, &self.target, host, referer, user_agent],
            is_http10: *is_http10,
            outcome: *outcome,
            started_us: self.started_us,
            received_bytes: self.received_bytes,
            sent_bytes: self.sent_bytes,
        }
    }
}

fn cut(part: &[u8], bytes_max: usize) -> &[u8] {
    &part[..part.len().min(bytes_max)]
}

/// Phrases that a worker keeps for others: 1.4 MB at most.
const PHRASES_MAX: usize = 1024;

const _: () = assert!(
    METHOD_BYTES_MAX + HOST_BYTES_MAX + 2 * FIELD_BYTES_MAX <= u16::MAX as usize,
    "the ends fit"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(target: &str, user_agent: &str) -> Draft {
        let mut draft = Draft::default();
        let parts = ["GET", target, "a.example", "", user_agent].map(str::as_bytes);
        draft.open(parts, 7);
        draft.received_bytes = 100;
        draft
    }

    #[test]
    fn a_line_says_what_the_request_said_and_shares_what_others_say() {
        let mut phrases = Phrases::default();
        let outcome = Outcome::local(101);
        let one = phrases.tell(&draft("/a?key=1", "app/1.0"), outcome);
        let two = phrases.tell(&draft("/b", "app/1.0"), outcome);
        let other = phrases.tell(&draft("/b", "app/1.1"), outcome);
        let refused = phrases.tell(&draft("/b", "app/1.1"), Outcome::local(200));
        for (told, target, user_agent) in
            [(&one, "/a?key=1", "app/1.0"), (&two, "/b", "app/1.0"), (&other, "/b", "app/1.1")]
        {
            let line = told.line();
            let parts = ["GET", target, "a.example", "", user_agent].map(str::as_bytes);
            assert_eq!(line.parts, parts);
            assert_eq!((line.outcome, line.started_us, line.received_bytes), (outcome, 7, 100));
        }
        assert_eq!(refused.line().outcome.status, 200);
        assert!(Arc::ptr_eq(&one.phrase, &two.phrase));
        assert!(!Arc::ptr_eq(&two.phrase, &other.phrase));
        assert_eq!(phrases.known.len(), 3);
    }

    #[test]
    fn phrases_are_bounded_in_number_and_length() {
        let mut phrases = Phrases::default();
        let outcome = Outcome::local(101);
        let mut open: Vec<_> = (0..PHRASES_MAX + 5)
            .map(|n| phrases.tell(&draft("/", &format!("app/{n}")), outcome))
            .collect();
        assert_eq!(phrases.known.len(), PHRASES_MAX);
        open.truncate(10);
        open.push(phrases.tell(&draft("/", "another"), outcome));
        assert_eq!(phrases.known.len(), 11, "what no tunnel says any more is forgotten");
        let long = phrases.tell(&draft(&"/".repeat(9_000), &"x".repeat(600)), outcome);
        assert_eq!(long.line().parts.map(<[u8]>::len), [3, 8192, 9, 0, 512]);
    }
}
