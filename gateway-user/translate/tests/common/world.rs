//! Random objects from a world so small that they meet: two Gateways, three tenants, few names.

use std::sync::LazyLock;

use gateway_api_types::{Kind, Object, ResourceSet};
use gateway_translate::{RegexLimits, TranslateOptions, Translation, translate};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any object but a class.
pub(crate) fn object() -> impl Strategy<Value = Value> {
    // Boxed: side by side in one value they would not fit on a test thread's stack.
    let one = [
        namespace().boxed(),
        gateway().boxed(),
        listener_set().boxed(),
        route().boxed(),
        grpc_route().boxed(),
        tcp_route().boxed(),
        tls_route().boxed(),
        udp_route().boxed(),
        service().boxed(),
        slice().boxed(),
        grant().boxed(),
        secret().boxed(),
        secret_grant().boxed(),
        node().boxed(),
        gateway_config().boxed(),
    ];
    proptest::strategy::Union::new(one)
}

fn tenant() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("c")].prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![Just("one"), Just("two")].prop_map(str::to_owned)
}

/// Namespaces of Gateways.
fn gateways() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just("gateways"), 1 => Just("a")]
}

fn host() -> impl Strategy<Value = Option<&'static str>> {
    let hosts = ["x.example.com", "y.example.com", "*.example.com", "*.com", "10.0.0.1"];
    prop_oneof![Just(None), (0..hosts.len()).prop_map(move |index| Some(hosts[index]))]
}

