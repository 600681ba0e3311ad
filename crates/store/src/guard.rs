//! Copies out of a mapping that survive a truncated or failing file.
//!
//! Touching a page that its file cannot give raises SIGBUS, which ends a process. So all reading
//! of the mapping by this crate goes through one routine, [`GuardedMap::copy`], and a handler that
//! knows its address. A fault inside it, on a registered mapping, makes it return an error; every
//! other fault goes to whoever handled SIGBUS before, and by default kills as ever. No page of
//! zeros is mapped over the hole: a send in flight must not see bytes that nobody stored.
//!
//! The handler is installed with the first mapping and stays. It reads atomics only. A program
//! that handles SIGBUS itself does so before it opens a store, or passes on what is not its own.
//!
//! On other processors than x86-64 there is no such routine: [`GuardedMap::copy`] reads the file
//! instead, at the price of a system call for each.
#![expect(unsafe_code, reason = "one routine that may fault, and the handler that knows it")]

use std::fs::File;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use memmap2::{MmapOptions, MmapRaw};

/// The file did not give the bytes: it was truncated, or its device failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault;

/// A file, mapped read-only and shared, that can be read without the danger of a signal.
pub(crate) struct GuardedMap {
    // Dropped in this order: the handler forgets the range before it is unmapped.
    _range: Range,
    raw: MmapRaw,
    file: File,
}

/// Addresses that the handler knows, until this is dropped.
struct Range(&'static Place);

/// One place in the handler's list. Places are used again and never freed.
#[derive(Default)]
struct Place {
    taken: AtomicBool,
    start: AtomicUsize,
    /// Not above `start` while the place is free.
    end: AtomicUsize,
    next: OnceLock<Box<Place>>,
}

/// The list's first place; it has as many as there were mappings at one time.
static PLACES: Place = Place {
    taken: AtomicBool::new(false),
    start: AtomicUsize::new(0),
    end: AtomicUsize::new(0),
    next: OnceLock::new(),
};

impl GuardedMap {
    /// Maps the first `len` bytes of `file`. Costs a walk over all guarded ranges of the process.
    pub(crate) fn new(file: &File, len: usize) -> io::Result<Self> {
        #[cfg(target_arch = "x86_64")]
        x86_64::install_handler()?;
        let file = file.try_clone()?;
        let raw = MmapOptions::new().len(len).map_raw_read_only(&file)?;
        Ok(Self { _range: Range::new(raw.as_ptr().addr(), raw.len()), raw, file })
    }

    /// The mapping, for advice and addresses.
    pub(crate) fn raw(&self) -> &MmapRaw {
        &self.raw
    }

    /// The mapped file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Copies what lies at `offset` to `into`. A copy that leaves the mapping is a fault too, of
    /// the caller.
    pub(crate) fn copy(&self, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
        let offset = usize::try_from(offset).map_err(|_| Fault)?;
        if offset.checked_add(into.len()).is_none_or(|end| end > self.raw.len()) {
            return Err(Fault);
        }
        #[cfg(target_arch = "x86_64")]
        return x86_64::copy(self, offset, into);
        #[cfg(not(target_arch = "x86_64"))]
        return copy_portably(&self.file, offset as u64, into);
    }
}

impl Range {
    fn new(start: usize, len: usize) -> Self {
        let mut place = &PLACES;
        while place.taken.swap(true, Ordering::AcqRel) {
            place = place.next.get_or_init(Box::default);
        }
        place.start.store(start, Ordering::Release);
        place.end.store(start + len, Ordering::Release);
        Self(place)
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Release);
        self.0.taken.store(false, Ordering::Release);
    }
}

/// Whether the handler may turn a fault at this address into an error.
#[cfg(any(target_arch = "x86_64", test))]
fn is_guarded(address: usize) -> bool {
    let mut place = Some(&PLACES);
    while let Some(known) = place {
        let start = known.start.load(Ordering::Acquire);
        if start <= address && address < known.end.load(Ordering::Acquire) {
            return true;
        }
        place = known.next.get().map(|next| &**next);
    }
    false
}

