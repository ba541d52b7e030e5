//! Questions of the rule: which node is asked about which, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{LossRule, Node, OpenQuestion, Question, RENEW, SETTLE, State};

/// Witnesses have so long to answer; probing takes two seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// Pause between two questions about one node.
const AGAIN: Duration = Duration::from_secs(3);
/// Interval of looking whether anybody can be asked.
const RECHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Nodes that must agree, of as many as there are.
const WITNESSES: usize = 2;

impl LossRule {
    /// Time goes on; gives what is to be asked.
    pub(in crate::stream) fn tick(&mut self, now: Instant) -> Vec<Question> {
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
                        (node.reason, node.next) =
                            (format!("its stream is gone, and {reason}"), now + RECHECK_INTERVAL);
                    }
                }
            }
        }
        questions
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
        self.asked.insert(id, OpenQuestion { witness: witness.clone(), about: about.to_owned(), until });
        Some(Question { witness, id, targets })
    }
}

/// One of `all` that is another one, by turns.
fn other<'a>(all: &'a [String], name: &str, turn: usize) -> Option<&'a String> {
    let others: Vec<_> = all.iter().filter(|other| *other != name).collect();
    others.get(turn.checked_rem(others.len())?).copied()
}
