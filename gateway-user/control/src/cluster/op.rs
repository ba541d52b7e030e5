//! JSON Patch, as far as statuses need it.

use gateway_api_types::{Condition, ConditionStatus};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One operation of a JSON Patch (RFC 6902, section 4). Paths are JSON Pointers into the object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Op {
    /// Sets a member of an object, whether or not it was there, or appends to a list (path ending in `/-`).
    Add {
        /// Where.
        path: String,
        /// The new value.
        value: Value,
    },
    /// Sets what is there.
    Replace {
        /// Where.
        path: String,
        /// The new value.
        value: Value,
    },
    /// Takes away what is there.
    Remove {
        /// Where.
        path: String,
    },
}

/// A condition that another status than before was decided for, or that is new.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The listener or parent that it is about; `None` for the object as a whole.
    pub section: Option<String>,
    /// The status before, if there was one.
    pub before: Option<ConditionStatus>,
    /// The condition.
    pub condition: Condition,
}

/// The operations on one object's status as they are found, and what they change for people.
#[derive(Debug)]
pub(super) struct Ops {
    pub(super) ops: Vec<Op>,
    pub(super) transitions: Vec<Transition>,
    now: Time,
}

impl Ops {
    /// Readers of times expect whole seconds (`metav1.Time`).
    pub(super) fn new(now: Timestamp) -> Self {
        let now = Time(Timestamp::from_second(now.as_second()).unwrap_or(now));
        Self { ops: Vec::new(), transitions: Vec::new(), now }
    }

    pub(super) fn add(&mut self, path: impl Into<String>, value: impl Serialize) {
        self.ops.push(Op::Add { path: path.into(), value: json(value) });
    }

    /// Takes elements out of a list, last first so that the others keep their places.
    pub(super) fn remove_all(&mut self, list: &str, mut indices: Vec<usize>) {
        indices.sort_unstable();
        let last_first = indices.into_iter().rev();
        self.ops.extend(last_first.map(|index| Op::Remove { path: format!("{list}/{index}") }));
    }

    /// Brings the list of conditions at `path` from `seen` to `wanted`. Conditions of types that are not in
    /// `ours` belong to others and stay as they are, in whatever form.
    pub(super) fn conditions(
        &mut self,
        path: &str,
        section: Option<&str>,
        seen: &[Condition],
        wanted: &[Condition],
        ours: &[&str],
    ) {
        let stamped = self.stamp(section, seen, wanted);
        if seen.is_empty() {
            // The list itself may be missing.
            if !stamped.is_empty() {
                self.add(path, stamped);
            }
            return;
        }
        let place = |type_: &str| seen.iter().position(|condition| condition.type_ == type_);
        for new in stamped.iter() {
            if let Some(index) = place(&new.type_).filter(|index| seen.get(*index) != Some(new)) {
                self.ops.push(Op::Replace { path: format!("{path}/{index}"), value: json(new) });
            }
        }
        let gone = |old: &Condition| {
            ours.contains(&old.type_.as_str()) && !wanted.iter().any(|new| new.type_ == old.type_)
        };
        let gone = seen.iter().enumerate().filter(|(_, old)| gone(old)).map(|(index, _)| index).collect();
        self.remove_all(path, gone);
        for new in stamped.iter().filter(|new| place(&new.type_).is_none()) {
            self.add(format!("{path}/-"), new);
        }
    }

    /// The conditions with their times: that of the same condition seen before if the status is the same,
    /// else now (Kubernetes API conventions, "typical status properties"). Notes what has another status.
    pub(super) fn stamp(
        &mut self,
        section: Option<&str>,
        seen: &[Condition],
        wanted: &[Condition],
    ) -> Vec<Condition> {
        let mut stamped = wanted.to_vec();
        for new in &mut stamped {
            let old = seen.iter().find(|old| old.type_ == new.type_);
            let same = old.filter(|old| old.status == new.status);
            let since = same.and_then(|old| old.last_transition_time.clone());
            new.last_transition_time = Some(since.unwrap_or_else(|| self.now.clone()));
            if same.is_none() {
                self.transitions.push(Transition {
                    section: section.map(str::to_owned),
                    before: old.map(|old| old.status),
                    condition: new.clone(),
                });
            }
        }
        stamped
    }
}

/// Plain data: text keys and finite numbers, which always have a JSON form.
pub(super) fn json(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}
