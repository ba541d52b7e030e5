//! The rule by which a node counts as lost, so that others get its addresses (decision 274). Pure: time and answers come
//! from outside.
//!
//! A node whose stream is there is not lost. One whose stream is gone is asked after: two other nodes probe it, and it is lost
//! once both say that they do not reach it. A word of theirs counts if their probes are known to reach anybody, and the node
//! is known to have been reached before.

mod ask;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// A controller that has just begun asks after nobody: nodes have so long to come.
pub(super) const SETTLE: Duration = Duration::from_secs(15);
/// The end of the reason for keeping a node that another one reaches.
const REACHES: &str = " reaches it";
/// Most nodes that are remembered beside those that are there or own addresses.
const MAX_NODES: usize = 5000;
/// A proof that probes work is renewed so often, and holds for twice as long.
const RENEW: Duration = Duration::from_mins(5);

/// A question for a node about another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The node to ask.
    pub(super) witness: String,
    /// Number of the question.
    pub(super) id: u64,
    /// Addresses of the other one.
    pub(super) targets: Vec<SocketAddr>,
}

/// Counts since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossCounts {
    /// Answers that a node was reached.
    pub reached: u64,
    /// Answers that it was not.
    pub not_reached: u64,
    /// Questions without an answer.
    pub unanswered: u64,
    /// Nodes that were found to be lost.
    pub lost: u64,
}

/// All nodes that follow, followed, or own addresses.
#[derive(Debug)]
pub(super) struct LossRule {
    begun: Instant,
    nodes: BTreeMap<String, Node>,
    asked: BTreeMap<u64, OpenQuestion>,
    next_id: u64,
    counts: LossCounts,
}

#[derive(Debug)]
struct Node {
    /// True if its stream is there.
    is_here: bool,
    /// True if it ever was, with this controller.
    was_here: bool,
    /// True if it has addresses.
    owns: bool,
    probe_at: Vec<SocketAddr>,
    /// When another node reached it last.
    reached: Option<Instant>,
    /// When it reached another node last.
    reaches: Option<Instant>,
    state: State,
    /// The next time to ask after it, or to have it ask.
    next: Instant,
    /// Number of attempts to have it reached, or to have it reach another one.
    tries: usize,
    /// The reason for its state, for people.
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Fine,
    /// Gone at that time.
    Gone(Instant),
    /// OpenQuestion after since it has gone: witnesses that have not answered, and those that did not reach it.
    Asking {
        gone: Instant,
        until: Instant,
        waits: BTreeSet<String>,
        denied: BTreeSet<String>,
    },
    /// Others may have its addresses.
    Lost,
}

#[derive(Debug)]
struct OpenQuestion {
    witness: String,
    about: String,
    until: Instant,
}

impl LossRule {
    pub(super) fn new(now: Instant) -> Self {
        let counts = LossCounts::default();
        Self { begun: now, nodes: BTreeMap::new(), asked: BTreeMap::new(), next_id: 1, counts }
    }

    /// The controller leads from now on: whoever was heard before was heard by another one.
    pub(super) fn begins(&mut self, now: Instant) {
        self.begun = now;
    }

    /// A node's stream is there.
    pub(super) fn joins(&mut self, name: &str, probe_at: Vec<SocketAddr>, now: Instant) {
        if self.nodes.len() >= MAX_NODES {
            self.nodes.retain(|_, node| node.is_here || node.owns);
        }
        let node = self.nodes.entry(name.to_owned()).or_insert_with(|| Node::new(now));
        if node.probe_at != probe_at {
            (node.probe_at, node.reached) = (probe_at, None);
        }
        (node.is_here, node.was_here, node.state, node.next) = (true, true, State::Fine, now);
        node.reason.clear();
    }

