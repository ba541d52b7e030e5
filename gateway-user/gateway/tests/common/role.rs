//! Copies of the test binary that play another part: a process that a filter binds, or a crowd of clients.
//!
//! A test calls [`played`] first. In the test's own process that is `None` and the test goes on; a copy that
//! was started by [`copy`] gets the words it was given, plays its part and ends.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part, and there is nobody to publish to

use std::process::Command;

const PART: &str = "SLUICE_TEST_PART";
/// Between words: ASCII's own separator of units, which no word contains.
const SEPARATOR: &str = "\u{1f}";

/// The words that this copy was given; `None` in the test's own process.
pub fn played() -> Option<Vec<String>> {
    let part = std::env::var(PART).ok()?;
    Some(part.split(SEPARATOR).map(str::to_owned).collect())
}

/// A command that runs the test `name` of this binary, alone, in the part that `words` describe.
pub fn copy(name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]);
    command.env(PART, words.join(SEPARATOR));
    command
}
