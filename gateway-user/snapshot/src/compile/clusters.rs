//! Numbers of clusters.

use std::sync::Arc;

use gateway_ir::{ClusterKey, Ir};
use hashbrown::HashMap;

use crate::ClusterId;
use crate::numbers::Numbers;
use crate::snapshot::Clusters;

/// Unused numbers that are never worth a thought: each costs a key, and a worker two words.
const UNUSED_MAX: usize = 64;

/// The numbers of clusters while a snapshot is compiled.
pub(super) struct ClusterNumbers<'a> {
    previous: &'a Arc<Clusters>,
    /// By key; filled when first asked for, because most often nothing asks.
    ids: Option<HashMap<&'a ClusterKey, u32>>,
    numbers: Numbers,
    /// Clusters that the previous snapshot does not have.
    new: Vec<(u32, &'a ClusterKey)>,
}

impl<'a> ClusterNumbers<'a> {
    /// Clusters of `previous` keep their numbers.
    pub(super) fn after(previous: &'a Arc<Clusters>) -> Self {
        Self { previous, ids: None, numbers: Numbers::after(previous.used.clone()), new: Vec::new() }
    }

    /// The number of a cluster; `None` if there are no more numbers.
    pub(super) fn id(&mut self, key: &'a ClusterKey) -> Option<ClusterId> {
        let previous = self.previous;
        let ids = self.ids.get_or_insert_with(|| {
            let used = previous.keys.iter().zip(&previous.used).zip(0..).filter(|((_, used), _)| **used);
            used.map(|((key, _), id)| (key, id)).collect()
        });
        let id = match ids.get(key) {
            Some(id) => *id,
            None => {
                let id = self.numbers.take()?;
                ids.insert(key, id);
                self.new.push((id, key));
                id
            }
        };
        self.numbers.mark(id);
        Some(ClusterId(id))
    }

    /// Keeps the cluster of a rule that is taken over.
    pub(super) fn keep(&mut self, id: ClusterId) {
        self.numbers.mark(id.0);
    }

    /// True if so many numbers are unused, most of them, that numbering anew is worth compiling every rule.
    pub(super) fn is_sparse(&self) -> bool {
        let unused = self.numbers.unused().count();
        unused > UNUSED_MAX && unused > self.numbers.len() / 2
    }

    /// The clusters that were asked for or kept; the previous ones themselves if those are the same.
    pub(super) fn finish(self) -> Arc<Clusters> {
        if !self.numbers.changed() {
            return Arc::clone(self.previous);
        }
        let mut keys = self.previous.keys.clone();
        for (id, key) in self.new {
            // A number is one of the previous ones or the next after all there are.
            match keys.get_mut(id as usize) {
                Some(old) => *old = key.clone(),
                None => keys.push(key.clone()),
            }
        }
        Arc::new(Clusters { keys, used: self.numbers.into_used() })
    }
}

/// Every cluster of an Ir, ascending.
pub(super) fn all(ir: &Ir) -> Vec<&ClusterKey> {
    let mut keys: Vec<_> = ir.routes.values().flat_map(|route| route.clusters()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}