pub(crate) fn namespace() -> impl Strategy<Value = Value> {
    (tenant(), any::<bool>(), 0..4_usize).prop_map(|(name, label, hosts)| {
        let mut labels = if label { json!({"team": "yes"}) } else { json!({}) };
        match hosts {
            1 => labels["sluice.dev/hosts"] = json!("x.example.com_y.example.com"),
            2 => labels["hosts.sluice.dev/example.com"] = json!("subdomains"),
            3 => labels["hosts.sluice.dev/x.example.com"] = json!("wrong"),
            _ => {}
        }
        json!({"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    })
}

fn listener() -> impl Strategy<Value = Value> {
    let port = prop_oneof![Just(80), Just(81)];
    let protocol = prop_oneof![4 => Just("HTTP"), 1 => Just("HTTPS"), 1 => Just("TCP"), 2 => Just("TLS"), 1 => Just("UDP")];
    let from = prop_oneof![Just("All"), Just("Same"), Just("Selector")];
    let secret = (prop_oneof![2 => Just("gateways".to_owned()), 1 => tenant()], name());
    let tls = (secret, any::<bool>());
    (port, protocol, from, host(), tls).prop_map(
        |(port, protocol, from, host, ((namespace, secret), passes))| {
            let mut namespaces = json!({"from": from});
            if from == "Selector" {
                namespaces["selector"] = json!({"matchLabels": {"team": "yes"}});
            }
            let mut listener =
                json!({"port": port, "protocol": protocol, "allowedRoutes": {"namespaces": namespaces}});
            if let Some(host) = host {
                listener["hostname"] = json!(host);
            }
            match protocol {
                "TLS" if passes => listener["tls"] = json!({"mode": "Passthrough"}),
                "TLS" | "HTTPS" => {
                    let reference = json!({"name": secret, "namespace": namespace});
                    listener["tls"] = json!({"mode": "Terminate", "certificateRefs": [reference]});
                }
                _ => {}
            }
            listener
        },
    )
}

pub(crate) fn gateway() -> impl Strategy<Value = Value> {
    let address = prop_oneof![2 => Just(None), 1 => Just(Some("10.0.0.1")), 1 => Just(Some("10.0.0.2"))];
    let created =
        prop_oneof![Just(None), Just(Some("2026-01-01T00:00:00Z")), Just(Some("2026-01-02T00:00:00Z"))];
    let config = prop_oneof![4 => Just(None), 1 => name().prop_map(Some)];
    let default = prop::option::weighted(0.2, prop::sample::select(&["All", "None"][..]));
    let sets = prop_oneof![
        1 => Just(Value::Null),
        1 => Just(json!({"from": "None"})),
        1 => Just(json!({"from": "Same"})),
        2 => Just(json!({"from": "Selector", "selector": {"matchLabels": {"team": "yes"}}})),
        3 => Just(json!({"from": "All"})),
    ];
    let rest = (config, default, sets);
    (gateways(), name(), address, created, rest, prop::collection::vec(listener(), 1..4)).prop_map(
        |(namespace, name, address, created, (config, default, sets), listeners)| {
            let listeners = named(listeners);
            let mut metadata = json!({"name": name, "namespace": namespace});
            if let Some(created) = created {
                metadata["creationTimestamp"] = json!(created);
            }
            let addresses: Vec<_> = address.iter().map(|value| json!({"value": value})).collect();
            let mut spec =
                json!({"gatewayClassName": "sluice", "listeners": listeners, "addresses": addresses});
            if !sets.is_null() {
                spec["allowedListeners"]["namespaces"] = sets;
            }
            if let Some(name) = config {
                spec["infrastructure"]["parametersRef"] =
                    json!({"group": "sluice.dev", "kind": "GatewayConfig", "name": name});
            }
            if let Some(scope) = default {
                spec["defaultScope"] = json!(scope);
            }
            json!({"kind": "Gateway", "metadata": metadata, "spec": spec})
        },
    )
}

/// Sets of Gateways, with and without leave.
pub(crate) fn listener_set() -> impl Strategy<Value = Value> {
    let created =
        prop_oneof![Just(None), Just(Some("2026-01-01T00:00:00Z")), Just(Some("2026-01-03T00:00:00Z"))];
    let listeners = prop::collection::vec(listener(), 1..4);
    (tenant(), name(), (gateways(), name()), created, listeners).prop_map(
        |(namespace, name, (gateways, gateway), created, listeners)| {
            let mut metadata = json!({"name": name, "namespace": namespace});
            if let Some(created) = created {
                metadata["creationTimestamp"] = json!(created);
            }
            let parent = json!({"name": gateway, "namespace": gateways});
            let spec = json!({"parentRef": parent, "listeners": named(listeners)});
            json!({"kind": "ListenerSet", "metadata": metadata, "spec": spec})
        },
    )
}

/// Listeners with names of their own: `l0`, `l1`, …
fn named(listeners: Vec<Value>) -> Vec<Value> {
    let name = |(index, mut listener): (usize, Value)| {
        listener["name"] = json!(format!("l{index}"));
        listener
    };
    listeners.into_iter().enumerate().map(name).collect()
}

fn node() -> impl Strategy<Value = Value> {
    let metadata =
        |(name, tier): (String, usize)| json!({"name": name, "labels": {"tier": tier.to_string()}});
    (name(), 0..2_usize).prop_map(move |node| json!({"kind": "Node", "metadata": metadata(node)}))
}

/// One of them cannot be read.
fn gateway_config() -> impl Strategy<Value = Value> {
    (gateways(), name(), 0..4_usize, 0..4_usize).prop_map(|(namespace, name, at, settings)| {
        let nodes = match at {
            0 => json!({"matchLabels": {"tier": "1"}}),
            1 => json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["0", "2"]}]}),
            2 => json!({}),
            _ => json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": []}]}),
        };
        let metadata = json!({"name": name, "namespace": namespace});
        let mut spec = json!({"nodes": nodes});
        match settings {
            1 => spec["settings"] = json!({"clientIdleTimeout": "5s", "maxHeaders": 7}),
            2 => spec["settings"] = json!({"clientIdleTimeout": "soon"}),
            3 => spec["maxima"] = json!({"maxHeaders": 8}),
            _ => {}
        }
        json!({"kind": "GatewayConfig", "metadata": metadata, "spec": spec})
    })
}

