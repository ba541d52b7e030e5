//! A client as it was found on this machine.

use std::ffi::OsString;

/// A client that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) version: String,
    /// The program and its first arguments.
    pub(super) command: Vec<OsString>,
}
