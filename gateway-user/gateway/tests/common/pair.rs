//! Which steering and which I/O the gateway under test is to use.
//!
//! `cargo xtask test` runs the test binaries that do not by nature need one of them once per pair, and says
//! the pair in the environment. A test that needs a particular one gives the flag itself, and belongs into a
//! binary that is run once (`EVERY_PAIR` in `xtask/src/test/pairs.rs` lists the others).

/// `steering/io`, as the flags are written. By default the best of each: a test must not pass because it fell
/// back.
const VARIABLE: &str = "SLUICE_TEST_PAIR";
const DEFAULT: &str = "ebpf/uring";

/// Steering and I/O, as the flags are written.
pub fn wanted() -> (String, String) {
    let pair = std::env::var(VARIABLE).unwrap_or_else(|_| DEFAULT.to_owned());
    let (steering, io) =
        pair.split_once('/').unwrap_or_else(|| panic!("{VARIABLE}={pair}: write ebpf/uring"));
    (steering.to_owned(), io.to_owned())
}

/// Flags for what `given` leaves open.
pub fn flags(given: &[&str]) -> Vec<String> {
    let (steering, io) = wanted();
    let mut flags = Vec::new();
    for (name, value) in [("--steering", steering), ("--io", io)] {
        if !given.contains(&name) {
            flags.extend([name.to_owned(), value]);
        }
    }
    flags
}
