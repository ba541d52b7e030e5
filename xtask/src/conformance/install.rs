//! What a cluster needs before the gateway starts: as its operators would, out of `deploy/`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::{fs, io};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::gateway::NAMESPACE;
use crate::cargo::workspace;
use crate::cluster;
use crate::cluster::place::Place;

/// The class of every Gateway of the suite. Its controller name cannot be changed later, so it is ours from the start.
pub(crate) const GATEWAY_CLASS: &str = "sluice";
const CONTROLLER: &str = "sluice.dev/gateway";

/// Installs our definitions, the gateway's namespace and the GatewayClass.
pub(crate) fn install(place: &Place) -> Result<()> {
    let mut crds = cluster::kubectl(place)?;
    crds.args(["apply", "--server-side"]);
    for file in definitions().context("deploy/crds")? {
        crds.arg("--filename").arg(file);
    }
    run(&mut crds, "")?;
    for object in [namespace(), gateway_class()] {
        let mut apply = cluster::kubectl(place)?;
        run(apply.args(["apply", "--server-side", "--filename", "-"]), &object.to_string())?;
    }
    Ok(())
}

fn definitions() -> io::Result<Vec<PathBuf>> {
    let dir = workspace().join("deploy/crds");
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

fn namespace() -> Value {
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAMESPACE } })
}

fn gateway_class() -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
        "metadata": { "name": GATEWAY_CLASS }, "spec": { "controllerName": CONTROLLER },
    })
}

fn run(kubectl: &mut Command, input: &str) -> Result<()> {
    kubectl.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = kubectl.spawn().context("starting kubectl")?;
    child.stdin.take().context("kubectl has no standard input")?.write_all(input.as_bytes())?;
    ensure!(child.wait()?.success(), "kubectl apply failed");
    Ok(())
}