pub(crate) fn route() -> impl Strategy<Value = Value> {
    // Any two of those with {5} are too much for a route of `tight`, and for a namespace.
    const EXPRESSIONS: [&str; 9] = [
        "/(",
        "/x[0-9]+",
        "/[a-z]{1,90}",
        "/.*a.{5}b",
        "/.*c.{5}d",
        "/.*e.{5}f",
        "/a|/b",
        "/.*a.{40}b",
        "/y+",
    ];
    let path = prop_oneof![
        3 => Just(("PathPrefix", "/")),
        1 => Just(("PathPrefix", "/x/")),
        3 => Just(("Exact", "/x")),
        4 => prop::sample::select(&EXPRESSIONS[..]).prop_map(|text| ("RegularExpression", text)),
    ];
    let path = (path, prop_oneof![5 => Just(None), 1 => Just(Some("[0-9]+")), 1 => Just(Some("b.*"))]);
    let created =
        prop_oneof![Just(None), Just(Some("2026-01-01T00:00:00Z")), Just(Some("2026-01-02T00:00:00Z"))];
    let section = prop_oneof![2 => Just(None), 1 => Just(Some("l0")), 1 => Just(Some("none"))];
    let backend = (tenant(), name(), prop_oneof![Just(80), Just(81)]);
    let method = prop_oneof![3 => Just(None), 1 => Just(Some("GET"))];
    let rule = ((path, method), prop::collection::vec(backend, 0..3));
    let rules = prop::collection::vec(rule, 1..3);
    let hosts = prop::collection::vec(host(), 1..3);
    // The one parent that it names, a default one beside it, or that alone.
    let default = prop_oneof![4 => Just((true, false)), 1 => Just((true, true)), 1 => Just((false, true))];
    let set = prop_oneof![4 => Just(None), 1 => tenant().prop_map(Some)];
    ((tenant(), name(), created), (gateways(), name(), section, set), (hosts, default), rules).prop_map(
        |((tenant, name, created), (gateways, gateway, section, set), (hosts, (named, default)), rules)| {
            let mut parent = match set {
                Some(namespace) => json!({"kind": "ListenerSet", "name": gateway, "namespace": namespace}),
                None => json!({"name": gateway, "namespace": gateways}),
            };
            if let Some(section) = section {
                parent["sectionName"] = json!(section);
            }
            let rules: Vec<_> = rules
                .into_iter()
                .map(|((((type_, value), header), method), backends)| {
                    let backends: Vec<_> = backends
                        .into_iter()
                        .map(|(ns, name, port)| json!({"name": name, "namespace": ns, "port": port}))
                        .collect();
                    let mut one = json!({"path": {"type": type_, "value": value}});
                    if let Some(header) = header {
                        one["headers"] = json!([{"type": "RegularExpression", "name": "x", "value": header}]);
                    }
                    if let Some(method) = method {
                        one["method"] = json!(method);
                    }
                    json!({"matches": [one], "backendRefs": backends})
                })
                .collect();
            let hostnames: Vec<_> = hosts.into_iter().flatten().collect();
            let mut spec = json!({"hostnames": hostnames, "rules": rules});
            if named {
                spec["parentRefs"] = json!([parent]);
            }
            if default {
                spec["useDefaultGateways"] = json!("All");
            }
            let mut metadata = json!({"name": name, "namespace": tenant});
            if let Some(created) = created {
                metadata["creationTimestamp"] = json!(created);
            }
            json!({"kind": "HTTPRoute", "metadata": metadata, "spec": spec})
        },
    )
}

/// The same with calls for what is a path there.
pub(crate) fn grpc_route() -> impl Strategy<Value = Value> {
    route().prop_map(|mut route| {
        route["kind"] = json!("GRPCRoute");
        let rules = route["spec"]["rules"].as_array_mut().expect("rules");
        for one in rules.iter_mut().map(|rule| &mut rule["matches"][0]) {
            let fields = one.as_object_mut().expect("a match");
            let path = fields.remove("path").expect("a path");
            let called = fields.remove("method").is_some();
            let exact = json!({"service": "x", "method": if called { Value::Null } else { json!("One") }});
            match path["type"].as_str() {
                Some("Exact") => fields.insert("method".to_owned(), exact),
                Some("PathPrefix") if called => fields.insert("method".to_owned(), json!({"method": "One"})),
                Some("PathPrefix") => None,
                _ => {
                    let service = path["value"].as_str().expect("a path").trim_start_matches('/');
                    let part = if called { "method" } else { "service" };
                    let method = json!({"type": "RegularExpression", part: service});
                    fields.insert("method".to_owned(), method)
                }
            };
        }
        route
    })
}

/// The same with connections for what are requests there.
pub(crate) fn tcp_route() -> impl Strategy<Value = Value> {
    tls_route().prop_map(|mut route| {
        route["kind"] = json!("TCPRoute");
        route["spec"].as_object_mut().expect("a spec").remove("hostnames");
        route
    })
}

/// The same with flows.
pub(crate) fn udp_route() -> impl Strategy<Value = Value> {
    tcp_route().prop_map(|mut route| {
        route["kind"] = json!("UDPRoute");
        route
    })
}

/// The same by server name.
pub(crate) fn tls_route() -> impl Strategy<Value = Value> {
    route().prop_map(|mut route| {
        route["kind"] = json!("TLSRoute");
        let rules = route["spec"]["rules"].as_array_mut().expect("rules");
        rules.truncate(1);
        rules[0].as_object_mut().expect("a rule").remove("matches");
        route
    })
}

