//! One transport trait: an io_uring reactor and a simulated network.
