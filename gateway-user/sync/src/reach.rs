//! Reaches: the Gateways by which a node comes to need an item. Kept only while some Gateway is not served on every node.

use std::sync::{Arc, LazyLock};

use gateway_ir::ObjectName;

use crate::scope::Scope;

/// One list for all items that are new.
static NOBODY: LazyLock<Arc<Vec<ObjectName>>> = LazyLock::new(Arc::default);

/// The Gateways of an item, in order; an item without a reach is for every node. Items of the same Gateways share one list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Reach(Option<Arc<Vec<ObjectName>>>);

impl Reach {
    /// Of an item that no Gateway needs.
    pub(crate) fn nobody() -> Self {
        Self(Some(Arc::clone(&NOBODY)))
    }

    /// The Gateways; `None` stands for every node.
    pub(crate) fn gateways(&self) -> Option<&[ObjectName]> {
        self.0.as_deref().map(Vec::as_slice)
    }

    /// Of an item that these Gateways need, which are in order and each once.
    pub(crate) fn of(gateways: Vec<ObjectName>) -> Self {
        Self(Some(Arc::new(gateways)))
    }

    /// The Gateways of both.
    fn or(&self, other: &Self) -> Self {
        let (Some(own), Some(others)) = (&self.0, &other.0) else { return Self::default() };
        if others.iter().all(|one| own.contains(one)) {
            return self.clone();
        }
        let mut all: Vec<_> = own.iter().chain(others.iter()).cloned().collect();
        all.sort();
        all.dedup();
        Self(Some(Arc::new(all)))
    }
}

/// Reaches of one item: now, and of all its versions before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reached {
    now: Reach,
    before: Reach,
}

impl Reached {
    /// Of an item that is new while reaches are kept.
    pub(crate) fn new() -> Self {
        Self { now: Reach::nobody(), before: Reach::nobody() }
    }

    /// The reach of the present version.
    pub(crate) fn now(&self) -> &Reach {
        &self.now
    }

    /// True if a node of this scope needs the item.
    pub(crate) fn is_for(&self, scope: &Scope) -> bool {
        scope.sees(self.now.gateways())
    }

    /// True if a node of this scope may have a version of the item.
    pub(crate) fn may_be_with(&self, scope: &Scope) -> bool {
        scope.sees(self.now.gateways()) || scope.sees(self.before.gateways())
    }

    /// A version of another reach comes.
    pub(crate) fn set(&mut self, now: &Reach) {
        self.before = self.before.or(&self.now);
        self.now = now.clone();
    }
}
