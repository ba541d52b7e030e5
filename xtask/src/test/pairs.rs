//! The whole gateway over every pair of steering and I/O.
//!
//! The binaries of [`EVERY_PAIR`] leave both to the environment, and run once per pair; all other tests run
//! once. So what a test says with its place is whether it needs one particular way, and nothing is skipped
//! within a binary.

use clap::ValueEnum;

/// Read by `tests/common/pair.rs` of the package `sluice`.
pub(super) const VARIABLE: &str = "SLUICE_TEST_PAIR";

/// Test binaries of the package `sluice` that hold for every pair.
pub(super) const EVERY_PAIR: [&str; 20] = [
    "overload",
    "live_edits",
    "config_fire",
    "lifecycle",
    "traffic",
    "scenario",
    "operators",
    "admin",
    "records",
    "protocols",
    "roles",
    "placement",
    "ports",
    "deaths",
    "client_certificates",
    "cors",
    "mirrors",
    "static_addresses",
    "listener_sets",
    "retries",
];

/// Steering and I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Pair {
    #[value(name = "ebpf/uring")]
    EbpfUring,
    #[value(name = "ebpf/epoll")]
    EbpfEpoll,
    #[value(name = "reuseport/uring")]
    ReuseportUring,
    #[value(name = "reuseport/epoll")]
    ReuseportEpoll,
}

impl Pair {
    /// The pair that tests run on by default.
    pub(super) const DEFAULT: Self = Self::EbpfUring;
    /// The others.
    pub(super) const OTHERS: [Self; 3] = [Self::EbpfEpoll, Self::ReuseportUring, Self::ReuseportEpoll];

    /// As the environment and the command line spell it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EbpfUring => "ebpf/uring",
            Self::EbpfEpoll => "ebpf/epoll",
            Self::ReuseportUring => "reuseport/uring",
            Self::ReuseportEpoll => "reuseport/epoll",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cargo::workspace;

    /// The text of a test binary: of its file, or of every file of its folder.
    fn text_of(name: &str) -> String {
        let tests = workspace().join("gateway-user/gateway/tests");
        let folder =
            std::fs::read_dir(tests.join(name)).into_iter().flatten().flatten().map(|entry| entry.path());
        let files: Vec<_> = folder.chain([tests.join(name).with_extension("rs")]).collect();
        files.iter().filter_map(|file| std::fs::read_to_string(file).ok()).collect()
    }

    #[test]
    fn what_runs_on_every_pair_exists_and_asks_for_no_particular_one() {
        for name in EVERY_PAIR {
            let text = text_of(name);
            assert!(text.contains("#[test]"), "there is no test {name}");
            for flag in ["\"--steering\"", "\"--io\""] {
                assert!(
                    !text.contains(flag),
                    "the test {name} gives {flag}: such a test runs once, elsewhere"
                );
            }
        }
    }

    #[test]
    fn pairs_are_spelled_as_on_the_command_line() {
        for pair in Pair::value_variants() {
            assert_eq!(pair.to_possible_value().unwrap().get_name(), pair.name());
        }
    }
}
