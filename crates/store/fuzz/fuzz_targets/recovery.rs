//! A real data file, damaged as the input says, is opened, read, written to and opened again.
#![no_main]

use longhold_store::fuzzing::Recovery;

thread_local! {
    static STORE: Recovery = {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        Recovery::new(&folder.expect("a scratch folder").keep())
    };
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| STORE.with(|store| store.run(input)));
