//! Fixtures and measurements.
