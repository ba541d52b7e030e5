//! One number of routes: cold start, then changes one after another while a client sends at a steady rate.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use gateway_testkit::http::Client;
use serde::Serialize;
use sluice_bench::load::Mode;

use super::api::{self, Api, Writes};
use super::objects::{self, GATEWAY, NAMESPACE, STEADY_HOST, STEADY_PORT};
use super::{Args, Programs};
use crate::load_client::LoadClient;
use crate::process::{Process, check_interrupt, until};
use sluice_cluster::condition;
use sluice_cluster::conformance::gateway::{Gateway, Roles};
use sluice_cluster::conformance::install::install;
use sluice_cluster::enter::{self, inside};
use sluice_cluster::handle::Cluster;
use sluice_cluster::network::NODE_V4;

/// Figures of one number of routes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Figures {
    pub(super) routes: usize,
    /// From the start of the process until every route is served.
    pub(super) cold_served_ms: u64,
    /// From the start of the process until every route's status says that it is accepted.
    pub(super) cold_status_ms: u64,
    /// From sending a route's change to the API server until the first correct response; sorted.
    pub(super) change_us: Vec<u64>,
    pub(super) rss_empty_kib: u64,
    pub(super) rss_kib: u64,
    /// The same of the controller, where it is another process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) controller: Option<[u64; 2]>,
    /// Writes until all was accepted, and during the changes.
    pub(super) cold_status_writes: u64,
    pub(super) change_status_writes: u64,
    pub(super) other_writes: u64,
    /// Of the client at a steady rate.
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) steady_p99_us: u64,
}

/// Resident memory of the gateway's processes.
struct Rss {
    kib: u64,
    controller_kib: Option<u64>,
}

impl Rss {
    fn read(gateway: &Gateway<'_>) -> Result<Self> {
        Ok(Self { kib: gateway.cost()?.rss_kib, controller_kib: gateway.controller_rss_kib()? })
    }
}

/// Requests a second of the steady client.
const RATE: u64 = 1000;
/// Between two changes.
const CHANGE_INTERVAL: Duration = Duration::from_millis(200);
/// The steady client goes on for so long after the last change is due.
const STEADY_MARGIN: Duration = Duration::from_secs(3);
/// Between two requests until the first correct response.
const POLL_INTERVAL: Duration = Duration::from_micros(500);
/// Memory is looked at once the work is done and buffers are given back.
const SETTLE_TIME: Duration = Duration::from_secs(5);

/// The whole run in a cluster that is up and empty.
pub(super) fn run(
    args: &Args,
    programs: &Programs,
    cluster: &Cluster,
    dir: &Path,
    routes: usize,
) -> Result<Figures> {
    install(cluster)?;
    let _proxy = api::proxy(cluster, dir)?;
    let _backends = backends(programs, cluster, dir)?;
    inside(cluster, || {
        let mut api = Api::connect()?;
        objects::base().iter().try_for_each(|object| api.create(object))
    })?;
    let empty = measure_empty(args.roles, programs, cluster, dir)?;
    println!("{routes} routes: writing them");
    api::create_routes(cluster, routes)?;
    inside(cluster, || measure_filled(args, programs, cluster, dir, routes, empty))
}

/// Processes of the cluster, so that they end with it whatever becomes of us.
fn backends(programs: &Programs, cluster: &Cluster, dir: &Path) -> Result<[Process; 2]> {
    let mut echo = enter::whole(cluster, &programs.sluice.display().to_string())?;
    echo.args(["echo", "--listen", &format!("{NODE_V4}:{}", objects::ECHO_PORT)]);
    let mut steady = enter::whole(cluster, &programs.bench.display().to_string())?;
    steady.args(["backend", "--listen", &format!("{NODE_V4}:{STEADY_PORT}")]);
    Ok([Process::spawn("echo", dir, &mut echo)?, Process::spawn("steady", dir, &mut steady)?])
}

/// Statuses as fast as the API server takes them: what they cost is measured, and not their bound.
const UNBOUNDED: [&str; 1] = ["--status-qps=0"];

/// Memory with one route.
fn measure_empty(roles: Roles, programs: &Programs, cluster: &Cluster, dir: &Path) -> Result<Rss> {
    let gateway = Gateway::start(&programs.sluice, cluster, dir, roles, &UNBOUNDED)?;
    inside(cluster, || {
        let to = address(&mut Api::connect()?)?;
        until("the first route is served", || Ok(is_served(to, STEADY_HOST, "/").then_some(())))
    })?;
    thread::sleep(SETTLE_TIME);
    let rss = Rss::read(&gateway)?;
    gateway.stop()?;
    Ok(rss)
}

