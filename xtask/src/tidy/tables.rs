//! The tables that tidy compares the tree with. A change here is a change of the design: say why.

use super::dependencies::CrateRow;
use super::fence::Fenced;

/// What each crate may use. Arrows point downwards only.
pub(super) const CRATES: &[CrateRow] = &[
    // Its page is one of the results' pages.
    pure("crates/capacity", &["report"], &[]),
    // loom only under cfg(loom), in the place of core's atomics.
    pure("crates/conn", &["http1"], &["loom"]),
    pure("crates/gateway", &["http1", "policy"], &[]),
    pure("crates/http1", &[], &["http", "httparse"]),
    pure("crates/policy", &[], &["http"]),
    pure("crates/report", &[], &[]),
    plain("crates/loadgen", &["http1", "tls", "transport"]),
    // http1 reads the heads after which a connection is taken over, as strictly as a client's; tls
    // makes the session that goes with such a connection, in a form that can be handed over.
    // transport has the one socket option that no safe crate has.
    plain("crates/origin", &["conn", "http1", "store", "tls", "transport"]),
    plain("crates/store", &[]),
    plain("crates/telemetry", &[]),
    // Its layer secures connections of the transport below it.
    plain("crates/tls", &["transport"]),
    plain("crates/transport", &[]),
    top("apps/conn-bomb"),
    top("apps/edge"),
    top("benches"),
    CrateRow { ours: Some(&["report"]), ..top("xtask") },
];

/// Where unsafe code may stand, and how much. Counts only fall, or rise with a reason.
pub(super) const FENCE: &[Fenced] = &[
    Fenced {
        path: "apps/edge/tests/allocations.rs",
        count: 7,
        reason: "counts the allocations of a hit: an allocator is an unsafe trait",
    },
    Fenced {
        path: "apps/edge/tests/plays/stage/sandbox.rs",
        count: 2,
        reason: "a host that forbids io_uring: a seccomp filter is two bare system calls",
    },
    Fenced {
        path: "benches/src/floor.rs",
        count: 2,
        reason: "the floor is a bare ring: its submissions borrow buffers that live as long as it",
    },
    Fenced {
        path: "benches/src/ladder/mapping.rs",
        count: 1,
        reason: "maps a file of its own, which nobody changes, to measure that way of reading",
    },
    Fenced {
        path: "benches/src/ladder/ring.rs",
        count: 2,
        reason: "a bare ring that reads into buffers which are never given back: no safe crate has \
                 registered buffers and files without a runtime of its own",
    },
    Fenced {
        path: "crates/store/src/guard.rs",
        count: 13,
        reason: "copies out of a mapping by one routine that may fault, and the SIGBUS handler \
                 that makes its faults errors",
    },
    Fenced {
        path: "crates/store/src/map.rs",
        count: 4,
        reason: "maps the store's file, and makes slices over pinned, sealed ranges of it only; \
                 holds the index's zeroed memory, and asks the processor for lines ahead of use",
    },
    Fenced {
        path: "crates/store/src/sys.rs",
        count: 6,
        reason: "cachestat, mincore, getrusage, a clock, and advice by ring, which no safe crate \
                 wraps",
    },
    Fenced {
        path: "crates/transport/tests/allocations.rs",
        count: 7,
        reason: "counts the allocations of the reactor: an allocator is an unsafe trait",
    },
    Fenced {
        path: "crates/transport/src/epoll/sys.rs",
        count: 3,
        reason: "gives a worker a table of descriptors of its own, and closes by number what the \
                 copy holds of others",
    },
    Fenced {
        path: "crates/transport/src/option.rs",
        count: 1,
        reason: "sets socket options for which no safe crate has a function",
    },
    Fenced {
        path: "crates/transport/src/uring/sys.rs",
        count: 16,
        reason: "hands the kernel addresses inside op records that neither move nor drop in flight",
    },
];

/// A crate without clock, thread, file or socket: it may use `foreign` and nothing else.
const fn pure(
    folder: &'static str,
    ours: &'static [&'static str],
    foreign: &'static [&'static str],
) -> CrateRow {
    CrateRow { folder, ours: Some(ours), pure: Some(foreign), anyhow: false }
}

/// A crate that meets the world.
const fn plain(folder: &'static str, ours: &'static [&'static str]) -> CrateRow {
    CrateRow { folder, ours: Some(ours), pure: None, anyhow: false }
}

/// A program or tool on top of everything.
const fn top(folder: &'static str) -> CrateRow {
    CrateRow { folder, ours: None, pure: None, anyhow: true }
}