/// The same by a system call, which returns an error where a touch would raise a signal.
#[cfg(any(not(target_arch = "x86_64"), test))]
fn copy_portably(file: &File, offset: u64, into: &mut [u8]) -> Result<(), Fault> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, offset).map_err(|_| Fault)
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::ffi::{c_int, c_void};
    use std::io;
    use std::mem::MaybeUninit;
    use std::sync::{Mutex, OnceLock, PoisonError};

    use super::{Fault, GuardedMap};

    /// Copies from an offset whose copy lies within the mapping.
    pub(super) fn copy(map: &GuardedMap, offset: usize, into: &mut [u8]) -> Result<(), Fault> {
        // SAFETY: the source lies in the mapping, as the caller has checked, which `map` keeps
        // and the handler knows; `into` is a buffer of `into.len()` bytes elsewhere. A page that
        // cannot be had raises SIGBUS inside `copy_bytes`, and the handler makes that return 1.
        // The bytes are read by the processor behind the compiler's back: no reference to them
        // exists, so another process that writes to the file is no data race of ours.
        let failed = unsafe {
            let from = map.raw.as_ptr().add(offset);
            copy_bytes(into.as_mut_ptr(), from, 0, into.len())
        };
        if failed == 0 { Ok(()) } else { Err(Fault) }
    }

    /// Copies `len` bytes; 0 when done. `_unused` keeps `len` in the register that `rep` wants.
    ///
    /// Every instruction that touches memory lies within the first [`ROUTINE_BYTES`] of this
    /// function and none changes the stack, so that from each of them `copy_failed` can take over
    /// as if it had been called. Short copies take many loads before the first store: on a miss of
    /// the processor's caches they run side by side, which `rep movsb` does not do.
    #[unsafe(naked)]
    unsafe extern "sysv64" fn copy_bytes(
        into: *mut u8,
        from: *const u8,
        _unused: usize,
        len: usize,
    ) -> u32 {
        core::arch::naked_asm!(
            "2:",
            "cmp rcx, 16; jbe 9f",
            "cmp rcx, 32; jbe 4f",
            "cmp rcx, 64; jbe 5f",
            "cmp rcx, 128; jbe 6f",
            "cmp rcx, 2048; ja 9f",
            // 129 to 2,048: whole lots of 128, then the last 128 bytes, which may overlap them.
            "7:",
            "movups xmm0, [rsi]; movups xmm1, [rsi + 16]",
            "movups xmm2, [rsi + 32]; movups xmm3, [rsi + 48]",
            "movups xmm4, [rsi + 64]; movups xmm5, [rsi + 80]",
            "movups xmm6, [rsi + 96]; movups xmm7, [rsi + 112]",
            "movups [rdi], xmm0; movups [rdi + 16], xmm1",
            "movups [rdi + 32], xmm2; movups [rdi + 48], xmm3",
            "movups [rdi + 64], xmm4; movups [rdi + 80], xmm5",
            "movups [rdi + 96], xmm6; movups [rdi + 112], xmm7",
            "add rsi, 128; add rdi, 128; sub rcx, 128",
            "cmp rcx, 128; ja 7b",
            "lea rsi, [rsi + rcx - 128]; lea rdi, [rdi + rcx - 128]; mov ecx, 128",
            // 65 to 128: the first 64 and the last 64.
            "6:",
            "movups xmm0, [rsi]; movups xmm1, [rsi + 16]",
            "movups xmm2, [rsi + 32]; movups xmm3, [rsi + 48]",
            "movups xmm4, [rsi + rcx - 64]; movups xmm5, [rsi + rcx - 48]",
            "movups xmm6, [rsi + rcx - 32]; movups xmm7, [rsi + rcx - 16]",
            "movups [rdi], xmm0; movups [rdi + 16], xmm1",
            "movups [rdi + 32], xmm2; movups [rdi + 48], xmm3",
            "movups [rdi + rcx - 64], xmm4; movups [rdi + rcx - 48], xmm5",
            "movups [rdi + rcx - 32], xmm6; movups [rdi + rcx - 16], xmm7",
            "xor eax, eax; ret",
            // 33 to 64.
            "5:",
            "movups xmm0, [rsi]; movups xmm1, [rsi + 16]",
            "movups xmm2, [rsi + rcx - 32]; movups xmm3, [rsi + rcx - 16]",
            "movups [rdi], xmm0; movups [rdi + 16], xmm1",
            "movups [rdi + rcx - 32], xmm2; movups [rdi + rcx - 16], xmm3",
            "xor eax, eax; ret",
            // 17 to 32.
            "4:",
            "movups xmm0, [rsi]; movups xmm1, [rsi + rcx - 16]",
            "movups [rdi], xmm0; movups [rdi + rcx - 16], xmm1",
            "xor eax, eax; ret",
            // Up to 16, and from 2,049 on.
            "9:",
            "rep movsb; xor eax, eax; ret",
            // The assembler refuses a routine that is longer than its place.
            "3:",
            ".skip {bytes} - (3b - 2b), 0xcc",
            bytes = const ROUTINE_BYTES,
        )
    }

    /// Where a copy goes on that has met a fault: it returns 1 to the caller of `copy_bytes`.
    #[unsafe(naked)]
    unsafe extern "sysv64" fn copy_failed() {
        core::arch::naked_asm!("mov eax, 1", "ret")
    }

    /// Installs the handler once per process.
    pub(super) fn install_handler() -> io::Result<()> {
        static INSTALLING: Mutex<()> = Mutex::new(());
        let _one = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
        if PREVIOUS.get().is_some() {
            return Ok(());
        }
        // SAFETY: all-zero is a valid `sigaction`: no flags, nothing masked, SIG_DFL.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = (on_sigbus as *const ()).expose_provenance();
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        let mut previous = MaybeUninit::uninit();
        // SAFETY: both structures outlive the call; the handler keeps to what a handler may do.
        if unsafe { libc::sigaction(libc::SIGBUS, &raw const action, previous.as_mut_ptr()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has succeeded, so the previous action was written. Nobody else sets
        // the cell while the lock is held.
        let _ = PREVIOUS.set(unsafe { previous.assume_init() });
        Ok(())
    }

    /// The handler: a fault of ours goes on in `copy_failed`, the rest to whoever was there before.
    extern "C" fn on_sigbus(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel calls this with SA_SIGINFO, so both point to what they say, and to
        // nobody else's until it returns. `si_addr` is set for every SIGBUS that a fault raises;
        // in one that a process sends it is some number, which the check below does not need.
        let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
        // SAFETY: as above.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let at = registers[libc::REG_RIP as usize] as usize;
        let first = copy_bytes as *const () as usize;
        let is_copy = (first..first + ROUTINE_BYTES).contains(&at);
        if code > 0 && is_copy && super::is_guarded(address) {
            registers[libc::REG_RIP as usize] = copy_failed as *const () as i64;
            return;
        }
        pass_on((signal, code), info, context);
    }

    /// What would have happened without this file.
    fn pass_on((signal, code): (c_int, c_int), info: *mut libc::siginfo_t, context: *mut c_void) {
        let previous = PREVIOUS.get();
        let handler = previous.map_or(libc::SIG_DFL, |previous| previous.sa_sigaction);
        let takes_info = previous.is_some_and(|p| p.sa_flags & libc::SA_SIGINFO != 0);
        let was_sent = code <= 0;
        // A fault that is ignored would be raised for ever; the kernel kills for it, and so do we.
        if handler == libc::SIG_IGN && was_sent {
            return;
        }
        if handler == libc::SIG_DFL || handler == libc::SIG_IGN {
            // SAFETY: restoring the default and raising a signal are allowed in a handler. What
            // faulted faults again on return, and dies with its own registers in the core dump;
            // what was sent is sent again.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if was_sent {
                    libc::raise(signal);
                }
            }
            return;
        }
        let handler = std::ptr::with_exposed_provenance::<()>(handler);
        if takes_info {
            type WithInfo = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
            // SAFETY: whoever installed it with SA_SIGINFO has promised a function of this type.
            let handler: WithInfo = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        } else {
            // SAFETY: as above, without SA_SIGINFO.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }

    /// Who handled SIGBUS before; set when the handler is in place.
    static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

    /// Length of `copy_bytes`, padding and all.
    const ROUTINE_BYTES: usize = 512;
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file_of(len: usize) -> (File, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|at| (at * 31 % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    #[test]
    fn every_length_is_copied_whole_and_nothing_beside_it() {
        let (file, bytes) = file_of(LEN);
        let map = GuardedMap::new(&file, LEN).unwrap();
        for len in (0..600).chain([1023, 1024, 2047, 2048, 2049, 4096, 8191]) {
            for at in [0, 1, 63, 4095] {
                let mut into = vec![0xEE; len + 32];
                map.copy(at as u64, &mut into[16..16 + len]).unwrap();
                assert!(into[16..16 + len] == bytes[at..at + len], "{len} bytes at {at}");
                assert!(into[..16].iter().chain(&into[16 + len..]).all(|byte| *byte == 0xEE));
                let mut portable = vec![0; len];
                copy_portably(&file, at as u64, &mut portable).unwrap();
                assert!(into[16..16 + len] == portable);
            }
        }
    }

    #[test]
    fn a_truncated_file_is_an_error_at_every_length() {
        let (file, bytes) = file_of(LEN);
        let map = GuardedMap::new(&file, LEN).unwrap();
        file.set_len(4096).unwrap();
        for len in [1, 16, 17, 33, 65, 129, 300, 2048, 2049, 8000] {
            let mut into = vec![0; len];
            assert_eq!(map.copy(4096, &mut into), Err(Fault), "{len} bytes behind");
            assert_eq!(map.copy(4095, &mut into[..]).is_err(), len > 1, "{len} across");
            assert_eq!(copy_portably(&file, 4096, &mut into), Err(Fault));
        }
        let mut into = [0; 64];
        map.copy(0, &mut into).unwrap();
        assert_eq!(into[..], bytes[..64]);
    }

    #[test]
    fn what_leaves_the_mapping_is_an_error_without_a_touch() {
        let (file, _) = file_of(LEN);
        let map = GuardedMap::new(&file, LEN).unwrap();
        let mut into = [0; 2];
        assert_eq!(map.copy(LEN as u64 - 1, &mut into), Err(Fault));
        assert_eq!(map.copy(u64::MAX, &mut into), Err(Fault));
    }

    #[test]
    fn places_are_guarded_while_their_mapping_lives() {
        let base = 1_usize << 60;
        let at = |n: usize| base + (n << 20);
        let ranges: Vec<_> = (0..5).map(|n| Range::new(at(n), 4096)).collect();
        for n in 0..5 {
            assert!(is_guarded(at(n)) && is_guarded(at(n) + 4095));
            assert!(!is_guarded(at(n) + 4096) && !is_guarded(at(n) - 1));
        }
        drop(ranges);
        assert!((0..5).all(|n| !is_guarded(at(n))));
    }

    const LEN: usize = 16384;
}
