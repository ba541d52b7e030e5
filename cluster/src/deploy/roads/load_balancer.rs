//! A Service of type LoadBalancer whose machines keep clients' addresses.
//!
//! No cloud is here to give it an address: its status gets one, as a cloud's controller would write it, and a route of the
//! network brings packets for that address to one machine after the other. kube-proxy does the rest.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::arrival;
use super::balancer::ip;
use crate::deploy::scenario;
use crate::enter;
use crate::handle::Cluster;
use crate::kubectl::NODE_NAMESPACE;
use crate::machines::Node;
use crate::network::{CLIENT, CLIENT_V4, CLIENT_V6};
use crate::process::until;

/// The load balancer's addresses, which no machine has.
const V4: &str = "10.30.0.1";
const V6: &str = "fd00:10:30::1";
const SERVICE: &str = "service/sluice-node";

/// Makes requests of the load balancer's addresses by way of each machine, and of each machine's own port for the Service.
///
/// # Errors
/// A request is not served, another address than the client's arrives, or a machine serves what came to another one.
pub(super) fn check(cluster: &Cluster) -> Result<()> {
    let service = service(cluster)?;
    ensure!(service["spec"]["externalTrafficPolicy"] == "Local", "the chart made {service}");
    let port = |value: &Value| value.as_u64().context("a Service without a port");
    let (health, own) =
        (port(&service["spec"]["healthCheckNodePort"])?, port(&service["spec"]["ports"][0]["nodePort"])?);
    give_address(cluster)?;
    for node in cluster.nodes()? {
        wait_for(cluster, &format!("http://{}:{health}/", node.v4), 200)?;
        let routes = format!("route replace {V4} via {}\nroute replace {V6} via {}\n", node.v4, node.v6);
        ip(cluster, &routes, &["-netns", CLIENT])?;
        let bases = [
            (format!("http://{V4}"), CLIENT_V4),
            (format!("http://[{V6}]"), CLIENT_V6),
            (format!("http://{}:{own}", node.v4), CLIENT_V4),
            (format!("http://[{}]:{own}", node.v6), CLIENT_V6),
        ];
        for (base, client) in bases {
            // Rules of kube-proxy come a moment after the address.
            scenario::until_served(cluster, &base)?;
            let served = arrival::check(cluster, &base, client)?;
            let here = pod_of(cluster, &node)?;
            ensure!(served == [here.clone()], "{base} by {}: {served:?} served, not {here}", node.name);
            println!("{base} by way of {}: served there, client {client}", node.name);
        }
    }
    Ok(())
}

fn service(cluster: &Cluster) -> Result<Value> {
    let text = cluster.say_in(NODE_NAMESPACE, &["get", SERVICE, "--output=json"])?;
    Ok(serde_json::from_str(&text)?)
}

/// The part of a cloud's controller.
fn give_address(cluster: &Cluster) -> Result<()> {
    let ingress = [V4, V6].map(|ip| json!({ "ip": ip, "ipMode": "VIP" }));
    let status = json!({ "status": { "loadBalancer": { "ingress": ingress } } });
    let words = ["patch", SERVICE, "--subresource=status", "--type=merge", "--patch", &status.to_string()];
    cluster.say_in(NODE_NAMESPACE, &words).map(drop)
}

/// Waits until this URL of a node returns this status.
///
/// # Errors
/// It does not in time.
pub(super) fn wait_for(cluster: &Cluster, url: &str, status: u16) -> Result<()> {
    until(&format!("{url} returns {status}"), || {
        let mut curl = enter::client(cluster, "curl")?;
        let output =
            curl.args(["--silent", "--max-time", "2", "--write-out", "\n%{http_code}", url]).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.ends_with(&format!("\n{status}")).then_some(()))
    })
}

fn pod_of(cluster: &Cluster, node: &Node) -> Result<String> {
    let field = format!("--field-selector=spec.nodeName={}", node.name);
    let name = "--output=jsonpath={.items[*].metadata.name}";
    Ok(cluster.say_in(NODE_NAMESPACE, &["get", "pods", arrival::NODES, &field, name])?.trim().to_owned())
}
