//! What is built or downloaded once and kept outside the checkout, so that a clean clone finds it again.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The project's cache directory: everything in it may be deleted while nothing runs.
pub(crate) fn dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env::var_os("HOME").context("neither HOME nor XDG_CACHE_HOME is set")?)
            .join(".cache"),
    };
    Ok(base.join("sluice"))
}
