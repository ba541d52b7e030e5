//! Nodes that follow controllers over a network: the leader, by its certificate and their tokens.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_control::cluster::lease::{Herald, LeaseTimes};
use gateway_control::cluster::{ClusterTally, Membership, ReportsBy, StreamDuty, run};
use gateway_control::kept::KeptKeys;
use gateway_control::reconcile::Received;
use gateway_control::stream::{
    ControllerAddress, FollowOptions, Following, KeepOptions, ListenOptions, LocalOptions, NetworkAddress,
    NetworkOptions, Nodes, StreamServer, follow, listen,
};
use gateway_control::trust::{AUDIENCE, CONFIG_MAP, Reviewer, SECRET};
use gateway_ir::ObjectName;
use gateway_sync::capability::Capabilities;
use gateway_sync::frame::Ack;
use gateway_sync::item::Desired;
use gateway_sync::server::{Leading, SharedTable};
use gateway_testkit::scratch::Scratch;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::ApiServer;
use crate::until;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/sys/leases/sluice-status";

/// The namespace of the nodes' pods.
const NODE_NAMESPACE: &str = "nodes";

fn secret() -> String {
    format!("/api/v1/namespaces/sys/secrets/{SECRET}")
}

fn config_map() -> String {
    format!("/api/v1/namespaces/{NODE_NAMESPACE}/configmaps/{CONFIG_MAP}")
}

/// A state to serve, told from others by a word.
fn desired(word: &str) -> Desired {
    let gateways = [(ObjectName::new("edge", "gw"), word.to_owned())].into();
    Desired { gateways: Arc::new(gateways), ..Desired::default() }
}

/// A controller with all that nodes see of one.
struct Controller {
    table: Arc<SharedTable>,
    nodes: Arc<Nodes>,
    leading: watch::Receiver<Leading>,
    address: SocketAddr,
    server: Option<StreamServer>,
    task: JoinHandle<()>,
    _kept: (watch::Sender<bool>, watch::Sender<bool>, watch::Sender<Arc<gateway_control::view::View>>),
}

impl Controller {
    fn start(api: &ApiServer, dir: &Scratch, name: &str) -> Self {
        let times = LeaseTimes {
            duration: Duration::from_secs(2),
            deadline: Duration::from_millis(1200),
            retry: Duration::from_millis(50),
        };
        let (leads, leading) = watch::channel(Leading::nobody());
        let (showing, shown) = watch::channel(None);
        let (table, nodes) =
            (Arc::new(SharedTable::new(1 + u64::from(name == "b"))), Arc::new(Nodes::default()));
        let (stop, stopped) = watch::channel(false);
        let (leaves, leaving) = watch::channel(false);
        let (view, viewed) = watch::channel(Arc::default());
        let reviewer = Reviewer::new(api.client(), &[("sys".to_owned(), "sluice-node".to_owned())]);
        let options = ListenOptions {
            local: LocalOptions { path: dir.join(&format!("{name}.sock")), users: Vec::new() },
            network: Some(NetworkOptions { address: ([127, 0, 0, 1], 0).into(), shown, reviewer }),
            version: name.to_owned(),
        };
        let server = listen(options, Arc::clone(&table), Arc::clone(&nodes), leading.clone(), || {}).unwrap();
        let address = server.network_address().unwrap();
        let membership = Membership {
            client: api.client(),
            namespace: "sys".to_owned(),
            node: name.to_owned(),
            controller: "sluice.dev/gateway".to_owned(),
            seen: Arc::new(api.clone()),
            seen_changed: api.changed.subscribe(),
            view: viewed,
            times,
            may_lead: true,
            namespaces: Vec::new(),
            tell_after: Duration::ZERO,
            status_qps: 0,
            gateway_accounts: false,
            tally: Arc::new(ClusterTally::default()),
            pool: None,
            leaves: leaving,
            nodes: Some((Arc::clone(&nodes), ReportsBy::Streams)),
            stream: Some(StreamDuty {
                herald: Herald { address: address.to_string(), leading: leads },
                showing: Some(showing),
                node_namespace: NODE_NAMESPACE.to_owned(),
            }),
        };
        let task = tokio::spawn(run(membership, stopped));
        Self { table, nodes, leading, address, server: Some(server), task, _kept: (stop, leaves, view) }
    }

