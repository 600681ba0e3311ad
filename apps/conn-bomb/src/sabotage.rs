//! A load that fails on purpose, so that a load test is seen to notice.
//!
//! Only a development build with the feature `sabotage` has it: the compiler refuses it in a
//! release build. `LONGHOLD_SABOTAGE=bloat` makes it fail; without that, it does not.

#[cfg(not(debug_assertions))]
compile_error!(
    "the feature `sabotage` makes a load that fails on purpose: it is for development builds only"
);

/// Memory that so many connections do not need, if it is asked for.
///
/// # Panics
/// When another way to fail is asked for: a test would otherwise show nothing.
pub(crate) fn bloat(connections: u32) -> Vec<Box<[u8]>> {
    let Ok(way) = std::env::var(VARIABLE) else { return Vec::new() };
    assert_eq!(way, "bloat", "{VARIABLE} names no way to fail");
    (0..connections).map(|_| vec![1; BLOAT_BYTES].into()).collect()
}

const VARIABLE: &str = "LONGHOLD_SABOTAGE";
/// For each connection.
const BLOAT_BYTES: usize = 64 << 10;
