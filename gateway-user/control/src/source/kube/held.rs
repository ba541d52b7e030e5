//! An object as it is held: what tables are made of is shared with whoever reads it; what changes beside it
//! is kept apart.
//!
//! Every status that is written comes back as a new version of its object. Were that version kept as it
//! comes, readers would hold the one before until something else changes: every object twice.

use std::sync::Arc;

use gateway_api_types::{
    GatewayClassStatus, GatewayStatus, GrpcRoute, GrpcRouteSpec, HttpRoute, HttpRouteSpec, L4RouteSpec,
    ListenerSetStatus, Object, PolicyStatus, RouteStatus, TcpRoute, TlsRoute, TlsRouteSpec, UdpRoute,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// One object.
#[derive(Debug)]
pub(super) struct StoredObject {
    /// Without status, in the version in which anything else changed last. Policies keep whose entries their status has: there
    /// is room for so many, and who has one keeps it.
    object: Object,
    /// The newest version.
    version: Option<Box<str>>,
    status: Option<Status>,
}

/// The statuses that we write, and so must know as they are.
#[derive(Debug)]
enum Status {
    Class(Box<GatewayClassStatus>),
    Gateway(Box<GatewayStatus>),
    Set(Box<ListenerSetStatus>),
    Route(Box<RouteStatus>),
    Policy(Box<PolicyStatus>),
}

impl StoredObject {
    /// Takes an object apart.
    pub(super) fn of(mut object: Object) -> Self {
        let (version, status) = match &mut object {
            Object::GatewayClass(class) => {
                let class = Arc::make_mut(class);
                (class.metadata.resource_version.take(), class.status.take().map(Box::new).map(Status::Class))
            }
            Object::Gateway(gateway) => {
                let gateway = Arc::make_mut(gateway);
                let status = gateway.status.take().map(Box::new).map(Status::Gateway);
                (gateway.metadata.resource_version.take(), status)
            }
            Object::ListenerSet(set) => {
                let set = Arc::make_mut(set);
                (set.metadata.resource_version.take(), set.status.take().map(Box::new).map(Status::Set))
            }
            Object::HttpRoute(route) => {
                let route = Arc::make_mut(route);
                (route.metadata.resource_version.take(), route.status.take().map(Box::new).map(Status::Route))
            }
            Object::GrpcRoute(route) => {
                let route = Arc::make_mut(route);
                (route.metadata.resource_version.take(), route.status.take().map(Box::new).map(Status::Route))
            }
            Object::TcpRoute(route) => {
                let route = Arc::make_mut(route);
                (route.metadata.resource_version.take(), route.status.take().map(Box::new).map(Status::Route))
            }
            Object::TlsRoute(route) => {
                let route = Arc::make_mut(route);
                (route.metadata.resource_version.take(), route.status.take().map(Box::new).map(Status::Route))
            }
            Object::UdpRoute(route) => {
                let route = Arc::make_mut(route);
                (route.metadata.resource_version.take(), route.status.take().map(Box::new).map(Status::Route))
            }
            Object::BackendTlsPolicy(policy) => {
                let policy = Arc::make_mut(policy);
                let status = policy.status.clone().map(Box::new).map(Status::Policy);
                let entries = policy.status.iter_mut().flat_map(|status| &mut status.ancestors);
                entries.for_each(|entry| entry.conditions.clear());
                (policy.metadata.resource_version.take(), status)
            }
            other => (other.metadata().resource_version.clone(), None),
        };
        Self { object, version: version.map(String::into_boxed_str), status }
    }

    /// The object that tables are made of: no status, and perhaps no version.
    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    /// The newest metadata and status. A route's spec is left empty: who asks has seen it elsewhere.
    pub(super) fn newest(&self) -> Object {
        let version = self.version.as_deref().map(str::to_owned);
        match (&self.object, &self.status) {
            (Object::GatewayClass(class), status) => {
                let mut class = (**class).clone();
                class.metadata.resource_version = version;
                if let Some(Status::Class(status)) = status {
                    class.status = Some((**status).clone());
                }
                class.into()
            }
            (Object::Gateway(gateway), status) => {
                let mut gateway = (**gateway).clone();
                gateway.metadata.resource_version = version;
                if let Some(Status::Gateway(status)) = status {
                    gateway.status = Some((**status).clone());
                }
                gateway.into()
            }
            (Object::ListenerSet(set), status) => {
                let mut set = (**set).clone();
                set.metadata.resource_version = version;
                if let Some(Status::Set(status)) = status {
                    set.status = Some((**status).clone());
                }
                set.into()
            }
            (Object::HttpRoute(route), status) => {
                let metadata = ObjectMeta { resource_version: version, ..identity(&route.metadata) };
                HttpRoute { metadata, spec: nothing(), status: route_status(status) }.into()
            }
            (Object::GrpcRoute(route), status) => {
                let metadata = ObjectMeta { resource_version: version, ..identity(&route.metadata) };
                GrpcRoute { metadata, spec: GrpcRouteSpec::default(), status: route_status(status) }.into()
            }
            (Object::TcpRoute(route), status) => {
                let metadata = ObjectMeta { resource_version: version, ..identity(&route.metadata) };
                TcpRoute { metadata, spec: L4RouteSpec::default(), status: route_status(status) }.into()
            }
            (Object::TlsRoute(route), status) => {
                let metadata = ObjectMeta { resource_version: version, ..identity(&route.metadata) };
                TlsRoute { metadata, spec: TlsRouteSpec::default(), status: route_status(status) }.into()
            }
            (Object::UdpRoute(route), status) => {
                let metadata = ObjectMeta { resource_version: version, ..identity(&route.metadata) };
                UdpRoute { metadata, spec: L4RouteSpec::default(), status: route_status(status) }.into()
            }
            (Object::BackendTlsPolicy(policy), status) => {
                let mut policy = (**policy).clone();
                policy.metadata.resource_version = version;
                if let Some(Status::Policy(status)) = status {
                    policy.status = Some((**status).clone());
                }
                policy.into()
            }
            (other, _) => other.clone(),
        }
    }

    /// True if this is the version that `new` is of.
    pub(super) fn is_version(&self, new: &ObjectMeta) -> bool {
        self.version.as_deref() == new.resource_version.as_deref() && self.object.metadata().uid == new.uid
    }

    /// True if this is the version of that number.
    pub(super) fn is_at(&self, version: &str) -> bool {
        self.version.as_deref() == Some(version)
    }

    /// Becomes `new`; whether more than status and bookkeeping differs. If not, the object is the same
    /// [`Arc`] as before.
    pub(super) fn replace(&mut self, new: Self) -> bool {
        let same = is_same(&self.object, &new.object);
        if same {
            (self.version, self.status) = (new.version, new.status);
        } else {
            *self = new;
        }
        !same
    }
}

fn route_status(status: &Option<Status>) -> Option<RouteStatus> {
    match status {
        Some(Status::Route(status)) => Some((**status).clone()),
        _ => None,
    }
}

/// Metadata that identifies the object of a status.
fn identity(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        generation: metadata.generation,
        ..ObjectMeta::default()
    }
}

