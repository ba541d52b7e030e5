//! The objects of `deploy/kubernetes/apart.yaml`, as a cluster runs them: two controllers, a node that follows the one that leads, and
//! the death of that one under requests.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::install::{APART, GATEWAY_CLASS, apply_documents};
use super::pod::{daemon_set, judge_threads, newest};
use crate::bars;
use crate::deploy::install::POD_TIMEOUT;
use crate::enter;
use crate::handle::Cluster;
use crate::kubectl::{NAMESPACE, NODE_NAMESPACE};
use crate::network::NODE_V4;
use crate::process::until;

/// The manifest's name for a controller, where the lab has no DNS.
const SERVICE: &str = "sluice-controller.sluice-system.svc";
/// A port of the node that nothing else of the lab has.
const PORT: u16 = 8181;

/// Runs them and asks them, on the ports that other gateways have given back.
///
/// # Errors
/// Pods do not become ready, have more rights than they should, or a request is lost when the leader dies.
pub(super) fn judge(cluster: &Cluster, dir: &Path) -> Result<()> {
    start(cluster, dir).context(APART)?;
    let node = ready(cluster, "daemonset/sluice-node", "sluice-node").context(APART)?;
    let threads = judge_threads(0)?;
    println!(
        "{node}: follows, asked through kubectl exec; {threads} threads of three roles without a right too many"
    );
    apply(cluster, dir, "gateway.yaml", &gateway())?;
    apply(cluster, dir, "route.yaml", &route("/first"))?;
    until("the first route", || Ok(status(cluster, "/first").ok().filter(|code| code == "302")))?;
    succession(cluster, dir, &node)
}

fn start(cluster: &Cluster, dir: &Path) -> Result<()> {
    apply_documents(cluster, APART, |kind| kind != "DaemonSet")?;
    cluster.sluice(&["rollout", "status", "deployment/sluice-controller", POD_TIMEOUT])?;
    let address =
        cluster.sluice(&["get", "service/sluice-controller", "--output=jsonpath={.spec.clusterIP}"])?;
    let text = daemon_set(APART, &cluster.join("apart-state"))?;
    ensure!(text.contains(SERVICE), "{APART} has no `{SERVICE}`");
    let file = dir.join("node.yaml");
    fs::write(&file, text.replace(SERVICE, address.trim()))?;
    cluster.apply(&[file])
}

/// Waits for a node's pod that follows; gives its name.
fn ready(cluster: &Cluster, of: &str, name: &str) -> Result<String> {
    cluster.say_in(NODE_NAMESPACE, &["rollout", "status", of, POD_TIMEOUT])?;
    let selector = format!("--selector=app.kubernetes.io/name={name}");
    let words = ["get", "pods", &selector, "--field-selector=status.phase=Running", "--output=name"];
    let pods = cluster.say_in(NODE_NAMESPACE, &words)?;
    let pod = newest(cluster, NODE_NAMESPACE, &pods)?;
    until("the node follows", || Ok(is_connected(cluster, &pod)?.then_some(())))?;
    Ok(pod)
}

fn is_connected(cluster: &Cluster, pod: &str) -> Result<bool> {
    let words = ["exec", pod, "--container=node", "--", "sluice", "status", "--output=json"];
    let text = cluster.say_in(NODE_NAMESPACE, &words)?;
    let status: Value =
        serde_json::from_str(&text).with_context(|| format!("`sluice status` says: {text}"))?;
    Ok(status["controller"]["connected"] == true)
}

