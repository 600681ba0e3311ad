//! Behaviour of the connection's parts, one file each.
