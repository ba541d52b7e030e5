//! A root directory of Debian sid in the cache, for the programs of peers.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use sluice_tooling::sid::Sid;

/// A program of every package, to see that it can be run.
const PEERS: Sid = Sid {
    packages: &["nginx", "haproxy", "caddy", "nghttp2-server"],
    files: &["usr/sbin/nginx", "usr/sbin/haproxy", "usr/bin/caddy", "usr/sbin/nghttpd"],
};

/// The directory; made the first time.
///
/// # Errors
/// Those of [`Sid::root`].
pub(super) fn root() -> Result<PathBuf> {
    PEERS.root(|_| Ok(())).context("sid for peers; --peers=system needs none")
}
