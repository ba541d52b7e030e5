//! A cluster: every kind is watched, and what the watches have seen is one set of resources.
//!
//! All of it runs on one thread with a runtime of its own, so that reading a long list keeps no probe
//! waiting. A reader (the compiler thread) is told once that something has changed and then takes all that
//! has: however many events came, it is one change to it. A watch that fails drops nothing; what the server
//! cannot give now stays as it was seen last.

mod connect;
mod error_line;
mod fair;
mod fetch;
mod held;
mod kinds;
mod last_good;
mod object;
mod once;
mod served;
mod shared;
#[cfg(test)]
mod tests;
mod thread;
mod wanted;
mod watch;

pub use crate::kube_watch::ApiError;
pub use connect::{Access, ConnectError};
pub use kinds::Subject;
pub(crate) use last_good::LastGoodWriter;
pub use once::Unread;
pub use shared::{WatchId, WatchState};
pub use thread::{Cluster, ClusterOptions};