fn measure_filled(
    args: &Args,
    programs: &Programs,
    cluster: &Cluster,
    dir: &Path,
    routes: usize,
    empty: Rss,
) -> Result<Figures> {
    let mut api = Api::connect()?;
    let at_first = Writes::read(&mut api)?;
    println!("{routes} routes: cold start");
    let began = Instant::now();
    let gateway = Gateway::start(&programs.sluice, cluster, dir, args.roles, &UNBOUNDED)?;
    let to = address(&mut api)?;
    let mut client = Client::connect(to)?;
    (0..routes)
        .try_for_each(|n| wait_until_served(&mut client, &objects::host(n), &objects::first_path(n)))?;
    let cold_served_ms = millis(began);
    until("every route is accepted", || Ok((accepted(&mut api)? > routes).then_some(())))?;
    let cold_status_ms = millis(began);
    let cold = Writes::read(&mut api)?.since(at_first);
    thread::sleep(SETTLE_TIME);
    let full = Rss::read(&gateway)?;
    println!("{routes} routes: {} changes beside {RATE} requests/s", args.changes);
    let mut steady = steady(args, programs, cluster, dir, to)?;
    let before = Writes::read(&mut api)?;
    let change_us = changes(args, &mut api, &mut client, routes)?;
    steady.ensure_running("the last change was made")?;
    let report = steady.report()?;
    let after = Writes::read(&mut api)?.since(before);
    gateway.stop()?;
    Ok(Figures {
        routes,
        cold_served_ms,
        cold_status_ms,
        change_us,
        rss_empty_kib: empty.kib,
        rss_kib: full.kib,
        controller: empty.controller_kib.zip(full.controller_kib).map(<[u64; 2]>::from),
        cold_status_writes: cold.status,
        change_status_writes: after.status,
        other_writes: after.reports + after.leases + after.events,
        sent: report.sent,
        lost: report.lost(),
        steady_p99_us: report.latency.p99_us,
    })
}

/// The steady client, for a little longer than the changes are planned to take.
fn steady(
    args: &Args,
    programs: &Programs,
    cluster: &Cluster,
    dir: &Path,
    to: SocketAddr,
) -> Result<LoadClient> {
    let seconds = (CHANGE_INTERVAL * u32::try_from(args.changes)? + STEADY_MARGIN).as_secs_f64();
    let flags = [
        ("--to", to.to_string()),
        ("--host", STEADY_HOST.to_owned()),
        ("--backend", format!("{NODE_V4}:{STEADY_PORT}")),
        ("--rate", RATE.to_string()),
        ("--requests", ((seconds * RATE as f64) as u64).to_string()),
    ];
    let bench = enter::whole(cluster, &programs.bench.display().to_string())?;
    LoadClient::start(bench, dir, "client", Mode::KeepAlive, &flags)
}

fn changes(args: &Args, api: &mut Api, client: &mut Client, routes: usize) -> Result<Vec<u64>> {
    let mut took = Vec::new();
    let began = Instant::now();
    for change in 0..args.changes {
        check_interrupt()?;
        // A prime step goes through all routes before one comes again.
        let number = change * 7919 % routes;
        let path = format!("/anything/moved-{change}");
        let sent = Instant::now();
        api.patch_route(number, &objects::moved(number, &path))?;
        wait_until_served(client, &objects::host(number), &path)?;
        took.push(u64::try_from(sent.elapsed().as_micros())?);
        thread::sleep((CHANGE_INTERVAL * (u32::try_from(change)? + 1)).saturating_sub(began.elapsed()));
    }
    took.sort_unstable();
    Ok(took)
}

/// Repeats the request until the backend responds: a gateway that has no such route sends a local reply.
fn wait_until_served(client: &mut Client, host: &str, path: &str) -> Result<()> {
    until(&format!("http://{host}{path} is served right"), || {
        let response = client.get(host, path).with_context(|| format!("http://{host}{path}"))?;
        // The backend says as JSON what it was asked for.
        if response.status == 200 && response.text().contains(&format!("\"{path}\"")) {
            return Ok(Some(()));
        }
        thread::sleep(POLL_INTERVAL);
        Ok(None)
    })
}

fn is_served(to: SocketAddr, host: &str, path: &str) -> bool {
    gateway_testkit::http::get(to, host, path).is_ok_and(|response| response.reason().is_none())
}

/// The Gateway's address, once it has one.
fn address(api: &mut Api) -> Result<SocketAddr> {
    let path = format!("/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/gateways/{GATEWAY}");
    let text = until("the Gateway has an address", || {
        let gateway = api.json(&path)?;
        Ok(gateway["status"]["addresses"][0]["value"].as_str().map(str::to_owned))
    })?;
    let to =
        SocketAddr::new(text.parse::<IpAddr>().with_context(|| format!("the Gateway's address {text}"))?, 80);
    until("the Gateway's address accepts", || Ok(Client::connect(to).is_ok().then_some(())))?;
    Ok(to)
}

/// How many routes are accepted.
fn accepted(api: &mut Api) -> Result<usize> {
    thread::sleep(Duration::from_millis(200));
    let path = format!("/apis/gateway.networking.k8s.io/v1/namespaces/{NAMESPACE}/httproutes");
    let list = api.json(&path)?;
    let items = list["items"].as_array().context("the API server gave no list")?;
    let accepted = |route: &&serde_json::Value| condition::holds(&route["status"]["parents"][0], "Accepted");
    ensure!(!items.is_empty(), "there are no routes");
    Ok(items.iter().filter(accepted).count())
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
