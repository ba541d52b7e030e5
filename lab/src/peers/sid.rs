//! A root directory of Debian sid in the cache, for the programs of peers.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

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
        let mirror = mirror()?;
        cache::keep(&root, |partial| {
            println!("installing Debian sid with {} into {} (once)", PACKAGES.join(", "), root.display());
            // In a mount namespace, so that nothing stays mounted in it, whatever way this ends.
            let mut command = Command::new("unshare");
            command.args(["--mount", "debootstrap", "--variant=minbase"]);
            command.arg(format!("--include={}", PACKAGES.join(","))).arg("sid").arg(partial).arg(&mirror);
            let log = format!("{}.log", root.display());
            let file = fs::File::create(&log).with_context(|| format!("making {log}"))?;
            command.stdout(file.try_clone()?).stderr(file);
            must_succeed(&mut command).with_context(|| format!("see {log}"))
        })?;
        ensure!(is_whole(), "the packages of sid have other programs than {}", PROGRAMS.join(", "));
    }
    Ok(root)
}

/// The mirror that this machine's apt installs Debian's packages from.
fn mirror() -> Result<String> {
    if let Some(mirror) = configured_mirror()? {
        return Ok(mirror);
    }
    // A machine that never fetched the package lists cannot tell whose a mirror is.
    must_succeed(Command::new("apt-get").arg("update"))?;
    match configured_mirror()? {
        Some(mirror) => Ok(mirror),
        None => bail!(
            "apt is configured with no mirror of Debian, so there is none to take sid from: write --peers=system"
        ),
    }
}

fn configured_mirror() -> Result<Option<String>> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN) $(CODENAME) $(REPO_URI)", "Created-By: Packages"]);
    let output = command.output().context("starting apt-get; --peers=system needs none")?;
    Ok(mirror_in(&String::from_utf8_lossy(&output.stdout)))
}

/// The first whole release of Debian among lines of origin, codename and address: that of updates or of security fixes
/// has no sid.
fn mirror_in(text: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (origin, codename, address) = (words.next()?, words.next()?, words.next()?);
        (origin == "Debian" && !codename.contains('-')).then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_a_whole_release_of_debian() {
        let lines = "Node nodistro https://c.example/
Debian bookworm-security http://b.example/debian-security/
Debian bookworm http://a.example/debian/
";
        assert_eq!(mirror_in(lines), Some("http://a.example/debian/".to_owned()));
        assert_eq!(mirror_in("Ubuntu noble http://u.example/ubuntu/\n\n"), None);
    }
}