    /// Its last stream is gone.
    pub(super) fn leaves(&mut self, name: &str, now: Instant) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.is_here = false;
        if node.state != State::Lost {
            (node.state, node.next) = (State::Gone(now), now);
            node.reason.clear();
        }
    }

    /// It has said that it serves no more, which needs no witness.
    pub(super) fn withdraws(&mut self, name: &str) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        (node.is_here, node.state) = (false, State::Lost);
        "it serves no more".clone_into(&mut node.reason);
    }

    /// The owners of addresses, with where those that this controller never heard may be reached.
    pub(super) fn owned(&mut self, owners: &BTreeMap<String, Vec<SocketAddr>>, now: Instant) {
        for (name, at) in owners {
            let node = self.nodes.entry(name.clone()).or_insert_with(|| Node::new(now));
            if !node.was_here {
                node.probe_at.clone_from(at);
            }
        }
        for (name, node) in &mut self.nodes {
            node.owns = owners.contains_key(name);
        }
        self.nodes
            .retain(|_, node| node.is_here || node.owns || (node.was_here && node.state != State::Lost));
    }

    /// A node's answer.
    pub(super) fn probed(&mut self, witness: &str, id: u64, reached: bool, now: Instant) {
        if self.asked.get(&id).is_none_or(|asked| asked.witness != witness) {
            return;
        }
        let Some(OpenQuestion { about, .. }) = self.asked.remove(&id) else { return };
        let counted = if reached { &mut self.counts.reached } else { &mut self.counts.not_reached };
        *counted += 1;
        if reached && let Some(node) = self.nodes.get_mut(witness) {
            node.reaches = Some(now);
        }
        let Some(node) = self.nodes.get_mut(&about) else { return };
        if reached {
            node.reached = Some(now);
        }
        let State::Asking { gone, waits, denied, .. } = &mut node.state else { return };
        if !waits.remove(witness) {
            return;
        }
        if reached {
            // Whoever of them answers first: the log has a line for each change.
            if !node.reason.ends_with(REACHES) {
                node.reason = format!("its stream is gone, and {witness}{REACHES}");
            }
            node.state = State::Gone(*gone);
            return;
        }
        denied.insert(witness.to_owned());
        if !waits.is_empty() {
            return;
        }
        let names = denied.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
        let was_reached = !node.was_here || node.reached.is_some_and(|at| *gone < at + RENEW * 2);
        if was_reached {
            node.reason = format!("lost: its stream is gone, and {names} did not reach it");
            node.state = State::Lost;
            self.counts.lost += 1;
        } else {
            node.reason = "its stream is gone, and no other node ever reached it: its probe address (UDP) must be open to \
                           the other nodes"
                .to_owned();
            node.state = State::Gone(*gone);
        }
    }

    /// Nodes whose addresses others may have.
    pub(super) fn lost(&self) -> BTreeSet<String> {
        self.names(|node| node.state == State::Lost && !node.is_here)
    }

    /// Nodes whose stream is there.
    pub(super) fn here(&self) -> BTreeSet<String> {
        self.names(|node| node.is_here)
    }

    /// The reason for the state of a node that is not fine.
    pub(super) fn suspicion(&self, name: &str) -> Option<String> {
        self.nodes.get(name).filter(|node| !node.is_here).map(|node| node.reason.clone())
    }

    /// The same of all that are not fine.
    pub(super) fn suspicions(&self) -> impl Iterator<Item = (String, String)> {
        let all = self.nodes.iter().filter(|(_, node)| !node.is_here && !node.reason.is_empty());
        all.map(|(name, node)| (name.clone(), node.reason.clone()))
    }

    pub(super) fn counts(&self) -> LossCounts {
        self.counts
    }

    fn names(&self, of: impl Fn(&Node) -> bool) -> BTreeSet<String> {
        self.nodes.iter().filter(|(_, node)| of(node)).map(|(name, _)| name.clone()).collect()
    }
}

impl Node {
    /// A node that this controller has not heard.
    fn new(now: Instant) -> Self {
        Self {
            is_here: false,
            was_here: false,
            owns: false,
            probe_at: Vec::new(),
            reached: None,
            reaches: None,
            state: State::Gone(now),
            next: now,
            tries: 0,
            reason: String::new(),
        }
    }
}

#[cfg(test)]
mod tests;
