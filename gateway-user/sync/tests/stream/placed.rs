//! Nodes on which not every Gateway is served: each has what it serves, and is told of nothing else.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use gateway_ir::Listener;
use gateway_sync::client::{FollowError, Follower, Identity, Terms, follow};
use gateway_sync::codec;
use gateway_sync::frame::{Ack, Down, DownFrame, Hello, Probe, Probed};
use gateway_sync::item::Desired;
use gateway_sync::key::Kind;
use gateway_sync::replica::Replica;
use gateway_sync::scope::Scope;
use gateway_sync::server::{Leading, Nodes, SharedTable, serve};
use gateway_sync::table::{Batch, Position, Table};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost::Message as _;
use tokio::sync::{mpsc, watch};

use crate::plans::{GATEWAYS, Plan, chain, node, plans};
use crate::states::{is, take};

/// Nodes by number; the last one is known to nobody.
const NODES: u8 = 4;
const VERSIONS: u8 = 3;

/// A change: another configuration, or only other labels and selectors.
fn steps() -> impl Strategy<Value = Vec<Plan>> {
    let placed = btree_map(0..GATEWAYS, (0..2u8, any::<bool>()), 0..=usize::from(GATEWAYS));
    let tiers = btree_map(0..NODES - 1, 0..2u8, 0..usize::from(NODES));
    let step = (proptest::option::of(plans()), placed, tiers);
    vec(step, 1..8).prop_map(|steps| {
        let mut last = Plan::default();
        let with = |(plan, placed, tiers): (Option<Plan>, _, _)| {
            last = Plan { placed, tiers, ..plan.unwrap_or_else(|| last.clone()) };
            last.clone()
        };
        steps.into_iter().map(with).collect()
    })
}

/// A node, and what a connection to it remembers.
struct Follows {
    name: String,
    replica: Replica,
    scope: Scope,
}

impl Follows {
    fn new(number: u8) -> Self {
        let mut replica = Replica::default();
        replica.begin(7);
        Self { name: node(number), replica, scope: Scope::default() }
    }

    /// Follows as a connection does; begins anew, the last `cut` frames lost, if that is asked for or needed.
    fn follow(&mut self, table: &Table, desired: &Desired, cut: Option<usize>) {
        let now = table.scope(&self.name);
        let before = std::mem::replace(&mut self.scope, now.clone());
        let version = self.replica.version();
        let known = (version > 0 && cut.is_none()).then(|| table.since(version, &before, &now)).flatten();
        let batch = known.unwrap_or_else(|| {
            self.replica.begin(7);
            table.join(&self.replica.position(), &now)
        });
        self.is_told_no_more(&batch, desired);
        take(&mut self.replica, &batch, cut.unwrap_or(0));
        if cut.unwrap_or(0) == 0 {
            is(&self.replica, &desired.seen_by(&self.name));
        }
    }

    /// Of a Gateway that is not served here no certificate is in the frames, nor anything that is the Gateway's own.
    fn is_told_no_more(&self, batch: &Batch, desired: &Desired) {
        let seen = desired.seen_by(&self.name);
        let gateways: BTreeSet<String> = seen.gateways.keys().map(ToString::to_string).collect();
        let listeners = || seen.ir.binds.iter().flat_map(|bind| &bind.listeners);
        let tls = || listeners().flat_map(Listener::certificates);
        let secrets: BTreeSet<String> = tls().map(|one| one.secret.to_string()).collect();
        for bytes in &batch.frames {
            if let DownFrame::Put(put) = decoded(bytes) {
                match Kind::of(put.kind).unwrap() {
                    Kind::Gateway | Kind::Tickets => assert!(gateways.contains(&put.name), "{put:?}"),
                    Kind::Certificate => assert!(secrets.contains(&put.name), "{put:?}"),
                    Kind::Listener => assert!(gateways.iter().any(|name| put.name.contains(name)), "{put:?}"),
                    Kind::Route | Kind::Cluster | Kind::Address | Kind::BackendTls | Kind::Trust => {}
                }
            }
        }
        for (number, version) in (0..3).flat_map(|number| (0..VERSIONS).map(move |version| (number, version)))
        {
            let chain = chain(number, version);
            let is_seen = tls().any(|one| one.chain.contains(&chain));
            let is_told = batch.frames.iter().any(|frame| holds(frame, &chain));
            assert!(is_seen || !is_told, "{} is told of certificate {number}", self.name);
        }
    }
}

