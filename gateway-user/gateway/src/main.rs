//! Sluice: an edge gateway for Kubernetes.
#![forbid(unsafe_code)]
fn main() {}
