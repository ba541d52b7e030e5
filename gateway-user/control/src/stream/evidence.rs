//! Evidence on nodes whose stream is gone: has other nodes probe them, and says which may have addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gateway_sync::frame::{Hello, Probe};
use gateway_translate::Assignments;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::loss::{LossCounts, LossRule};

/// Interval of looking at the rule.
pub(super) const TICK: Duration = Duration::from_millis(250);
/// Addresses of a node that are believed.
const MAX_ADDRESSES: usize = 4;
/// Questions that a connection has not taken yet; more are dropped, and count as unanswered.
const QUESTIONS: usize = 16;

/// Nodes as far as addresses are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Nodes that serve and may get addresses: none before all have had their time to come.
    pub(crate) here: BTreeSet<String>,
    /// Nodes whose addresses others may have.
    pub(crate) lost: BTreeSet<String>,
}

impl Placement {
    /// Owners that keep what they have and get nothing else.
    pub(crate) fn keepers(&self, assignments: &Assignments) -> BTreeSet<String> {
        let owners = assignments.given.values().flatten().map(|one| &one.node);
        owners.filter(|node| !self.lost.contains(*node)).cloned().collect()
    }
}

/// The rule among a controller's connections.
#[derive(Debug)]
pub(super) struct Evidence {
    inner: Mutex<Inner>,
    placement: watch::Sender<Placement>,
}

#[derive(Debug)]
struct Inner {
    rule: LossRule,
    /// Port at which owners are probed that this controller never heard; `None` as long as nobody has addresses to lose.
    port: Option<u16>,
    /// Ways to ask each node, the newest connection last.
    senders: BTreeMap<String, Vec<mpsc::Sender<Probe>>>,
    complete: bool,
    /// Nodes whose streams are there and that have acknowledged a version.
    serving: BTreeSet<String>,
    said: BTreeMap<String, String>,
}

impl Default for Evidence {
    fn default() -> Self {
        let inner = Inner {
            rule: LossRule::new(Instant::now()),
            port: None,
            senders: BTreeMap::new(),
            complete: false,
            serving: BTreeSet::new(),
            said: BTreeMap::new(),
        };
        Self { inner: Mutex::new(inner), placement: watch::channel(Placement::default()).0 }
    }
}

impl Evidence {
    /// Begins to ask. Owners that were never heard are probed at their addresses of the pool, at this port.
    pub(super) fn begin(&self, port: u16) {
        self.lock().port = Some(port);
    }

    /// This controller leads from now on.
    pub(super) fn leads(&self) {
        self.lock().rule.begins(Instant::now());
    }

    pub(super) fn placement(&self) -> watch::Receiver<Placement> {
        self.placement.subscribe()
    }

    pub(super) fn counts(&self) -> LossCounts {
        self.lock().rule.counts()
    }

    /// The reason for the state of a node whose stream is gone.
    pub(super) fn suspicion(&self, node: &str) -> Option<String> {
        let inner = self.lock();
        inner.port.and_then(|_| inner.rule.suspicion(node)).filter(|reason| !reason.is_empty())
    }

    /// The nodes have had their time to come.
    pub(super) fn complete(&self) {
        self.lock().complete = true;
        self.tell();
    }

    pub(super) fn joins(&self, node: &str, hello: &Hello) {
        let at = hello.probe_at.iter().take(MAX_ADDRESSES);
        let at = at.filter_map(|text| text.parse().ok()).collect();
        self.lock().rule.joins(node, at, Instant::now());
        self.tell();
    }

    /// A node serves what it was told, as far as it can.
    pub(super) fn acknowledges(&self, node: &str) {
        if self.lock().serving.insert(node.to_owned()) {
            self.tell();
        }
    }

    pub(super) fn leaves(&self, node: &str) {
        let mut inner = self.lock();
        inner.serving.remove(node);
        inner.rule.leaves(node, Instant::now());
        drop(inner);
        self.tell();
    }

    pub(super) fn withdraws(&self, node: &str) {
        let mut inner = self.lock();
        inner.serving.remove(node);
        inner.rule.withdraws(node);
        drop(inner);
        self.tell();
    }

    pub(super) fn questions(&self, node: &str) -> mpsc::Receiver<Probe> {
        let (sender, receiver) = mpsc::channel(QUESTIONS);
        let mut inner = self.lock();
        inner.senders.retain(|_, all| {
            all.retain(|sender| !sender.is_closed());
            !all.is_empty()
        });
        inner.senders.entry(node.to_owned()).or_default().push(sender);
        receiver
    }

    pub(super) fn probed(&self, node: &str, id: u64, reached: bool) {
        self.lock().rule.probed(node, id, reached, Instant::now());
        self.tell();
    }

    /// The assignments as they are.
    pub(super) fn owned(&self, assignments: &Assignments) {
        let mut inner = self.lock();
        let Some(port) = inner.port else { return };
        let mut owners: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
        for one in assignments.given.values().flatten() {
            let at = owners.entry(one.node.clone()).or_default();
            if port != 0 && at.len() < MAX_ADDRESSES {
                at.push(SocketAddr::new(one.address, port));
            }
        }
        inner.rule.owned(&owners, Instant::now());
        drop(inner);
        self.tell();
    }

