//! The files by which the processes of a cluster know what it is made of.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::machines::Nodes;

/// The programs to start; the cluster's directory has them as a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    /// The program that is every component of Kubernetes.
    pub(super) program: PathBuf,
    /// Image archives that each node has from the start.
    pub(super) images: Vec<PathBuf>,
    /// The nodes.
    pub(super) nodes: Nodes,
}

/// The file with the settings.
pub(super) const SETTINGS: &str = "settings.json";
/// The file that says that all is up.
pub(super) const READY: &str = "ready";

impl Settings {
    /// Reads those of a cluster by its directory.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let settings = fs::read_to_string(dir.join(SETTINGS)).context(SETTINGS)?;
        serde_json::from_str(&settings).context(SETTINGS)
    }
}