pub(crate) fn decoded(frame: &Bytes) -> DownFrame {
    let raw = codec::take(&mut BytesMut::from(&frame[..]), codec::MAX_DOWN).unwrap().unwrap();
    Down::decode(raw).unwrap().frame.unwrap()
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|one| one == part)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Nodes that follow each version, miss some, and break off, while configuration, labels and selectors change.
    #[test]
    fn each_node_has_what_it_serves(
        steps in steps(),
        misses in vec(any::<[bool; NODES as usize]>(), 8),
        cuts in vec(0..4usize, 8),
    ) {
        let mut table = Table::new(7);
        let all = || (0..NODES).map(Follows::new).collect::<Vec<_>>();
        let (mut steady, mut slow, mut broken) = (all(), all(), all());
        for ((plan, misses), cut) in steps.iter().zip(misses).zip(cuts) {
            let desired = plan.desired();
            table.update(desired.clone());
            for (number, misses) in (0..).zip(misses) {
                let number: usize = number;
                steady[number].follow(&table, &desired, None);
                broken[number].follow(&table, &desired, Some(cut));
                if !misses {
                    slow[number].follow(&table, &desired, None);
                }
            }
        }
        let last = steps.last().unwrap().desired();
        slow.iter_mut().for_each(|one| one.follow(&table, &last, None));
        broken.iter_mut().for_each(|one| one.follow(&table, &last, Some(0)));
        // One that has it all is told nothing, and so it is by another controller process.
        let mut other = Table::new(8);
        other.update(last);
        for one in &mut steady {
            let batch = table.since(one.replica.version(), &one.scope, &one.scope).unwrap();
            prop_assert_eq!(batch.frames.len(), 1);
            let batch = other.join(&one.replica.position(), &other.scope(&one.name));
            prop_assert_eq!(batch.frames.len(), 1);
        }
    }

    /// A label that changes brings and takes what is another node's then, and nothing of what stays.
    #[test]
    fn what_stays_is_not_said_again(plan in plans()) {
        let placed = |tiers: &[(u8, u8)]| {
            Plan { placed: [(1, (0, true)), (2, (1, true))].into(), tiers: tiers.iter().copied().collect(), ..plan.clone() }
        };
        let mut table = Table::new(7);
        let mut node = Follows::new(0);
        let before = placed(&[(0, 0)]).desired();
        table.update(before.clone());
        node.follow(&table, &before, None);
        let after = placed(&[(0, 1)]).desired();
        table.update(after.clone());
        let now = table.scope(&node.name);
        let batch = table.since(node.replica.version(), &node.scope, &now).unwrap();
        let (was, is) = (before.seen_by(&node.name), after.seen_by(&node.name));
        for frame in batch.frames.iter().map(decoded) {
            if let DownFrame::Put(put) = frame {
                let stays = was.ir.routes.keys().filter(|id| is.ir.routes.contains_key(*id));
                let mut stays = stays.map(|id| format!("{}/{}", id.kind, id.object));
                prop_assert!(put.kind != Kind::Route as u32 || !stays.any(|name| name == put.name), "{put:?}");
            }
        }
        node.follow(&table, &after, None);
    }

    /// Without any placement nothing is kept for it, before and after there was one.
    #[test]
    fn every_node_is_told_alike_without_a_placement(plan in plans()) {
        let mut table = Table::new(7);
        table.update(plan.desired());
        let before = format!("{table:?}");
        table.update(Plan { placed: [(0, (0, true))].into(), ..plan.clone() }.desired());
        prop_assert!(plan.ports.is_empty() || table.scope("node-0") != Scope::default());
        table.update(plan.desired());
        prop_assert_eq!(table.scope("node-0"), Scope::default());
        let reaches = |text: &str| text.matches("now: Reach(None)").count();
        prop_assert_eq!(reaches(&before), reaches(&format!("{table:?}")));
        let position = Position { epoch: 7, version: 3, ..Position::default() };
        prop_assert_eq!(table.join(&position, &Scope::default()).frames.len(), 1);
    }
}