    /// Asks what is to be asked by now.
    pub(super) fn tick(&self) {
        let mut inner = self.lock();
        if inner.port.is_none() {
            return;
        }
        for question in inner.rule.tick(Instant::now()) {
            let targets = question.targets.iter().map(ToString::to_string).collect();
            let probe = Probe { id: question.id, targets, nonce: RandomState::new().hash_one(question.id) };
            let ways = inner.senders.get(&question.witness).into_iter().flatten().rev();
            if let Some(way) = ways.into_iter().find(|way| !way.is_closed()) {
                // One that has more to answer than it takes does not answer in time either.
                let _ = way.try_send(probe);
            }
        }
        inner.say();
        drop(inner);
        self.tell();
    }

    /// Publishes what has changed.
    fn tell(&self) {
        let inner = self.lock();
        let here = if inner.complete { &inner.rule.here() & &inner.serving } else { BTreeSet::new() };
        let next = Placement { here, lost: inner.rule.lost() };
        drop(inner);
        self.placement.send_if_modified(|known| {
            let differs = *known != next;
            known.clone_from(&next);
            differs
        });
    }

    // Each change is whole before anything can panic.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Logs what is new of nodes whose stream is gone.
    fn say(&mut self) {
        let lost = self.rule.lost();
        let now: BTreeMap<String, String> = self.rule.suspicions().collect();
        for (node, reason) in now.iter().filter(|(node, reason)| self.said.get(*node) != Some(*reason)) {
            match lost.contains(node) {
                true => warn!(node, "{reason}; others get its addresses"),
                false => info!(node, "{reason}; its addresses stay"),
            }
        }
        self.said = now;
    }
}

#[cfg(test)]
mod tests {
    use gateway_ir::ObjectName;
    use gateway_translate::Assignment;

    use super::*;

    fn hello(node: &str) -> Hello {
        let probe_at = vec![format!("192.0.2.{}:15011", node.len()), "nonsense".to_owned()];
        Hello { node: node.to_owned(), probe_at, ..Hello::default() }
    }

    fn owner(node: &str) -> Assignments {
        let one = Assignment { address: "192.0.2.99".parse().unwrap(), node: node.to_owned() };
        Assignments { given: [(ObjectName::new("edge", "gw"), vec![one])].into(), ..Assignments::default() }
    }

    /// Answers what a node is asked: that it reaches all but those at this address.
    fn answers(evidence: &Evidence, node: &str, asked: &mut mpsc::Receiver<Probe>, unreached: &str) {
        while let Ok(probe) = asked.try_recv() {
            evidence.probed(node, probe.id, probe.targets != [unreached]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_are_given_to_those_who_are_here_and_kept_by_those_who_are_not_lost() {
        let evidence = Evidence::default();
        evidence.begin(15011);
        let placement = evidence.placement();
        let mut asked = ["a", "bb", "ccc"].map(|node| {
            evidence.joins(node, &hello(node));
            (node, evidence.questions(node))
        });
        ["a", "bb", "ccc"].iter().for_each(|node| evidence.acknowledges(node));
        assert_eq!(*placement.borrow(), Placement::default());
        evidence.complete();
        assert_eq!(placement.borrow().here.len(), 3);
        evidence.owned(&owner("a"));
        let mut pass = async |seconds: u64, unreached: &str| {
            for _ in 0..seconds * 4 {
                tokio::time::sleep(TICK).await;
                evidence.tick();
                for (node, asked) in &mut asked {
                    answers(&evidence, node, asked, unreached);
                }
            }
        };
        pass(16, "").await;
        evidence.leaves("a");
        pass(10, "").await;
        assert!(evidence.suspicion("a").unwrap().contains("reaches it"), "{:?}", evidence.suspicion("a"));
        assert_eq!(placement.borrow().keepers(&owner("a")), BTreeSet::from(["a".to_owned()]));
        pass(10, "192.0.2.1:15011").await;
        assert_eq!(placement.borrow().lost, BTreeSet::from(["a".to_owned()]));
        assert!(placement.borrow().keepers(&owner("a")).is_empty());
        assert_eq!(evidence.counts().lost, 1);
        evidence.joins("a", &hello("a"));
        assert_eq!(placement.borrow().here.len(), 2, "it serves nothing yet");
        evidence.acknowledges("a");
        assert_eq!(placement.borrow().here.len(), 3);
        evidence.owned(&owner("dddd"));
        pass(20, "192.0.2.99:15011").await;
        assert_eq!(
            placement.borrow().lost,
            BTreeSet::from(["dddd".to_owned()]),
            "at its address of the pool"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_pool_nobody_is_asked() {
        let evidence = Evidence::default();
        for node in ["a", "bb"] {
            evidence.joins(node, &hello(node));
        }
        let mut asked = evidence.questions("a");
        evidence.leaves("bb");
        for _ in 0..100 {
            tokio::time::sleep(TICK).await;
            evidence.tick();
        }
        assert!(asked.try_recv().is_err());
        assert_eq!(evidence.suspicion("bb"), None);
    }
}
