//! Files as people and tools write them: what an API server or kubectl takes is taken.

use gateway_api_types::Object;
use gateway_api_types::load::{Diagnostic, load};

/// The diagnostics for a file, and its objects with their positions.
fn said(text: &str) -> (Vec<String>, Vec<String>) {
    let loaded = load("f.yaml", text);
    let place = |line: u32, column: u32| format!("{line}:{column}");
    (
        loaded.diagnostics.iter().map(Diagnostic::to_string).collect(),
        loaded
            .objects
            .iter()
            .map(|o| format!("{} at {}", o.object, place(o.position.line, o.position.column)))
            .collect(),
    )
}

fn object(kind: &str, fields: &str) -> String {
    format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: s}}\n{fields}\n")
}

#[test]
fn base64_is_read_as_gos_reader_does() {
    for (written, bytes) in [
        ("|\n    YWJj\n    ZGVm", "abcdef"),
        ("|-\n    YWJj\n    ZGVm", "abcdef"),
        ("\"YWJj\\r\\nZGVm\\r\\n\"", "abcdef"),
        ("\"YW\\nI=\\n\"", "ab"),
        ("YQ==", "a"),
        // Bits after the last whole byte.
        ("YR==", "a"),
        ("YWJ=", "ab"),
        ("\"\"", ""),
    ] {
        for (kind, field) in [("Secret", "data"), ("ConfigMap", "binaryData")] {
            let loaded = load("f.yaml", &object(kind, &format!("{field}:\n  z: {written}")));
            assert_eq!(loaded.diagnostics, [], "{kind} {written}");
            let read = match &loaded.objects[0].object {
                Object::Secret(secret) => secret.data.as_ref().map(|data| data["z"].0.clone()),
                Object::ConfigMap(map) => map.binary_data.as_ref().map(|data| data["z"].0.clone()),
                _ => None,
            };
            assert_eq!(read.as_deref(), Some(bytes.as_bytes()), "{kind} {written}");
        }
    }
}

#[test]
fn what_is_no_base64_is_refused_at_its_key() {
    for written in
        ["YW Jj", "YWJ", "YWJj=", "YQ", "====", "Y-_j", ">-\n    YWJj\n    ZGVm", "\"YWJj\\tZGVm\""]
    {
        for (kind, field) in [("Secret", "data"), ("ConfigMap", "binaryData")] {
            let (told, objects) = said(&object(kind, &format!("{field}:\n  a: YQ==\n  z: {written}")));
            assert_eq!(objects, Vec::<String>::new(), "{kind} {written}");
            assert_eq!(told.len(), 1, "{told:?}");
            let line = if written.contains('\n') { 7 } else { 6 };
            assert!(told[0].starts_with(&format!("f.yaml:{line}:")), "{told:?}");
            assert!(told[0].contains(&format!(" {kind} default/s: {field}.z: ")), "{told:?}");
            assert!(told[0].contains("is not base64"), "{told:?}");
        }
    }
}

#[test]
fn kinds_without_namespace_are_taken_without_the_one_they_carry() {
    let class = "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: a, namespace: b}\nspec: {controllerName: a.b/c}\n";
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: Not A Name}\n";
    let mesh = "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XMesh\nmetadata: {name: a, namespace: b}\nspec: {controllerName: a.b/c}\n";
    for (kind, text) in [("GatewayClass", class), ("Namespace", namespace), ("XMesh", mesh)] {
        let (told, objects) = said(text);
        assert_eq!(objects, [format!("{kind} a at 1:1")], "{told:?}");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with(&format!("f.yaml:3:32: warning: {kind} a: metadata.namespace: remove it")),
            "{told:?}"
        );
    }
    let (told, _) = said("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: \"\"}\n");
    assert_eq!(told, Vec::<String>::new());
    let (told, objects) = said("apiVersion: v1\nkind: Namespace\nmetadata: {name: a, namespace: 3}\n");
    assert_eq!(objects, Vec::<String>::new(), "a number is not a name to an API server either");
    assert!(told[0].contains("metadata.namespace: expected a string"), "{told:?}");
}

#[test]
fn lists_may_hold_nothing() {
    for items in ["items:\n", "items: null\n", "items: []\n", ""] {
        for (version, kind) in [
            ("v1", "List"),
            ("v1", "ServiceList"),
            ("gateway.networking.k8s.io/v1", "HTTPRouteList"),
            ("gateway.networking.k8s.io/v1", "GatewayClassList"),
        ] {
            let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{}}\n{items}");
            assert_eq!(said(&text), (vec![], vec![]), "{text}");
        }
    }
}

