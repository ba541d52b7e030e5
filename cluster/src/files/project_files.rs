//! The files of `conformance/files`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::server::Server;
use super::{Verdict, sluice};
use crate::cargo::workspace;

/// Folders, and whether the API server and `sluice check` accept what is in them.
const FOLDERS: [(&str, bool, bool); 6] = [
    ("accepted", true, true),
    ("refused", false, false),
    // `sluice check` says why it is not served, as the status does.
    ("unserved", true, false),
    // kubectl chooses where nobody can know what was meant.
    ("stricter", true, false),
    // kubectl's own check refuses it, the API server would not.
    ("lenient", false, true),
    // No resources: kubectl refuses them by name, in a directory they are passed over.
    ("passed-over", false, true),
];

/// Judges each file; tells where a verdict is not that of the folder.
pub(super) fn check(server: &Server<'_>, sluice: &Path) -> Result<bool> {
    let dir = workspace().join("conformance/files");
    let base = dir.join("base.yaml");
    let (mut count, mut wrong) = (0, 0);
    for (folder, by_server, by_sluice) in FOLDERS {
        for file in files(&dir.join(folder))? {
            count += 1;
            let verdicts = [
                ("the API server", by_server, server.check(&file)?),
                ("sluice check", by_sluice, sluice::check(sluice, &[&base, &file])?),
            ];
            for (who, wanted, verdict) in verdicts {
                if wanted != (verdict == Verdict::Accepted) {
                    wrong += 1;
                    println!("{}: {who} has another verdict: {:?}", file.display(), verdict);
                }
            }
        }
    }
    println!("conformance/files: {count} files, {wrong} verdicts that are not those of the folder");
    Ok(wrong == 0)
}

/// The files of a folder, by name.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
    let mut files: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}
