//! The fill plane: pooled origin connections and streaming bodies.
