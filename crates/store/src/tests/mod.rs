//! Unit tests that need private parts; the rest is in `tests/it`.
