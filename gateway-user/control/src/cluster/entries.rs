//! Statuses that several controllers write, each its own entries: one for each parent of a route, or ancestor of a policy.

use gateway_api_types::{Condition, ParentReference, PolicyAncestorStatus, RouteParentStatus};
use gateway_translate::condition_type::{HOST_CONFLICT, SHADOWED};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::op::Ops;

/// An entry of such a list.
pub(super) trait Entry: Clone + Serialize {
    /// The list's field of `status`.
    const LIST: &str;
    /// The condition types that the Gateway API gives to the controller, and our own.
    const TYPES: &[&str];

    fn reference(&self) -> &ParentReference;
    fn controller(&self) -> &str;
    fn conditions(&self) -> &[Condition];
    fn set_conditions(&mut self, conditions: Vec<Condition>);
}

macro_rules! entry {
    ($type:ident, $list:literal, $reference:ident, $types:expr) => {
        impl Entry for $type {
            const LIST: &str = $list;
            const TYPES: &[&str] = $types;

            fn reference(&self) -> &ParentReference {
                &self.$reference
            }

            fn controller(&self) -> &str {
                &self.controller_name
            }

            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }

            fn set_conditions(&mut self, conditions: Vec<Condition>) {
                self.conditions = conditions;
            }
        }
    };
}

entry!(
    RouteParentStatus,
    "parents",
    parent_ref,
    &["Accepted", "ResolvedRefs", "PartiallyInvalid", HOST_CONFLICT, SHADOWED]
);
entry!(PolicyAncestorStatus, "ancestors", ancestor_ref, &["Accepted", "ResolvedRefs"]);

/// Brings our entries to what is wanted. `seen` is `None` for an object without a status.
pub(super) fn entries<E: Entry>(seen: Option<&[E]>, wanted: &[E], controller: &str, now: Timestamp) -> Ops {
    let list = format!("/status/{}", E::LIST);
    let mut ops = Ops::new(now);
    let known = seen.unwrap_or_default();
    let ours = |entry: &E| entry.controller() == controller;
    let place =
        |wanted: &E| known.iter().position(|entry| ours(entry) && entry.reference() == wanted.reference());
    let mut new: Vec<E> = Vec::new();
    for entry in wanted {
        let section = section(entry.reference());
        match place(entry).and_then(|index| known.get(index).map(|seen| (index, seen))) {
            Some((index, seen)) => {
                let path = format!("{list}/{index}/conditions");
                ops.conditions(&path, Some(&section), seen.conditions(), entry.conditions(), E::TYPES);
            }
            None if new.iter().any(|other| other.reference() == entry.reference()) => {}
            None => {
                let conditions = ops.stamp(Some(&section), &[], entry.conditions());
                let mut entry = entry.clone();
                entry.set_conditions(conditions);
                new.push(entry);
            }
        }
    }
    let is_wanted = |seen: &E| wanted.iter().any(|entry| entry.reference() == seen.reference());
    let gone = known.iter().enumerate().filter(|(_, seen)| ours(seen) && !is_wanted(seen));
    ops.remove_all(&list, gone.map(|(index, _)| index).collect());
    match seen {
        _ if new.is_empty() => {}
        None => ops.add("/status", json!({(E::LIST): new})),
        Some([]) => ops.add(list, new),
        Some(_) => new.into_iter().for_each(|entry| ops.add(format!("{list}/-"), entry)),
    }
    ops
}

/// Name of a parent for people: `edge/gw`, or `edge/gw listener web`.
fn section(reference: &ParentReference) -> String {
    let namespace = reference.namespace.as_ref().map(|name| format!("{name}/")).unwrap_or_default();
    let listener =
        reference.section_name.as_ref().map(|name| format!(" listener {name}")).unwrap_or_default();
    format!("{} {namespace}{}{listener}", reference.kind, reference.name)
}
