//! Strict HTTP/1.1 syntax: heads, framing, chunked coding, head writer.
