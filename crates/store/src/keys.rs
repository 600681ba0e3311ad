//! Keys derived from the store's 256-bit secret, one for each use.
//!
//! A tenant chooses the bytes that land on disk. Without the secret nobody can make bytes that
//! pass for a header, a record or a footer, nor keys that collide in the index (ST-6).

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed, xxh3_128_with_secret};

use crate::format::Kind;

/// A truncated keyed BLAKE3 hash.
pub(crate) type Mac = [u8; 16];

/// All keys of one store.
pub(crate) struct Keys {
    front: [u8; 32],
    record: [u8; 32],
    segment: [u8; 32],
    footer: [u8; 32],
    chunk: [u8; 32],
    purge_table: [u8; 32],
    snapshot: [u8; 32],
    purge_header: [u8; 32],
    purge_entry: [u8; 32],
    hash: [u8; 192],
    slice: u128,
}

impl Keys {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let mut hash = [0; 192];
        let mut hasher = blake3::Hasher::new_derive_key("longhold store 2 key hash");
        hasher.update(secret).finalize_xof().fill(&mut hash);
        let slice = blake3::derive_key("longhold store 2 slice hash", secret);
        Self {
            front: blake3::derive_key("longhold store 2 record header", secret),
            record: blake3::derive_key("longhold store 2 record", secret),
            segment: blake3::derive_key("longhold store 2 segment header", secret),
            footer: blake3::derive_key("longhold store 2 footer", secret),
            chunk: blake3::derive_key("longhold store 2 chunk seed", secret),
            snapshot: blake3::derive_key("longhold store 2 snapshot", secret),
            purge_table: blake3::derive_key("longhold store 2 purge table", secret),
            purge_header: blake3::derive_key("longhold store 2 purge log", secret),
            purge_entry: blake3::derive_key("longhold store 2 purge entry", secret),
            hash,
            slice: crate::format::u128_at(&slice, 0),
        }
    }

    /// The hash by which the index and the footers know a key.
    pub(crate) fn key_hash(&self, key: &[u8]) -> u128 {
        narrowed(xxh3_128_with_secret(key, &self.hash))
    }

    /// The same for the key of a slice, which no key of a caller comes to but by chance.
    pub(crate) fn slice_hash(&self, key: &[u8]) -> u128 {
        narrowed(xxh3_128_with_secret(key, &self.hash) ^ self.slice)
    }

    /// The hash by which a record of a kind is known.
    pub(crate) fn hash_of(&self, kind: Kind, key: &[u8]) -> u128 {
        match kind {
            Kind::Slice => self.slice_hash(key),
            Kind::Object | Kind::Root => self.key_hash(key),
        }
    }

    /// MAC of a record header's first 80 bytes.
    pub(crate) fn front_mac(&self, bytes: &[u8]) -> Mac {
        truncate(&blake3::keyed_hash(&self.front, bytes))
    }

    /// MAC of a segment header's first 48 bytes.
    pub(crate) fn segment_mac(&self, bytes: &[u8]) -> Mac {
        truncate(&blake3::keyed_hash(&self.segment, bytes))
    }

    /// Running MAC over header, key, head and chunk sums.
    pub(crate) fn record_mac(&self) -> MacHasher {
        MacHasher(blake3::Hasher::new_keyed(&self.record))
    }

    /// Running MAC over a trailer and its lines.
    pub(crate) fn footer_mac(&self) -> MacHasher {
        MacHasher(blake3::Hasher::new_keyed(&self.footer))
    }

    /// Running MAC over the head of a snapshot and its block sums.
    pub(crate) fn snapshot_mac(&self) -> MacHasher {
        MacHasher(blake3::Hasher::new_keyed(&self.snapshot))
    }

    /// Seed of the block sums of the snapshot with this sequence.
    pub(crate) fn snapshot_seed(&self, sequence: u64) -> u64 {
        let input = sequence.to_le_bytes();
        crate::format::u64_at(blake3::keyed_hash(&self.snapshot, &input).as_bytes(), 0)
    }

    /// Running MAC over the header of a purge log and what it is bound to.
    pub(crate) fn purge_header_mac(&self) -> MacHasher {
        MacHasher(blake3::Hasher::new_keyed(&self.purge_header))
    }

    /// Running MAC over a purge and what it is bound to.
    pub(crate) fn purge_entry_mac(&self) -> MacHasher {
        MacHasher(blake3::Hasher::new_keyed(&self.purge_entry))
    }

    /// Seed by which the purge table spreads tags over its lines.
    pub(crate) fn purge_table_seed(&self) -> u64 {
        crate::format::u64_at(&self.purge_table, 0)
    }

    /// Seed of a record's chunk sums: no other record, past or future, has the same one.
    pub(crate) fn chunk_seed(&self, generation: u64, sequence: u64) -> u64 {
        let mut input = [0; 16];
        input[..8].copy_from_slice(&generation.to_le_bytes());
        input[8..].copy_from_slice(&sequence.to_le_bytes());
        crate::format::u64_at(blake3::keyed_hash(&self.chunk, &input).as_bytes(), 0)
    }
}

/// All of a hash, unless a test says otherwise.
fn narrowed(hash: u128) -> u128 {
    #[cfg(test)]
    let hash = crate::tests::collision::narrowed(hash);
    hash
}

/// A MAC that is fed in pieces.
#[derive(Clone)]
pub(crate) struct MacHasher(blake3::Hasher);

impl MacHasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> Mac {
        truncate(&self.0.finalize())
    }
}

/// MAC under a key that is not derived: the super block carries its own.
pub(crate) fn mac_with(key: &[u8; 32], bytes: &[u8]) -> Mac {
    truncate(&blake3::keyed_hash(key, bytes))
}

/// Checksum of one whole chunk.
pub(crate) fn chunk_sum(seed: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// Chunk sums of a body that comes in pieces of any size.
pub(crate) struct ChunkSums {
    hasher: Box<Xxh3>,
    in_chunk: u32,
    sums: Vec<u8>,
}

impl ChunkSums {
    /// For a body of `chunk_count` chunks.
    pub(crate) fn new(seed: u64, chunk_count: u32) -> Self {
        let sums = Vec::with_capacity(chunk_count as usize * 8);
        Self { hasher: Box::new(Xxh3::with_seed(seed)), in_chunk: 0, sums }
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = (crate::format::CHUNK_BYTES - self.in_chunk) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.hasher.update(now);
            self.in_chunk += now.len() as u32;
            if self.in_chunk == crate::format::CHUNK_BYTES {
                self.end_chunk();
            }
            bytes = later;
        }
    }

    /// The table as it lies on disk.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if self.in_chunk > 0 {
            self.end_chunk();
        }
        self.sums
    }

    fn end_chunk(&mut self) {
        self.sums.extend_from_slice(&self.hasher.digest().to_le_bytes());
        self.hasher.reset();
        self.in_chunk = 0;
    }
}

fn truncate(hash: &blake3::Hash) -> Mac {
    let mut mac = [0; 16];
    mac.copy_from_slice(&hash.as_bytes()[..16]);
    mac
}
