//! The io_uring reactor: [`Reactor`] implements [`Transport`](crate::Transport).
//!
//! ```text
//!  Reactor ─┬─ shard 0: main ring, table of direct descriptors, slots      ◄── wait() waits here
//!           ├─ shard 1: ring, table, slots ── eventfd ──┐
//!           ├─ shard 2: …                    eventfd ──┤ each read by the main ring, re-armed
//!           │                                           ┘ after every answer
//!           ├─ accepts: who may take how many of the free slots
//!           ├─ connects: sockets on their way into a table
//!           └─ pool of buffers, waker, clock
//! ```
//! `RLIMIT_NOFILE` bounds a table of direct descriptors, and the cost of a cancel grows with what
//! is armed on a ring, hence shards. A slot number is `shard * slots_per_shard + direct index`.
//!
//! Rings run with SINGLE_ISSUER, DEFER_TASKRUN, COOP_TASKRUN, TASKRUN_FLAG, SUBMIT_ALL, CLAMP and
//! NO_SQARRAY where the kernel has it. The kernel does work for us only inside `enter`, in this
//! thread; a ring's own descriptor therefore never becomes readable, but its registered eventfd
//! is raised.

mod accepts;
mod address;
mod connects;
mod event;
mod reactor;
mod shard;
mod slots;
mod sys;
#[cfg(test)]
mod tests;

use io_uring::{IoUring, Probe, opcode, squeue};

pub use reactor::Reactor;

use crate::probe::{Evidence, Support, Unsupported};

/// A ring as every shard has it.
///
/// # Errors
/// The errno of io_uring_setup.
fn set_up(entries: u32, completions: u32) -> Result<IoUring, i32> {
    let build = |without_array: bool| {
        let mut builder = IoUring::builder();
        builder
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(completions.max(entries.saturating_mul(2)));
        if without_array {
            builder.setup_no_sqarray();
        }
        builder.build(entries)
    };
    let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
    match build(true).map_err(errno) {
        // Kernels before 6.6 do not know NO_SQARRAY.
        Err(libc::EINVAL) => build(false).map_err(errno),
        other => other,
    }
}

/// See [`crate::probe::probe`].
pub(crate) fn probe() -> Result<Support, Unsupported> {
    let io = set_up(8, 16).map_err(|errno| Evidence::gather().diagnose(errno))?;
    let features = [
        ("EXT_ARG", io.params().is_feature_ext_arg()),
        ("NODROP", io.params().is_feature_nodrop()),
        ("SUBMIT_STABLE", io.params().is_feature_submit_stable()),
        ("FAST_POLL", io.params().is_feature_fast_poll()),
    ];
    if let Some((name, _)) = features.iter().find(|(_, there)| !there) {
        return Err(Unsupported::MissingFeature(name));
    }
    let mut known = Probe::new();
    if io.submitter().register_probe(&mut known).is_err() {
        return Err(Unsupported::MissingOperation("REGISTER_PROBE"));
    }
    if let Some((name, _)) = OPERATIONS.iter().find(|(_, code)| !known.is_supported(*code)) {
        return Err(Unsupported::MissingOperation(name));
    }
    if let Err(error) = io.submitter().register_files_sparse(1) {
        return Err(Unsupported::NoDirectTable(error.raw_os_error().unwrap_or(libc::EIO)));
    }
    Ok(Support {
        min_wait: io.params().is_feature_min_timeout(),
        no_sq_array: IoUring::<squeue::Entry>::builder().setup_no_sqarray().build(8).is_ok(),
    })
}

/// What the reactor submits.
const OPERATIONS: [(&str, u8); 11] = [
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("ACCEPT", opcode::Accept::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("RECV", opcode::Recv::CODE),
    ("SEND", opcode::Send::CODE),
    ("SENDMSG", opcode::SendMsg::CODE),
    ("SHUTDOWN", opcode::Shutdown::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("FILES_UPDATE", opcode::FilesUpdate::CODE),
    ("READ", opcode::Read::CODE),
];
