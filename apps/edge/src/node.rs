//! What tells this process from other edges of the same name (RFC 9110 section 7.6.3): a token that
//! it puts into `Via`, by which a request that comes back to it is known.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// Eight hexadecimal digits, another at each start.
pub(crate) fn id() -> &'static str {
    static ID: OnceLock<String> = OnceLock::new();
    ID.get_or_init(|| {
        // The standard library seeds its hashers by chance.
        let seed = RandomState::new().build_hasher().finish();
        format!("{:08x}", seed >> 32)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn id_stays_and_is_a_token() {
        let id = super::id();
        assert_eq!(id, super::id());
        assert!(id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
}
