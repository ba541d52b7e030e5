//! The verdict of kubectl and the API server: every object is created, without any effect.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use super::Verdict;
use crate::handle::Cluster;
use crate::process;

/// How often a server that is too busy is asked.
const TRIES: u32 = 20;
/// Errors of kubectl about the connection to the server.
const NOT_REACHED: [&str; 4] =
    ["failed to download openapi", "TLS handshake timeout", "connection refused", "Client.Timeout"];

/// An API server that is up.
pub(super) struct Server<'a> {
    cluster: &'a Cluster,
}

impl<'a> Server<'a> {
    /// Waits until the server knows the kinds of the Gateway API.
    pub(super) fn ready(cluster: &'a Cluster) -> Result<Self> {
        let names = ["crd", "--all", "--for=condition=Established", "--timeout=60s"];
        let output = cluster.kubectl()?.arg("wait").args(names).output().context("starting kubectl")?;
        ensure!(output.status.success(), "kubectl wait: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(Self { cluster })
    }

    /// Has the server check a file. Namespaces that are missing are made, since the file's author has them;
    /// kinds that are not installed and objects that are there already say nothing about the file.
    pub(super) fn check(&self, file: &Path) -> Result<Verdict> {
        loop {
            process::check_interrupt()?;
            let lines = self.create(&["--dry-run=server", "--filename"], &file.display().to_string())?;
            let missing: Vec<&str> = lines.iter().filter_map(|line| missing_namespace(line)).collect();
            let mut made = 0;
            for name in missing {
                made += usize::from(self.create(&["namespace"], name)?.is_empty());
            }
            if made == 0 {
                return Ok(Verdict::of(lines));
            }
        }
    }

    /// Errors of `kubectl create` about the object, not about the connection to the server.
    fn create(&self, words: &[&str], last: &str) -> Result<Vec<String>> {
        for _ in 0..TRIES {
            let lines = self.create_once(words, last)?;
            if !lines.iter().any(|line| NOT_REACHED.iter().any(|part| line.contains(part))) {
                return Ok(lines);
            }
            process::check_interrupt()?;
        }
        bail!("the API server is not reached, or too slow; its logs are in {}", self.cluster.dir().display())
    }

    fn create_once(&self, words: &[&str], last: &str) -> Result<Vec<String>> {
        let output = self.cluster.kubectl()?.arg("create").args(words).arg(last).output();
        let output = output.context("starting kubectl")?;
        let said = String::from_utf8_lossy(&output.stderr);
        // Indented lines continue the line before.
        let lines = said.lines().filter(|line| !line.is_empty() && !line.starts_with("Warning:"));
        match output.status.success() {
            true => Ok(Vec::new()),
            false => Ok(lines.map(str::to_owned).collect()),
        }
    }
}

fn missing_namespace(line: &str) -> Option<&str> {
    line.split_once("namespaces \"")?.1.split_once("\" not found").map(|(name, _)| name)
}

/// Of these lines, those about the file itself: kinds that are not installed and objects that are there
/// already say nothing about it.
pub(super) fn of_the_file(lines: &[String]) -> Vec<String> {
    let elsewhere = ["no matches for kind", "ensure CRDs are installed first", "already exists"];
    lines.iter().filter(|line| !elsewhere.iter().any(|part| line.contains(part))).cloned().collect()
}
