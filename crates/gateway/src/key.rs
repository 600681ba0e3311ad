//! The cache key (RFC 9111 section 2): scheme, authority, path and query of one normal form, and
//! for varying resources the key of a variant.
//!
//! ```text
//! primary   http://host[:port]/path?query
//! variant   primary 0x00 base-id(8, little endian) nominated fields
//! ```
//! A zero byte cannot occur in a target, so no primary key equals a variant's (GW-1).

use alloc::vec::Vec;
use longhold_http1::Target;
use longhold_http1::target;

use crate::Field;

/// Writes the primary key of `target` into `key`, replacing what it held. `scheme` is the
/// listener's (`http` or `https`); its default port is removed.
///
/// # Errors
/// [`NoKey`] when the target has no host or no normal form; such a request is not cached.
pub fn write_primary(key: &mut Vec<u8>, scheme: &str, target: &Target<'_>) -> Result<(), NoKey> {
    key.clear();
    if target.authority.is_empty() {
        return Err(NoKey);
    }
    key.extend_from_slice(scheme.as_bytes());
    key.extend_from_slice(b"://");
    target::normalise(target, default_port(scheme), key).map_err(|_| NoKey)
}

/// The port that need not be said.
pub(crate) fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Appends to `key`, which holds the primary key, what selects one variant: the base's id and the
/// request's values of the `nominated` fields (lower-case names, separated by commas).
pub fn append_variant(key: &mut Vec<u8>, base_id: u64, nominated: &str, request: &[Field<'_>]) {
    key.push(0);
    key.extend_from_slice(&base_id.to_le_bytes());
    longhold_policy::vary::write_key(nominated.split(','), request, key);
}

/// The target has no cache key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoKey;
