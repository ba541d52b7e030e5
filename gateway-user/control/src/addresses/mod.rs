//! Addresses of a pool: which Gateway has which, and on which node's interface it is.
//!
//! [`allocate`] decides (pure), a [`book`] remembers across restarts, and a [`link`] puts what is this node's
//! on its interface. Translation is told who has what; it never chooses.

pub mod allocate;
pub mod assignment_store;
pub mod follower_store;
pub mod link;
pub mod netlink;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway_ir::BindAddress;
use gateway_steer::SteerPlan;
use gateway_sync::item::Owner;
use gateway_translate::{AddressWant, Assignments};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, info};

use self::assignment_store::{AssignmentFile, LocalAssignmentStore};
use self::follower_store::FollowerAssignmentStore;
use self::link::Link;
use crate::cluster::pool::{ObservedAssignments, Wants};

/// Limit for the cluster's assignments at the start.
const ASSIGNMENTS_TIMEOUT: Duration = Duration::from_secs(5);

/// Addresses for Gateways, and those that this node has of them.
#[derive(Debug)]
pub struct Pool {
    pub(crate) assigner: Assigner,
    pub(crate) own: OwnAddresses,
}

/// Asks for the addresses that Gateways want.
#[derive(Debug)]
pub struct Assigner {
    store: AssignmentStore,
    /// True if no other process has the copy on disk.
    is_alone: bool,
    errors: ReportedErrors,
}

/// The addresses that this node has on its interface.
#[derive(Debug)]
pub struct OwnAddresses {
    link: Link,
    node: String,
    owners: Arc<BTreeMap<IpAddr, Owner>>,
    /// True if something could not be taken off that nothing is steered to.
    owes: bool,
    errors: ReportedErrors,
}

/// Current errors, and the last logged line.
#[derive(Debug, Default)]
struct ReportedErrors {
    store: Vec<String>,
    add: Option<String>,
    withdraw: Option<String>,
    said: String,
}

/// The authority over assignments.
#[derive(Debug)]
pub enum AssignmentStore {
    /// This process, which serves alone.
    Local(LocalAssignmentStore),
    /// This process, a controller without others, for the nodes that follow it.
    Followers(FollowerAssignmentStore),
    /// The leader of the cluster: it is told what is wanted, and says what is given.
    Shared(ClusterAssignmentStore),
}

/// This process's side of what the cluster decides.
#[derive(Debug)]
pub struct ClusterAssignmentStore {
    wants: watch::Sender<Wants>,
    given: watch::Receiver<ObservedAssignments>,
    /// A copy for a start without the API server.
    file: AssignmentFile,
    /// True if the cluster has been waited for.
    waited: bool,
}

impl ClusterAssignmentStore {
    /// Says in `wants` what Gateways ask for; what they have is in `given`, and copied to `file`.
    pub fn new(
        wants: watch::Sender<Wants>,
        given: watch::Receiver<ObservedAssignments>,
        file: AssignmentFile,
    ) -> Self {
        Self { wants, given, file, waited: false }
    }

    /// Assignments, which may be those from before this process began; the second result says why, if so.
    async fn update(&mut self, wants: Vec<AddressWant>) -> (Arc<Assignments>, Option<String>) {
        self.wants.send_if_modified(|known| {
            let differs = known.as_ref().is_none_or(|known| **known != wants);
            *known = Some(Arc::new(wants));
            differs
        });
        // A process that begins must not go live without addresses that its Gateways have. Later changes wake
        // the engine.
        if !self.waited {
            let _ = timeout(ASSIGNMENTS_TIMEOUT, self.given.wait_for(|given| given.read)).await;
            self.waited = true;
        }
        let given = self.given.borrow_and_update();
        let error =
            "the cluster does not say who has which: Gateways have those of the last time, others none";
        (Arc::clone(&given.assignments), (!given.read).then(|| error.to_owned()))
    }

    /// Writes down what Gateways have, for a start without the API server.
    fn keep(&mut self) -> Option<String> {
        let given = self.given.borrow();
        if given.read { self.file.keep(&given.assignments) } else { None }
    }
}

impl Pool {
    /// The addresses that `store` gives; those of `node` are put on `link`.
    pub fn new(store: AssignmentStore, link: Link, node: String) -> Self {
        let assigner = Assigner { store, is_alone: link.is_alone(), errors: ReportedErrors::default() };
        Self { assigner, own: OwnAddresses::new(link, node) }
    }
}

impl Assigner {
    /// Addresses that `store` gives, without a node's own.
    pub fn new(store: AssignmentStore) -> Self {
        Self { store, is_alone: true, errors: ReportedErrors::default() }
    }

