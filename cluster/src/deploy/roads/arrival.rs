//! Requests by a road, and the client's address at its end.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::enter;
use crate::handle::Cluster;
use crate::kubectl::NODE_NAMESPACE;
use crate::process::until;

/// The pods that serve clients.
pub(super) const NODES: &str = "--selector=app.kubernetes.io/name=sluice-node";
/// Requests by each road, each on a connection of its own.
const REQUESTS: u32 = 6;

/// Makes requests of the example at `base` from the network `client`, whose address there is `client`. The backend and the access log
/// of the node that served must both name it. Gives the nodes' pods that served, in order, each once.
///
/// # Errors
/// A request is not served, or another address arrives.
pub(super) fn check(cluster: &Cluster, base: &str, client: &str) -> Result<Vec<String>> {
    static MARK: AtomicU32 = AtomicU32::new(0);
    let client: IpAddr = client.parse()?;
    let first = MARK.fetch_add(REQUESTS, Ordering::Relaxed);
    let marks: Vec<_> = (first..first + REQUESTS).map(|number| format!("road={number}")).collect();
    for mark in &marks {
        backend_is_told(cluster, &format!("{base}/httpbin/get?{mark}"), client)?;
    }
    let mut refused = None;
    let lines = until(&format!("the access logs have {}", marks.join(", ")), || {
        // A pod that ends between kubectl's two requests makes it fail.
        let words = ["logs", NODES, "--container=node", "--prefix", "--tail=200"];
        let text = cluster.say_in(NODE_NAMESPACE, &words).map_err(|error| refused = Some(error));
        Ok(text.ok().and_then(|text| marks.iter().map(|mark| line(&text, mark)).collect::<Option<Vec<_>>>()))
    });
    let mut served = Vec::new();
    for (pod, logged) in lines.with_context(|| format!("{base}: kubectl logs: {refused:?}"))? {
        ensure!(logged == client, "{base}: the access log has {logged}, the client is {client}");
        served.push(pod);
    }
    served.sort();
    served.dedup();
    Ok(served)
}

/// The same by what the backend is told alone, where not every node can be asked for its log.
///
/// # Errors
/// As [`check`].
pub(super) fn told(cluster: &Cluster, base: &str, client: &str) -> Result<()> {
    let url = format!("{base}/httpbin/get");
    (0..REQUESTS).try_for_each(|_| backend_is_told(cluster, &url, client.parse()?))
}

fn backend_is_told(cluster: &Cluster, url: &str, client: IpAddr) -> Result<()> {
    let seen = ask(enter::client(cluster, "curl")?, url)?;
    let forwarded: IpAddr = forwarded_for(&seen)
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("{url}: no X-Forwarded-For of one address in {seen}"))?;
    ensure!(forwarded == client, "{url}: the backend was told {forwarded}, the client is {client}");
    Ok(())
}

fn ask(mut curl: Command, url: &str) -> Result<Value> {
    let output = curl
        .args(["--silent", "--show-error", "--globoff", "--fail", "--max-time", "10", url])
        .output()
        .context("starting curl")?;
    ensure!(output.status.success(), "curl {url}: {}", String::from_utf8_lossy(&output.stderr).trim());
    serde_json::from_slice(&output.stdout).with_context(|| url.to_owned())
}

/// The one value of the header as the backend of the example prints it.
fn forwarded_for(seen: &Value) -> Option<&str> {
    seen["headers"]["x-forwarded-for"].as_str()
}

/// The pod that has a line of the request in its access log, and the client by that line.
fn line(logs: &str, mark: &str) -> Option<(String, IpAddr)> {
    read(logs.lines().find(|line| line.contains(&format!("?{mark}\"")))?)
}

/// Of `[pod/NAME/node] {…}`, the name and the client.
fn read(line: &str) -> Option<(String, IpAddr)> {
    let (prefix, json) = line.split_once(' ')?;
    let pod = prefix.trim_matches(['[', ']']).split('/').nth(1)?;
    let line: Value = serde_json::from_str(json).ok()?;
    let address = line["client_address"].as_str().or(line["downstream_remote_address"].as_str())?;
    let ip = address.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| address.parse()).ok()?;
    Some((pod.to_owned(), ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_of_a_line_is_the_named_one_or_the_peer() {
        let peer = r#"[pod/sluice-node-a/node] {"downstream_remote_address":"10.10.0.2:5000"}"#;
        assert_eq!(read(peer), Some(("sluice-node-a".to_owned(), "10.10.0.2".parse().unwrap())));
        let named =
            r#"[pod/n/node] {"downstream_remote_address":"10.10.0.3:1","client_address":"[fd00::2]:7"}"#;
        assert_eq!(read(named), Some(("n".to_owned(), "fd00::2".parse().unwrap())));
        let alone = r#"[pod/n/node] {"downstream_remote_address":"10.10.0.3:1","client_address":"fd00::2"}"#;
        assert_eq!(read(alone), read(named));
        assert_eq!(read("[pod/n/node] {}"), None);
    }
}
