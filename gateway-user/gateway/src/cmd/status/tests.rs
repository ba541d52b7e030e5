use super::endpoint::reachable;
use super::*;
use crate::admin::document::{BackendTlsLine, ControllerLine, NodeLine, WatchLine};
use crate::state_dir;

fn conditions(list: &[(&str, &str, &str)]) -> serde_json::Value {
    let line = |(kind, status, reason): &(&str, &str, &str)| {
        let line =
            serde_json::json!({"status": status, "reason": reason, "message": format!("about {reason}")});
        ((*kind).to_owned(), line)
    };
    list.iter().map(line).collect::<serde_json::Map<_, _>>().into()
}

fn document() -> StatusDocument {
    let good = [("Accepted", "True", "Accepted"), ("Conflicted", "False", "NoConflicts")];
    let shadowed = [("Accepted", "True", "Accepted"), ("sluice.dev/Shadowed", "True", "OlderRoute")];
    let bad = [("Accepted", "False", "PortUnavailable"), ("Programmed", "False", "PortUnavailable")];
    let insecure = [
        ("Accepted", "True", "Accepted"),
        ("InsecureFrontendValidationMode", "True", "ConfigurationChanged"),
    ];
    serde_json::from_value(serde_json::json!({
        "process": {"version": "0.1.0", "pid": 7, "started": "x", "source": "conf",
                    "capabilities": ["CAP_NET_BIND_SERVICE"]},
        "readiness": "ready", "generation": 3, "liveSince": "2026-11-23T00:00:00Z",
        "steering": {"path": "reuseport", "detail": "reuseport (asked for)"},
        "io": {"driver": "epoll", "refused": ["uring-defer: EPERM"], "workers": 2},
        "gateways": [
            {"gateway": "a/gw", "conditions": conditions(&[("Programmed", "True", "Programmed")])},
            {"gateway": "a/open", "conditions": conditions(&insecure)},
        ],
        "listeners": [
            {"gateway": "a/gw", "listener": "http", "address": "*", "port": 80, "servedOn": 8080,
             "protocol": "HTTPS", "hostname": "", "clientCertificates": "AllowValidOnly", "attachedRoutes": 1, "conditions": conditions(&good)},
            {"gateway": "a/gw", "listener": "ssh", "address": "10.0.0.1", "port": 22,
             "protocol": "TCP", "hostname": "*.example.com", "attachedRoutes": 0, "conditions": conditions(&bad)},
            {"gateway": "a/gw", "listener": "tls", "address": "", "hostname": "",
             "attachedRoutes": 0, "conditions": conditions(&[("Accepted", "False", "UnsupportedProtocol")])},
        ],
        "routes": [
            {"route": "HTTPRoute b/r", "parent": "a/gw", "conditions": conditions(&good)},
            {"route": "TCPRoute b/t", "parent": "a/gw/ssh", "conditions": conditions(&shadowed)},
        ],
        "findings": ["HTTPRoute b/r: something"],
        "status": {},
    }))
    .unwrap()
}

#[test]
fn tables_say_what_is_served_where_and_what_is_not() {
    let want = "\
sluice 0.1.0 (pid 7), serving conf
ready; generation 3, live since 2026-11-23T00:00:00Z
steering:       reuseport (asked for)
io:             epoll, 2 workers (not uring-defer: EPERM)
capabilities:   CAP_NET_BIND_SERVICE

GATEWAY   STATE                  MESSAGE
a/open    ConfigurationChanged   about ConfigurationChanged

GATEWAY   LISTENER   ADDRESS    PORT           PROTOCOL   HOSTNAME        ROUTES   STATE
a/gw      http       *          80 (on 8080)   HTTPS      *               1        OK
a/gw      ssh        10.0.0.1   22             TCP        *.example.com   0        PortUnavailable
a/gw      tls        -          -              -          -               0        UnsupportedProtocol

ROUTE           PARENT     STATE
HTTPRoute b/r   a/gw       OK
TCPRoute b/t    a/gw/ssh   OlderRoute

HTTPRoute b/r: something
";
    assert_eq!(render(&document(), false), want);
    let wide = render(&document(), true);
    assert!(wide.contains("PortUnavailable       -                     about PortUnavailable\n"), "{wide}");
    assert!(wide.contains("OK                    AllowValidOnly        -\n"), "{wide}");
    assert!(wide.contains("a/gw      OK                     -\n"), "{wide}");
}

