//! What is replaced.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;

/// Where a proxy runs and what it serves: everything that comes in goes to one backend.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// For its configuration, sockets and output; nothing else uses it.
    pub(super) dir: PathBuf,
    /// Where clients connect.
    pub(super) listen: SocketAddr,
    /// Where it forwards to.
    pub(super) backend: SocketAddr,
    /// A BPF file system of its own.
    pub(super) bpffs: PathBuf,
}

/// Worker processes or threads of each proxy: as many as the smallest machine has CPUs.
pub(super) const WORKERS: usize = 2;

/// A proxy and the way its operators replace it.
pub(super) trait Proxy {
    /// Starts it; returns once it is said to serve.
    fn start(&mut self) -> Result<()>;

    /// Replaces it; returns once the new one is said to serve. The old one may still be draining where its operators
    /// do not wait for that.
    fn upgrade(&mut self) -> Result<()>;

    /// Ends it in order, with all that are still draining; an error if one of them did not end well.
    fn stop(&mut self) -> Result<()>;
}