fn nothing() -> HttpRouteSpec {
    HttpRouteSpec {
        parent_refs: Vec::new(),
        hostnames: Vec::new(),
        rules: Vec::new(),
        use_default_gateways: None,
    }
}

/// True if nothing differs that tables are made of.
fn is_same(held: &Object, new: &Object) -> bool {
    let (held_at, new_at) = (held.metadata(), new.metadata());
    match (held, new) {
        (Object::BackendTlsPolicy(held), Object::BackendTlsPolicy(new)) => {
            is_same_but_status(held_at, new_at) && held.status == new.status
        }
        // A node says every few minutes that it is there, and nothing counts the changes of the rest.
        (_, Object::Node(_)) => (&held_at.labels, &held_at.uid) == (&new_at.labels, &new_at.uid),
        _ => is_same_but_status(held_at, new_at),
    }
}

/// True if no more than status and bookkeeping differs. A generation counts changes of all the rest, where
/// there is one (Kubernetes API conventions, "metadata").
fn is_same_but_status(a: &ObjectMeta, b: &ObjectMeta) -> bool {
    a.generation.is_some()
        && (&a.generation, &a.uid, &a.labels, &a.annotations, &a.deletion_timestamp)
            == (&b.generation, &b.uid, &b.labels, &b.annotations, &b.deletion_timestamp)
}

#[cfg(test)]
mod tests {
    use gateway_api_types::Kind;
    use serde_json::{Value, json};

    use super::*;

    fn route(generation: i64, version: &str, status: Value) -> StoredObject {
        let value = json!({
            "metadata": {"name": "r", "namespace": "n", "uid": "u", "generation": generation, "resourceVersion": version},
            "spec": {"parentRefs": [{"name": "g"}]}, "status": status,
        });
        StoredObject::of(Object::from_value(Kind::HttpRoute, value).unwrap())
    }

    fn arc(held: &StoredObject) -> Arc<HttpRoute> {
        let Object::HttpRoute(route) = held.object() else { panic!("{held:?}") };
        Arc::clone(route)
    }