pub(crate) fn service() -> impl Strategy<Value = Value> {
    (tenant(), name()).prop_map(|(tenant, name)| {
        let spec = json!({"ports": [{"name": "http", "port": 80}]});
        json!({"kind": "Service", "metadata": {"name": name, "namespace": tenant}, "spec": spec})
    })
}

pub(crate) fn slice() -> impl Strategy<Value = Value> {
    (tenant(), name(), 1..9_u8, any::<bool>()).prop_map(|(tenant, service, last, ready)| {
        let labels = json!({"kubernetes.io/service-name": service});
        json!({
            "kind": "EndpointSlice",
            "metadata": {"name": format!("{service}-{last}"), "namespace": tenant, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [format!("10.1.0.{last}")], "conditions": {"ready": ready}}]
        })
    })
}

pub(crate) fn grant() -> impl Strategy<Value = Value> {
    (
        tenant(),
        tenant(),
        prop::sample::select(vec!["HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute"]),
    )
        .prop_map(|(owner, user, kind)| {
            let spec = json!({
                "from": [{"group": "gateway.networking.k8s.io", "kind": kind, "namespace": user}],
                "to": [{"group": "", "kind": "Service"}]
            });
            json!({"kind": "ReferenceGrant", "metadata": {"name": user, "namespace": owner}, "spec": spec})
        })
}

/// Certificates and keys that belong together.
static PAIRS: LazyLock<[(String, String); 2]> = LazyLock::new(|| {
    ["x.example.com", "*.com"].map(|name| {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    })
});

/// Good certificates, one that was given another's key, and none.
pub(crate) fn secret() -> impl Strategy<Value = Value> {
    let namespace = prop_oneof![2 => Just("gateways".to_owned()), 1 => tenant()];
    (namespace, name(), 0..4_usize).prop_map(|(namespace, name, which)| {
        let [one, two] = &*PAIRS;
        let (certificate, key) = match which {
            0 => (&one.0, &one.1),
            1 => (&two.0, &two.1),
            2 => (&one.0, &two.1),
            _ => (&one.1, &one.1),
        };
        let encode = |text: &str| json!(k8s_openapi::ByteString(text.as_bytes().to_vec()));
        let data = json!({"tls.crt": encode(certificate), "tls.key": encode(key)});
        json!({"kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": name, "namespace": namespace}, "data": data})
    })
}

fn secret_grant() -> impl Strategy<Value = Value> {
    tenant().prop_map(|owner| {
        let spec = json!({
            "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "gateways"}],
            "to": [{"group": "", "kind": "Secret"}]
        });
        json!({"kind": "ReferenceGrant", "metadata": {"name": "secrets", "namespace": owner}, "spec": spec})
    })
}

pub(crate) fn typed(value: Value) -> Object {
    let kind = Kind::ALL.iter().copied().find(|kind| value["kind"] == kind.as_str()).expect("a kind of ours");
    Object::from_value(kind, value).expect("an object of ours")
}

pub(crate) fn class() -> Object {
    let spec = json!({"controllerName": "sluice.dev/gateway"});
    typed(json!({"kind": "GatewayClass", "metadata": {"name": "sluice"}, "spec": spec}))
}

/// A set without repeats, in the order given, so that a reordered list holds the same objects.
pub(crate) fn distinct(values: Vec<Value>) -> Vec<Object> {
    let mut objects: Vec<Object> = vec![class()];
    for object in values.into_iter().map(typed) {
        if objects.iter().all(|other| (other.kind(), other.key()) != (object.kind(), object.key())) {
            objects.push(object);
        }
    }
    objects
}

pub(crate) fn set(objects: &[Object]) -> ResourceSet {
    objects.iter().cloned().map(|object| (object, None)).collect()
}

pub(crate) fn run(resources: &ResourceSet) -> Translation {
    translate(resources, &TranslateOptions::default())
}

/// Limits of expressions that routes of such a world exceed in every way.
pub(crate) fn tight() -> TranslateOptions {
    let regex = RegexLimits {
        expression: 6 << 10,
        route: 6 << 10,
        namespace: 7 << 10,
        scan: 24 << 10,
        ..RegexLimits::default()
    };
    TranslateOptions { regex, ..TranslateOptions::default() }
}