    fn leads(&self) -> bool {
        matches!(*self.leading.borrow(), Leading::Here { .. })
    }

    fn term(&self) -> u64 {
        match *self.leading.borrow() {
            Leading::Here { term } => term,
            _ => 0,
        }
    }

    /// Ends it without a word to anybody.
    fn kill(&mut self) {
        self.task.abort();
        // Joins the thread that serves.
        self.server = None;
    }

    fn has(&self, node: &str) -> bool {
        self.nodes.lines().iter().any(|line| line.node == node && line.connected)
    }
}

/// A copy is not served before it must be.
const NEVER: Duration = Duration::MAX;

/// A node.
struct Node {
    received: watch::Receiver<Received>,
    acks: watch::Sender<Option<Ack>>,
    following: Following,
}

impl Node {
    fn start(at: SocketAddr, authorities: PathBuf, token: PathBuf) -> Self {
        Self::start_from(at, authorities, token, (None, false, NEVER))
    }

    /// With a copy on disk, perhaps beside a process that serves, and with a time for controllers to be heard before it is served.
    fn start_from(
        at: SocketAddr,
        authorities: PathBuf,
        token: PathBuf,
        (keep, takes_over, copy_after): (Option<KeepOptions>, bool, Duration),
    ) -> Self {
        let network = NetworkAddress { host: at.ip().to_string(), port: at.port(), authorities, token };
        let options = FollowOptions {
            controller: ControllerAddress::Network(network),
            node: "what it says of itself".to_owned(),
            version: "0".to_owned(),
            probe_at: Vec::new(),
            known: Capabilities::default(),
            keep,
            takes_over,
            copy_after,
        };
        let (receives, received) = watch::channel(Received::default());
        let (acks, acked) = watch::channel(None);
        let following = follow(options, receives, (acks.clone(), acked), || {}, || {}).unwrap();
        Self { received, acks, following }
    }

    /// Says that it serves another one of 20 edits.
    fn acknowledge(&self) {
        self.acks.send_modify(|ack| ack.get_or_insert_default().version += 1);
    }

    fn has(&self, word: &str) -> bool {
        let received = self.received.borrow();
        received.desired.as_ref().is_some_and(|one| *one.gateways == *desired(word).gateways)
    }

    fn error(&self) -> String {
        self.following.state().lock().unwrap().error.clone().unwrap_or_default()
    }
}

/// A cluster that judges tokens of the shape "ACCOUNT@NODE for AUDIENCE".
async fn cluster() -> ApiServer {
    ApiServer::start().await
}

fn token(dir: &Scratch, file: &str, text: &str) -> PathBuf {
    dir.write(file, text).unwrap();
    dir.join(file)
}

fn good(dir: &Scratch, node: &str) -> PathBuf {
    token(dir, node, &format!("system:serviceaccount:sys:sluice-node@{node} for {AUDIENCE}"))
}

fn authorities(api: &ApiServer, dir: &Scratch) -> PathBuf {
    let map = api.get(&config_map()).unwrap();
    dir.write("ca.crt", map["data"]["ca.crt"].as_str().unwrap()).unwrap();
    dir.join("ca.crt")
}

