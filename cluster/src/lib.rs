//! A real Kubernetes node on this machine, in namespaces of its own, and the tests on it: the gateway by the
//! official conformance suite, files by a real API server.
//!
//! Everything is built from Go modules (`conformance/`) but containerd, runc and the CNI plug-ins,
//! which are Debian's.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // commands talk to their terminal

mod cgroup;
pub mod chart;
pub mod command;
pub mod condition;
pub mod conformance;
pub(crate) mod control_plane;
pub(crate) mod documents;
pub mod enter;
pub mod files;
pub mod go;
pub mod handle;
pub(crate) mod image;
mod kubectl;
pub mod launch;
pub mod network;
mod node;
mod stand_in;
mod start;
mod supervise;
pub mod version;

pub(crate) use sluice_tooling::{cache, cargo, metrics, proc, process};
pub(crate) use supervise::BPFFS;