/// Lets every node in.
struct Open;

impl Nodes for &Open {
    async fn joins(&self, hello: &Hello) -> Result<String, String> {
        Ok(hello.node.clone())
    }
    fn acknowledges(&self, _: &str, _: Ack) {}
    fn hears(&self, _: &str) {}
    fn withdraws(&self, _: &str) {}
    fn leaves(&self, _: &str) {}
    fn questions(&self, _: &str) -> mpsc::Receiver<Probe> {
        mpsc::channel(1).1
    }
    fn probed(&self, _: &str, _: &Probed) {}
}

/// Keeps what was committed last.
#[derive(Clone, Default)]
struct Last(Arc<Mutex<Desired>>);

impl Follower for Last {
    fn welcomed(&mut self, _: &str) {}
    fn hears(&mut self) {}
    fn committed(&mut self, replica: &Replica) {
        *self.0.lock().unwrap() = replica.desired().clone();
    }
}

/// A node that connects again and again.
async fn follower(number: u8, table: Arc<SharedTable>, last: Last) {
    let identity =
        Identity { node: node(number), version: "0".to_owned(), token: String::new(), probe_at: Vec::new() };
    let (mut replica, mut terms, mut last) = (Replica::default(), Terms::default(), last);
    let (_acks, mut acked) = watch::channel(None);
    loop {
        let (near, far) = tokio::io::duplex(1000);
        let (_leads, leading) = watch::channel(Leading::Here { term: 1 });
        let serving = async { serve(near, &table, leading, &&Open, "1").await };
        let following = follow(far, &identity, &mut replica, &mut terms, &mut acked, &mut last);
        let (_, ended) = tokio::join!(serving, following);
        assert!(matches!(ended, FollowError::Goodbye { .. }), "{ended}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_follows_labels_and_selectors() {
    let table = Arc::new(SharedTable::new(7));
    let lasts: Vec<Last> = (0..NODES).map(|_| Last::default()).collect();
    for (number, last) in (0..).zip(&lasts) {
        tokio::spawn(follower(number, Arc::clone(&table), last.clone()));
    }
    let plan = Plan {
        ports: [(80, vec![(0, false), (1, false), (2, false)]), (443, vec![(1, true), (2, true)])].into(),
        routes: [(1, (1, vec![80])), (2, (2, vec![443]))].into(),
        clusters: (0..8).map(|one| (one, vec![1])).collect(),
        certificates: [(0, 1), (1, 1)].into(),
        ..Plan::default()
    };
    let placed = |placed: &[(u8, (u8, bool))], tiers: &[(u8, u8)]| Plan {
        placed: placed.iter().copied().collect(),
        tiers: tiers.iter().copied().collect(),
        ..plan.clone()
    };
    let edge = [(1, (1, true)), (2, (1, false))];
    for plan in [
        placed(&edge, &[(0, 0), (1, 1)]),
        // A label moves one, and a node comes to be known.
        placed(&edge, &[(0, 1), (1, 1), (2, 0)]),
        // A selector is edited, another one goes.
        placed(&[(1, (0, true))], &[(0, 1), (1, 1), (2, 0)]),
        // Everything is served everywhere: those that lacked something begin anew.
        plan.clone(),
        placed(&edge, &[(0, 1)]),
    ] {
        let desired = plan.desired();
        table.update(desired.clone());
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (number, last) in (0..).zip(&lasts) {
            let name = node(number);
            assert_eq!(*last.0.lock().unwrap(), desired.seen_by(&name), "{name}");
        }
    }
}
