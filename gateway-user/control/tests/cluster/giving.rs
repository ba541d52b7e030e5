//! Addresses of a pool in a cluster: whatever becomes of the object that holds them, nobody loses one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use gateway_control::addresses::assignment_store;
use gateway_control::cluster::lease::LeaseTimes;
use gateway_control::cluster::pool::{self, ObservedAssignments, Wants};
use gateway_control::cluster::{ClusterTally, Membership, PoolDuty, ReportsBy, run};
use gateway_control::stream::{ListenOptions, LocalOptions, Nodes, listen};
use gateway_ir::ObjectName;
use gateway_sync::frame::{Ack, Hello};
use gateway_sync::server::{Leading, Nodes as _, SharedTable};
use gateway_testkit::scratch::Scratch;
use gateway_translate::{AddressWant, Assignment, Assignments};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::server::ApiServer;
use crate::until;

const MAP: &str = "/api/v1/namespaces/sys/configmaps/sluice-addresses";

/// A process that gives addresses, as soon as it leads.
struct Process {
    wants: watch::Sender<Wants>,
    given: watch::Receiver<ObservedAssignments>,
    _kept: (watch::Sender<bool>, watch::Sender<bool>, watch::Sender<Arc<gateway_control::view::View>>),
}

impl Process {
    /// With what it knows from an earlier time.
    fn start(server: &ApiServer, known: Option<Assignments>) -> Self {
        Self::start_with(server, known, None)
    }

    /// As a controller of nodes that report by their streams.
    fn start_with(server: &ApiServer, known: Option<Assignments>, nodes: Option<Arc<Nodes>>) -> Self {
        let (wants, wanted) = watch::channel(None);
        let (gives, given) = watch::channel(ObservedAssignments::kept(known.map(Arc::new)));
        tokio::spawn(pool::follow(server.client(), "sys".to_owned(), gives));
        let (stop, stopped) = watch::channel(false);
        let (leaves, leaving) = watch::channel(true);
        let (view, viewed) = watch::channel(Arc::default());
        let membership = Membership {
            client: server.client(),
            namespace: "sys".to_owned(),
            node: "n".to_owned(),
            controller: "sluice.dev/gateway".to_owned(),
            seen: Arc::new(server.clone()),
            seen_changed: server.changed.subscribe(),
            view: viewed,
            times: LeaseTimes { retry: Duration::from_millis(50), ..LeaseTimes::default() },
            may_lead: true,
            namespaces: Vec::new(),
            tell_after: Duration::ZERO,
            status_qps: 0,
            gateway_accounts: false,
            tally: Arc::new(ClusterTally::default()),
            pool: Some(PoolDuty {
                pool: vec!["10.0.0.0/29".parse().unwrap()],
                wants: wanted,
                given: given.clone(),
            }),
            leaves: leaving,
            nodes: nodes.map(|nodes| (nodes, ReportsBy::Streams)),
            stream: None,
        };
        tokio::spawn(run(membership, stopped));
        Self { wants, given, _kept: (stop, leaves, view) }
    }

    fn want(&self, names: &[&str]) {
        let want = |name: &&str| AddressWant {
            gateway: ObjectName::new("edge", *name),
            created: None,
            fixed: Vec::new(),
            free: true,
            nodes: None,
        };
        self.wants.send_replace(Some(Arc::new(names.iter().map(want).collect())));
    }

    fn has(&self, want: &[&str]) -> bool {
        shown(&self.given.borrow().assignments) == want
    }

    /// Gateway b has the second address, which nobody would be given anew.
    async fn with_b(server: &ApiServer) -> Self {
        let process = Self::start(server, None);
        process.want(&["a", "b"]);
        until("both have one", || process.has(&["a 10.0.0.1", "b 10.0.0.2"])).await;
        process.want(&["b"]);
        until("b is left", || process.has(&["b 10.0.0.2"])).await;
        process
    }
}

fn shown(assignments: &Assignments) -> Vec<String> {
    let all = assignments.given.iter().flat_map(|(gateway, all)| all.iter().map(move |one| (gateway, one)));
    all.map(|(gateway, one)| format!("{} {}", gateway.name, one.address)).collect()
}

/// Assignments of the object, if it can be read.
fn held(server: &ApiServer) -> Option<Vec<String>> {
    let map = server.get(MAP)?;
    Some(shown(&assignment_store::read(map["data"]["assignments.json"].as_str()?).ok()?))
}

fn edit(server: &ApiServer, edit: impl FnOnce(&mut Value)) {
    let mut map = server.get(MAP).unwrap();
    edit(&mut map);
    server.put(MAP, map);
}

/// Every state that a node was told of, from now on.
fn told(process: &Process) -> tokio::task::JoinHandle<BTreeSet<Vec<String>>> {
    let mut given = process.given.clone();
    tokio::spawn(async move {
        let mut all = BTreeSet::new();
        while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(500), given.changed()).await {
            all.insert(shown(&given.borrow_and_update().assignments));
        }
        all
    })
}

