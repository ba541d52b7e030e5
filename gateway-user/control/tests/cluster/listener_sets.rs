//! Patches of the statuses of ListenerSets.

use gateway_api_types::Kind;
use serde_json::{Value, json};

use crate::changes::{Server, THEN, class, gateway, web};

/// A set of `gw` with a host, as the API server makes it.
fn listener_set(name: &str, host: &str) -> (Kind, Value) {
    let listeners = json!([{"name": "web", "port": 80, "protocol": "HTTP", "hostname": host}]);
    let object = json!({
        "metadata": {"name": name, "namespace": "edge", "generation": 3, "resourceVersion": "4"},
        "spec": {"parentRef": {"name": "gw"}, "listeners": listeners},
        "status": {"conditions": [
            {"type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "Waiting for controller",
                "lastTransitionTime": "1970-01-01T00:00:00Z"},
            {"type": "example.com/Theirs", "status": "True", "reason": "R", "message": "", "lastTransitionTime": THEN},
        ]},
    });
    (Kind::ListenerSet, object)
}

#[test]
fn an_edit_of_one_set_is_waited_for_by_that_set_alone() {
    let (kind, mut open) = gateway(1, web());
    open["spec"]["allowedListeners"] = json!({"namespaces": {"from": "Same"}});
    let sets = [listener_set("one", "one.example"), listener_set("two", "two.example")];
    let mut server = Server::with([class(), (kind, open)].into_iter().chain(sets));
    server.settle(&[("a", server.current())], &[]);
    assert_eq!(server.at(Kind::Gateway, "gw")["status"]["attachedListenerSets"], 2);
    let conditions = |server: &Server, name: &str| {
        let conditions = server.at(Kind::ListenerSet, name)["status"]["conditions"].clone();
        let of = |one: &Value| {
            format!("{} {} {}", one["type"], one["status"], one["observedGeneration"]).replace('"', "")
        };
        conditions.as_array().unwrap().iter().map(of).collect::<Vec<_>>()
    };
    let served = ["Accepted True 3", "example.com/Theirs True null", "Programmed True 3"];
    assert_eq!(conditions(&server, "one"), served);
    let listener = &server.at(Kind::ListenerSet, "one")["status"]["listeners"][0];
    assert_eq!((&listener["name"], &listener["attachedRoutes"]), (&json!("web"), &json!(0)));
    // The node has not applied the edit yet: what was said of the generation before stays, and nobody else is written.
    let before = server.current();
    let one = server.at_mut(Kind::ListenerSet, "one");
    one["spec"]["listeners"][0]["hostname"] = json!("other.example");
    one["metadata"]["generation"] = json!(4);
    let written = server.settle(&[("a", before.clone())], &[]);
    assert_eq!(written.iter().map(|one| one.key.name.as_str()).collect::<Vec<_>>(), ["one"]);
    assert_eq!(conditions(&server, "one")[0], "Accepted True 4");
    assert_eq!(conditions(&server, "one")[2], "Programmed True 3");
    server.settle(&[("a", server.current())], &[]);
    assert_eq!(conditions(&server, "one")[2], "Programmed True 4");
    assert_eq!(conditions(&server, "two"), served);
}

#[test]
fn a_set_without_leave_is_refused_and_one_of_another_controller_is_left_alone() {
    let (kind, set) = listener_set("one", "one.example");
    let mut server = Server::with([class(), gateway(1, web()), (kind, set.clone())]);
    server.settle(&[("a", server.current())], &[]);
    let status = &server.at(Kind::ListenerSet, "one")["status"];
    assert_eq!(status["conditions"][0]["reason"], "NotAllowed");
    assert_eq!(server.at(Kind::Gateway, "gw")["status"]["attachedListenerSets"], Value::Null);
    let (_, mut foreign) = gateway(1, web());
    foreign["spec"]["gatewayClassName"] = json!("other");
    let mut server = Server::with([class(), (Kind::Gateway, foreign), (kind, set.clone())]);
    let written = server.settle(&[("a", server.current())], &[]);
    assert!(written.iter().all(|one| one.kind == Kind::GatewayClass), "{written:?}");
    assert_eq!(*server.at(Kind::ListenerSet, "one"), set);
}
