//! Unit tests that need private parts; the rest is in `tests/it`.

pub(crate) mod collision;
#[cfg(not(loom))]
mod corpus;
#[cfg(not(loom))]
mod directory;
#[cfg(not(loom))]
mod eviction;
#[cfg(not(loom))]
mod format;
#[cfg(not(loom))]
mod index;
#[cfg(loom)]
mod loom;
#[cfg(not(loom))]
mod purge;
#[cfg(not(loom))]
mod purge_log;
#[cfg(not(loom))]
mod rebuild;
#[cfg(not(loom))]
mod snapshot;