#[test]
fn whole_numbers_are_integers_however_they_are_written() {
    for number in ["80", "80.0", "8e1", "8.0E+1", "0x50"] {
        let service =
            object("Service", &format!("spec: {{ports: [{{port: {number}, targetPort: {number}}}]}}"));
        let slice = format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: s}}\naddressType: IPv4\nendpoints: []\nports: [{{port: {number}}}]\n"
        );
        let route = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r}}\nspec: {{rules: [{{backendRefs: [{{name: s, port: {number}, weight: {number}}}]}}]}}\n"
        );
        for text in [&service, &slice, &route] {
            let (told, objects) = said(text);
            assert_eq!((told, objects.len()), (vec![], 1), "{text}");
        }
        let Object::Service(service) = &load("f", &service).objects[0].object else { panic!("a Service") };
        let port = &service.spec.as_ref().unwrap().ports.as_ref().unwrap()[0];
        assert_eq!(port.port, 80);
        assert_eq!(serde_json::json!(port.target_port), serde_json::json!(80));
    }
    for number in ["80.5", "1e300", ".inf"] {
        let (told, objects) = said(&object("Service", &format!("spec: {{ports: [{{port: {number}}}]}}")));
        assert_eq!(objects, Vec::<String>::new());
        assert!(told[0].contains("spec.ports[0].port: expected an integer"), "{told:?}");
    }
}

#[test]
fn json_objects_may_follow_one_another() {
    let one = |name: &str| {
        format!("{{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{{\"name\":\"{name}\"}}}}")
    };
    let pretty = |name: &str| one(name).replace(',', ",\n  ");
    let (a, b, c) = (one("a"), one("b"), one("c"));
    let all = |places: [&str; 3]| {
        let names = ["a", "b", "c"];
        (vec![], names.iter().zip(places).map(|(n, at)| format!("Namespace {n} at {at}")).collect::<Vec<_>>())
    };
    assert_eq!(said(&format!("{a}\n{b}\n{c}\n")), all(["1:1", "2:1", "3:1"]));
    assert_eq!(said(&format!("\u{feff}\n{a} {b}\n\n{c}")).1.len(), 3);
    let length = a.len();
    assert_eq!(
        said(&format!("{a}{b}{c}")),
        all(["1:1", &format!("1:{}", length + 1), &format!("1:{}", 2 * length + 1)])
    );
    let text = format!("{}\n{}\n{}\n", pretty("a"), pretty("b"), pretty("c"));
    assert_eq!(said(&text), all(["1:1", "4:1", "7:1"]));
    // YAML may follow, with or without an empty line.
    assert_eq!(said(&format!("{a}\n{b}\n---\n{c}\n")), all(["1:1", "2:1", "4:1"]));
    assert_eq!(said(&format!("{a}\n---\n{b}\n---\n{c}\n")), all(["1:1", "3:1", "5:1"]));
    // A fault is told where it is, and costs what it must.
    let (told, objects) = said(&format!("{a}\n{}\n{c}\n", b.replace("\"b\"", "\"B\"")));
    assert_eq!(objects, ["Namespace a at 1:1", "Namespace c at 3:1"]);
    assert!(told[0].starts_with("f.yaml:2:58: Namespace B: metadata.name: "), "{told:?}");
    let (told, objects) = said(&format!("{a}\n{b}\n{{\"apiVersion\": [\n"));
    assert_eq!(objects, ["Namespace a at 1:1", "Namespace b at 2:1"]);
    assert!(told.len() == 1 && told[0].contains(": YAML: "), "{told:?}");
    // Braces that are no JSON are left to YAML.
    let flow = "{apiVersion: v1, kind: Namespace, metadata: {name: a, annotations: {a: '} {'}}}\n";
    assert_eq!(said(flow), (vec![], vec!["Namespace a at 1:1".to_owned()]));
}

#[test]
fn faults_of_many_json_objects_are_bounded() {
    let (told, _) = said(&"{\"a\":1,\"a\":2}\n".repeat(10_000));
    assert_eq!(told.len(), 101, "{}", told.len());
    assert_eq!(told[100], "f.yaml:100:8: YAML: 100 faults in one file; the rest of it is not read");
}
