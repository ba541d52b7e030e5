//! A process of a cluster as a whole, against a server that does what servers do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_api_types::{Kind, ResourceSet};
use gateway_control::cluster::lease::LeaseTimes;
use gateway_control::cluster::{ClusterTally, Membership, ObservedObjects as _, Outcome, run};
use gateway_control::view::{Live, Tally, View};
use gateway_ir::Generation;
use gateway_snapshot::compile_with;
use gateway_steer::SteerPlan;
use gateway_translate::{NodeReport, TranslateOptions, digests, translate};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::ApiServer;
use crate::until;

const REPORTS: &str = "/apis/sluice.dev/v1alpha1/namespaces/sys/nodereports";

/// One process: what it would be told by its compiler thread, and what it counts.
pub(crate) struct Process {
    server: ApiServer,
    /// Where clients reach its node.
    address: String,
    view: watch::Sender<Arc<View>>,
    tally: Arc<ClusterTally>,
    stop: watch::Sender<bool>,
    _leaves: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Process {
    pub(crate) fn start(server: &ApiServer, node: &str) -> Self {
        Self::start_with(server, node, 0)
    }

    /// With a bound on the writes in a second.
    fn start_with(server: &ApiServer, node: &str, status_qps: u32) -> Self {
        let (view, viewed) = watch::channel(Arc::default());
        let (stop, stopped) = watch::channel(false);
        let (leaves, leaving) = watch::channel(true);
        let tally = Arc::new(ClusterTally::default());
        let times = LeaseTimes { retry: Duration::from_millis(50), ..LeaseTimes::default() };
        let membership = Membership {
            client: server.client(),
            namespace: "sys".to_owned(),
            node: node.to_owned(),
            controller: TranslateOptions::default().controller_name,
            seen: Arc::new(server.clone()),
            seen_changed: server.changed.subscribe(),
            view: viewed,
            times,
            may_lead: true,
            namespaces: Vec::new(),
            tell_after: Duration::ZERO,
            status_qps,
            gateway_accounts: true,
            tally: Arc::clone(&tally),
            pool: None,
            leaves: leaving,
            nodes: None,
            stream: None,
        };
        let task = tokio::spawn(run(membership, stopped));
        let address = if node == "a" { "10.0.0.1" } else { "10.0.0.2" }.to_owned();
        Self { server: server.clone(), address, view, tally, stop, _leaves: leaves, task }
    }

    /// Has what the server holds translated and made live.
    pub(crate) fn serve(&self) {
        let kinds = [Kind::GatewayClass, Kind::Gateway, Kind::HttpRoute];
        let objects = kinds.iter().flat_map(|kind| {
            let keys = self.server.keys(*kind);
            keys.into_iter().filter_map(|key| self.server.object(*kind, &key)).collect::<Vec<_>>()
        });
        let resources: ResourceSet = objects.map(|object| (object, None)).collect();
        let translation = translate(&resources, &TranslateOptions::default());
        let ir = Arc::new(translation.ir);
        let live = Live {
            generation: Generation(1),
            since: Timestamp::now(),
            ir: Arc::clone(&ir),
            snapshot: Arc::new(compile_with(&ir, Generation(1), None)),
            endpoints: Arc::default(),
            plan: Arc::new(SteerPlan::of(&ir)),
            refused: Arc::default(),
        };
        let report = NodeReport {
            generation: Generation(1),
            gateways: digests(&ir),
            addresses: vec![self.address.parse().unwrap()],
            ..NodeReport::default()
        };
        self.view.send_replace(Arc::new(View {
            live: Some(live),
            translated: Arc::new(translation.status),
            report: Arc::new(report),
            tally: Tally { reconciled: 1, ..Tally::default() },
            ..View::default()
        }));
    }

    fn written(&self, kind: Kind, outcome: Outcome) -> u64 {
        self.tally.statuses().get(&(kind, outcome)).copied().unwrap_or_default()
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }
}

/// A server with a class, a Gateway and a route.
async fn server() -> ApiServer {
    let server = ApiServer::start().await;
    let class = json!({"metadata": {"name": "sluice", "generation": 1}, "spec": {"controllerName": "sluice.dev/gateway"}});
    server.apply(Kind::GatewayClass, class);
    server.apply(Kind::Gateway, gateway(1, 80));
    let route = json!({"metadata": {"name": "r", "namespace": "edge", "generation": 1},
        "spec": {"parentRefs": [{"name": "gw"}], "rules": [{}]}});
    server.apply(Kind::HttpRoute, route);
    server
}

fn gateway(generation: i64, port: u16) -> Value {
    json!({"metadata": {"name": "gw", "namespace": "edge", "generation": generation},
        "spec": {"gatewayClassName": "sluice", "listeners": [{"name": "web", "port": port, "protocol": "HTTP"}]}})
}

/// `status` and `observedGeneration` of a condition of the Gateway.
fn said(server: &ApiServer, type_: &str) -> String {
    let gateway = server.object_of(Kind::Gateway, "edge", "gw");
    let conditions = gateway["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let one = conditions.iter().find(|one| one["type"] == json!(type_));
    one.map_or("-".to_owned(), |one| {
        format!("{} {}", one["status"].as_str().unwrap(), one["observedGeneration"])
    })
}

fn addresses(server: &ApiServer) -> Vec<String> {
    let gateway = server.object_of(Kind::Gateway, "edge", "gw");
    let all = gateway["status"]["addresses"].as_array().cloned().unwrap_or_default();
    all.iter().map(|one| one["value"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_status_is_written_once_and_again_after_a_change() {
    let server = server().await;
    let process = Process::start(&server, "a");
    process.serve();
    // The server has a write before the process has heard of its success and counted it.
    let written = |kind| process.written(kind, Outcome::Written);
    let all = [Kind::GatewayClass, Kind::Gateway, Kind::HttpRoute];
    until("all is written", || all.iter().all(|kind| written(*kind) == 1)).await;
    assert_eq!(said(&server, "Programmed"), "True 1");
    // Something that is none of our business wakes the loop again and again.
    for n in 0..5 {
        server.edit(Kind::Gateway, "edge", "gw", |gateway| {
            gateway["metadata"]["labels"] = json!({"n": n.to_string()})
        });
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(process.written(Kind::Gateway, Outcome::Written), 1);
    server.apply(Kind::Gateway, gateway(2, 81));
    process.serve();
    until("the new generation is written", || said(&server, "Programmed") == "True 2").await;
    until("that is counted", || written(Kind::Gateway) == 2).await;
    let all = process.tally.statuses();
    let want = [(Kind::GatewayClass, 1), (Kind::Gateway, 2), (Kind::HttpRoute, 1)];
    assert_eq!(all, want.map(|(kind, count)| ((kind, Outcome::Written), count)).into_iter().collect());
    until("people hear of it", || !server.writes("events.k8s.io").is_empty()).await;
}

#[tokio::test]
async fn a_new_route_has_its_status_before_those_that_wait_for_their_turn() {
    const WAITING: usize = 400;
    let server = server().await;
    let route = |name: &str, created: &str| {
        let metadata =
            json!({"name": name, "namespace": "edge", "generation": 1, "creationTimestamp": created});
        json!({"metadata": metadata, "spec": {"parentRefs": [{"name": "gw"}], "rules": [{}]}})
    };
    for n in 0..WAITING {
        server.apply(Kind::HttpRoute, route(&format!("r{n}"), "2026-01-01T00:00:00Z"));
    }
    let process = Process::start_with(&server, "a", 20);
    process.serve();
    let written = || server.writes("/httproutes/").len();
    until("some are written", || written() > 20).await;
    server.apply(Kind::HttpRoute, route("new", "2026-01-01T00:00:01Z"));
    process.serve();
    let before = written();
    until("the new one is written", || {
        server.object_of(Kind::HttpRoute, "edge", "new").get("status").is_some()
    })
    .await;
    // Half a second's writes, which were planned before, and those under way.
    let meanwhile = written() - before;
    assert!(meanwhile <= 10 + 16, "{meanwhile} of {WAITING} were written before");
    assert!(written() < WAITING, "nobody waits any more");
}

#[tokio::test]
async fn a_route_that_names_no_gateway_is_told_once_in_a_generation_whoever_leads() {
    let server = server().await;
    let lost = |generation: i64| {
        json!({"metadata": {"name": "lost", "namespace": "edge", "generation": generation, "uid": "u"},
            "spec": {"parentRefs": [{"name": "gwx"}], "rules": [{}]}})
    };
    server.apply(Kind::HttpRoute, lost(1));
    let told = || {
        let all = server.all("/apis/events.k8s.io/v1/namespaces/edge/events/lost.");
        all.iter().map(|event| event["note"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = Process::start(&server, "a");
    first.serve();
    until("the owner is told", || told().len() == 1).await;
    assert_eq!(told(), ["parentRefs[0]: no Gateway \"edge/gwx\"; did you mean \"edge/gw\"?"]);
    let route = server.object_of(Kind::HttpRoute, "edge", "lost");
    assert_eq!(route.get("status"), None, "its status is nobody's of ours");
    first.stop().await;

    let second = Process::start(&server, "b");
    second.serve();
    until("the next leader has tried too", || second.tally.events().0 > 0).await;
    assert_eq!(told().len(), 1);
    server.apply(Kind::HttpRoute, lost(2));
    second.serve();
    until("an edit that does not help is told again", || told().len() == 2).await;
}

#[tokio::test]
async fn a_stale_cache_costs_a_conflict_and_nobodys_status() {
    let server = server().await;
    let process = Process::start(&server, "a");
    server.freeze(true);
    let note = json!({"type": "example.com/Note", "status": "True", "reason": "R", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"});
    server.edit(Kind::Gateway, "edge", "gw", |gateway| gateway["status"] = json!({"conditions": [note]}));
    process.serve();
    until("the server refused", || process.written(Kind::Gateway, Outcome::Conflict) == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(process.written(Kind::Gateway, Outcome::Conflict), 1, "it waits for the watch");
    server.freeze(false);
    until("written after all", || said(&server, "Programmed") == "True 1").await;
    let gateway = server.object_of(Kind::Gateway, "edge", "gw");
    assert_eq!(gateway["status"]["conditions"][0], note);
}

#[tokio::test]
async fn what_the_server_refuses_is_tried_again() {
    let server = server().await;
    // Not 429 and 503, which the client library tries again by itself.
    server.fail("gateways/gw/status", &[500, 500, 500]);
    let process = Process::start(&server, "a");
    process.serve();
    until("written after all", || said(&server, "Programmed") == "True 1").await;
    until("all failures are counted", || process.written(Kind::Gateway, Outcome::Failed) == 3).await;
    let written = || process.written(Kind::GatewayClass, Outcome::Written);
    until("that others were written is counted", || written() == 1).await;
}

#[tokio::test]
async fn without_the_definition_of_reports_a_node_counts_itself() {
    let server = server().await;
    server.without("nodereports");
    let process = Process::start(&server, "a");
    process.serve();
    until("written", || said(&server, "Programmed") == "True 1").await;
    // A report is tried again after one second, and what the server lacks is believed after five.
    assert!(server.writes("nodereports").len() > 1, "the definition may have been on its way");
    assert!(process.tally.reports().contains_key(&Outcome::Failed));
}

#[tokio::test]
async fn the_leader_waits_for_the_other_node() {
    let server = server().await;
    let a = Process::start(&server, "a");
    a.serve();
    until("a leads", || said(&server, "Programmed") == "True 1").await;
    let b = Process::start(&server, "b");
    b.serve();
    // Of what a's watch has brought nothing else tells.
    until("a has heard b", || addresses(&server) == ["10.0.0.1", "10.0.0.2"]).await;
    server.apply(Kind::Gateway, gateway(2, 81));
    a.serve();
    until("a knows of it", || said(&server, "Accepted") == "True 2").await;
    assert_eq!(said(&server, "Programmed"), "True 1", "b has not applied it");
    b.serve();
    until("both have applied it", || said(&server, "Programmed") == "True 2").await;
    b.stop().await;
    assert_eq!(server.get(&format!("{REPORTS}/b")), None, "who stops takes its report along");
    server.apply(Kind::Gateway, gateway(3, 82));
    a.serve();
    until("b is ignored", || said(&server, "Programmed") == "True 3").await;
    let reports: BTreeMap<_, _> = a.tally.reports();
    assert!(reports[&Outcome::Written] >= 1 && !reports.contains_key(&Outcome::Failed), "{reports:?}");
}

#[tokio::test]
async fn a_watch_of_reports_that_is_refused_or_cut_goes_on() {
    let server = server().await;
    let (a, b) = (Process::start(&server, "a"), Process::start(&server, "b"));
    a.serve();
    b.serve();
    until("each has heard the other", || addresses(&server) == ["10.0.0.1", "10.0.0.2"]).await;
    for (generation, port) in [(2, 81), (3, 82)] {
        server.fail("nodereports", &[500, 500]);
        server.cut();
        server.apply(Kind::Gateway, gateway(generation, port));
        a.serve();
        b.serve();
        let want = format!("True {generation}");
        until("both have applied it, and the leader has heard", || said(&server, "Programmed") == want).await;
    }
    assert_eq!(addresses(&server), ["10.0.0.1", "10.0.0.2"], "nobody was forgotten");
}

#[tokio::test]
async fn another_process_goes_on_where_the_leader_stopped() {
    let server = server().await;
    let a = Process::start(&server, "a");
    a.serve();
    until("a leads", || said(&server, "Programmed") == "True 1").await;
    let b = Process::start(&server, "b");
    b.serve();
    a.stop().await;
    server.apply(Kind::Gateway, gateway(2, 81));
    b.serve();
    until("b leads", || said(&server, "Programmed") == "True 2").await;
    assert!(b.tally.leads());
    assert_eq!(b.written(Kind::HttpRoute, Outcome::Written), 0, "what a has written stays as it is");
}

/// Routes beside the one that is there.
fn add_routes(server: &ApiServer, count: usize) {
    for n in 0..count {
        let route = json!({"metadata": {"name": format!("r{n:04}"), "namespace": "edge", "generation": 1},
            "spec": {"parentRefs": [{"name": "gw"}], "rules": [{}]}});
        server.apply(Kind::HttpRoute, route);
    }
}

#[tokio::test]
async fn many_routes_do_not_keep_a_gateway_waiting() {
    let server = server().await;
    add_routes(&server, 400);
    // Sixteen at once: the routes alone take five seconds.
    server.slow("httproutes", Duration::from_millis(200));
    let process = Process::start(&server, "a");
    process.serve();
    until("routes are being written", || !server.writes("httproutes").is_empty()).await;
    server.apply(Kind::Gateway, gateway(2, 81));
    process.serve();
    until("the Gateway is written", || said(&server, "Programmed") == "True 2").await;
    assert!(server.writes("httproutes").len() < 401, "the routes were first");
    server.slow("httproutes", Duration::ZERO);
    until("every route is written", || process.written(Kind::HttpRoute, Outcome::Written) == 401).await;
    assert!(server.writes("httproutes").iter().all(|code| *code == 200), "and once only");
    assert_eq!(server.writes("httproutes").len(), 401);
}
