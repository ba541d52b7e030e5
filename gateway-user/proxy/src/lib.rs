//! The data plane: accept, decode, route, filter, forward, respond, and one record for log and metrics.
//!
//! [`worker::start`] runs one worker: a thread with its own runtime, connections, upstream pools and counters. Workers
//! share nothing that is written to: tables come as [`gateway_snapshot::Snapshot`]s by [`worker::WorkerCommand`], and
//! numbers are copied out the same way.
#![forbid(unsafe_code)]

mod backend;
mod body;
mod clock;
mod config;
mod connection;
mod context;
mod exchange;
mod fault;
mod filters;
mod forwarded;
mod guarded;
mod h1;
mod h2;
mod l4;
mod observe;
mod policy;
mod reason;
mod request_id;
mod settings;
mod signal;
mod timeouts;
mod tls;
mod upgrade;
mod upstream;
pub mod worker;

pub use config::{ProxyConfig, ReasonHeader, UdpLimits, UnderscoreHeaders};
pub use fault::watch_fault_files;
pub use filters::redirect_fields;
pub use observe::metrics;
pub use policy::{FilterOutcome, OwnFields, admit_cors};
pub use reason::Reason;
pub use timeouts::Timeouts;
