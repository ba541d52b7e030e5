//! apt with lists, a cache and an architecture of its own, so that this machine's are left alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};
use sluice_tooling::cache;
use sluice_tooling::debian::{self, Mirrors};
use sluice_tooling::needs::{self, APT, DEBIAN_KEYRING, DEBIAN_KEYS, DPKG_DEB};

use crate::platform::Platform;

/// The release whose libraries images have: the stable one.
pub const SUITE: &str = "trixie";

/// The age that package lists may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// The mirror is asked.
    Current,
    /// Those that were fetched last, if there are any: no network is needed.
    Cached,
}

/// A package's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `all`, or one that it was built for.
    pub architecture: String,
    /// Of the file, in hexadecimal digits.
    pub sha256: String,
    /// Where it lies.
    pub file: PathBuf,
}

/// A release of Debian for one platform. No other process of ours changes its folder meanwhile.
pub struct Apt {
    suite: String,
    architecture: &'static str,
    /// Lists and settings are this machine's.
    of_machine: bool,
    dir: PathBuf,
    _lock: File,
}

impl Apt {
    /// The release of this name.
    ///
    /// # Errors
    /// apt or Debian's keys are missing, or the lists cannot be fetched.
    pub fn open(suite: &str, platform: Platform, lists: Lists, mirrors: Option<Mirrors>) -> Result<Self> {
        let is_word = !suite.is_empty() && suite.bytes().all(|byte| byte.is_ascii_alphanumeric());
        ensure!(is_word, "--suite {suite}: write the name of a release of Debian");
        needs::ensure(&[APT, DPKG_DEB, DEBIAN_KEYS])?;
        let apt = Self::locked(suite, platform, false)?;
        // Written last, so that it is there only with lists that are whole.
        let whole = apt.dir.join("whole");
        if lists == Lists::Current || !whole.exists() {
            let mirrors = mirrors.map_or_else(debian::mirrors, Ok).context("name one with --mirror")?;
            apt.update(&mirrors)?;
            fs::write(whole, "")?;
        }
        Ok(apt)
    }

    /// That of a lab, where nothing needs to be fetched that is at hand: [`SUITE`], or the release that this machine runs
    /// where apt has no mirror of Debian. Ubuntu's packages have the same names and files.
    ///
    /// # Errors
    /// As of [`Apt::open`].
    pub fn for_lab(platform: Platform) -> Result<Self> {
        needs::ensure(&[APT, DPKG_DEB])?;
        if debian::mirrors().is_ok() {
            return Self::open(SUITE, platform, Lists::Cached, None);
        }
        let text = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
        let suite = text.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        Self::locked(
            suite.context("/etc/os-release has no VERSION_CODENAME")?.trim_matches('"'),
            platform,
            true,
        )
    }

    fn locked(suite: &str, platform: Platform, of_machine: bool) -> Result<Self> {
        let architecture = platform.architecture();
        let kind = if of_machine { "machine" } else { "apt" };
        let dir = cache::dir()?.join("debian").join(format!("{kind}-{suite}-{architecture}"));
        for name in ["lists/partial", "archives/partial", "packages"] {
            fs::create_dir_all(dir.join(name)).with_context(|| format!("making {}", dir.display()))?;
        }
        let lock = File::create(dir.join("lock"))?;
        lock.lock().with_context(|| format!("locking {}", dir.display()))?;
        Ok(Self { suite: suite.to_owned(), architecture, of_machine, dir, _lock: lock })
    }

    /// The release's name.
    pub fn suite(&self) -> &str {
        &self.suite
    }

    fn update(&self, mirrors: &Mirrors) -> Result<()> {
        fs::write(self.dir.join("sources.list"), sources(&self.suite, mirrors))?;
        fs::write(self.dir.join("status"), "")?;
        self.run(&self.dir, &["--quiet=2", "--error-on=any", "update"]).map(drop)
    }

