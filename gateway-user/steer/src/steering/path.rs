//! The way that connections take, as it is reported.

use std::fmt;
use std::path::PathBuf;

/// The backend that is live, with the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SteeringPath {
    /// Kernel programs; no socket listens on the binds' own ports.
    Ebpf {
        /// Port of the workers' sockets; connections straight to it belong to no bind.
        internal_port: u16,
        /// True if programs and maps are pinned.
        pins: PinState,
    },
    /// A listening socket per worker and bind.
    ReusePort {
        /// Reason why there are no kernel programs.
        reason: String,
        /// Added to ports below [`lowest_port`](Self::ReusePort::lowest_port), if this process may
        /// not bind those.
        unprivileged_offset: Option<u16>,
        /// Lowest port that this process may bind; 0 when it may bind all.
        lowest_port: u16,
    },
}

/// True if maps, programs and the link have names on bpffs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinState {
    /// In this directory.
    Pinned(PathBuf),
    /// Nowhere, for this reason; steering works all the same.
    NotPinned(String),
}

impl SteeringPath {
    /// The number that was added to privileged ports, to map local ports back by, if any.
    pub fn unprivileged_offset(&self) -> Option<u16> {
        match self {
            Self::Ebpf { .. } => None,
            Self::ReusePort { unprivileged_offset, .. } => *unprivileged_offset,
        }
    }

    /// Port of the workers' own sockets, with kernel programs.
    pub fn internal_port(&self) -> Option<u16> {
        match self {
            Self::Ebpf { internal_port, .. } => Some(*internal_port),
            Self::ReusePort { .. } => None,
        }
    }

    /// Short name for metrics: `ebpf` or `reuseport`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ebpf { .. } => "ebpf",
            Self::ReusePort { .. } => "reuseport",
        }
    }
}

impl fmt::Display for SteeringPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ebpf { internal_port, pins: PinState::Pinned(dir) } => {
                write!(f, "ebpf (workers on port {internal_port}, pinned in {})", dir.display())
            }
            Self::Ebpf { internal_port, pins: PinState::NotPinned(reason) } => {
                write!(f, "ebpf (workers on port {internal_port}, not pinned: {reason})")
            }
            Self::ReusePort { reason, unprivileged_offset, lowest_port } => {
                write!(f, "reuseport ({reason}")?;
                match unprivileged_offset {
                    Some(offset) => write!(f, "; ports below {lowest_port} are served {offset} higher)"),
                    None => write!(f, ")"),
                }
            }
        }
    }
}
