//! `kubectl sluice`: this program under the name `kubectl-sluice`, by which kubectl finds it as a plugin.
//!
//! Its commands are about the cluster that kubectl would use, where those of `sluice` are about files and the process on this
//! machine.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use serde::Deserialize;

use super::{End, check, explain, print, version};
use crate::cli::{CheckArgs, ExplainArgs, Output, VersionArgs};

/// The name of the program as a plugin.
const NAME: &str = "kubectl-sluice";
/// Pods of the chart and of `deploy/kubernetes`.
const SELECTOR: &str = "app.kubernetes.io/name=sluice";
/// Containers that have a status, the first of a pod's.
const CONTAINERS: [&str; 2] = ["node", "controller"];

/// Checks and explains what is in a cluster, and shows the status of its Sluice.
#[derive(Debug, Parser)]
#[command(name = "kubectl sluice", bin_name = "kubectl sluice", version, subcommand_required = true)]
#[command(after_help = "Exit codes: 0 done; 1 the resources have errors or the command failed; 2 bad flags.")]
pub(crate) struct Plugin {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Debug, Subcommand)]
enum PluginCommand {
    /// Check the resources of the cluster, or of files if some are named; exit 1 if they have errors.
    Check(Box<CheckArgs>),
    /// Show which rule a request matches in the cluster, or in DIR if it is named, and why the others do not.
    Explain(Box<ExplainArgs>),
    /// Show the status of every pod of Sluice.
    Status(PodsArgs),
    /// Print the versions of Sluice and of Gateway API.
    Version(VersionArgs),
}

/// `kubectl sluice status`.
#[derive(Debug, Args)]
struct PodsArgs {
    /// Namespace of the pods; all by default.
    #[arg(short, long)]
    namespace: Option<String>,
    /// Shows the pods of this node alone.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// A context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Output format of each pod.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// True if a program that was started by this word is the plugin.
pub(crate) fn is_plugin(program: Option<&OsStr>) -> bool {
    program.and_then(|program| Path::new(program).file_stem()).is_some_and(|name| name == NAME)
}

/// Runs a command of the plugin.
pub(super) fn run(plugin: Plugin) -> anyhow::Result<End> {
    match plugin.command {
        PluginCommand::Check(mut args) => {
            args.cluster.cluster |= args.paths.is_empty();
            check::run(*args)
        }
        PluginCommand::Explain(mut args) => {
            args.cluster.cluster |= is_without_directory(&args.words);
            explain::run(*args)
        }
        PluginCommand::Status(args) => status(&args),
        PluginCommand::Version(args) => version::run(args.output).map(|()| End::Done),
    }
}

/// True if the words of `explain` say what to explain and name no directory: METHOD and URL, or the URL of a connection alone.
fn is_without_directory(words: &[String]) -> bool {
    let is_connection =
        |url: &String| ["tcp://", "tls://", "udp://"].iter().any(|scheme| url.starts_with(scheme));
    match words.last() {
        Some(url) if is_connection(url) => words.len() == 1,
        _ => words.len() < 3,
    }
}

/// The parts that are read of a list of pods.
#[derive(Deserialize)]
struct Pods {
    items: Vec<Pod>,
}

#[derive(Deserialize)]
struct Pod {
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    namespace: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    name: String,
}

impl Pod {
    fn container(&self) -> Option<&'static str> {
        CONTAINERS.into_iter().find(|name| self.spec.containers.iter().any(|one| one.name == *name))
    }
}

/// Asks each pod through the API server, as `kubectl exec` does; exit 1 if one does not answer.
fn status(args: &PodsArgs) -> anyhow::Result<End> {
    let mut list = kubectl(args);
    list.args(["get", "pods", "-l", SELECTOR, "-o", "json"]);
    match &args.namespace {
        Some(namespace) => list.args(["-n", namespace]),
        None => list.arg("-A"),
    };
    let listed = list.stderr(Stdio::inherit()).output().context("kubectl: install it, or put it on PATH")?;
    ensure!(listed.status.success(), "kubectl cannot list the pods of Sluice");
    let pods: Pods = serde_json::from_slice(&listed.stdout).context("kubectl's list of pods")?;
    let is_meant = |pod: &&Pod| args.node.is_none() || args.node == pod.spec.node_name;
    let asked: Vec<_> =
        pods.items.iter().filter(is_meant).filter_map(|pod| Some((pod, pod.container()?))).collect();
    if asked.is_empty() {
        let node = args.node.as_ref().map(|node| format!(" on node {node}")).unwrap_or_default();
        bail!("no pod of Sluice ({SELECTOR}){node}: name its --namespace or --context, or install the chart");
    }
    let mut end = End::Done;
    for (pod, container) in asked {
        let Metadata { name, namespace } = &pod.metadata;
        let node = pod.spec.node_name.as_deref().unwrap_or("no node");
        if args.output == Output::Table || args.output == Output::Wide {
            print(&format!("pod {namespace}/{name} ({container}) on {node}:\n"))?;
        }
        let mut exec = kubectl(args);
        exec.args(["exec", "-n", namespace, name, "-c", container, "--", "sluice", "status", "-o"]);
        let answered = exec.arg(format_name(args.output)).status().context("kubectl exec")?;
        if !answered.success() {
            end = End::Found;
        }
    }
    Ok(end)
}

/// The word of a format on the command line.
fn format_name(output: Output) -> String {
    output.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn kubectl(args: &PodsArgs) -> Process {
    let mut kubectl = Process::new("kubectl");
    kubectl.args(args.context.iter().map(|context| format!("--context={context}")));
    kubectl
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_what_stands_before_the_request() {
        let is = |words: &[&str]| {
            is_without_directory(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
        };
        assert!(is(&["GET", "http://a/"]) && is(&["tcp://10.0.0.1:53"]));
        assert!(!is(&["dir", "GET", "http://a/"]) && !is(&["dir", "udp://10.0.0.1:53"]));
    }

    #[test]
    fn the_name_of_the_program_decides() {
        for (program, plugin) in [
            ("/usr/bin/kubectl-sluice", true),
            ("kubectl-sluice.exe", true),
            ("/usr/bin/sluice", false),
            ("kubectl-sluice-more", false),
        ] {
            assert_eq!(is_plugin(Some(OsStr::new(program))), plugin, "{program}");
        }
        assert!(!is_plugin(None));
    }
}