#[test]
fn backends_over_tls_are_named_with_their_policy_and_trust() {
    let mut document = document();
    let line = |backend: &str, trust: &[&str], fault: Option<&str>, refused: &[&str]| BackendTlsLine {
        backend: backend.into(),
        policy: "b/tls".into(),
        hostname: "app.b.svc".into(),
        names: Vec::new(),
        trust: trust.iter().map(|one| (*one).to_owned()).collect(),
        fault: fault.map(str::to_owned),
        refused_gateways: refused.iter().map(|one| (*one).to_owned()).collect(),
    };
    document.backend_tls = vec![
        line("b/app:443", &["ConfigMap/b/ca (2 certificates)", "System (140 certificates)"], None, &[]),
        line("b/far:443", &["System (140 certificates)"], None, &["a/gw"]),
        line("b/odd:443", &[], Some("no ConfigMap \"b/ca\""), &[]),
    ];
    let want = "
BACKEND     TLS POLICY   TRUST                                                        STATE
b/app:443   b/tls        ConfigMap/b/ca (2 certificates), System (140 certificates)   OK
b/far:443   b/tls        System (140 certificates)                                    TooManyAncestors
b/odd:443   b/tls        -                                                            Invalid
";
    let text = render(&document, false);
    assert!(text.contains(want), "{text}");
    let wide = render(&document, true);
    assert!(wide.contains("app.b.svc   no ConfigMap \"b/ca\"\n"), "{wide}");
}

#[test]
fn watches_are_counted_and_listed_if_asked_for() {
    let mut document = document();
    let watch = |kind: &str, why: Option<&str>| WatchLine {
        kind: kind.into(),
        namespace: None,
        synced: why.is_none(),
        objects: 7,
        last_event: None,
        failing_since: why.map(|_| "2026-11-23T00:00:00Z".into()),
        why: why.map(str::to_owned),
    };
    document.watches = vec![watch("HTTPRoute", None), watch("Secret", Some("no right to list"))];
    let text = render(&document, false);
    assert!(text.contains("watches:        1 of 2 synced, 1 failing\n"), "{text}");
    let wide = render(&document, true);
    assert!(
        wide.contains("HTTPRoute   *           7         yes      -            -                      -\n"),
        "{wide}"
    );
    assert!(wide.contains("2026-11-23T00:00:00Z   no right to list\n"), "{wide}");
}

#[test]
fn both_ends_of_a_stream_are_shown() {
    let mut node = document();
    let line = |connected, error: Option<&str>| ControllerLine {
        connected,
        program: "0.2.0".into(),
        version: 7,
        age_seconds: Some(12),
        error: error.map(str::to_owned),
    };
    node.controller = Some(line(true, None));
    let text = render(&node, false);
    assert!(text.contains("controller:     connected (sluice 0.2.0), version 7\n"), "{text}");
    node.controller = Some(line(false, Some("it is away")));
    let text = render(&node, false);
    assert!(
        text.contains("controller:     not connected, heard 12 s ago: it is away; version 7\n"),
        "{text}"
    );
    let mut controller = document();
    let line = |node: &str, connected, version| NodeLine {
        node: node.into(),
        program: "0.1.0".into(),
        connected,
        version,
        closed: 0,
        error: None,
        suspicion: None,
    };
    controller.nodes = vec![line("edge-1", true, 7), line("edge-2", false, 6)];
    let text = render(&controller, false);
    assert!(text.contains("nodes:          1 of 2 connected, 1 behind\n"), "{text}");
    let wide = render(&controller, true);
    assert!(wide.contains("edge-2   0.1.0     no          6         0              -\n"), "{wide}");
    controller.nodes[1].suspicion = Some("its stream is gone, and edge-1 reaches it".into());
    let text = render(&controller, true);
    assert_eq!(text.matches("its stream is gone, and edge-1 reaches it").count(), 2, "{text}");
    assert!(text.contains("node edge-2:"), "{text}");
}

#[test]
fn the_socket_is_asked_unless_an_address_is_given_and_advice_names_all_that_matters() {
    use crate::flags::tests::settings;

    let of = |flags: &[(&str, &str)]| Endpoint::of(&settings(flags)).unwrap();
    let usual = state_dir::resolve(&settings(&[]).state_dir).unwrap();
    assert_eq!(of(&[]), Endpoint::Socket(usual.join("admin.sock")));
    assert_eq!(of(&[("state-dir", "/s")]), Endpoint::Socket("/s/admin.sock".into()));
    let address = [("state-dir", "/s"), ("admin-address", "127.0.0.1:15000")];
    assert_eq!(of(&address), Endpoint::Address("127.0.0.1:15000".parse().unwrap()));
    let advice = of(&[("state-dir", "/s")]).advice();
    let uid = format!("uid {}", rustix::process::geteuid().as_raw());
    for word in ["/s/admin.sock", &uid, "sudo sluice status --state-dir /s"] {
        assert!(advice.contains(word), "{word}: {advice}");
    }
}

#[test]
fn the_unspecified_address_is_asked_on_loopback() {
    for (listen, ask) in [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")] {
        assert_eq!(reachable(listen.parse().unwrap()), ask.parse().unwrap());
    }
}
