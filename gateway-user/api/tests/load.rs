//! Diagnostics of the loader, line by line, and the objects that it loads.

use gateway_api_types::load::{self, Diagnostic, Loaded, Severity, assemble, load};
use gateway_api_types::{Kind, Object, ObjectKey};

/// Diagnostics as users see them, and the objects that were loaded.
fn said(text: &str) -> (Vec<String>, Vec<String>) {
    let Loaded { objects, diagnostics } = load("f.yaml", text);
    (
        diagnostics.iter().map(Diagnostic::to_string).collect(),
        objects.iter().map(|o| format!("{} at {}", o.object, o.origin.line)).collect(),
    )
}

fn route(rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r, namespace: n}}\nspec:\n{rules}"
    )
}

/// A text, and the lines that it is refused with.
type Fault = (String, &'static [&'static str]);

/// Each text is refused with exactly these lines.
#[track_caller]
fn refused(cases: Vec<Fault>) {
    let mut wrong = String::new();
    for (text, expected) in cases {
        let (told, objects) = said(&text);
        let all = told.join("\n");
        let places = expected.iter().filter(|line| line.starts_with("f.yaml:")).count();
        let missing: Vec<_> = expected.iter().filter(|line| !all.contains(**line)).collect();
        if !missing.is_empty() || told.len() != places || !objects.is_empty() {
            wrong += &format!("{text}said:\n{all}\nnot {missing:#?}, loaded {objects:?}\n\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_text_that_is_no_yaml_is_told_with_its_place_and_its_fix() {
    refused(vec![
        ("a: [1, 2\nb: 3\n".to_owned(), &["f.yaml:2:2: YAML: illegal placement of ':'"]),
        (
            "kind: List\nitems:\n\t- a\n".to_owned(),
            &["f.yaml:3:1: YAML: this line is indented with a tab; use spaces"],
        ),
        ("a: b\n\tc: d\n".to_owned(), &["f.yaml:2:1: YAML: this line is indented with a tab; use spaces"]),
        (
            route("  hostnames: [a.b]\n  hostnames: [c.d]\n"),
            &["f.yaml:6:3: YAML: duplicate key \"hostnames\", first on line 5; keep one"],
        ),
        ("a: !foo b\n".to_owned(), &["f.yaml:1:9: YAML: \"b\" does not fit the tag !foo; remove the tag"]),
        ("a: *b\n".to_owned(), &["f.yaml:1:4: YAML:"]),
        ("? [a]\n: b\n".to_owned(), &["f.yaml:1:3: YAML: a key is a string, not a list"]),
        // The object of a document.
        ("- a\n".to_owned(), &["f.yaml:1:1: expected an object with apiVersion and kind, found a list"]),
        ("kind: Gateway\n".to_owned(), &["f.yaml:1:1: Gateway: apiVersion: required field is missing"]),
        (
            "apiVersion: v1\nmetadata: {name: x}\n".to_owned(),
            &["f.yaml:1:1: x: kind: required field is missing"],
        ),
        ("apiVersion: v1\nkind: 3\n".to_owned(), &["f.yaml:2:7: kind: expected a string, found a number"]),
        (
            "apiVersion: gateway.networking.k8s.io/v1alpha2\nkind: HTTPRoute\nmetadata: {name: x}\n"
                .to_owned(),
            &[
                "f.yaml:1:13: HTTPRoute x: apiVersion: \"gateway.networking.k8s.io/v1alpha2\" is not served; write gateway.networking.k8s.io/v1 or gateway.networking.k8s.io/v1beta1",
            ],
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HttpRoute\n".to_owned(),
            &[
                "f.yaml:2:7: HttpRoute: kind: gateway.networking.k8s.io has no kind \"HttpRoute\"; did you mean \"HTTPRoute\"?",
            ],
        ),
        (
            "apiVersion: v1\nkind: EndpointSlice\n".to_owned(),
            &[
                "f.yaml:1:13: EndpointSlice: apiVersion: there is no EndpointSlice in this group; write discovery.k8s.io/v1",
            ],
        ),
        (
            "apiVersion: gateway.network.k8s.io/v1\nkind: Gateway\n".to_owned(),
            &[
                "f.yaml:1:13: Gateway: apiVersion: there is no Gateway in this group; write gateway.networking.k8s.io/v1",
            ],
        ),
        (
            "apiVersion: v2\nkind: Service\n".to_owned(),
            &["f.yaml:1:13: Service: apiVersion: \"v2\" is not served; write v1"],
        ),
    ]);
}

#[test]
fn a_wrong_field_or_type_is_told_with_its_place_and_its_fix() {
    refused(vec![
        (
            route("  parentRef: [{name: g}]\n"),
            &["f.yaml:5:3: HTTPRoute n/r: spec.parentRef: unknown field; did you mean \"parentRefs\"?"],
        ),
        (
            route("  rules: [{backend: []}]\n"),
            &["f.yaml:5:12: HTTPRoute n/r: spec.rules[0].backend: unknown field"],
        ),
        (
            route("  rules:\n  - backendRefs:\n    - port: 80\n"),
            &["f.yaml:7:7: HTTPRoute n/r: spec.rules[0].backendRefs[0].name: required field is missing"],
        ),
        (
            route("  rules:\n  - backendRefs:\n    - {name: s, port: \"80\"}\n"),
            &[
                "f.yaml:7:23: HTTPRoute n/r: spec.rules[0].backendRefs[0].port: expected an integer, found a string \"80\"; write it without quotes",
            ],
        ),
        (
            route("  hostnames: a.b\n"),
            &[
                "f.yaml:5:14: HTTPRoute n/r: spec.hostnames: expected a list, found a string \"a.b\"; begin each item with \"- \"",
            ],
        ),
        (
            route("  hostnames: [1.5]\n"),
            &[
                "f.yaml:5:15: HTTPRoute n/r: spec.hostnames[0]: expected a string, found a number 1.5; put it in quotes",
            ],
        ),
    ]);
}

#[test]
fn a_wrong_value_is_told_with_its_place_and_its_fix() {
    refused(vec![
        (
            route("  rules:\n  - matches:\n    - path: {type: Prefix, value: /}\n"),
            &[
                "f.yaml:7:20: HTTPRoute n/r: spec.rules[0].matches[0].path.type: \"Prefix\" is not one of \"Exact\", \"PathPrefix\", \"RegularExpression\"",
            ],
        ),
        (
            route("  rules:\n  - matches:\n    - method: get\n"),
            &[
                "f.yaml:7:15: HTTPRoute n/r: spec.rules[0].matches[0].method: \"get\" is not one of",
                "did you mean \"GET\"?",
            ],
        ),
        (
            route("  hostnames: [\"A.b\"]\n"),
            &[
                "f.yaml:5:15: HTTPRoute n/r: spec.hostnames[0]: \"A.b\" is refused: write \"a.b\", in lower case",
            ],
        ),
        (
            route("  hostnames: [\"\"]\n"),
            &["f.yaml:5:15: HTTPRoute n/r: spec.hostnames[0]: must not be empty"],
        ),
        (route("  rules: []\n"), &["f.yaml:5:10: HTTPRoute n/r: spec.rules: must not be empty"]),
        (
            route("  rules: [{backendRefs: [{name: s, port: 70000}]}]\n"),
            &[
                "f.yaml:5:42: HTTPRoute n/r: spec.rules[0].backendRefs[0].port: 70000 is too large, the most is 65535",
            ],
        ),
        (
            route(
                "  parentRefs: [{name: g}]\n  hostnames: [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q]\n",
            ),
            &["f.yaml:6:14: HTTPRoute n/r: spec.hostnames: 17 items are too many, the limit is 16"],
        ),
        (
            route("  rules: [{matches: [{path: {value: foo}}]}]\n"),
            &[
                "f.yaml:5:29: HTTPRoute n/r: spec.rules[0].matches[0].path: value must be an absolute path and start with '/' when type one of ['Exact', 'PathPrefix']",
            ],
        ),
        (
            route("  rules: [{matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]}]\n"),
            &[
                "f.yaml:5:54: HTTPRoute n/r: spec.rules[0].matches[0].headers[1]: another item before it has name \"a\"; each may be there once",
            ],
        ),
    ]);
}

#[test]
fn wrong_metadata_is_told_with_its_place_and_its_fix() {
    refused(vec![
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {labels: {a: b}}\n".to_owned(),
            &["f.yaml:3:11: Namespace: metadata.name: required field is missing"],
        ),
        (
            "apiVersion: v1\nkind: Namespace\n".to_owned(),
            &["f.yaml:1:1: Namespace: metadata: required field is missing"],
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: A_b}\n".to_owned(),
            &["f.yaml:3:18: Secret default/A_b: metadata.name: \"A_b\" must be at most 253 of a-z"],
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: a.b}\n".to_owned(),
            &["f.yaml:3:18: Service default/a.b: metadata.name: \"a.b\" must be at most 63 of a-z"],
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {generateName: a}\n".to_owned(),
            &[
                "f.yaml:3:11: Secret: metadata.name: required field is missing; generateName needs an API server",
            ],
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {b: \"c d\", \"e f\": g}}\n"
                .to_owned(),
            &[
                "f.yaml:3:33: Namespace a: metadata.labels[b]: \"c d\" must be",
                "f.yaml:3:47: Namespace a: metadata.labels[e f]: not a label",
            ],
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, label: {}}\n".to_owned(),
            &["f.yaml:3:21: Namespace a: metadata.label: unknown field; did you mean \"labels\"?"],
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, creationTimestamp: yesterday}\n".to_owned(),
            &["f.yaml:3:40: Namespace a: metadata.creationTimestamp: \"yesterday\" is not an RFC 3339 time"],
        ),
    ]);
}

