//! Tags: by which a response can be purged together with others.
//!
//! An origin names them in `Surrogate-Key` (words with spaces between) or `Cache-Tag` (a list with
//! commas); both may be there, in several lines. Tags are compared byte by byte. The store keeps
//! 64-bit values; two tags that share one are purged together.
//!
//! ```text
//! tags of a record   its own, each once, up to 63; a variant has its primary key's beside them
//! with more of them  MANY in their place, which every purge of a tag names, too
//! ```
//! So a record with more tags than the store keeps is purged too often, never too seldom.

use alloc::vec::Vec;

use longhold_policy::fields;

use crate::Field;

/// The tags of a response that is stored under `key`, a primary or a variant's.
pub fn of_response(key: &[u8], response: &[Field<'_>]) -> Vec<u64> {
    let mut tags = Vec::new();
    for word in words(response) {
        let tag = of_word(word);
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > OWN_MAX {
            tags.clear();
            tags.push(MANY);
            break;
        }
    }
    // A primary key is purged itself; its variants are found by this.
    if let Some((primary, _)) = split_variant(key) {
        tags.push(of_primary(primary));
    }
    tags
}

/// A variant's key without what makes it one, and that; `None` for a primary key.
fn split_variant(key: &[u8]) -> Option<(&[u8], &[u8])> {
    key.split_at_checked(key.iter().position(|byte| *byte == 0)?)
}

/// The tags that a response names, as received, in order and perhaps more than once.
pub fn words<'f, 'a>(response: &'f [Field<'a>]) -> impl Iterator<Item = &'a [u8]> + use<'f, 'a> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let keys = fields::values(response, SURROGATE_KEY).flat_map(move |line| line.split(is_space));
    let tags = fields::values(response, CACHE_TAG)
        .flat_map(|line| line.split(|byte| *byte == b',').map(fields::trim));
    keys.chain(tags).filter(|word| !word.is_empty())
}

/// The value of one tag.
pub fn of_word(word: &[u8]) -> u64 {
    hash(word)
}

/// The value of the tag that all variants of a primary key carry. No word can name it: a zero byte
/// stands in front, which no field has.
pub fn of_primary(primary: &[u8]) -> u64 {
    let mut name = Vec::with_capacity(primary.len() + 1);
    name.push(0);
    name.extend_from_slice(primary);
    hash(&name)
}

/// Whether a field is between the origin and this edge alone: it is kept with a stored response and
/// not sent on.
pub fn is_for_edge(name: &str) -> bool {
    [SURROGATE_KEY, CACHE_TAG, SURROGATE_CONTROL].iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// FNV-1a, then the finish of SplitMix64, so that near words lie far apart. It is written into
/// stores: another one would make their tags unknown.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    sum = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    sum = (sum ^ (sum >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    sum ^ (sum >> 31)
}

/// As many tags of its own has a record at most: one less than the store keeps.
pub const OWN_MAX: usize = 63;

/// The tag of a record that has more of its own than it can carry.
pub const MANY: u64 = 0;

const SURROGATE_KEY: &str = "surrogate-key";
const CACHE_TAG: &str = "cache-tag";
const SURROGATE_CONTROL: &str = "surrogate-control";
