//! Which exchanges make stored responses invalid (RFC 9111 section 4.4).

use crate::method;

/// Whether the stored responses of the target must be invalidated: the method is not known to be
/// safe and the response is no error. `Location` and `Content-Location`, which the RFC leaves to
/// the cache, are not followed.
pub fn applies(method: &str, status: u16) -> bool {
    !method::is_safe(method) && (200..400).contains(&status)
}
