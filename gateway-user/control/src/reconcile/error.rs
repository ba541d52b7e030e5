//! Errors of a reconciliation.

use crate::publish;

/// Error that keeps a configuration from being live.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The old generation stays.
    #[error(transparent)]
    Publish(#[from] publish::PublishError),
    /// A fault of ours; the old generation stays.
    #[error("internal fault while {0}: please report it with the log; what was live before stays live")]
    Fault(&'static str),
    /// Workers serve the new generation, but steering does not match it.
    #[error(transparent)]
    Steer(#[from] gateway_steer::SteerError),
}