#[test]
fn a_fault_in_a_core_kind_is_told_with_its_place_and_its_fix() {
    refused(vec![
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 0}, {port: 1, name: a}, {port: 2, name: a, targetPort: 99999}]}\n".to_owned(),
            &[
                "f.yaml:4:16: Service default/s: spec.ports[0].name: required field is missing: a Service with several",
                "f.yaml:4:23: Service default/s: spec.ports[0].port: 0 is not a port: 1 to 65535",
                "f.yaml:4:47: Service default/s: spec.ports[2].name: another port before it is called \"a\"",
                "f.yaml:4:78: Service default/s: spec.ports[2].targetPort: 99999 is not a port",
            ],
        ),
        (
            "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {portz: []}\n".to_owned(),
            &["f.yaml:4:8: Service default/s: spec.portz: unknown field; did you mean \"ports\"?"],
        ),
        (
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4\nendpoints: [{addresses: [\"::1\"]}]\n".to_owned(),
            &["f.yaml:5:26: EndpointSlice default/s: endpoints[0].addresses[0]: \"::1\" is not an IPv4 address"],
        ),
        (
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: Ipv4\nendpoints: []\n".to_owned(),
            &["f.yaml:4:14: EndpointSlice default/s: addressType: \"Ipv4\" is not one of \"IPv4\", \"IPv6\", \"FQDN\""],
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: \"not base64\"}\n".to_owned(),
            &["f.yaml:4:11: Secret default/s: data.a: \"not base64\" is not base64"],
        ),
    ]);
}

