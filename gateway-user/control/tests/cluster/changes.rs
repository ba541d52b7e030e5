//! Patches of statuses, object by object: the operations are applied to the server's objects, as it would.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{Kind, Object, ObjectKey, ResourceSet};
use gateway_control::cluster::ObservedObjects;
use gateway_control::cluster::change::Change;
use gateway_control::cluster::op::Transition;
use gateway_control::cluster::plan::{Inputs, plan};
use gateway_ir::{Generation, ObjectName};
use gateway_translate::{NodeReport, TranslateOptions, Translation, digests, set_digests, translate};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::json_patch;

const OURS: &str = "sluice.dev/gateway";
pub(crate) const THEN: &str = "2026-01-01T00:00:00Z";
const NOW: &str = "2026-01-02T03:04:05Z";

/// A server's objects as JSON, which a change is applied to.
#[derive(Clone, Default)]
pub(crate) struct Server(BTreeMap<(Kind, ObjectKey), Value>);

impl Server {
    pub(crate) fn with(objects: impl IntoIterator<Item = (Kind, Value)>) -> Self {
        let key = |object: &Value| {
            let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
            ObjectKey::new(text("namespace"), text("name"))
        };
        Self(objects.into_iter().map(|(kind, object)| ((kind, key(&object)), object)).collect())
    }

    fn resources(&self) -> ResourceSet {
        self.0.iter().map(|((kind, _), value)| (typed(*kind, value), None)).collect()
    }

    fn translation(&self) -> Translation {
        translate(&self.resources(), &TranslateOptions::default())
    }

    /// Changes to write while these nodes run what they report.
    fn plan(&self, reports: &[(&str, NodeReport)], overdue: &[&str]) -> Vec<Change> {
        let translated = self.translation().status;
        let reports = reports.iter().map(|(node, report)| ((*node).to_owned(), report.clone())).collect();
        let overdue: BTreeSet<_> =
            overdue.iter().map(|name| (Kind::Gateway, ObjectName::new("edge", *name))).collect();
        let now: Timestamp = NOW.parse().unwrap();
        let inputs = Inputs {
            translated: &translated,
            reports: &reports,
            controller: OURS,
            overdue: &overdue,
            infrastructure: &BTreeMap::new(),
            now,
        };
        plan(inputs, self).changes
    }

    /// A node that runs all of this.
    pub(crate) fn current(&self) -> NodeReport {
        NodeReport {
            generation: Generation(1),
            gateways: digests(&self.translation().ir),
            listener_sets: set_digests(&self.translation().ir),
            addresses: vec!["10.0.0.9".parse().unwrap()],
            ..NodeReport::default()
        }
    }

    fn apply(&mut self, change: &Change) {
        let object = self.0.get_mut(&(change.kind, change.key.clone())).expect("the object is there");
        assert_eq!(object["metadata"]["resourceVersion"], json!(change.resource_version));
        for op in &change.ops {
            json_patch::apply(object, op);
        }
        let next = change.resource_version.parse::<u64>().unwrap() + 1;
        object["metadata"]["resourceVersion"] = json!(next.to_string());
    }

    /// Writes until nothing is left to write; gives what was written first.
    pub(crate) fn settle(&mut self, reports: &[(&str, NodeReport)], overdue: &[&str]) -> Vec<Change> {
        let first = self.plan(reports, overdue);
        first.iter().for_each(|change| self.apply(change));
        assert_eq!(self.plan(reports, overdue), [], "what was written is not written again");
        first
    }

    pub(crate) fn at(&self, kind: Kind, name: &str) -> &Value {
        let namespace = if kind == Kind::GatewayClass { "" } else { "edge" };
        &self.0[&(kind, ObjectKey::new(namespace, name))]
    }

    pub(crate) fn at_mut(&mut self, kind: Kind, name: &str) -> &mut Value {
        self.0.get_mut(&(kind, ObjectKey::new("edge", name))).unwrap()
    }
}