#[tokio::test]
async fn nodes_follow_the_leader_from_one_controller_to_the_next() {
    let (api, dir) = (cluster().await, Scratch::new("following").unwrap());
    let mut a = Controller::start(&api, &dir, "a");
    until("a leads", || a.leads()).await;
    let b = Controller::start(&api, &dir, "b");
    until("certificates", || api.get(&secret()).is_some() && api.get(&config_map()).is_some()).await;
    let authorities = authorities(&api, &dir);
    a.table.update(desired("one"));
    b.table.update(desired("one"));
    until("b knows who leads", || {
        *b.leading.borrow() == Leading::Elsewhere { leader: a.address.to_string() }
    })
    .await;
    // The one that it comes to sends it to the other one, and its name is what its token says.
    let node = Node::start(b.address, authorities.clone(), good(&dir, "edge-1"));
    until("the first state", || node.has("one")).await;
    assert!(a.has("edge-1") && b.nodes.lines().is_empty());
    assert_eq!(api.writes("tokenreviews").len(), 1, "who does not lead judges nobody");
    a.table.update(desired("two"));
    until("an edit", || node.has("two")).await;
    // Without an API server who follows stays, and who comes waits.
    let first = a.term();
    api.hang("", usize::MAX);
    until("nobody knows who leads", || *a.leading.borrow() == Leading::Unknown).await;
    a.table.update(desired("three"));
    until("an edit without an API server", || node.has("three")).await;
    let late = Node::start(b.address, authorities.clone(), good(&dir, "edge-2"));
    until("the reason", || late.error().contains("no controller leads")).await;
    assert!(late.received.borrow().desired.is_none());
    api.hang("", 0);
    until("a leads again", || a.leads()).await;
    assert!(a.has("edge-1"));
    until("the other node", || late.has("three")).await;
    // A leader that ends without a word.
    b.table.update(desired("four"));
    let before = a.term();
    assert_eq!(before, first, "it led all the time");
    a.kill();
    until("both follow b", || node.has("four") && late.has("four")).await;
    assert!(b.term() > before && b.has("edge-1") && b.has("edge-2"));
    let lease = api.get(LEASE).unwrap();
    assert_eq!(lease["metadata"]["annotations"]["sluice.dev/stream-address"], b.address.to_string());
}

/// The server is asked by one controller for all nodes: once for each that comes, and never for what they say later.
#[tokio::test]
async fn requests_to_the_server_do_not_grow_with_the_nodes() {
    const NODES: usize = 12;
    let (api, dir) = (cluster().await, Scratch::new("many").unwrap());
    let a = Controller::start(&api, &dir, "a");
    until("certificates", || a.leads() && api.get(&config_map()).is_some()).await;
    let authorities = authorities(&api, &dir);
    a.table.update(desired("first"));
    let start = |number| Node::start(a.address, authorities.clone(), good(&dir, &format!("edge-{number}")));
    let nodes: Vec<_> = (0..NODES).map(start).collect();
    until("all follow", || nodes.iter().all(|node| node.has("first"))).await;
    let others = || api.writes("").len() - api.writes("leases").len();
    let before = others();
    for edit in 0..20 {
        let word = format!("edit {edit}");
        a.table.update(desired(&word));
        until(&word, || nodes.iter().all(|node| node.has(&word))).await;
        nodes.iter().for_each(Node::acknowledge);
    }
    until("their words", || a.nodes.lines().iter().all(|line| line.version == 20)).await;
    assert_eq!(api.writes("tokenreviews").len(), NODES);
    assert_eq!(others(), before);
}

#[tokio::test]
async fn who_may_not_follow_is_told_why_and_gets_nothing() {
    let (api, dir) = (cluster().await, Scratch::new("strangers").unwrap());
    let a = Controller::start(&api, &dir, "a");
    until("certificates", || a.leads() && api.get(&config_map()).is_some()).await;
    let authorities = authorities(&api, &dir);
    a.table.update(desired("one"));
    for (text, why) in [
        ("forged", "not valid"),
        ("system:serviceaccount:shop:default@edge-1 for sluice-controller", "shop:default may not follow"),
        ("system:serviceaccount:sys:sluice-node@edge-1 for https://kubernetes.default.svc", "audience"),
        ("system:serviceaccount:sys:sluice-node@ for sluice-controller", "names no node"),
    ] {
        let node = Node::start(a.address, authorities.clone(), token(&dir, "token", text));
        until(why, || node.error().contains(why)).await;
        assert!(node.received.borrow().desired.is_none());
    }
    // Tokens and authorities are read for each connection.
    let path = token(&dir, "late", "forged");
    let node = Node::start(a.address, authorities.clone(), path);
    until("refused", || node.error().contains("not valid")).await;
    good(&dir, "late");
    until("its new token", || node.has("one")).await;
    let stranger =
        rcgen::generate_simple_self_signed(vec!["sluice-controller".to_owned()]).unwrap().cert.pem();
    dir.write("other.crt", &stranger).unwrap();
    let node = Node::start(a.address, dir.join("other.crt"), good(&dir, "edge-3"));
    until("a controller that it does not trust", || node.error().contains("certificate")).await;
    assert!(!api.writes("tokenreviews").is_empty());
    assert!(!a.has("edge-3"), "its token was not shown to a stranger");
    std::fs::copy(&authorities, dir.join("other.crt")).unwrap();
    until("the right authority", || node.has("one")).await;
    // The token of a node that is judged while the server fails.
    api.fail("tokenreviews", &[500]);
    let node = Node::start(a.address, authorities, good(&dir, "edge-4"));
    until("another attempt", || node.has("one")).await;
}

