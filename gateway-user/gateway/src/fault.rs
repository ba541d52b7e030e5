//! Faults that tests plant, by `SLUICE_FAULT` in the environment. Release builds have no such thing.
//!
//! | value | what happens |
//! |---|---|
//! | `takeover:POINT` | a take-over stops for good at that point, see [`crate::takeover`] |
//! | `requests` | workers do what `X-Sluice-Fault` in a request says, see `fault.rs` of the proxy |

/// Whether this fault is planted.
pub(crate) fn is_planted(fault: &str) -> bool {
    cfg!(debug_assertions) && std::env::var("SLUICE_FAULT").is_ok_and(|planted| planted == fault)
}
