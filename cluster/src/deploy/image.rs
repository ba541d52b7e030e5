//! The container image of Sluice that is deployed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sluice_image::gateway;

/// The name that the manifests of `deploy/` have for it, as containerd spells it.
pub(crate) const NAME: &str = "docker.io/library/sluice:0.1.0";

/// Writes the archive of the image of this name with this binary and more variables, each `NAME=VALUE`, for containerd to
/// import; gives its path in `dir`.
///
/// # Errors
/// Debian's packages cannot be fetched, or the archive cannot be written.
pub(crate) fn write(name: &str, program: &Path, environment: &[String], dir: &Path) -> Result<PathBuf> {
    let archive = dir.join("image.tar");
    fs::write(&archive, gateway::for_this_machine(program, &[name], environment, dir)?)
        .with_context(|| format!("writing {}", archive.display()))?;
    Ok(archive)
}