    /// The newest versions of these packages, fetched where they are not at hand.
    ///
    /// # Errors
    /// There is no such package, or it cannot be fetched.
    pub fn packages(&self, names: &[String]) -> Result<Vec<Package>> {
        let mut words = vec!["download", "--print-uris"];
        words.extend(names.iter().map(String::as_str));
        let text = self.run(&self.dir, &words)?;
        let mut packages: Vec<_> = text.lines().filter_map(|line| package(line, &self.dir)).collect();
        ensure!(packages.len() == names.len(), "apt-get names {} of {names:?}: {text}", packages.len());
        for package in &mut packages {
            let to = package.file.parent().context("a package lies in a folder")?;
            cache::keep(to, |partial| {
                fs::create_dir(partial)?;
                // It holds the file against its digest in the signed lists.
                self.run(
                    partial,
                    &["--quiet=2", "download", &format!("{}={}", package.name, package.version)],
                )?;
                Ok(())
            })?;
            let content =
                fs::read(&package.file).with_context(|| format!("reading {}", package.file.display()))?;
            package.sha256 = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        }
        Ok(packages)
    }

    /// Runs apt-get in a folder; gives its output. The machine's settings, such as a proxy, hold as well.
    fn run(&self, at: &Path, words: &[&str]) -> Result<String> {
        let dir = self.dir.display();
        let mut command = Command::new("apt-get");
        let own = [
            format!("Dir::State={dir}"),
            format!("Dir::State::lists={dir}/lists"),
            format!("Dir::State::status={dir}/status"),
            format!("Dir::Cache={dir}"),
            format!("Dir::Cache::archives={dir}/archives"),
            format!("Dir::Etc::sourcelist={dir}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            "Dir::Etc::preferences=/dev/null".to_owned(),
            "Dir::Etc::preferencesparts=/dev/null".to_owned(),
            format!("APT::Architecture={}", self.architecture),
            // An empty value clears the list that the machine has.
            "APT::Architectures=".to_owned(),
            format!("APT::Architectures::={}", self.architecture),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        for setting in own.iter().filter(|_| !self.of_machine) {
            command.arg("--option").arg(setting);
        }
        let output = command.args(words).current_dir(at).output().context("starting apt-get")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("apt-get {} for {} {}: {}", words.join(" "), self.suite, self.architecture, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// apt's list of sources: the release, and its fixes where it gets any. sid has them in itself.
fn sources(suite: &str, mirrors: &Mirrors) -> String {
    let line =
        |mirror: &str, suite: &str| format!("deb [signed-by={DEBIAN_KEYRING}] {mirror} {suite} main\n");
    let mut text = line(&mirrors.main, suite);
    if !["sid", "unstable"].contains(&suite) {
        text.push_str(&line(&mirrors.main, &format!("{suite}-updates")));
        if let Some(security) = &mirrors.security {
            text.push_str(&line(security, &format!("{suite}-security")));
        }
    }
    text
}

/// A line of `apt-get download --print-uris`: address, file name, size and `SHA256:` or another one with a digest, which
/// gives the folder its name.
fn package(line: &str, dir: &Path) -> Option<Package> {
    let [_, file, _, digest] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
    let (_, digest) = digest.split_once(':')?;
    let [name, version, architecture] = file.strip_suffix(".deb")?.split('_').collect::<Vec<_>>()[..] else {
        return None;
    };
    Some(Package {
        name: name.to_owned(),
        // apt writes the colon of an epoch as URLs do.
        version: version.replace("%3a", ":"),
        architecture: architecture.to_owned(),
        sha256: String::new(),
        file: dir.join("packages").join(digest.get(..16)?).join(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_its_fixes_and_sid_has_none() {
        let mirrors =
            Mirrors { main: "http://a.example/".to_owned(), security: Some("http://s.example/".to_owned()) };
        let text = sources("trixie", &mirrors);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("] http://s.example/ trixie-security main\n"), "{text}");
        assert!(text.lines().all(|line| line.contains("signed-by=")), "{text}");
        assert_eq!(sources("sid", &mirrors).lines().count(), 1);
    }

    #[test]
    fn a_line_of_apt_names_a_package() {
        let line = "'http://a.example/pool/l/libx_1%3a2.3-4%2bdeb13u1_arm64.deb' libx_1%3a2.3-4+deb13u1_arm64.deb 7 \
                    SHA256:00112233445566778899aabbccddeeff";
        let package = package(line, Path::new("/cache")).unwrap();
        assert_eq!((package.name.as_str(), package.version.as_str()), ("libx", "1:2.3-4+deb13u1"));
        assert_eq!(package.architecture, "arm64");
        assert_eq!(
            package.file,
            Path::new("/cache/packages/0011223344556677/libx_1%3a2.3-4+deb13u1_arm64.deb")
        );
        assert_eq!(super::package("Reading package lists...", Path::new("/")), None);
    }
}