impl ObservedObjects for Server {
    fn object(&self, kind: Kind, key: &ObjectKey) -> Option<Object> {
        Some(typed(kind, self.0.get(&(kind, key.clone()))?))
    }

    fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        self.0.keys().filter(|(one, _)| *one == kind).map(|(_, key)| key.clone()).collect()
    }
}

fn typed(kind: Kind, value: &Value) -> Object {
    Object::from_value(kind, value.clone()).unwrap()
}

pub(crate) fn class() -> (Kind, Value) {
    let object = json!({"metadata": {"name": "sluice", "generation": 1, "resourceVersion": "5"},
        "spec": {"controllerName": OURS}});
    (Kind::GatewayClass, object)
}

/// As the API server makes it: with the conditions that the CRD has for a start.
pub(crate) fn gateway(generation: i64, listeners: Value) -> (Kind, Value) {
    let waiting = |type_: &str| {
        json!({"type": type_, "status": "Unknown", "reason": "Pending", "message": "Waiting for controller",
            "lastTransitionTime": "1970-01-01T00:00:00Z"})
    };
    let object = json!({
        "metadata": {"name": "gw", "namespace": "edge", "generation": generation, "resourceVersion": "7"},
        "spec": {"gatewayClassName": "sluice", "listeners": listeners},
        "status": {"conditions": [waiting("Accepted"), waiting("Programmed")]},
    });
    (Kind::Gateway, object)
}

pub(crate) fn web() -> Value {
    json!([{"name": "web", "port": 80, "protocol": "HTTP"}])
}

fn route(parents: &[&str]) -> (Kind, Value) {
    let parents: Vec<_> =
        parents.iter().map(|section| json!({"name": "gw", "sectionName": section})).collect();
    let object = json!({
        "metadata": {"name": "r", "namespace": "edge", "generation": 3, "resourceVersion": "9"},
        "spec": {"parentRefs": parents, "rules": [{}]},
    });
    (Kind::HttpRoute, object)
}

fn condition<'a>(list: &'a Value, type_: &str) -> &'a Value {
    let found = list.as_array().and_then(|list| list.iter().find(|one| one["type"] == json!(type_)));
    found.unwrap_or_else(|| panic!("no {type_} in {list}"))
}

fn foreign() -> Value {
    json!({"type": "example.com/Audited", "status": "True", "reason": "Seeded", "message": "",
        "observedGeneration": 1, "lastTransitionTime": THEN})
}

fn said(change: &Change) -> Vec<String> {
    let line = |one: &Transition| {
        let place = one.section.as_ref().map(|section| format!("{section} ")).unwrap_or_default();
        let before = one.before.map_or("-", |status| status.as_str());
        format!("{place}{} {before}>{}", one.condition.type_, one.condition.status)
    };
    change.transitions.iter().map(line).collect()
}

#[test]
fn everything_is_written_once_and_then_nothing() {
    let mut server = Server::with([class(), gateway(2, web()), route(&["web"])]);
    let first = server.settle(&[("a", server.current())], &[]);
    let kinds: Vec<_> = first.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [Kind::GatewayClass, Kind::Gateway, Kind::HttpRoute]);
    let status = &server.at(Kind::GatewayClass, "sluice")["status"];
    assert_eq!(condition(&status["conditions"], "Accepted")["status"], "True");
    let status = &server.at(Kind::Gateway, "gw")["status"];
    for type_ in ["Accepted", "Programmed", "ResolvedRefs"] {
        let one = condition(&status["conditions"], type_);
        assert_eq!((&one["status"], &one["observedGeneration"]), (&json!("True"), &json!(2)), "{one}");
        assert_eq!(one["lastTransitionTime"], NOW);
    }
    assert_eq!(status["addresses"], json!([{"type": "IPAddress", "value": "10.0.0.9"}]));
    let listener = &status["listeners"][0];
    assert_eq!((&listener["name"], &listener["attachedRoutes"]), (&json!("web"), &json!(1)));
    assert_eq!(listener["supportedKinds"][0]["kind"], "HTTPRoute");
    assert_eq!(condition(&listener["conditions"], "Conflicted")["status"], "False");
    let parent = &server.at(Kind::HttpRoute, "r")["status"]["parents"][0];
    assert_eq!(parent["controllerName"], OURS);
    assert_eq!(parent["parentRef"]["sectionName"], "web");
    assert_eq!(condition(&parent["conditions"], "Accepted")["observedGeneration"], 3);
}

