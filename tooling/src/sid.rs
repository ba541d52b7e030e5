//! Root directories of Debian sid in the cache, for programs that are newer than this machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::cache::{self, Key};
use crate::cargo::must_succeed;
use crate::debian;
use crate::needs::{self, DEBOOTSTRAP, UNSHARE};

/// The contents of a root directory.
#[derive(Clone, Copy)]
pub struct Sid {
    /// Its packages beside those that Debian cannot be without.
    pub packages: &'static [&'static str],
    /// A file of every package that must be there, to see that it is whole.
    pub files: &'static [&'static str],
}

/// Servers of today beside which Sluice is measured, or that stand before it.
pub const SERVERS: Sid = Sid {
    packages: &["nginx", "libnginx-mod-stream", "haproxy", "caddy", "nghttp2-server"],
    files: &[
        "usr/sbin/nginx",
        "usr/lib/nginx/modules/ngx_stream_module.so",
        "usr/sbin/haproxy",
        "usr/bin/caddy",
        "usr/sbin/nghttpd",
    ],
};

impl Sid {
    /// The directory; made by debootstrap the first time, which takes half a minute, and completed by `finish`. It stays as
    /// it is until it is removed.
    ///
    /// # Errors
    /// debootstrap is missing and cannot be installed, fails, or apt knows no mirror of Debian; or those of `finish`.
    pub fn root(&self, finish: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let mut key = Key::default();
        self.packages.iter().for_each(|package| key.add(package.as_bytes()));
        let root = cache::dir()?.join("debian").join(format!("sid-{}", key.name()));
        let is_whole = || self.files.iter().all(|file| root.join(file).exists());
        if root.exists() && !is_whole() {
            // Some caches are restored without what can be run.
            fs::remove_dir_all(&root).with_context(|| format!("removing {}", root.display()))?;
        }
        if !root.exists() {
            needs::ensure(&[DEBOOTSTRAP, UNSHARE])?;
            let mirrors = debian::mirrors()?;
            let packages = self.packages;
            cache::keep(&root, |partial| {
                println!("installing Debian sid with {} into {} (once)", packages.join(", "), root.display());
                // In a mount namespace, so that nothing stays mounted in it, whatever way this ends.
                let mut command = Command::new("unshare");
                command.args(["--mount", "debootstrap", "--variant=minbase"]);
                command.arg(format!("--include={}", packages.join(",")));
                command.arg("sid").arg(partial).arg(&mirrors.main);
                let log = format!("{}.log", root.display());
                let file = fs::File::create(&log).with_context(|| format!("making {log}"))?;
                command.stdout(file.try_clone()?).stderr(file);
                must_succeed(&mut command).with_context(|| format!("see {log}"))?;
                finish(partial)
            })?;
            ensure!(is_whole(), "the packages of sid have other files than {}", self.files.join(", "));
        }
        Ok(root)
    }
}
