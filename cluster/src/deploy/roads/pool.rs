//! Addresses of a Gateway's own, which move when the node that has them is lost.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::arrival;
use super::fault::Fault;
use super::load::{Load, port_of};
use super::load_balancer::wait_for;
use super::loss::Evidence;
use crate::deploy::{backend, install, scenario};
use crate::enter;
use crate::handle::Cluster;
use crate::machines::Node;
use crate::network::{CARD, CLIENT_V4, CLIENT_V6, pool_addresses};
use crate::process::until;

/// Readiness of a node, where `--health-address` has it.
const READY: &str = ":15021/healthz/ready";
/// Looks, one after the other, which card has an address by ARP or neighbour discovery.
const LOOKS: u32 = 10;
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Makes requests of both addresses, has the node of the first lose its network and that of the second its power, and come back;
/// gives the number of requests that were made meanwhile.
///
/// # Errors
/// A request is not served, an address does not move as announced, or two nodes keep it.
pub(super) fn check(cluster: &Cluster, load: &mut Load) -> Result<u64> {
    let bases = until("the Gateway has addresses of the pool", || assigned(cluster))?;
    arrives(cluster, &bases)?;
    let mut made = 0;
    for (base, fault) in bases.iter().zip([Fault::Network, Fault::Power]) {
        let owner = until(&format!("one node has {base}"), || only_owner(cluster, base))?;
        made += lose(cluster, load, &bases, &owner, fault)?;
        arrives(cluster, &bases)?;
        ensure!(!has(cluster, &owner, base)?, "{} has {base} again", owner.name);
    }
    Ok(made)
}

fn lose(cluster: &Cluster, load: &mut Load, bases: &[String; 2], owner: &Node, fault: Fault) -> Result<u64> {
    clear(cluster, owner)?;
    let before = Evidence::settled(cluster)?;
    let moving: Vec<_> =
        bases.iter().map(|base| Ok((base, has(cluster, owner, base)?))).collect::<Result<_>>()?;
    let began = Instant::now();
    let mut lost = fault.strike(cluster, owner)?;
    for (base, moves) in moving {
        scenario::until_served(cluster, base)?;
        let seconds = began.elapsed().as_secs_f64();
        if moves {
            let (name, fault) = (&owner.name, fault.name());
            println!("{base}: {name} lost its {fault}, another node served it after {seconds:.1} s");
        }
    }
    Evidence::of(cluster)?.judge(&before)?;
    for (base, client) in bases.iter().zip([CLIENT_V4, CLIENT_V6]) {
        arrival::told(cluster, base, client)?;
    }
    let to = bases.iter().map(|base| port_of(base, 80)).collect::<Result<Vec<_>>>()?;
    load.during(&to, || {
        lost.give_back()?;
        come_back(cluster, owner, bases)
    })
}

/// Both addresses serve, each by one node, and the client's arrives by each.
fn arrives(cluster: &Cluster, bases: &[String; 2]) -> Result<()> {
    for (base, client) in bases.iter().zip([CLIENT_V4, CLIENT_V6]) {
        scenario::until_served(cluster, base)?;
        let served = arrival::check(cluster, base, client)?;
        ensure!(served.len() == 1, "{base}: served by {served:?}");
        println!("{base}: client {client}, by {}", served[0]);
    }
    Ok(())
}

/// The node that is back must not keep the addresses.
fn come_back(cluster: &Cluster, owner: &Node, bases: &[String; 2]) -> Result<()> {
    let began = Instant::now();
    for base in bases {
        let new = until(&format!("one node alone has {base}"), || {
            Ok(only_owner(cluster, base)?.filter(|node| node != owner))
        })?;
        println!("{base}: {} alone has it {:.1} s after the return", new.name, began.elapsed().as_secs_f64());
    }
    cluster.say(&["uncordon", &owner.name])?;
    cluster.wait(&["wait", "--for=condition=Ready", &format!("node/{}", owner.name)])?;
    // After a loss of power the pod's state in the API is older than its process.
    wait_for(cluster, &format!("http://{}{READY}", owner.v4), 200)?;
    for base in bases {
        let new = only_owner(cluster, base)?.with_context(|| format!("{base} is on several nodes"))?;
        answered_by(cluster, base, &new)?;
    }
    Ok(())
}

/// Both addresses of the Gateway, once there are no others.
fn assigned(cluster: &Cluster) -> Result<Option<[String; 2]>> {
    let path = "--output=jsonpath={.status.addresses[*].value}";
    let text = cluster.say(&["--namespace=ingress", "get", "gateway/shared-gateway", path])?;
    let mut all: Vec<_> = text.split_whitespace().collect();
    all.sort_unstable();
    match all[..] {
        [v4, v6] if v4.starts_with("10.20.0.") && v6.starts_with("fd00:10:20::") => {
            Ok(Some([format!("http://{v4}"), format!("http://[{v6}]")]))
        }
        _ => Ok(None),
    }
}

/// The node that has the address on its card, if it is one alone.
fn only_owner(cluster: &Cluster, base: &str) -> Result<Option<Node>> {
    let mut owners = Vec::new();
    for node in cluster.nodes()? {
        if has(cluster, &node, base)? {
            owners.push(node);
        }
    }
    Ok(if owners.len() == 1 { owners.pop() } else { None })
}

fn has(cluster: &Cluster, node: &Node, base: &str) -> Result<bool> {
    let address = port_of(base, 80)?.ip().to_string();
    let all = pool_addresses(|| enter::node(cluster, node, "ip"), CARD)?;
    Ok(all.iter().any(|one| one.split('/').next() == Some(&address)))
}

/// Asks the network again and again who has the address: it must always be the card of this node.
fn answered_by(cluster: &Cluster, base: &str, node: &Node) -> Result<()> {
    let address = port_of(base, 80)?.ip().to_string();
    let card = ["-brief", "link", "show", "dev", CARD];
    let card = said(enter::node(cluster, node, "ip")?.args(card))?;
    let card = card.split_whitespace().nth(2).context("a card has an address")?.to_owned();
    for _ in 0..LOOKS {
        said(enter::client(cluster, "ip")?.args(["neighbour", "flush", "to", &address]))?;
        scenario::until_served(cluster, base)?;
        let found = said(enter::client(cluster, "ip")?.args(["neighbour", "show", "to", &address]))?;
        ensure!(
            found.contains(&card),
            "{base} is {}'s, whose card is {card}; the network says {found}",
            node.name
        );
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

fn said(command: &mut std::process::Command) -> Result<String> {
    let output = command.output().context("starting ip")?;
    ensure!(output.status.success(), "ip: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Has controllers and backends run on other nodes: the loss of those is another test's.
fn clear(cluster: &Cluster, node: &Node) -> Result<()> {
    cluster.say(&["cordon", &node.name])?;
    let on = format!("--field-selector=spec.nodeName={}", node.name);
    let httpbin = ("team2", "deployment/httpbin");
    for object in [install::CONTROLLERS, httpbin, (backend::NAMESPACE, backend::DEPLOYMENT)] {
        cluster.say_in(object.0, &["delete", "pods", &on])?;
        install::rolled_out(cluster, object)?;
    }
    Ok(())
}
