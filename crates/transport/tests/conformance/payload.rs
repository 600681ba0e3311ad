//! A payload that counts: its pieces, what was sent of them, and how often it was dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use longhold_transport::{Parts, Payload};

/// Owned pieces of bytes, sent in order.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: Vec<Vec<u8>>,
    sent_bytes: usize,
    drops: Option<Arc<AtomicUsize>>,
}

impl Pieces {
    pub(crate) fn new(pieces: &[&[u8]]) -> Self {
        let pieces = pieces.iter().map(|piece| piece.to_vec()).collect();
        Self { pieces, sent_bytes: 0, drops: None }
    }

    /// `bytes` bytes whose value tells their place.
    pub(crate) fn pattern(bytes: usize) -> Self {
        let cut = bytes / 3;
        let whole = pattern(bytes);
        Self::new(&[&whole[..cut], &whole[cut..]])
    }

    pub(crate) fn counting(mut self, drops: &Arc<AtomicUsize>) -> Self {
        self.drops = Some(Arc::clone(drops));
        self
    }

    pub(crate) fn left_bytes(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum::<usize>() - self.sent_bytes
    }
}

pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|place| (place % 251) as u8).collect()
}

impl Payload for Pieces {
    fn parts<'a>(&'a self, parts: &mut Parts<'a>) {
        let mut skip = self.sent_bytes;
        for piece in &self.pieces {
            let cut = skip.min(piece.len());
            skip -= cut;
            parts.push(&piece[cut..]);
        }
    }

    fn advance(&mut self, sent_bytes: usize) {
        assert!(sent_bytes <= self.left_bytes(), "advanced beyond the end");
        self.sent_bytes += sent_bytes;
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if let Some(drops) = &self.drops {
            drops.fetch_add(1, Ordering::SeqCst);
        }
    }
}