#[test]
fn what_changed_is_said_once_and_times_move_with_the_status_alone() {
    let mut server = Server::with([class(), gateway(2, web())]);
    let first = server.settle(&[("a", server.current())], &[]);
    assert_eq!(
        said(&first[1]),
        [
            "Accepted Unknown>True",
            "Programmed Unknown>True",
            "ResolvedRefs ->True",
            "web Accepted ->True",
            "web Conflicted ->False",
            "web ResolvedRefs ->True",
            "web Programmed ->True"
        ]
    );
    // A later generation, and the same responses.
    let object = server.at_mut(Kind::Gateway, "gw");
    object["metadata"]["generation"] = json!(3);
    for one in object["status"]["conditions"].as_array_mut().unwrap() {
        one["lastTransitionTime"] = json!(THEN);
    }
    let next = server.settle(&[("a", server.current())], &[]);
    assert_eq!((next.len(), said(&next[0]).len()), (1, 0));
    let one = condition(&server.at(Kind::Gateway, "gw")["status"]["conditions"], "Accepted");
    assert_eq!((&one["observedGeneration"], &one["lastTransitionTime"]), (&json!(3), &json!(THEN)));
    // Nothing is served any more.
    server.at_mut(Kind::Gateway, "gw")["spec"]["listeners"][0]["protocol"] = json!("example.com/x");
    server.at_mut(Kind::Gateway, "gw")["metadata"]["generation"] = json!(4);
    let last = server.settle(&[("a", server.current())], &[]);
    assert!(said(&last[0]).contains(&"Programmed True>False".to_owned()), "{last:?}");
    let status = &server.at(Kind::Gateway, "gw")["status"];
    assert_eq!(condition(&status["conditions"], "Programmed")["lastTransitionTime"], NOW);
    assert_eq!(condition(&status["conditions"], "ResolvedRefs")["lastTransitionTime"], THEN);
    assert_eq!(status["listeners"][0]["supportedKinds"], json!([]));
}

#[test]
fn conditions_of_others_stay_as_they_are() {
    let mut server = Server::with([class(), gateway(2, web())]);
    server.settle(&[("a", server.current())], &[]);
    let object = server.at_mut(Kind::Gateway, "gw");
    // First and last, and with a field that we know nothing of.
    let mut strange = foreign();
    strange["unheardOf"] = json!({"kept": true});
    object["status"]["conditions"].as_array_mut().unwrap().insert(0, strange.clone());
    object["status"]["listeners"][0]["conditions"].as_array_mut().unwrap().push(foreign());
    object["status"]["unheardOf"] = json!([1]);
    object["metadata"]["generation"] = json!(3);
    object["spec"]["listeners"][0]["hostname"] = json!("second.example.com");
    server.settle(&[("a", server.current())], &[]);
    let status = &server.at(Kind::Gateway, "gw")["status"];
    assert_eq!(status["conditions"][0], strange);
    assert_eq!(condition(&status["listeners"][0]["conditions"], "example.com/Audited"), &foreign());
    assert_eq!(status["unheardOf"], json!([1]));
    assert_eq!(condition(&status["conditions"], "Programmed")["observedGeneration"], 3);
}

