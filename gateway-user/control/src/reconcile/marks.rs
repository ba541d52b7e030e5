//! Marks of Gateways, which tell a node whether somebody edited one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use gateway_api_types::{Gateway, ObjectKey, ResourceSet};
use gateway_ir::{Ir, ObjectName};
use sha2::{Digest as _, Sha256};

/// The marks of the Gateways that are served.
#[derive(Debug, Default)]
pub(super) struct Marks {
    known: BTreeMap<ObjectName, (Arc<Gateway>, String)>,
    marks: Arc<BTreeMap<ObjectName, String>>,
}

impl Marks {
    /// The marks as of now; the same as before by `Arc` unless one differs.
    pub(super) fn follow(&mut self, ir: &Ir, resources: &ResourceSet) -> Arc<BTreeMap<ObjectName, String>> {
        let listeners = ir.binds.iter().flat_map(|bind| &bind.listeners);
        let mut names: Vec<&ObjectName> = listeners.map(|listener| &listener.id.gateway).collect();
        names.sort();
        names.dedup();
        let mut known = BTreeMap::new();
        for name in names {
            let key = ObjectKey::new(&*name.namespace, &*name.name);
            let Some(gateway) = resources.gateways.get(&key) else { continue };
            let mark = match self.known.remove(name) {
                Some((same, mark)) if Arc::ptr_eq(&same, gateway) => mark,
                _ => mark(gateway),
            };
            known.insert(name.clone(), (Arc::clone(gateway), mark));
        }
        self.known = known;
        let marks = self.known.iter().map(|(name, (_, mark))| (name, mark));
        if !marks.eq(self.marks.iter()) {
            self.marks =
                Arc::new(self.known.iter().map(|(name, (_, mark))| (name.clone(), mark.clone())).collect());
        }
        Arc::clone(&self.marks)
    }
}

/// Eight bytes of the digest of its `spec`, in hexadecimal.
fn mark(gateway: &Gateway) -> String {
    // Plain data without maps of structured keys, which is all that could fail.
    let digest = Sha256::digest(serde_json::to_vec(&gateway.spec).unwrap_or_default());
    digest.iter().take(8).fold(String::new(), |mut text, byte| {
        // Strings grow.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
