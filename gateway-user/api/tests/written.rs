//! Files as people and tools write them: what an API server or kubectl takes is taken.

use gateway_api_types::Object;
use gateway_api_types::load::{Diagnostic, load};

/// What is told of a text, and the objects of it with their places.
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
    for (written, octets) in [
        ("|\n    YWJj\n    ZGVm", "abcdef"),
        ("|-\n    YWJj\n    ZGVm", "abcdef"),
        ("\"YWJj\\r\\nZGVm\\r\\n\"", "abcdef"),
        ("\"YW\\nI=\\n\"", "ab"),
        ("YQ==", "a"),
        // Bits that no octet has room for.
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
            assert_eq!(read.as_deref(), Some(octets.as_bytes()), "{kind} {written}");
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
