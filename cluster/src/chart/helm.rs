//! Helm, built from its Go module.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail, ensure};

use crate::cargo::workspace;
use crate::enter;
use crate::go::{self, Program};
use crate::handle::Cluster;

/// The namespace of a release that renders both namespaces of the chart, and its name.
pub(crate) const RELEASE: [&str; 3] = ["sluice", "--namespace", "default"];
/// The release of the definitions, with its chart.
pub(crate) const DEFINITIONS: [&str; 4] = ["sluice-crds", super::CRDS, "--namespace", "default"];

/// The program.
pub(crate) struct Helm {
    program: PathBuf,
}

impl Helm {
    /// Built if it is not there.
    pub(crate) fn build() -> Result<Self> {
        let module = go::module("helm");
        let version = go::version(&module, "helm.sh/helm/v3")?;
        let kubernetes = go::version(&module, "k8s.io/client-go")?;
        let ldflags = ldflags(&version, &kubernetes)?;
        let package = "helm.sh/helm/v3/cmd/helm";
        let program = Program { module: &module, package, name: "helm", tests: false, ldflags: &ldflags };
        Ok(Self { program: program.build()? })
    }

    /// A call of it in the checkout, outside of any cluster, and without the settings of whoever runs this.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        plain(&mut command);
        command
    }

    /// A call of it that reaches the cluster as an administrator.
    pub(crate) fn command_in(&self, cluster: &Cluster) -> Result<Command> {
        let mut command = enter::network(cluster, &self.program.display().to_string())?;
        plain(&mut command);
        command.env("KUBECONFIG", cluster.kubeconfig());
        Ok(command)
    }

    /// Has it judge charts strictly.
    pub(super) fn lint(&self, charts: &[&str]) -> Result<()> {
        let said = must_succeed(self.command().args(["lint", "--strict", "--quiet"]).args(charts))?;
        println!("helm lint: {} charts{}", charts.len(), said.trim());
        Ok(())
    }

    /// Renders a chart with more flags.
    pub(super) fn template(&self, chart: &str, flags: &[&str]) -> Result<String> {
        must_succeed(self.command().arg("template").args(RELEASE).arg(chart).args(flags))
    }

    /// Its error for values of the gateway's chart.
    pub(super) fn refusal(&self, values: &Path) -> Result<String> {
        let mut command = self.command();
        command.arg("template").args(RELEASE).arg(super::CHART).arg("--values").arg(values);
        let output = command.output().context("starting helm")?;
        ensure!(!output.status.success(), "{}: accepted, and should be refused", values.display());
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn plain(command: &mut Command) {
    command.current_dir(workspace()).env_remove("KUBECONFIG").env("HELM_DRIVER", "secret");
    // Plug-ins and repositories of this machine are not looked at.
    command
        .env("HELM_PLUGINS", "/nonexistent")
        .env("HELM_REPOSITORY_CONFIG", "/nonexistent/repositories.yaml");
}

/// Runs it, and gives its output.
pub(crate) fn must_succeed(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().context("starting helm")?;
    if !status.success() {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        bail!("helm {}: {}", words.join(" "), String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8(stdout)?)
}

/// Flags by which helm knows its version and that of Kubernetes, as its own build sets them; without the latter it takes
/// every cluster that it does not ask for Kubernetes 1.20.
fn ldflags(version: &str, client_go: &str) -> Result<String> {
    let minor = client_go.strip_prefix("v0.").and_then(|rest| rest.split('.').next());
    let minor = minor.with_context(|| format!("{client_go} is no version of client-go"))?;
    let mut flags = format!("-s -w -X helm.sh/helm/v3/internal/version.version={version}");
    for package in ["lint/rules", "chartutil"] {
        for (name, value) in [("Major", "1"), ("Minor", minor)] {
            flags.push_str(&format!(" -X helm.sh/helm/v3/pkg/{package}.k8sVersion{name}={value}"));
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helm_is_told_versions() {
        let flags = ldflags("v3.22.0", "v0.37.2").unwrap();
        assert!(flags.contains("version.version=v3.22.0 "), "{flags}");
        assert!(flags.contains("chartutil.k8sVersionMinor=37"), "{flags}");
        assert!(ldflags("v3.22.0", "v12.0.0").is_err());
    }
}
