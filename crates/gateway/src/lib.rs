//! HTTP edge logic: key, exchange, coalescing, delivery, forwarding.
