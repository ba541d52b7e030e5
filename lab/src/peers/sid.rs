//! A root directory of Debian sid in the cache, for the programs of peers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use sluice_tooling::debian;

use crate::cache::{self, Key};
use crate::cargo::must_succeed;
use crate::needs::{self, DEBOOTSTRAP, UNSHARE};

/// Its packages beside those that Debian cannot be without.
const PACKAGES: [&str; 4] = ["nginx", "haproxy", "caddy", "nghttp2-server"];

/// A program of every package, to see that it can be run.
const PROGRAMS: [&str; 4] = ["usr/sbin/nginx", "usr/sbin/haproxy", "usr/bin/caddy", "usr/sbin/nghttpd"];

/// The directory; made by debootstrap the first time, which takes half a minute. It stays as it is until it is removed.
///
/// # Errors
/// debootstrap is missing and cannot be installed, fails, or apt knows no mirror of Debian.
pub(super) fn root() -> Result<PathBuf> {
    let mut key = Key::default();
    PACKAGES.iter().for_each(|package| key.add(package.as_bytes()));
    let root = cache::dir()?.join("debian").join(format!("sid-{}", key.name()));
    let is_whole = || PROGRAMS.iter().all(|program| root.join(program).is_file());
    if root.exists() && !is_whole() {
        // Some caches are restored without what can be run.
        fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
    }
    if !root.exists() {
        needs::ensure(&[DEBOOTSTRAP, UNSHARE])?;
        let mirrors = debian::mirrors().context("there is nothing to take sid from: write --peers=system")?;
        cache::keep(&root, |partial| {
            println!("installing Debian sid with {} into {} (once)", PACKAGES.join(", "), root.display());
            // In a mount namespace, so that nothing stays mounted in it, whatever way this ends.
            let mut command = Command::new("unshare");
            command.args(["--mount", "debootstrap", "--variant=minbase"]);
            command
                .arg(format!("--include={}", PACKAGES.join(",")))
                .arg("sid")
                .arg(partial)
                .arg(&mirrors.main);
            let log = format!("{}.log", root.display());
            let file = fs::File::create(&log).with_context(|| format!("making {log}"))?;
            command.stdout(file.try_clone()?).stderr(file);
            must_succeed(&mut command).with_context(|| format!("see {log}"))
        })?;
        ensure!(is_whole(), "the packages of sid have other programs than {}", PROGRAMS.join(", "));
    }
    Ok(root)
}
