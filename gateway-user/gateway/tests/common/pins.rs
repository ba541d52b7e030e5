//! Sluice's pins on a bpffs.

use std::fs;
use std::path::{Path, PathBuf};

/// The directories of its processes.
pub fn owners(bpffs: &Path) -> Vec<PathBuf> {
    entries(&bpffs.join("sluice")).iter().flat_map(|version| entries(version)).collect()
}

/// Everything that is pinned; a bpffs also has two files of the kernel's own at its top.
pub fn pins(bpffs: &Path) -> Vec<PathBuf> {
    owners(bpffs).iter().flat_map(|owner| entries(owner)).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.map_while(Result::ok).map(|entry| entry.path()).collect()
}