#[test]
fn a_fault_in_a_list_is_told_with_its_place_and_its_fix() {
    refused(vec![
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: A}\n".to_owned(),
            &["f.yaml:6:20: Namespace A: items[0].metadata.name: \"A\" must be"],
        ),
        ("apiVersion: v1\nkind: List\nitems: 3\n".to_owned(), &["f.yaml:3:8: List: items: expected a list"]),
        (
            "apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: []}]\n".to_owned(),
            &["f.yaml:3:9: List: items[0]: a list inside a list"],
        ),
    ]);
}

const NAMESPACE: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n";

#[test]
fn an_object_with_a_fault_is_left_out_and_the_others_load() {
    let text = format!(
        "{NAMESPACE}---\n{}---\n# nothing\n---\n---\nbroken: [\n---\n{}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\n",
        route("  rulez: []\n"),
        route("  parentRefs: [{name: g}]\n"),
    );
    let (told, objects) = said(&text);
    assert_eq!(objects, ["Namespace a at 1", "HTTPRoute n/r at 16"]);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert_eq!(told[0], "f.yaml:9:3: HTTPRoute n/r: spec.rulez: unknown field; did you mean \"rules\"?");
    assert!(told[1].starts_with("f.yaml:16:1: YAML:") || told[1].starts_with("f.yaml:14:"), "{}", told[1]);
    assert_eq!(told[2], "f.yaml:22:1: note: Deployment d: ignored: Sluice does not read this kind");
}

