//! The first process of a cluster: starts its parts in order, then reaps whatever ends.
//!
//! It is process 1 of a PID namespace, so when it ends, in whatever way, the kernel kills every other process
//! of the cluster, and the mount and network namespaces go with them. A node that is a machine of its own has such a
//! process, too ([`super::machine`]), in a PID namespace within this one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use serde_json::json;

use super::control_plane as control;
use super::machine::{self, Machine};
use super::machines::Node;
use super::parts::Parts;
use super::settings::{READY, Settings};
use super::{mounts, network};

/// Starts everything and stays until it is killed or until a part ends.
pub(super) fn run(dir: &Path) -> Result<()> {
    let settings = Settings::read(dir)?;
    ensure!(std::process::id() == 1, "only the first process of a PID namespace may do this");
    let mut parts = Parts::new(&settings.program, &dir.join("log"), "")?;
    start(dir, &settings, &mut parts)?;
    parts.stay()
}

fn start(dir: &Path, settings: &Settings, parts: &mut Parts) -> Result<()> {
    mounts::make(dir)?;
    network::make(settings.nodes)?;
    let (pki, nodes) = (dir.join("pki"), settings.nodes.all());
    make_pki(&settings.program, &pki, &nodes)?;
    parts.component(control::etcd(dir))?;
    parts.component(control::api_server(dir, &pki)?)?;
    // Images come in while the API server starts.
    for node in &nodes {
        match node.apart {
            true => parts.start(&node.name, &mut machine::command(dir, node)?)?,
            false => Machine::new(dir, node).start_containerd(parts, &settings.images)?,
        }
    }
    parts.until("the API server is ready", || control::get(&pki, "/readyz").is_some())?;
    parts.component(control::controller_manager(&pki))?;
    parts.component(control::scheduler(&pki))?;
    for node in nodes.iter().filter(|node| !node.apart) {
        Machine::new(dir, node).start_kubelet(parts)?;
    }
    for node in &nodes {
        let path = format!("/api/v1/nodes/{}", node.name);
        parts.until(&format!("{} is ready", node.name), || {
            control::get(&pki, &path).is_some_and(|node| machine::is_ready(&node))
        })?;
        if node.apart {
            let ranges = json!({ "podCIDR": node.pods_v4, "podCIDRs": [node.pods_v4, node.pods_v6] });
            control::patch(&pki, &path, &json!({ "spec": ranges }).to_string())?;
        }
    }
    // Without it no pod is admitted.
    let account = "/api/v1/namespaces/default/serviceaccounts/default";
    parts.until("the controllers work", || control::get(&pki, account).is_some())?;
    Ok(fs::write(dir.join(READY), "")?)
}

fn make_pki(program: &Path, pki: &Path, nodes: &[Node]) -> Result<()> {
    let addresses = ["127.0.0.1", "::1", network::NODE_V4, network::NODE_V6, network::API_V4];
    let node = |node: &Node| format!("{}=127.0.0.1,::1,{},{}", node.name, node.v4, node.v6);
    let output = Command::new(program)
        .arg("pki")
        .arg(pki)
        .args([control::url(), addresses.join(",")])
        .args(nodes.iter().map(node))
        .output()?;
    ensure!(output.status.success(), "making certificates: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
