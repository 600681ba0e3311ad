//! The index while recovery fills it: of two records of a key the one with the higher sequence
//! stays, in whatever order they are met.
//!
//! An index word has no room for a sequence, so they stand in a table of their own, eight bytes
//! for each slot, which is given back when recovery ends. Places that came with a snapshot have
//! sequence 0 here: whatever recovery meets beside a snapshot is newer (`snapshot.rs`).
//!
//! When both lines of a key are full, the lowest sequence of the nine loses, be it the newcomer's.
//! Slots are not freed while records are put in, so sequences in a full line only rise, and no
//! older record of a key can slip in after a newer one has lost its slot.

use crate::index::{Index, Place, SlotNumber};
use crate::purge::{Newest, Standing};

/// An index and the sequences of its records.
pub(crate) struct Rebuild<'a> {
    index: &'a Index,
    sequences: Vec<u64>,
}

impl<'a> Rebuild<'a> {
    /// Over an empty index, or one that was loaded from a snapshot.
    pub(crate) fn new(index: &'a Index) -> Self {
        Self { index, sequences: vec![0; index.slots() as usize] }
    }

    /// Asks the processor for the slots of keys that are put in next.
    pub(crate) fn approach(&self, hashes: impl Iterator<Item = u128>) {
        hashes.for_each(|hash| self.index.prefetch(hash));
    }

    /// Puts in a record, unless a newer one of its key is there.
    pub(crate) fn put(&mut self, hash: u128, place: Place, sequence: u64) {
        let named = self.index.find(hash, |number, found| Some((number, found)));
        if let Some((number, found)) = named {
            if self.sequences[number.at()] <= sequence {
                // What a snapshot knows of the same record stays known.
                let same = found.bare() == place.bare();
                self.take(number, hash, if same { found } else { place }, sequence);
            }
        } else if let Some(number) = self.index.free(hash) {
            self.take(number, hash, place, sequence);
        } else {
            self.displace(hash, place, sequence);
        }
    }

    /// Applies the purges of a key to what it has, when all records have been put in. After a
    /// snapshot, only such as are newer than it.
    pub(crate) fn purge(&mut self, hash: u128, newest: Newest) {
        let found = self.index.find(hash, |number, _| Some(self.sequences[number.at()]));
        match found.map(|sequence| newest.standing(sequence)) {
            Some(Standing::Purged) => self.index.remove(hash),
            Some(Standing::Soft) => self.index.set_soft(hash),
            Some(Standing::Live) | None => false,
        };
    }

    fn displace(&mut self, hash: u128, place: Place, sequence: u64) {
        let worth = |number: SlotNumber| {
            let frequency = self.index.at(number).map(Place::frequency);
            (self.sequences[number.at()], frequency)
        };
        self.index.count_displaced();
        let weakest = self.index.candidates(hash).min_by_key(|number| worth(*number));
        if let Some(number) = weakest.filter(|number| worth(*number).0 <= sequence) {
            self.take(number, hash, place, sequence);
        }
    }

    fn take(&mut self, number: SlotNumber, hash: u128, place: Place, sequence: u64) {
        self.index.store(number, hash as u64, place);
        self.sequences[number.at()] = sequence;
    }
}
