//! Errors of steering, each naming what to do.

use std::io;
use std::path::PathBuf;

use crate::SteerBind;

/// Reasons why steering could not be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum SteerError {
    /// A setting is out of its range.
    #[error("{option}: {reason}")]
    Option {
        /// The setting's name.
        option: &'static str,
        /// The error, for people.
        reason: String,
    },
    /// Kernel programs were demanded, and cannot be had.
    #[error("no eBPF steering here: {reason}; fix that, or use --steering=auto or --steering=reuseport")]
    Unavailable {
        /// The refused operation, for people.
        reason: String,
    },
    /// A living process has the pins of this instance.
    #[error(
        "{}: a running process{} is this instance already; stop it, or give this one another instance name",
        dir.display(),
        pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
    )]
    InstanceBusy {
        /// The pin directory.
        dir: PathBuf,
        /// The process, where the system says.
        pid: Option<u32>,
    },
    /// The workers' listening sockets cannot be made.
    #[error("{what}: {source}")]
    Socket {
        /// The operation that failed.
        what: String,
        /// The system's error.
        source: io::Error,
    },
    /// The kernel refused a change of its maps.
    #[error("steering {bind}: {reason}; the binds before it were changed, calling again goes on from there")]
    Bind {
        /// The bind that failed.
        bind: SteerBind,
        /// The kernel's error.
        reason: String,
    },
    /// The kernel refused to do something to the programs or to a worker's slot.
    #[error("{what}: {reason}")]
    Kernel {
        /// The operation that failed.
        what: String,
        /// The kernel's error.
        reason: String,
    },
}
