// Which sources the committed object was built from: shared by `cargo xtask build-ebpf`, which writes the
// hash, and a test of gateway-steer, which notices a stale object without any BPF toolchain. Both include
// this file by path.

use std::path::{Path, PathBuf};
use std::{fs, io};

use sha2::{Digest, Sha256};

/// The committed object, relative to the top of the checkout.
pub(crate) const OBJECT: &str = "gateway-user/steer/ebpf/gateway-ebpf.o";

/// Hashes of the object and of its sources, relative to the top of the checkout.
pub(crate) const HASHES: &str = "gateway-user/steer/ebpf/gateway-ebpf.sha256";

/// Whatever the object depends on. Crates pinned in `Cargo.lock` come on top.
const SOURCES: [&str; 4] =
    ["gateway-ebpf/Cargo.toml", "gateway-ebpf/src", "gateway-common/Cargo.toml", "gateway-common/src"];

/// Expected lines of [`HASHES`]: `sources <hex>` and `object <hex>`.
pub(crate) fn hashes(workspace: &Path, object: &[u8]) -> io::Result<String> {
    Ok(format!("sources {}\nobject {}\n", sources(workspace)?, hex(Sha256::new().chain_update(object))))
}

/// SHA-256 over the name and content of every source, and over the pinned versions of aya's
/// kernel-side crates.
fn sources(workspace: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(&workspace.join(source), &mut files)?;
    }
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(workspace).unwrap_or(&file);
        let content = fs::read(&file)?;
        hash.update(format!("{} {}\n", name.display(), content.len()));
        hash.update(content);
    }
    hash.update(pinned(&fs::read_to_string(workspace.join("Cargo.lock"))?));
    Ok(hex(hash))
}

/// All files below `path`, ordered by name.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>()?;
    entries.sort();
    entries.iter().try_for_each(|entry| collect(entry, files))
}

/// The lock file's entries of aya's kernel-side crates: name, version, source and checksum, without the lists
/// of dependencies, which change when unrelated crates of the workspace do.
fn pinned(lock: &str) -> String {
    let mut pinned = String::new();
    for package in lock.split("[[package]]").filter(|p| p.contains("name = \"aya-ebpf")) {
        let lines = package.lines().map(str::trim);
        for line in lines.filter(|l| ["name ", "version ", "checksum "].iter().any(|k| l.starts_with(k))) {
            pinned.push_str(line);
            pinned.push('\n');
        }
    }
    pinned
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
