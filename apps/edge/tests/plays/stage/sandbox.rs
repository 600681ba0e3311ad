//! A host that forbids io_uring, as many container profiles do: a seccomp filter on one thread,
//! which its children inherit. Needs no privilege.
#![expect(unsafe_code, reason = "a seccomp filter is installed by two bare system calls")]

use std::io;
use std::process::{Child, Command};
use std::thread;

/// Spawns `command` where every io_uring call is refused with EPERM.
pub(super) fn spawn_without_io_uring(mut command: Command) -> io::Result<Child> {
    let spawned = thread::spawn(move || {
        forbid_io_uring()?;
        command.spawn()
    });
    spawned.join().expect("no panic")
}

/// Refuses the calling thread io_uring for good.
fn forbid_io_uring() -> io::Result<()> {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let (equal, answer) =
        (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_RET | libc::BPF_K);
    let line = |code: u32, (yes, no), value| libc::sock_filter {
        code: code as u16,
        jt: yes,
        jf: no,
        k: value,
    };
    // The number of the call is the first word of what the filter sees.
    let mut lines = [
        line(load, (0, 0), 0),
        line(equal, (3, 0), libc::SYS_io_uring_setup as u32),
        line(equal, (2, 0), libc::SYS_io_uring_enter as u32),
        line(equal, (1, 0), libc::SYS_io_uring_register as u32),
        line(answer, (0, 0), libc::SECCOMP_RET_ALLOW),
        line(answer, (0, 0), libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
    ];
    let program = libc::sock_fprog { len: lines.len() as u16, filter: lines.as_mut_ptr() };
    // SAFETY: plain numbers; only this thread and its children gain no privileges any more.
    let unprivileged = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if unprivileged != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the program and its lines live through the call, which copies them.
    let filtered = unsafe {
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    if filtered == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
