//! Counters, histograms, access log and Prometheus export.
