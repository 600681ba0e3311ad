//! The edge: a caching HTTP reverse proxy.
