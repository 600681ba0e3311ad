//! What forbids io_uring is named, with its remedy.

use crate::probe::{Evidence, Unsupported, probe};

#[test]
fn every_refusal_names_its_cause() {
    let plain = Evidence::default();
    let filtered = Evidence { filtered: true, ..plain };
    let sysctl = |level| Evidence { sysctl_level: Some(level), filtered: true };
    let table = [
        (libc::ENOSYS, plain, "kernel does not have it"),
        (libc::ENOSYS, filtered, "seccomp filter is in force"),
        (libc::EPERM, plain, "security module"),
        (libc::EPERM, filtered, "container profile blocks io_uring_setup"),
        (libc::EACCES, filtered, "container profile"),
        (libc::EPERM, sysctl(0), "container profile"),
        (libc::EPERM, sysctl(1), "kernel.io_uring_disabled is 1: only CAP_SYS_ADMIN"),
        (libc::EPERM, sysctl(2), "kernel.io_uring_disabled is 2: nobody"),
        (libc::EINVAL, plain, "Linux 6.1 or newer"),
        (libc::ENOMEM, plain, "RLIMIT_MEMLOCK"),
        (libc::EMFILE, plain, "raise RLIMIT_NOFILE"),
        (libc::ENFILE, plain, "raise RLIMIT_NOFILE"),
        (libc::EIO, plain, "error number 5"),
    ];
    for (errno, evidence, part) in table {
        let text = evidence.diagnose(errno).to_string();
        assert!(text.starts_with("io_uring cannot be used: "), "{text}");
        assert!(text.contains(part), "errno {errno}, {evidence:?}: {text}");
    }
}

#[test]
fn missing_parts_are_named() {
    let table = [
        (Unsupported::MissingOperation("SENDMSG"), "operation SENDMSG"),
        (Unsupported::MissingFeature("EXT_ARG"), "feature EXT_ARG"),
        (Unsupported::NoDirectTable(libc::EMFILE), "direct descriptors are refused"),
    ];
    for (unsupported, part) in table {
        assert!(unsupported.to_string().contains(part), "{unsupported}");
    }
}

#[test]
fn probe_agrees_with_the_reactor() {
    struct Nothing;
    impl crate::Payload for Nothing {
        fn parts<'a>(&'a self, _: &mut crate::Parts<'a>) {}
        fn advance(&mut self, _: usize) {}
    }
    let reactor = crate::uring::Reactor::<Nothing>::new(&crate::Config::default());
    assert_eq!(probe().is_ok(), reactor.is_ok());
}
