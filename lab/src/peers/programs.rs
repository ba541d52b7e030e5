//! The peers' programs: of today out of Debian sid, or those that are installed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use gateway_testkit::netns::Inside;
use serde::Serialize;

use super::{program, sid, wheel};
use crate::needs::{self, HAPROXY, NGINX};

/// `--peers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Source {
    /// nginx, HAProxy and Caddy of Debian sid, fetched once into the cache, and Envoy's Python package.
    Sid,
    /// nginx and HAProxy of this system, of whatever version; Caddy and Envoy if they are installed.
    System,
}

/// A program of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Nginx,
    Haproxy,
    Caddy,
    Envoy,
    /// A server of HTTP/2 beside them, which is never measured.
    Nghttpd,
}

impl Program {
    /// Those that are measured.
    pub(crate) const ALL: [Self; 4] = [Self::Nginx, Self::Haproxy, Self::Caddy, Self::Envoy];

    /// Its name, on the command line and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
            Self::Nghttpd => "nghttpd",
        }
    }

    /// The argument that makes it print its version.
    fn version_flag(self) -> &'static str {
        match self {
            Self::Nginx | Self::Haproxy => "-v",
            Self::Caddy => "version",
            Self::Envoy | Self::Nghttpd => "--version",
        }
    }

    /// The oldest version that figures are worth anything beside: years-old peers flatter us.
    fn least(self) -> Option<(u32, u32)> {
        match self {
            Self::Nginx => Some((1, 30)),
            Self::Haproxy => Some((3, 2)),
            Self::Caddy | Self::Envoy | Self::Nghttpd => None,
        }
    }
}

/// A peer and its version as it prints it: `1.30.6`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PeerVersion {
    pub(crate) peer: &'static str,
    pub(crate) version: String,
}

impl fmt::Display for PeerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.peer, self.version)
    }
}

/// Where the peers are called from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    /// The root directory that they run in; the system's own if there is none.
    root: Option<PathBuf>,
    /// Envoy, which no Debian has.
    envoy: Option<PathBuf>,
    versions: Vec<PeerVersion>,
}

impl Programs {
    /// Finds the programs, fetching what is missing, and prints their versions.
    ///
    /// # Errors
    /// One cannot be fetched or started, or is older than what Sluice is measured beside.
    pub(crate) fn find(source: Source, wanted: &[Program]) -> Result<Self> {
        let mut found = Self::default();
        let wants = |program| wanted.contains(&program);
        match source {
            Source::Sid if wanted.is_empty() => {}
            Source::Sid => {
                found.root = Some(sid::root()?);
                found.envoy = wants(Program::Envoy).then(wheel::envoy).transpose()?;
            }
            Source::System => {
                let packaged = [(Program::Nginx, NGINX), (Program::Haproxy, HAPROXY)];
                let needed: Vec<_> = packaged.into_iter().filter(|(program, _)| wants(*program)).collect();
                needs::ensure(&needed.into_iter().map(|(_, need)| need).collect::<Vec<_>>())?;
            }
        }
        for program in wanted {
            found.add_version(source, *program)?;
        }
        if !found.versions.is_empty() {
            let list: Vec<_> = found.versions.iter().map(ToString::to_string).collect();
            println!("peers: {}", list.join(", "));
        }
        Ok(found)
    }

    fn add_version(&mut self, source: Source, peer: Program) -> Result<()> {
        let mut command = self.call(peer, None);
        let output = match command.arg(peer.version_flag()).output() {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && source == Source::System
                    && peer.least().is_none() =>
            {
                return Ok(());
            }
            output => output.with_context(|| format!("starting {}", peer.name()))?,
        };
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let version = version(&text).with_context(|| format!("{} tells no version: {text}", peer.name()))?;
        let root = self.root.as_deref().unwrap_or(Path::new("/"));
        ensure_new(source, peer, version, root)?;
        self.versions.push(PeerVersion { peer: peer.name(), version: version.to_owned() });
        Ok(())
    }

    /// The versions of those that were found.
    pub(crate) fn versions(&self) -> &[PeerVersion] {
        &self.versions
    }

    /// The version of a program, if it was found.
    pub(crate) fn version(&self, program: Program) -> Option<&str> {
        let found = self.versions.iter().find(|found| found.peer == program.name())?;
        Some(&found.version)
    }

    /// A call, pinned to a CPU if one is given. It runs in its own root directory, which has the scratch directory of a
    /// namespace at the same place once that was [entered](Self::enter).
    pub(crate) fn call(&self, peer: Program, cpu: Option<usize>) -> Command {
        match (&self.root, &self.envoy) {
            (_, Some(envoy)) if peer == Program::Envoy => program(envoy, cpu),
            (Some(root), _) => {
                let mut command = program("chroot", cpu);
                command.arg(root).arg(peer.name());
                command
            }
            (None, _) => program(peer.name(), cpu),
        }
    }

    /// Shows the scratch directory of a namespace, devices and processes in the peers' root directory: for that
    /// namespace alone.
    ///
    /// # Errors
    /// They cannot be mounted.
    pub(crate) fn enter(&self, inside: &Inside) -> Result<()> {
        let Some(root) = &self.root else { return Ok(()) };
        let scratch = inside.scratch().path().parent().context("a scratch directory without a parent")?;
        for dir in [scratch, Path::new("/dev"), Path::new("/proc")] {
            let to = root.join(dir.strip_prefix("/").context("a scratch directory without a whole path")?);
            inside
                .show(dir, &to)
                .with_context(|| format!("showing {} at {}", dir.display(), to.display()))?;
        }
        Ok(())
    }
}

/// The first number with a point in it: of `nginx version: nginx/1.30.6`, `1.30.6`.
fn version(text: &str) -> Option<&str> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.').map(|n| n.trim_matches('.'));
    numbers.find(|number| number.contains('.'))
}

/// The system's own may be of any version: its user asked for that.
fn ensure_new(source: Source, peer: Program, version: &str, root: &Path) -> Result<()> {
    let Some(least) = peer.least().filter(|_| source == Source::Sid) else { return Ok(()) };
    let mut numbers = version.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        bail!("{} tells no version: {version}", peer.name());
    };
    ensure!(
        (major, minor) >= least,
        "{} {version} is older than {}.{}: remove {} to have it fetched again, or write --peers=system to measure \
         beside it all the same",
        peer.name(),
        least.0,
        least.1,
        root.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, want) in [
            ("nginx version: nginx/1.30.6\n", "1.30.6"),
            ("HAProxy version 3.2.26-1 2026/10/14 - https://haproxy.org/", "3.2.26"),
            ("2.11.4\n", "2.11.4"),
            ("envoy  version: 0c1e9/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
        ] {
            assert_eq!(version(text), Some(want));
        }
        assert_eq!(version("not found."), None);
    }

    #[test]
    fn old_peers_are_refused_with_a_way_out() {
        let check = |peer, version| ensure_new(Source::Sid, peer, version, Path::new("/cache/sid"));
        for (peer, version) in
            [(Program::Nginx, "1.30.0"), (Program::Nginx, "2.0.1"), (Program::Haproxy, "3.10.1")]
        {
            check(peer, version).unwrap();
        }
        for (peer, version) in
            [(Program::Nginx, "1.22.1"), (Program::Nginx, "1.29.9"), (Program::Haproxy, "3.1.9")]
        {
            let error = check(peer, version).unwrap_err().to_string();
            assert!(error.contains("/cache/sid") && error.contains("--peers=system"), "{error}");
            ensure_new(Source::System, peer, version, Path::new("/")).unwrap();
        }
        check(Program::Caddy, "0.1").unwrap();
    }
}