    /// Asks for what is wanted.
    pub async fn provide(&mut self, wants: Vec<AddressWant>) -> Arc<Assignments> {
        let (assignments, error) = match &mut self.store {
            AssignmentStore::Local(store) => {
                let (assignments, error) = store.update(&wants);
                (assignments, vec![error])
            }
            AssignmentStore::Followers(store) => {
                let (assignments, error) = store.update(&wants);
                (assignments, vec![error])
            }
            AssignmentStore::Shared(store) => {
                let (assignments, unread) = store.update(wants).await;
                // Until then the file is another process's.
                let unkept = self.is_alone.then(|| store.keep()).flatten();
                (assignments, vec![unread, unkept])
            }
        };
        self.errors.store = error.into_iter().flatten().collect();
        self.errors.say();
        assignments
    }

    /// From here on no other process serves with the same copy.
    pub(crate) fn settle(&mut self) {
        self.is_alone = true;
        if let AssignmentStore::Shared(store) = &mut self.store {
            let error = store.keep();
            error.into_iter().for_each(|error| error!("addresses: {error}"));
        }
    }
}

/// The owners of all addresses, as nodes are told them.
pub(crate) fn owners(assignments: &Assignments) -> BTreeMap<IpAddr, Owner> {
    let given = assignments.given.iter().flat_map(|(gateway, all)| all.iter().map(move |one| (gateway, one)));
    given
        .map(|(gateway, one)| (one.address, Owner { gateway: gateway.clone(), node: one.node.clone() }))
        .collect()
}

impl OwnAddresses {
    /// Those of `node` are put on `link`.
    pub fn new(link: Link, node: String) -> Self {
        Self { link, node, owners: Arc::default(), owes: false, errors: ReportedErrors::default() }
    }

    /// Puts on the interface what this node is to have. Addresses that it has no more stay until
    /// [`OwnAddresses::withdraw`].
    pub async fn provide(&mut self, owners: &Arc<BTreeMap<IpAddr, Owner>>) {
        self.owners = Arc::clone(owners);
        // The steered binds are not known until the plan is applied.
        self.owes = false;
        self.put().await;
    }

    /// Takes off the interface what this node had and has no more. To be called when nothing is steered to
    /// it.
    pub async fn withdraw(&mut self) {
        let own = self.own();
        self.errors.withdraw = self.link.retain(&own).await.err();
        self.owes = self.errors.withdraw.is_some();
        self.errors.say();
    }

    /// Puts on the interface again what somebody may have taken off, and tries again what could not be taken
    /// off.
    pub async fn retry(&mut self) {
        self.link.forget();
        self.put().await;
        if self.owes {
            self.withdraw().await;
        }
    }

    async fn put(&mut self) {
        let own = self.own();
        self.errors.add = self.link.add(&own).await.err();
        self.errors.say();
    }

    /// The plan without addresses that other nodes have.
    pub fn here(&self, mut plan: SteerPlan) -> SteerPlan {
        let elsewhere: BTreeSet<IpAddr> = self.addresses(|node| node != self.node);
        plan.binds.retain(|bind| match bind.address {
            BindAddress::Ip(ip) => !elsewhere.contains(&ip),
            BindAddress::Any => true,
        });
        plan
    }

    /// True if an address is missing here that may come if it is tried again.
    pub(crate) fn lacks(&self) -> bool {
        self.errors.add.is_some()
    }

    /// From here on no other process serves with the same record of addresses.
    pub(crate) fn settle(&mut self) {
        self.link.settle();
    }

    fn own(&self) -> BTreeSet<IpAddr> {
        self.addresses(|node| node == self.node)
    }

    fn addresses(&self, of: impl Fn(&str) -> bool) -> BTreeSet<IpAddr> {
        self.owners.iter().filter(|(_, one)| of(&one.node)).map(|(address, _)| *address).collect()
    }
}