/// Kills the leader's pod without a word, and measures how long it is until a change is served that was made then.
fn succession(cluster: &Cluster, dir: &Path, node: &str) -> Result<()> {
    let leader = leader(cluster)?;
    let (stop, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let took = thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut failed = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match status(cluster, "/first") {
                    Ok(code) if code == "302" => drop(requests.fetch_add(1, Ordering::Relaxed)),
                    Ok(code) => failed.push(code),
                    Err(error) => failed.push(format!("{error:#}")),
                }
            }
            failed
        });
        let took = take_over(cluster, dir, &leader);
        stop.store(true, Ordering::Relaxed);
        let Ok(failed) = client.join() else { bail!("the client panicked") };
        ensure!(failed.is_empty(), "requests were lost while the leader died: {}", failed.join("; "));
        took
    })?;
    ensure!(is_connected(cluster, node)?, "the node does not follow the next leader");
    let requests = requests.into_inner();
    ensure!(requests > 0, "nothing was requested meanwhile");
    println!(
        "the leader {leader} was killed: a change was served {:.1} s later, {requests} requests meanwhile, 0 failed",
        took.as_secs_f64()
    );
    let bar = bars::seconds("succession")?;
    ensure!(took.as_secs_f64() <= bar, "that is more than {bar} s");
    Ok(())
}

fn take_over(cluster: &Cluster, dir: &Path, leader: &str) -> Result<Duration> {
    // By a signal: told by its kubelet, it would give the Lease back.
    kill(process_of(leader)?, Signal::SIGKILL).with_context(|| format!("killing {leader}"))?;
    let begun = Instant::now();
    apply(cluster, dir, "route.yaml", &route("/second"))?;
    until("a change by the next leader", || {
        Ok(status(cluster, "/second").ok().filter(|code| code == "302"))
    })?;
    Ok(begun.elapsed())
}

/// The process of a controller's pod, whose host name is the pod's.
fn process_of(pod: &str) -> Result<Pid> {
    let name = pod.trim_start_matches("pod/");
    let host = format!("HOSTNAME={name}\0");
    for process in fs::read_dir("/proc")?.flatten() {
        let file = |file: &str| fs::read(process.path().join(file)).unwrap_or_default();
        let of_pod = file("environ").windows(host.len()).any(|part| part == host.as_bytes());
        if of_pod && file("cmdline").starts_with(b"/sluice\0controller\0") {
            let pid = process.file_name().to_string_lossy().parse().context("a process id")?;
            return Ok(Pid::from_raw(pid));
        }
    }
    bail!("no process of {pod} is to be seen")
}

/// The pod whose address stands in the Lease.
fn leader(cluster: &Cluster) -> Result<String> {
    let path = "--output=jsonpath={.metadata.annotations.sluice\\.dev/stream-address}";
    let address = cluster.sluice(&["get", "lease/sluice-status", path])?;
    let (ip, _) =
        address.trim().rsplit_once(':').with_context(|| format!("the leader's address is {address:?}"))?;
    let selector = format!("--field-selector=status.podIP={ip}");
    let pod = cluster.sluice(&["get", "pods", &selector, "--output=name"])?;
    let pod = pod.trim();
    ensure!(pod.starts_with("pod/"), "no pod has the leader's address {ip}");
    Ok(pod.to_owned())
}

/// The status of a response to a request of the node.
fn status(cluster: &Cluster, path: &str) -> Result<String> {
    let url = format!("http://{NODE_V4}:{PORT}{path}");
    let output = enter::network(cluster, "curl")?
        .args(["--silent", "--show-error", "--max-time", "5", "--output", "/dev/null"])
        .args(["--write-out", "%{http_code}", &url])
        .output()
        .context("starting curl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn apply(cluster: &Cluster, dir: &Path, name: &str, text: &str) -> Result<()> {
    let file = dir.join(name);
    fs::write(&file, text)?;
    cluster.apply(&[file])
}

fn gateway() -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: apart, namespace: {NAMESPACE}}}
spec:
  gatewayClassName: {GATEWAY_CLASS}
  listeners: [{{name: http, protocol: HTTP, port: {PORT}}}]
"
    )
}

/// A route that needs no backend, with its own first path and this one.
fn route(path: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: apart, namespace: {NAMESPACE}}}
spec:
  parentRefs: [{{name: apart}}]
  rules:
  - matches: [{{path: {{value: /first}}}}, {{path: {{value: {path}/}}}}, {{path: {{value: {path}}}}}]
    filters: [{{type: RequestRedirect, requestRedirect: {{hostname: elsewhere.example}}}}]
"
    )
}
