//! Parts that tests share: network namespaces, scratch directories, child processes, raw clients.
//!
//! Everything here cleans up when it is dropped, also when a test fails, and has a name of its own, so that
//! tests run beside each other and beside another copy of themselves.
// seccomp(2) and its ioctls have no safe wrapper; they are in `seccomp/kernel.rs` alone.
#![deny(unsafe_code)]

pub mod apiserver;
pub mod crash;
pub mod golden;
pub mod http;
pub mod http2;
pub mod netns;
pub mod process;
pub mod scratch;
pub mod seccomp;
#[cfg(feature = "tls")]
pub mod tls;
pub mod wait;
