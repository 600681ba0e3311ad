//! HTTP caching rules (RFC 9111 and its companions) as pure functions.