#[test]
fn lists_are_unfolded() {
    let item = "\n- metadata: {name: a}\n  apiVersion: v1\n  kind: Namespace\n";
    for kind in ["List", "NamespaceList"] {
        let (told, objects) = said(&format!("apiVersion: v1\nkind: {kind}\nmetadata: {{}}\nitems:{item}"));
        assert_eq!((told, objects), (vec![], vec!["Namespace a at 5".to_owned()]), "{kind}");
    }
    assert_eq!(said("apiVersion: v1\nkind: List\nitems: []\n"), (vec![], vec![]));
}

#[test]
fn an_object_without_namespace_is_in_default() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: d, namespace: null}\n";
    assert_eq!(
        said(text),
        (vec![], vec!["ConfigMap default/c at 1".to_owned(), "ConfigMap default/d at 5".to_owned()])
    );
}

#[test]
fn defaults_nulls_status_and_string_data_are_settled_as_in_an_api_server() {
    let text = format!(
        "{}status: {{parents: nonsense}}\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{a: eA==, b: eQ==}}\nstringData: {{a: hello}}\n",
        route(
            "  parentRefs: [{name: g, sectionName: null}]\n  rules: [{backendRefs: [{name: s, port: 80}]}]\n"
        ),
    );
    let loaded = load("f.yaml", &text);
    assert_eq!(loaded.diagnostics, []);
    let [Object::HttpRoute(route), Object::Secret(secret)] =
        [&loaded.objects[0].object, &loaded.objects[1].object]
    else {
        panic!("a route and a secret");
    };
    let parent = &route.spec.parent_refs[0];
    assert_eq!((parent.kind.as_str(), &parent.section_name), ("Gateway", &None));
    assert_eq!(route.spec.rules[0].matches[0].path.value, "/");
    assert_eq!(route.spec.rules[0].backend_refs[0].weight, 1);
    assert_eq!(route.status, None);
    let data = secret.data.as_ref().expect("data");
    assert_eq!((data["a"].0.as_slice(), data["b"].0.as_slice()), (b"hello".as_slice(), b"y".as_slice()));
}

#[test]
fn what_kubectl_reads_otherwise_is_warned_about() {
    let (told, objects) =
        said("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: yes, b: \"no\", c: 010}\n");
    assert_eq!(objects.len(), 1);
    let told: Vec<_> = told.iter().map(|line| line.split_once(": quote").map(|(place, _)| place)).collect();
    let at = |place| Some(place);
    assert_eq!(
        told,
        [
            at("f.yaml:4:11: warning: ConfigMap default/c: data.a"),
            at("f.yaml:4:28: warning: ConfigMap default/c: data.c")
        ]
    );
}

#[test]
fn other_served_versions_are_read_as_ours() {
    let text = "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {name: g}\nspec: {from: [{group: a, kind: B, namespace: c}], to: [{group: \"\", kind: Service}]}\n---\napiVersion: gateway.networking.k8s.io/v1alpha2\nkind: TLSRoute\nmetadata: {name: t}\nspec: {rules: [{backendRefs: [{name: s, port: 1}]}]}\n";
    let (told, objects) = said(text);
    assert_eq!((told, objects.len()), (vec![], 2));
}

#[test]
fn of_two_objects_with_one_name_the_first_is_kept() {
    let first = load("a.yaml", &format!("{NAMESPACE}---\n{NAMESPACE}"));
    let second = load("b.yaml", &format!("---\n{NAMESPACE}"));
    let (set, diagnostics) = assemble([first, second]);
    let told: Vec<_> = diagnostics.iter().map(Diagnostic::to_string).collect();
    assert_eq!(
        told,
        [
            "a.yaml:5:1: Namespace a: defined at a.yaml:1 already; remove one of the two",
            "b.yaml:2:1: Namespace a: defined at a.yaml:1 already; remove one of the two",
        ]
    );
    assert_eq!(set.len(), 1);
    let origin = set.origin(Kind::Namespace, &ObjectKey::new("", "a")).map(ToString::to_string);
    assert_eq!(origin.as_deref(), Some("a.yaml:1"));
}

