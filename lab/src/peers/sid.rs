//! A root directory of Debian sid in the cache, for the programs of peers.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use sluice_tooling::sid::SERVERS;

/// The directory; made the first time.
///
/// # Errors
/// Those of [`sluice_tooling::sid::Sid::root`].
pub(super) fn root() -> Result<PathBuf> {
    SERVERS.root(|_| Ok(())).context("sid for peers; --peers=system needs none")
}
