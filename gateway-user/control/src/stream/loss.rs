//! The rule by which a node counts as lost, so that others get its addresses (decision 274). Pure: time and answers come
//! from outside.
//!
//! A node whose stream is there is not lost. One whose stream is gone is asked after: two other nodes probe it, and it is lost
//! once both say that they do not reach it. A word of theirs counts if their probes are known to reach anybody, and the node
//! is known to have been reached before.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

/// A controller that has just begun asks after nobody: nodes have so long to come.
pub(super) const SETTLE: Duration = Duration::from_secs(15);
/// Witnesses have so long to answer; probing takes two seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause between two questions about one node.
const AGAIN: Duration = Duration::from_secs(3);
/// Nodes that must agree, of as many as there are.
const WITNESSES: usize = 2;
/// The end of the reason for keeping a node that another one reaches.
const REACHES: &str = " reaches it";
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
    asked: BTreeMap<u64, Asked>,
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
    /// Asked after since it has gone: witnesses that have not answered, and those that did not reach it.
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
struct Asked {
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
        let Some(Asked { about, .. }) = self.asked.remove(&id) else { return };
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

    /// Time goes on; gives what is to be asked.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Question> {
        self.expire(now);
        let mut questions = self.prove(now);
        let due = |node: &Node| matches!(node.state, State::Gone(_)) && now >= node.next;
        let gone: Vec<String> =
            self.nodes.iter().filter(|(_, node)| due(node)).map(|(name, _)| name.clone()).collect();
        for name in gone {
            match self.witnesses(&name, now) {
                Ok(witnesses) => questions.extend(self.ask_after(&name, &witnesses, now)),
                Err(reason) => {
                    if let Some(node) = self.nodes.get_mut(&name) {
                        (node.reason, node.next) = (format!("its stream is gone, and {reason}"), now + AGAIN);
                    }
                }
            }
        }
        questions
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

    /// Ends questions that got no answer in time.
    fn expire(&mut self, now: Instant) {
        let late = self.asked.extract_if(.., |_, asked| now >= asked.until).count();
        self.counts.unanswered += late as u64;
        for node in self.nodes.values_mut() {
            if let State::Asking { gone, until, waits, .. } = &node.state
                && now >= *until
            {
                let silent = waits.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
                node.reason =
                    format!("its stream is gone, and {silent} did not answer whether it is reached");
                node.state = State::Gone(*gone);
            }
        }
    }

    /// Asks nodes that are there about each other, so that each has reached and was reached: in a ring at first, and then
    /// others.
    fn prove(&mut self, now: Instant) -> Vec<Question> {
        let is_old = |at: Option<Instant>| at.is_none_or(|at| now >= at + RENEW);
        let here: Vec<String> = self.here().into_iter().collect();
        let answers: Vec<String> =
            self.names(|node| node.is_here && !node.probe_at.is_empty()).into_iter().collect();
        let mut questions = Vec::new();
        for (at, name) in here.iter().enumerate() {
            let Some(node) = self.nodes.get_mut(name).filter(|node| now >= node.next) else { continue };
            let turn = at + node.tries;
            let pair = if is_old(node.reached) && !node.probe_at.is_empty() {
                other(&here, name, turn).map(|witness| (witness, name))
            } else if is_old(node.reaches) {
                other(&answers, name, turn).map(|about| (name, about))
            } else {
                None
            };
            let Some((witness, about)) = pair else { continue };
            node.next = now + AGAIN;
            node.tries += 1;
            questions.extend(self.question(witness.clone(), about, now));
        }
        questions
    }

    /// The nodes to ask after one; or the reason for asking none.
    fn witnesses(&self, name: &str, now: Instant) -> Result<Vec<String>, String> {
        let node = self.nodes.get(name).ok_or_else(String::new)?;
        if now < self.begun + SETTLE {
            return Err("this controller has just begun".to_owned());
        }
        if node.probe_at.is_empty() {
            return Err("it answers no probes (--probe-address off, or a version without)".to_owned());
        }
        let counted = self.nodes.values().filter(|node| node.state != State::Lost).count();
        let here: Vec<_> = self.nodes.iter().filter(|(_, node)| node.is_here).collect();
        if here.is_empty() {
            return Err("no other node is there to have its addresses".to_owned());
        }
        if here.len() * 2 < counted {
            let gone = counted - here.len();
            return Err(format!("so are {gone} of {counted}: this controller may be cut off itself"));
        }
        let proven = here.iter().filter(|(_, node)| node.reaches.is_some_and(|at| now < at + RENEW * 2));
        // Not the same two each time: one of them may be at fault.
        let mut proven: Vec<String> = proven.map(|(name, _)| (*name).clone()).collect();
        let wanted = WITNESSES.min(here.len());
        if proven.len() < wanted {
            return Err("the probes of the other nodes reach nobody".to_owned());
        }
        let turn = usize::try_from(self.next_id).unwrap_or_default() % proven.len();
        proven.rotate_left(turn);
        proven.truncate(wanted);
        Ok(proven)
    }

    fn ask_after(&mut self, name: &str, witnesses: &[String], now: Instant) -> Vec<Question> {
        if let Some(node) = self.nodes.get_mut(name)
            && let State::Gone(gone) = node.state
        {
            let until = now + ANSWER_TIMEOUT;
            let waits: BTreeSet<String> = witnesses.iter().cloned().collect();
            if node.reason.is_empty() {
                let names = waits.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
                node.reason = format!("its stream is gone; asked whether it is reached: {names}");
            }
            node.state = State::Asking { gone, until, waits, denied: BTreeSet::new() };
            node.next = now + AGAIN;
        }
        witnesses.iter().filter_map(|witness| self.question(witness.clone(), name, now)).collect()
    }

    fn question(&mut self, witness: String, about: &str, now: Instant) -> Option<Question> {
        let targets = self.nodes.get(about)?.probe_at.clone();
        let id = self.next_id;
        self.next_id += 1;
        let until = now + ANSWER_TIMEOUT;
        self.asked.insert(id, Asked { witness: witness.clone(), about: about.to_owned(), until });
        Some(Question { witness, id, targets })
    }
}

/// One of `all` that is another one, by turns.
fn other<'a>(all: &'a [String], name: &str, turn: usize) -> Option<&'a String> {
    let others: Vec<_> = all.iter().filter(|other| *other != name).collect();
    others.get(turn.checked_rem(others.len())?).copied()
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