#[test]
fn hostile_texts_are_refused_and_cost_little() {
    let flow = format!("a: {}", "[".repeat(200_000));
    let block = (0..5_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
    let mut laughs = "a: &l0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..12 {
        let previous = vec![format!("*l{}", n - 1); 9].join(", ");
        laughs += &format!("b{n}: &l{n} [{previous}]\n");
    }
    // Each alias adds levels that its text does not show.
    let mut ladder = format!("a0: &l0 {}{}\n", "[".repeat(60), "]".repeat(60));
    ladder += &format!("a1: {}*l0{}\n", "[".repeat(60), "]".repeat(60));
    let anchored = format!("a: {}{}{}\n", "&x [".repeat(90), "z".repeat(1 << 20), "]".repeat(90));
    let faults = "--- [\n".repeat(100_000);
    let secret = (0..50_000).map(|n| format!("  k{n}: v\n")).collect::<String>();
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: A}}\ndata:\n{}stringData:\n{secret}",
        secret.replace(": v", ": eA==")
    );
    let names = (0..50_000).map(|n| format!("x{n}: y\n")).collect::<String>();
    let names = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{names}");
    let key = format!("apiVersion: v1\nkind: Secret\n? \"{}\"\n: a\n", "metadata".repeat(100_000));
    let large = "#".repeat((64 << 20) + 1);
    for (text, message) in [
        (flow.as_str(), "YAML:"),
        (&block, "YAML:"),
        (&laughs, "aliases copy too much"),
        ("a: &a [*a]\n", "the alias stands inside what it names"),
        (&ladder, "nested deeper than 100 levels"),
        (&anchored, "aliases copy too much"),
        (&faults, "100 faults in one file; the rest of it is not read"),
        (&secret, "metadata.name: \"A\" must be"),
        (&names, "and 49950 more faults in this object"),
        (&key, "unknown field"),
        (&large, "split it"),
    ] {
        let (told, objects) = said(text);
        assert!(told.iter().any(|line| line.contains(message)), "no {message}: {:.2000}", told.join("\n"));
        assert!(told.len() <= 101, "{} lines", told.len());
        assert_eq!(objects, Vec::<String>::new());
    }
}

#[test]
fn two_thousand_documents_load() {
    let one = |n: usize| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r{n}, namespace: n}}\nspec:\n  parentRefs: [{{name: g}}]\n  rules:\n  - matches: [{{path: {{value: /r{n}}}}}]\n    backendRefs: [{{name: s, port: 80}}]\n"
        )
    };
    let loaded = load("f.yaml", &(0..2_000).map(one).collect::<String>());
    assert_eq!(loaded.diagnostics, []);
    let (set, diagnostics) = assemble([loaded]);
    assert_eq!((set.http_routes.len(), diagnostics.len()), (2_000, 0));
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: a, labels: &l {b: c, d: e}}\ndata: {<<: *l, b: own}\n";
    let loaded = load("f.yaml", text);
    assert_eq!(loaded.diagnostics, []);
    let Object::ConfigMap(map) = &loaded.objects[0].object else { panic!("a ConfigMap") };
    let data: Vec<_> = map.data.iter().flatten().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(data, ["b=own", "d=e"]);
}

#[test]
fn objects_that_came_as_json_are_checked_alike() {
    let mut value = serde_json::json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass", "metadata": {"name": "c"},
        "spec": {"controllerName": "a.b/c"}
    });
    let object = load::check_value(&value).expect("right").expect("ours");
    assert_eq!(object.to_string(), "GatewayClass c");
    value["spec"]["controllerName"] = "c".into();
    let errors = load::check_value(&value).expect_err("no domain");
    assert!(
        errors[0].to_string().starts_with("GatewayClass c: spec.controllerName: \"c\" must match"),
        "{errors:?}"
    );
    assert_eq!(errors[0].severity, Severity::Error);
    let foreign = serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment"});
    assert_eq!(load::check_value(&foreign), Ok(None));
}
