//! Targets: which policy is for a port of a Service, and which ones have to give way.

use std::collections::BTreeMap;

use gateway_api_types::{BackendTlsPolicy, ObjectKey, Objects};
use gateway_ir::ObjectName;

use crate::age::created;

/// Every target of a policy, by Service, in the order of precedence: the older policy, then by name
/// (`BackendTLSPolicySpec.targetRefs`). Objects of files have no age; they count as younger than all others.
#[derive(Debug, Default)]
pub(crate) struct Targets<'a>(BTreeMap<ObjectKey, Vec<Target<'a>>>);

/// One entry of a policy's `targetRefs`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) policy: &'a ObjectKey,
    /// Its index in the list.
    pub(crate) index: usize,
    /// The name of a port; `None` is every port that no other policy names.
    pub(crate) section: Option<&'a str>,
}

impl<'a> Targets<'a> {
    pub(crate) fn new(policies: &'a Objects<BackendTlsPolicy>) -> Self {
        let mut all: Vec<_> = policies.iter().collect();
        let age = |policy: &BackendTlsPolicy| {
            let created = created(&policy.metadata);
            (created.is_none(), created)
        };
        all.sort_by(|(a, older), (b, younger)| {
            let names = || name(a).alphabetical(&name(b));
            age(older).cmp(&age(younger)).then_with(names)
        });
        let mut targets: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (key, policy) in all {
            for (index, target) in policy.spec.target_refs.iter().enumerate() {
                if target.group.is_empty() && target.kind == "Service" {
                    let service = ObjectKey::new(&*key.namespace, &*target.name);
                    let section = target.section_name.as_deref().filter(|name| !name.is_empty());
                    targets.entry(service).or_default().push(Target { policy: key, index, section });
                }
            }
        }
        Self(targets)
    }

    /// The Services that are targeted.
    pub(crate) fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.0.keys()
    }

    /// The entries for a Service, those that take precedence first.
    pub(crate) fn of(&self, service: &ObjectKey) -> &[Target<'a>] {
        self.0.get(service).map(Vec::as_slice).unwrap_or_default()
    }

    /// The entry for a port: one that names it before one for the whole Service.
    pub(crate) fn winner(&self, service: &ObjectKey, port_name: Option<&str>) -> Option<&Target<'a>> {
        let all = self.of(service);
        let named = || all.iter().find(|target| target.section.is_some() && target.section == port_name);
        named().or_else(|| all.iter().find(|target| target.section.is_none()))
    }

    /// The entry that another one gives way to: of the same Service and section.
    pub(crate) fn precedes(&self, service: &ObjectKey, target: &Target<'_>) -> Option<&Target<'a>> {
        let first = self.of(service).iter().find(|one| one.section == target.section)?;
        (first.policy != target.policy).then_some(first)
    }
}

fn name(key: &ObjectKey) -> ObjectName {
    ObjectName::new(&*key.namespace, &*key.name)
}