#[tokio::test]
async fn an_object_that_is_deleted_is_written_again_and_nobody_moves() {
    let server = ApiServer::start().await;
    let process = Process::with_b(&server).await;
    let told = told(&process);
    server.delete(MAP);
    until("it is written again", || held(&server).is_some()).await;
    assert_eq!(held(&server).unwrap(), ["b 10.0.0.2"]);
    assert_eq!(told.await.unwrap(), BTreeSet::from([vec!["b 10.0.0.2".to_owned()]]));
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_written_again_and_what_others_put_there_stays() {
    let server = ApiServer::start().await;
    let process = Process::with_b(&server).await;
    let told = told(&process);
    edit(&server, |map| {
        map["metadata"]["labels"] = json!({"team": "edge"});
        map["data"] = json!({"assignments.json": "{\"version\": 1,", "note": "hands off"});
    });
    until("it is written again", || held(&server).is_some()).await;
    let map = server.get(MAP).unwrap();
    assert_eq!(held(&server).unwrap(), ["b 10.0.0.2"]);
    assert_eq!(
        (&map["metadata"]["labels"]["team"], &map["data"]["note"]),
        (&json!("edge"), &json!("hands off"))
    );
    assert_eq!(told.await.unwrap(), BTreeSet::from([vec!["b 10.0.0.2".to_owned()]]));
}

#[tokio::test]
async fn what_another_version_wrote_is_left_to_it() {
    let server = ApiServer::start().await;
    let process = Process::with_b(&server).await;
    edit(&server, |map| map["data"]["assignments.json"] = json!("{\"version\": 2}"));
    process.want(&["b", "c"]);
    let leases = server.writes("leases").len();
    until("it had time to write", || server.writes("leases").len() > leases + 20).await;
    assert_eq!(server.get(MAP).unwrap()["data"]["assignments.json"], "{\"version\": 2}");
    assert!(process.has(&["b 10.0.0.2"]), "what it knew is served");
}

#[tokio::test]
async fn who_knows_nothing_overwrites_nothing() {
    let server = ApiServer::start().await;
    server.put(MAP, json!({"metadata": {"name": "sluice-addresses"}, "data": {"assignments.json": "?"}}));
    let process = Process::start(&server, None);
    process.want(&["c"]);
    let leads = || server.writes("leases").len();
    until("it had time to write", || leads() > 20).await;
    assert_eq!(server.writes("configmaps"), [0_u16; 0]);
    edit(&server, |map| map["data"] = json!({}));
    until("it was emptied: all are given anew", || process.has(&["c 10.0.0.1"])).await;
}

#[tokio::test]
async fn a_watch_that_is_refused_or_cut_keeps_what_it_knows_and_goes_on() {
    let server = ApiServer::start().await;
    let process = Process::with_b(&server).await;
    let told = told(&process);
    server.fail("configmaps", &[500, 403]);
    server.cut();
    // An edit of somebody else, while nobody watches or soon after.
    edit(&server, |map| map["data"]["note"] = json!("hands off"));
    process.want(&["b", "c"]);
    until("c has one too", || process.has(&["b 10.0.0.2", "c 10.0.0.1"])).await;
    assert_eq!(server.get(MAP).unwrap()["data"]["note"], "hands off");
    server.cut();
    server.delete(MAP);
    until("it is written again", || held(&server).is_some_and(|held| held == ["b 10.0.0.2", "c 10.0.0.1"]))
        .await;
    let all = [vec!["b 10.0.0.2".to_owned()], vec!["b 10.0.0.2".to_owned(), "c 10.0.0.1".to_owned()]];
    assert!(told.await.unwrap().is_subset(&BTreeSet::from(all)));
}

#[tokio::test]
async fn what_a_node_kept_counts_where_the_cluster_has_nothing() {
    let server = ApiServer::start().await;
    let b = Assignment { address: "10.0.0.2".parse().unwrap(), node: "n".to_owned() };
    let known = Assignments { given: [(ObjectName::new("edge", "b"), vec![b])].into(), ..Default::default() };
    let process = Process::start(&server, Some(known));
    process.want(&["a", "b"]);
    until("it is written", || held(&server).is_some_and(|held| held == ["a 10.0.0.1", "b 10.0.0.2"])).await;
}

/// Addresses and their nodes, as the object has them.
fn owners(server: &ApiServer) -> Option<Vec<String>> {
    let map = server.get(MAP)?;
    let assignments = assignment_store::read(map["data"]["assignments.json"].as_str()?).ok()?;
    Some(assignments.given.values().flatten().map(|one| format!("{} {}", one.address, one.node)).collect())
}

#[tokio::test]
async fn nodes_that_follow_get_addresses_and_one_whose_stream_is_gone_keeps_its_own() {
    let server = ApiServer::start().await;
    let (dir, nodes) = (Scratch::new("giving").unwrap(), Arc::<Nodes>::default());
    nodes.keep_evidence(15011);
    let local = LocalOptions { path: dir.join("nodes.sock"), users: Vec::new() };
    let options = ListenOptions { local, network: None, version: String::new() };
    // Without a Lease nobody says anything else.
    let leading = watch::channel(Leading::Here { term: 0 }).1;
    let table = Arc::new(SharedTable::new(1));
    let _server = listen(options, table, Arc::clone(&nodes), leading, || ()).unwrap();
    let process = Process::start_with(&server, None, Some(Arc::clone(&nodes)));
    process.want(&["a", "b"]);
    let join = |name: &str| {
        let hello = Hello { node: name.to_owned(), ..Hello::default() };
        (&*nodes).joins(&hello).now_or_never().unwrap().unwrap();
        (&*nodes).acknowledges(name, Ack::default());
    };
    join("m");
    join("n");
    let both = ["10.0.0.1 m", "10.0.0.2 n"];
    until("both have one", || owners(&server).is_some_and(|owners| owners == both)).await;
    (&*nodes).leaves("m");
    process.want(&["a", "b", "c"]);
    let all = ["10.0.0.1 m", "10.0.0.2 n", "10.0.0.3 n"];
    until("the one that is there gets more", || owners(&server).is_some_and(|owners| owners == all)).await;
    join("o");
    (&*nodes).withdraws("n");
    let moved = ["10.0.0.1 m", "10.0.0.2 o", "10.0.0.3 o"];
    until("n said that it serves no more", || owners(&server).is_some_and(|owners| owners == moved)).await;
}