impl ReportedErrors {
    /// Says what has changed.
    fn say(&mut self) {
        let all = self.store.iter().chain(&self.add).chain(&self.withdraw);
        let all = all.map(String::as_str).collect::<Vec<_>>().join("; ");
        if all == self.said {
            return;
        }
        if all.is_empty() {
            info!("addresses: no error any more");
        } else {
            error!("addresses: {all}");
        }
        self.said = all;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use gateway_ir::ObjectName;
    use gateway_testkit::scratch::Scratch;
    use gateway_translate::Assignment;

    use super::*;

    fn assignments(address: &str) -> Arc<Assignments> {
        let one = Assignment { address: address.parse().unwrap(), node: "other".to_owned() };
        let given = [(ObjectName::new("edge", "gw"), vec![one])].into();
        Arc::new(Assignments { given, ..Assignments::default() })
    }

    fn read(address: &str) -> ObservedAssignments {
        let mut given = ObservedAssignments::kept(Some(assignments(address)));
        given.read = true;
        given
    }

    /// With what the cluster was read to say, and what the file holds.
    fn assigner(dir: &Scratch, given: watch::Receiver<ObservedAssignments>) -> Assigner {
        let (file, _, why) = AssignmentFile::open(dir.join("copy"));
        assert_eq!(why, None);
        let store = ClusterAssignmentStore::new(watch::channel(None).0, given, file);
        Assigner::new(AssignmentStore::Shared(store))
    }

    #[tokio::test(start_paused = true)]
    async fn the_cluster_is_waited_for_once_and_the_copy_serves_meanwhile() {
        let dir = Scratch::new("pool").unwrap();
        let (gives, given) = watch::channel(read("10.0.0.7"));
        assigner(&dir, given).provide(Vec::new()).await;
        drop(gives);
        // The next process, without an API server.
        let kept = AssignmentFile::open(dir.join("copy")).1;
        let (gives, given) = watch::channel(ObservedAssignments::kept(kept));
        let mut pool = assigner(&dir, given);
        assert_eq!(pool.provide(Vec::new()).now_or_never(), None, "it may be slow");
        assert_eq!(pool.provide(Vec::new()).await, assignments("10.0.0.7"));
        let at_once = pool.provide(Vec::new()).now_or_never();
        assert_eq!(at_once, Some(assignments("10.0.0.7")));
        assert!(pool.errors.said.contains("those of the last time"), "{:?}", pool.errors);
        gives.send_replace(read("10.0.0.8"));
        assert_eq!(pool.provide(Vec::new()).await, assignments("10.0.0.8"));
        assert_eq!(AssignmentFile::open(dir.join("copy")).1, Some(assignments("10.0.0.8")));
    }

    #[tokio::test]
    async fn while_another_process_serves_the_copy_is_its_own() {
        let dir = Scratch::new("pool").unwrap();
        let (_gives, given) = watch::channel(read("10.0.0.7"));
        let mut pool = assigner(&dir, given);
        pool.is_alone = false;
        pool.provide(Vec::new()).await;
        assert!(!dir.join("copy").exists());
        pool.settle();
        assert!(dir.join("copy").exists());
    }

    async fn ask(assigner: &mut Assigner, wants: Vec<AddressWant>) -> Arc<BTreeMap<IpAddr, Owner>> {
        let assignments = assigner.provide(wants).await;
        Arc::new(owners(&assignments))
    }

    #[test]
    fn what_could_not_be_taken_off_is_tried_again() {
        gateway_testkit::netns::run("pool", |_| {
            let dir = Scratch::new("pool").unwrap();
            let records = dir.join("records");
            std::fs::create_dir(&records).unwrap();
            let networks = vec!["192.0.2.0/29".parse().unwrap()];
            let (store, _) = LocalAssignmentStore::open(dir.join("book"), networks, "n");
            let link = Link::open("lo", records.join("record")).unwrap();
            let Pool { mut assigner, own: mut pool } =
                Pool::new(AssignmentStore::Local(store), link, "n".to_owned());
            let gateway = ObjectName::new("edge", "gw");
            let want = AddressWant { gateway, created: None, fixed: Vec::new(), free: true, nodes: None };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                pool.provide(&ask(&mut assigner, vec![want.clone()]).await).await;
                pool.provide(&ask(&mut assigner, Vec::new()).await).await;
                std::fs::remove_dir_all(&records).unwrap();
                pool.withdraw().await;
                assert!(pool.errors.said.contains("write "), "{:?}", pool.errors);
                std::fs::create_dir(&records).unwrap();
                // An address that was not withdrawn may be steered to again by now.
                pool.provide(&ask(&mut assigner, vec![want]).await).await;
                pool.retry().await;
                pool.provide(&ask(&mut assigner, Vec::new()).await).await;
                std::fs::remove_dir_all(&records).unwrap();
                pool.withdraw().await;
                std::fs::create_dir(&records).unwrap();
                pool.retry().await;
            });
            assert_eq!(pool.errors.said, "");
            let left = std::fs::read_to_string(records.join("record")).unwrap();
            assert!(!left.contains("192.0.2.1"), "{left}");
        });
    }
}
