//! Measurements and tests of the gateway beside its peers: CPU per request, requests lost in upgrades,
//! crashes and overload, and the responses that real clients see.
//!
//! Everything runs in network namespaces of its own on this machine, as root.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // commands talk to their terminal

mod bars;
pub mod bench;
pub mod clients;
pub mod crash_test;
pub mod grpc_test;
mod h2load;
pub mod http2_compare;
pub mod http2_test;
pub mod overload_test;
mod peers;
mod table;
mod testbed;
pub mod upgrade_test;
pub mod websocket_test;
mod wrk;

pub(crate) use sluice_cluster::{go, load_client};
pub(crate) use sluice_tooling::{cache, cargo, metrics, needs, proc, process};
