//! The verdict of a real API server on every object that the charts render: by server-side dry runs, so that files of values do
//! not meet each other.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::matrix::Rendering;
use crate::documents::{self, Document};
use crate::go;
use crate::handle::Cluster;
use crate::process::until;

/// The definitions of the Prometheus operator.
const MONITORING: &str = "github.com/prometheus-operator/prometheus-operator";
const KINDS: [&str; 2] = ["servicemonitors", "prometheusrules"];

/// Asks the server about all of them.
pub(super) fn check(cluster: &Cluster, renderings: &[Rendering]) -> Result<()> {
    install_monitoring(cluster)?;
    let (mut objects, mut pods) = (0, 0);
    for Rendering { name, documents } in renderings {
        let judged = make_namespaces(cluster, documents).and_then(|()| {
            let text = documents::join(documents);
            without_warning(cluster, &["apply", "--server-side", "--dry-run=server"], &text)?;
            objects += documents.len();
            pods += admit_pods(cluster, documents)?;
            Ok(())
        });
        judged.with_context(|| format!("conformance/chart/values/{name}"))?;
    }
    println!("API server: {objects} objects and {pods} pods are accepted without a warning");
    Ok(())
}

fn install_monitoring(cluster: &Cluster) -> Result<()> {
    let dir = go::unpacked(&go::module("monitoring"), MONITORING)?.join("example/prometheus-operator-crd");
    let file = |kind: &str| dir.join(format!("monitoring.coreos.com_{kind}.yaml"));
    cluster.apply(&KINDS.map(file))?;
    established(cluster)
}

/// Waits until the server knows the kinds of all definitions.
pub(super) fn established(cluster: &Cluster) -> Result<()> {
    let mut wait = cluster.kubectl()?;
    wait.args(["wait", "crd", "--all", "--for=condition=Established", "--timeout=60s"]);
    let output = wait.output().context("starting kubectl")?;
    ensure!(output.status.success(), "kubectl wait: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// Namespaces are real: objects in one that is not there are refused. Those that a rendering does not make are made plain, as
/// the operator has them.
fn make_namespaces(cluster: &Cluster, documents: &[Document]) -> Result<()> {
    let own: Vec<_> = documents.iter().filter(|one| one.kind() == "Namespace").collect();
    for name in documents.iter().filter_map(Document::namespace) {
        let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        if !own.iter().any(|one| one.name() == name) {
            without_warning(cluster, &["apply", "--server-side"], &object.to_string())?;
        }
    }
    match own.is_empty() {
        true => Ok(()),
        false => {
            without_warning(cluster, &["apply", "--server-side", "--force-conflicts"], &documents::join(own))
        }
    }
}

/// Has the server admit the pod of each workload, as the workload's controller would create it.
fn admit_pods(cluster: &Cluster, documents: &[Document]) -> Result<usize> {
    let accounts: Vec<_> = documents.iter().filter(|one| one.kind() == "ServiceAccount").collect();
    // A pod of an account that is not there is refused.
    without_warning(cluster, &["apply", "--server-side", "--force-conflicts"], &documents::join(accounts))?;
    let restricted = |name: &str| {
        documents.iter().any(|one| {
            let level = &one.object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
            one.kind() == "Namespace" && one.name() == name && level == "restricted"
        })
    };
    let mut count = 0;
    for workload in documents.iter().filter(|one| ["Deployment", "DaemonSet"].contains(&one.kind())) {
        let namespace = workload.namespace().context("a workload has a namespace")?;
        create(cluster, &pod(workload, namespace))
            .with_context(|| format!("a pod of {}", workload.name()))?;
        count += 1;
        if workload.kind() == "Deployment" && restricted(namespace) {
            must_be_enforced(cluster, workload, namespace)?;
        }
    }
    Ok(count)
}

/// The same pod in the network of its machine must be refused: else the level would be enforced by nobody.
fn must_be_enforced(cluster: &Cluster, workload: &Document, namespace: &str) -> Result<()> {
    let mut wrong = pod(workload, namespace);
    wrong["spec"]["hostNetwork"] = true.into();
    match create(cluster, &wrong) {
        Ok(()) => bail!("{namespace} lets a pod into the network of its machine"),
        Err(error) if format!("{error:#}").contains("violates PodSecurity \"restricted") => Ok(()),
        Err(error) => Err(error).context("refused, but not by its Pod Security level"),
    }
}

fn pod(workload: &Document, namespace: &str) -> Value {
    let mut pod = workload.object["spec"]["template"].clone();
    pod["apiVersion"] = "v1".into();
    pod["kind"] = "Pod".into();
    pod["metadata"]["name"] = workload.name().into();
    pod["metadata"]["namespace"] = namespace.into();
    pod
}

fn create(cluster: &Cluster, pod: &Value) -> Result<()> {
    without_warning(cluster, &["create", "--dry-run=server"], &pod.to_string())
}

/// A call of kubectl that reads objects; the server must not warn of any of them. The server's lists of kinds and namespaces
/// follow what was made a moment later.
fn without_warning(cluster: &Cluster, words: &[&str], text: &str) -> Result<()> {
    let mut last = String::new();
    let mut tries = 0;
    until("the API server's answer", || {
        let mut command = cluster.kubectl()?;
        command.args(words).args(["--filename", "-"]);
        let (succeeded, said) = feed(command, text)?;
        last = said;
        tries += 1;
        let later = ["no matches for kind", "not found"].iter().any(|part| last.contains(part));
        Ok((succeeded || !later || tries > 20).then_some(succeeded))
    })
    .and_then(|succeeded| {
        ensure!(succeeded, "kubectl {}: {}", words.join(" "), last.trim());
        ensure!(!last.contains("Warning:"), "the API server warns: {}", last.trim());
        Ok(())
    })
}

/// Gives whether it succeeded, and its errors and warnings.
fn feed(mut command: Command, text: &str) -> Result<(bool, String)> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting kubectl")?;
    child.stdin.take().context("kubectl reads nothing")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}