#[test]
fn conditions_that_are_ours_and_no_longer_said_are_taken_out() {
    let mut server = Server::with([class(), gateway(2, web())]);
    let mut ready = foreign();
    ready["type"] = json!("Ready");
    let list = server.at_mut(Kind::Gateway, "gw")["status"]["conditions"].as_array_mut().unwrap();
    list.insert(0, ready);
    list.insert(1, foreign());
    server.settle(&[("a", server.current())], &[]);
    let list = &server.at(Kind::Gateway, "gw")["status"]["conditions"];
    let types: Vec<_> = list.as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["example.com/Audited", "Accepted", "Programmed", "ResolvedRefs"]);
}

/// A TCPRoute of this name, older the lower its minute.
fn tcp_route(name: &str, minute: u32) -> (Kind, Value) {
    let object = json!({
        "metadata": {"name": name, "namespace": "edge", "generation": 1, "resourceVersion": "9",
            "creationTimestamp": format!("2026-01-01T00:{minute:02}:00Z")},
        "spec": {"parentRefs": [{"name": "gw"}], "rules": [{"backendRefs": [{"name": "db", "port": 5432}]}]},
    });
    (Kind::TcpRoute, object)
}

#[test]
fn a_route_is_told_of_an_older_one_for_as_long_as_that_is_there() {
    let listeners = json!([{"name": "db", "port": 5432, "protocol": "TCP"}]);
    let mut server = Server::with([class(), gateway(2, listeners), tcp_route("old", 1), tcp_route("new", 2)]);
    server.settle(&[("a", server.current())], &[]);
    let types = |server: &Server, name: &str| {
        let list = &server.at(Kind::TcpRoute, name)["status"]["parents"][0]["conditions"];
        let list = list.as_array().unwrap().iter();
        list.map(|one| one["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(types(&server, "old"), ["Accepted", "ResolvedRefs"]);
    assert_eq!(types(&server, "new"), ["Accepted", "ResolvedRefs", "sluice.dev/Shadowed"]);
    server.0.remove(&(Kind::TcpRoute, ObjectKey::new("edge", "old")));
    server.settle(&[("a", server.current())], &[]);
    assert_eq!(types(&server, "new"), ["Accepted", "ResolvedRefs"]);
}

#[test]
fn entries_of_other_controllers_stay_and_only_ours_are_taken_out() {
    let mut server = Server::with([class(), gateway(2, web()), route(&["web"])]);
    let theirs = json!({"parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw"},
        "controllerName": "example.com/other", "conditions": [foreign()], "unheardOf": 1});
    server.at_mut(Kind::HttpRoute, "r")["status"] = json!({"parents": [theirs]});
    server.settle(&[("a", server.current())], &[]);
    let parents = &server.at(Kind::HttpRoute, "r")["status"]["parents"];
    assert_eq!((&parents[0], &parents[1]["controllerName"]), (&theirs, &json!(OURS)));
    // Edited to another section: the old entry goes, the new one comes.
    let object = server.at_mut(Kind::HttpRoute, "r");
    object["spec"]["parentRefs"][0]["sectionName"] = json!("none");
    object["metadata"]["generation"] = json!(4);
    server.settle(&[("a", server.current())], &[]);
    let parents = &server.at(Kind::HttpRoute, "r")["status"]["parents"];
    assert_eq!(parents.as_array().unwrap().len(), 2);
    assert_eq!(parents[1]["parentRef"]["sectionName"], "none");
    assert_eq!(condition(&parents[1]["conditions"], "Accepted")["reason"], "NoMatchingParent");
    // No parent of ours is left.
    server.at_mut(Kind::HttpRoute, "r")["spec"]["parentRefs"] = json!([]);
    server.settle(&[("a", server.current())], &[]);
    assert_eq!(server.at(Kind::HttpRoute, "r")["status"]["parents"], json!([theirs]));
}

#[test]
fn listeners_come_and_go_in_one_write() {
    let two =
        json!([{"name": "a", "port": 80, "protocol": "HTTP"}, {"name": "b", "port": 81, "protocol": "HTTP"}]);
    let mut server = Server::with([class(), gateway(2, two)]);
    server.settle(&[("n", server.current())], &[]);
    let object = server.at_mut(Kind::Gateway, "gw");
    object["spec"]["listeners"] =
        json!([{"name": "b", "port": 82, "protocol": "HTTP"}, {"name": "c", "port": 83, "protocol": "HTTP"}]);
    object["metadata"]["generation"] = json!(3);
    let changes = server.settle(&[("n", server.current())], &[]);
    assert_eq!(changes.len(), 1);
    let listeners = server.at(Kind::Gateway, "gw")["status"]["listeners"].as_array().unwrap();
    let names: Vec<_> = listeners.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["b", "c"]);
    for listener in listeners {
        assert_eq!(condition(&listener["conditions"], "Programmed")["observedGeneration"], 3);
    }
}

#[test]
fn an_earlier_generation_stays_programmed_while_the_next_is_applied() {
    let mut server = Server::with([class(), gateway(2, web())]);
    let before = server.current();
    server.settle(&[("a", before.clone()), ("b", before.clone())], &[]);
    let object = server.at_mut(Kind::Gateway, "gw");
    object["spec"]["listeners"][0]["port"] = json!(81);
    object["metadata"]["generation"] = json!(3);
    let nodes = [("a", server.current()), ("b", before)];
    server.settle(&nodes, &[]);
    let shown = |server: &Server, type_: &str| {
        let status = &server.at(Kind::Gateway, "gw")["status"];
        let one = condition(&status["conditions"], type_);
        let listener = condition(&status["listeners"][0]["conditions"], type_);
        let text = |one: &Value| format!("{} {}", one["status"].as_str().unwrap(), one["observedGeneration"]);
        assert_eq!(text(one), text(listener));
        text(one)
    };
    assert_eq!(
        (shown(&server, "Programmed"), shown(&server, "Accepted")),
        ("True 2".into(), "True 3".into())
    );
    let addresses = |server: &Server| server.at(Kind::Gateway, "gw")["status"]["addresses"].clone();
    let served = json!([{"type": "IPAddress", "value": "10.0.0.9"}]);
    assert_eq!(addresses(&server), served);
    server.settle(&nodes, &["gw"]);
    assert_eq!(shown(&server, "Programmed"), "Unknown 3", "node b had time enough");
    assert_eq!(addresses(&server), served, "node a serves there still");
    let both = [("a", server.current()), ("b", server.current())];
    server.settle(&both, &[]);
    assert_eq!(shown(&server, "Programmed"), "True 3");
}

#[test]
fn an_object_that_was_edited_since_waits_for_its_own_translation() {
    let mut server = Server::with([class(), gateway(2, web()), route(&["web"])]);
    let translated = server.translation().status;
    let reports = BTreeMap::from([("a".to_owned(), server.current())]);
    server.at_mut(Kind::Gateway, "gw")["metadata"]["generation"] = json!(3);
    let overdue = BTreeSet::new();
    let now = NOW.parse().unwrap();
    let inputs = Inputs {
        translated: &translated,
        reports: &reports,
        controller: OURS,
        overdue: &overdue,
        infrastructure: &BTreeMap::new(),
        now,
    };
    let kinds: Vec<_> = plan(inputs, &server).changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [Kind::GatewayClass, Kind::HttpRoute]);
}

#[test]
fn objects_of_others_are_left_alone() {
    let mut server = Server::with([class(), gateway(2, web()), route(&["web"])]);
    server.at_mut(Kind::Gateway, "gw")["spec"]["gatewayClassName"] = json!("theirs");
    let theirs = json!({"metadata": {"name": "theirs", "resourceVersion": "1"}, "spec": {"controllerName": "example.com/x"}});
    server.0.insert((Kind::GatewayClass, ObjectKey::new("", "theirs")), theirs);
    let kinds: Vec<_> =
        server.plan(&[("a", server.current())], &[]).iter().map(|one| one.key.name.clone()).collect();
    assert_eq!(kinds, ["sluice"]);
}