/// A copy on disk of what one node was told, with the sign that it was served until now.
async fn copy_of_a_killed_node(dir: &Scratch) -> (SocketAddr, PathBuf) {
    let api = cluster().await;
    let mut a = Controller::start(&api, dir, "a");
    until("certificates", || a.leads() && api.get(&config_map()).is_some()).await;
    let authorities = authorities(&api, dir);
    a.table.update(desired("kept"));
    let node =
        Node::start_from(a.address, authorities.clone(), good(dir, "edge-1"), (kept(dir), false, NEVER));
    node.following.keep();
    until("the copy", || node.has("kept") && dir.join("copy.served").exists()).await;
    a.kill();
    (a.address, authorities)
}

fn kept(dir: &Scratch) -> Option<KeepOptions> {
    Some(KeepOptions { path: dir.join("copy"), keys: KeptKeys::LeftOut })
}

/// The process that it takes over from may have keys that the copy has not: an address that refuses is not the end of all. For
/// one that takes over from none, closed ports are worse than the copy.
#[tokio::test]
async fn a_node_that_takes_over_tries_for_a_while_before_it_serves_its_copy_and_another_one_does_not() {
    let dir = Scratch::new("copies").unwrap();
    let (at, authorities) = copy_of_a_killed_node(&dir).await;
    // As after a longer time.
    std::fs::remove_file(dir.join("copy.served")).unwrap();
    let start = |takes_over, copy_after| {
        let how = (kept(&dir), takes_over, copy_after);
        Node::start_from(at, authorities.clone(), good(&dir, "edge-1"), how)
    };
    let node = start(true, NEVER);
    until("an attempt that failed", || !node.error().is_empty()).await;
    let other = start(false, NEVER);
    until("the copy is served by the one that does not take over", || other.has("kept")).await;
    assert!(node.received.borrow().desired.is_none(), "{}", node.error());
    let third = start(true, Duration::ZERO);
    until("the copy is served when its time has come", || third.has("kept")).await;
}

/// Controllers may be there and say nothing: while none of them leads, or their machine is gone.
#[tokio::test]
async fn a_node_that_was_killed_serves_its_copy_at_once() {
    let dir = Scratch::new("killed").unwrap();
    let (_, authorities) = copy_of_a_killed_node(&dir).await;
    // The kernel makes connections to it, and nobody responds.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();
    let start = |takes_over| {
        let how = (kept(&dir), takes_over, NEVER);
        Node::start_from(at, authorities.clone(), good(&dir, "edge-1"), how)
    };
    let successor = start(true);
    let killed = start(false);
    until("the copy", || killed.has("kept")).await;
    assert!(successor.received.borrow().desired.is_none(), "another process serves");
}

#[tokio::test]
async fn certificates_that_are_lost_are_written_again_and_broken_ones_made_anew() {
    let (api, dir) = (cluster().await, Scratch::new("certificates").unwrap());
    let mut a = Controller::start(&api, &dir, "a");
    until("certificates", || a.leads() && api.get(&config_map()).is_some()).await;
    let data = |path: &str| api.get(path).unwrap_or_default()["data"].clone();
    let (first, published) = (data(&secret()), data(&config_map()));
    assert_eq!(first.as_object().unwrap().len(), 4, "{first}");
    assert_eq!(api.get(&secret()).unwrap()["type"], "Opaque");
    api.hang("", usize::MAX);
    until("nobody knows who leads", || *a.leading.borrow() == Leading::Unknown).await;
    api.delete(&secret());
    api.delete(&config_map());
    api.hang("", 0);
    until("both again", || data(&secret()) == first && data(&config_map()) == published).await;
    let mut broken = api.get(&secret()).unwrap();
    broken["data"]["tls.key"] = json!("bm90aGluZw==");
    api.put(&secret(), broken);
    a.kill();
    let b = Controller::start(&api, &dir, "b");
    until("new ones", || b.leads() && data(&secret())["tls.key"] != "bm90aGluZw==").await;
    until("what nodes trust", || data(&config_map()) != published).await;
}