    #[test]
    fn a_node_that_is_still_there_has_not_changed() {
        let node = |version: &str, tier: &str| {
            let metadata =
                json!({"name": "a", "uid": "u", "resourceVersion": version, "labels": {"tier": tier}});
            StoredObject::of(Object::from_value(Kind::Node, json!({"metadata": metadata})).unwrap())
        };
        let mut held = node("7", "edge");
        assert!(!held.replace(node("8", "edge")));
        assert!(held.is_at("8"));
        assert!(held.replace(node("9", "inner")));
        assert_eq!(held.object().metadata().labels.as_ref().unwrap()["tier"], "inner");
    }

    #[test]
    fn a_new_status_leaves_what_readers_hold_alone() {
        let mut held = route(1, "7", Value::Null);
        let before = arc(&held);
        assert!(!held.replace(route(1, "8", json!({"parents": []}))));
        assert!(Arc::ptr_eq(&before, &arc(&held)), "it would be held twice");
        let Object::HttpRoute(newest) = held.newest() else { panic!("{held:?}") };
        assert_eq!(newest.status, Some(RouteStatus::default()));
        assert_eq!(newest.metadata.resource_version.as_deref(), Some("8"));
        assert!(held.is_version(&newest.metadata));
        assert!(held.replace(route(2, "9", json!({"parents": []}))));
        assert!(!Arc::ptr_eq(&before, &arc(&held)));
        assert_eq!(arc(&held).status, None);
    }

    /// A write names the version that it is for, and a status that is not known is written again and again.
    #[test]
    fn the_newest_version_of_each_kind_with_a_status_of_ours_is_known() {
        let specs = [
            (Kind::GatewayClass, json!({"controllerName": "c"})),
            (Kind::Gateway, json!({"gatewayClassName": "c", "listeners": []})),
            (Kind::ListenerSet, json!({"parentRef": {"name": "g"}, "listeners": []})),
            (Kind::HttpRoute, json!({})),
            (Kind::GrpcRoute, json!({})),
            (Kind::TcpRoute, json!({"rules": []})),
            (Kind::TlsRoute, json!({"rules": []})),
            (Kind::UdpRoute, json!({"rules": []})),
            (Kind::BackendTlsPolicy, json!({"targetRefs": [], "validation": {"hostname": "a"}})),
        ];
        for (kind, spec) in specs {
            let of = |version: &str, status: Value| {
                let metadata = json!({"name": "o", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": version});
                let value = json!({"metadata": metadata, "spec": spec, "status": status});
                StoredObject::of(Object::from_value(kind, value).unwrap())
            };
            let status = json!({"conditions": [], "parents": [], "ancestors": []});
            let mut held = of("1", status.clone());
            assert!(!held.replace(of("2", status)), "{kind:?}");
            assert_eq!(held.newest().metadata().resource_version.as_deref(), Some("2"), "{kind:?}");
        }
    }

    #[test]
    fn a_policy_keeps_whose_entries_it_has_and_shows_its_newest_conditions() {
        let policy = |version: &str, entries: &[(&str, &str)]| {
            let entry = |(gateway, reason): &(&str, &str)| {
                let condition = json!({"type": "Accepted", "status": "False", "reason": reason, "message": "",
                    "lastTransitionTime": "2026-01-01T00:00:00Z"});
                json!({"ancestorRef": {"name": gateway}, "controllerName": "c", "conditions": [condition]})
            };
            let ancestors: Vec<_> = entries.iter().map(entry).collect();
            let value = json!({
                "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 1, "resourceVersion": version},
                "spec": {"targetRefs": [], "validation": {"hostname": "a"}}, "status": {"ancestors": ancestors},
            });
            StoredObject::of(Object::from_value(Kind::BackendTlsPolicy, value).unwrap())
        };
        let newest = |held: &StoredObject| {
            let Object::BackendTlsPolicy(newest) = held.newest() else { panic!("{held:?}") };
            let reasons = newest.status.iter().flat_map(|status| &status.ancestors);
            let reasons = reasons.map(|entry| entry.conditions[0].reason.clone()).collect::<Vec<_>>();
            (newest.metadata.resource_version.clone().unwrap(), reasons.join(" "))
        };
        let mut held = policy("1", &[("g", "Invalid")]);
        assert!(!held.replace(policy("2", &[("g", "Conflicted")])), "a condition of it is all that differs");
        assert_eq!(newest(&held), ("2".to_owned(), "Conflicted".to_owned()));
        assert!(
            held.replace(policy("3", &[("g", "Conflicted"), ("h", "Invalid")])),
            "somebody has an entry more"
        );
        assert_eq!(newest(&held), ("3".to_owned(), "Conflicted Invalid".to_owned()));
    }
}
