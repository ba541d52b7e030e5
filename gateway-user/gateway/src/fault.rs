//! Faults that tests inject, by `SLUICE_FAULT` in the environment: words divided by commas. Release builds
//! have no such thing.
//!
//! | word | what happens |
//! |---|---|
//! | `ends` | `run` and `node` end as they begin |
//! | `takeover:…` | a hot restart stops at a point, or pretends something; see `handoff/injected.rs` |
//! | `lacks:NAME` | a node does not have that capability |
//! | `requests` | workers do what `X-Sluice-Fault` in a request says, see `fault.rs` of the proxy |

/// Every word.
pub(crate) fn words() -> Vec<String> {
    if !cfg!(debug_assertions) {
        return Vec::new();
    }
    let injected = std::env::var("SLUICE_FAULT").unwrap_or_default();
    injected.split(',').map(str::to_owned).collect()
}

/// The beginning of a process that a defect ends at once.
///
/// # Errors
/// That is injected.
pub(crate) fn begin() -> anyhow::Result<()> {
    anyhow::ensure!(!is_injected("ends"), "injected: ended as it began");
    Ok(())
}

/// True if this fault is injected.
pub(crate) fn is_injected(fault: &str) -> bool {
    words().iter().any(|word| word == fault)
}
