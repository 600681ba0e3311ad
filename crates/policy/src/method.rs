//! What the registered methods promise (RFC 9110 section 9.2). Methods are case-sensitive.

/// Whether the method only reads (RFC 9110 section 9.2.1). A method that is not known is not safe.
pub fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

/// Whether a stored response may answer this method (RFC 9110 section 9.2.3). A response to `POST`
/// may be stored ([`crate::storable::evaluate_post`]), yet answers only these (RFC 9110 section
/// 9.3.3).
pub fn is_cacheable(method: &str) -> bool {
    matches!(method, "GET" | "HEAD")
}

/// Whether several equal requests have the effect of one (RFC 9110 section 9.2.2), so that a
/// request lost with its connection may be sent again.
pub fn is_idempotent(method: &str) -> bool {
    is_safe(method) || matches!(method, "PUT" | "DELETE")
}
