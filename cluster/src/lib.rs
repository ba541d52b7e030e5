//! A real Kubernetes on this machine, its nodes in namespaces of their own, and the tests on it: the gateway by the
//! official conformance suite and as operators deploy it, files by a real API server.
//!
//! Everything is built from Go modules (`conformance/`) but containerd, runc and the CNI plug-ins,
//! which are Debian's.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // commands talk to their terminal

mod bars;
mod cgroup;
pub mod chart;
pub mod command;
pub mod condition;
pub mod conformance;
pub(crate) mod control_plane;
pub mod deploy;
pub(crate) mod documents;
pub mod enter;
pub mod files;
pub mod go;
pub mod handle;
pub(crate) mod image;
mod kubectl;
pub mod launch;
pub mod load_client;
mod logs;
mod machine;
pub mod machines;
mod mounts;
pub mod network;
mod node;
mod parts;
mod ranges;
mod settings;
mod stand_in;
mod start;
mod steering;
mod supervise;
pub mod version;

pub(crate) use mounts::BPFFS;
pub(crate) use sluice_tooling::{cache, cargo, metrics, proc, process};
