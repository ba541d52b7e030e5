//! Parents that a route names, where they are none of ours or do not let it in.

use gateway_api_types::{ConditionStatus, ListenerSet, ObjectKey, ParentReference};
use gateway_ir::{ObjectName, RouteId};

use super::gateway_of;
use crate::Lookup;
use crate::holder::Holder;
use crate::loss::{Loss, LossReason};
use crate::remedies;

impl Lookup<'_> {
    /// The parents that it names, where they are none of ours or do not let it in.
    pub(super) fn of_parents(&self, route: &RouteId) -> Vec<Loss> {
        let parents = self.parents(route);
        if parents.is_empty() {
            if self.translation.status.routes.get(route).is_some_and(|status| !status.parents.is_empty()) {
                // A default Gateway has taken it.
                return Vec::new();
            }
            let loss = Loss::new(
                LossReason::NoParent,
                "parentRefs: it names no Gateway, and no default Gateway lets it in",
            );
            return vec![loss.with(remedies::another_parent(self, route, None))];
        }
        let of = |(at, parent): (usize, &ParentReference)| self.of_parent(route, at, parent);
        parents.iter().enumerate().filter_map(of).collect()
    }

    fn of_parent(&self, route: &RouteId, at: usize, parent: &ParentReference) -> Option<Loss> {
        let field = format!("parentRefs[{at}]");
        let another = |reason: LossReason, message: String| {
            Some(Loss::new(reason, message).with(remedies::another_parent(self, route, Some(at))))
        };
        if !parent.is_gateway() && !parent.is_listener_set() {
            let message =
                format!("{field}: a {} lets nothing in here, only Gateways and ListenerSets do", parent.kind);
            return another(LossReason::ParentKind, message);
        }
        let name = gateway_of(route, parent);
        let key = ObjectKey::new(&*name.namespace, &*name.name);
        let resources = self.resources;
        let gateway = resources.gateways.get(&key).map(|one| Holder::Gateway(one));
        let set = resources.listener_sets.get(&key).map(|one| Holder::Set(one));
        let Some(holder) = (if parent.is_listener_set() { set } else { gateway }) else {
            return another(LossReason::ParentMissing, self.missing(route, &field, parent, &name));
        };
        if let Some(message) = self.foreign(holder, &name) {
            return another(LossReason::ParentForeign, format!("{field}: {message}"));
        }
        if let Holder::Set(set) = holder
            && let Some(loss) = self.of_set(set, &name, &field)
        {
            return Some(loss);
        }
        let status = self.translation.status.routes.get(route)?;
        let own = status.parents.iter().find(|one| one.parent_ref == *parent)?;
        let refused = own
            .conditions
            .iter()
            .find(|one| one.type_ == "Accepted" && one.status == ConditionStatus::False)?;
        let (reason, remedy) = match &*refused.reason {
            "NoMatchingParent" => {
                (LossReason::NoMatchingParent, remedies::another_parent(self, route, Some(at)))
            }
            "NotAllowedByListeners" => (LossReason::NotAllowed, remedies::leave(self, route, holder, parent)),
            "NoMatchingListenerHostname" => {
                (LossReason::NoMatchingHostname, remedies::another_parent(self, route, Some(at)))
            }
            _ => (LossReason::NotAccepted, None),
        };
        Some(Loss::new(reason, &*refused.message).with(remedy))
    }

    /// Says whose a parent is that is not ours, or a set's Gateway.
    fn foreign(&self, holder: Holder<'_>, name: &ObjectName) -> Option<String> {
        let status = &self.translation.status;
        match holder {
            Holder::Gateway(_) if status.gateways.contains_key(name) => None,
            Holder::Set(_) if status.listener_sets.contains_key(name) => None,
            Holder::Gateway(gateway) => {
                let class = &gateway.spec.gateway_class_name;
                let of = self.resources.gateway_classes.get(&ObjectKey::new("", &**class));
                let controller = of.map_or_else(
                    || "which does not exist".to_owned(),
                    |class| format!("which is of {}", class.spec.controller_name),
                );
                Some(format!("Gateway \"{name}\" has GatewayClass {class:?}, {controller}"))
            }
            Holder::Set(set) => {
                let parent = gateway_of_set(set, name);
                Some(format!("ListenerSet \"{name}\" joins Gateway \"{parent}\", which is not served here"))
            }
        }
    }

    /// The reason that a set is not let in by its Gateway, or refused with it.
    fn of_set(&self, set: &ListenerSet, name: &ObjectName, field: &str) -> Option<Loss> {
        let status = self.translation.status.listener_sets.get(name)?;
        let refused = status
            .conditions
            .iter()
            .find(|one| one.type_ == "Accepted" && one.status == ConditionStatus::False)?;
        let message = format!("{field}: ListenerSet \"{name}\" is not accepted: {}", refused.message);
        match &*refused.reason {
            "NotAllowed" => {
                let gateway = gateway_of_set(set, name);
                let key = ObjectKey::new(&*gateway.namespace, &*gateway.name);
                let gateway = self.resources.gateways.get(&key)?;
                let remedy = remedies::let_in(self, gateway, &name.namespace);
                Some(Loss::new(LossReason::NotAllowed, message).with(remedy))
            }
            "ParentNotAccepted" => Some(Loss::new(LossReason::NotAccepted, message)),
            // Its listeners say by themselves why none of them is valid.
            _ => None,
        }
    }

    /// The finding about a parent that is not there: it names the one that was meant.
    fn missing(&self, route: &RouteId, field: &str, parent: &ParentReference, name: &ObjectName) -> String {
        let is_meant = |one: &&gateway_translate::Diagnostic| {
            one.field == field
                && one.object.kind.to_string() == route.kind.as_str()
                && (&*one.object.key.namespace, &*one.object.key.name)
                    == (&*route.object.namespace, &*route.object.name)
        };
        let finding = self.translation.diagnostics.iter().find(is_meant);
        finding.map_or_else(
            || format!("{field}: no {} \"{name}\"", parent.kind),
            |one| format!("{field}: {}", one.message),
        )
    }
}

/// The Gateway that a set names.
fn gateway_of_set(set: &ListenerSet, name: &ObjectName) -> ObjectName {
    let parent = &set.spec.parent_ref;
    ObjectName::new(parent.namespace.as_deref().unwrap_or(&name.namespace), &*parent.name)
}
