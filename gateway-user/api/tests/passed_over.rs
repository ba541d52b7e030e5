//! Files that lie beside resources and are none: skipped with a note at most. Kinds that were renamed or
//! removed.

use gateway_api_types::load::{Diagnostic, load};

fn told(file: &str, text: &str) -> Vec<String> {
    let loaded = load(file, text);
    assert!(loaded.objects.is_empty(), "{:?}", loaded.objects);
    loaded.diagnostics.iter().map(Diagnostic::to_string).collect()
}

#[test]
fn what_is_nobodys_object_is_a_note() {
    let patch = "- op: replace\n  path: /spec/replicas\n  value: 2\n- {op: remove, path: /a}\n";
    for (file, text, why) in [
        ("d/kustomization.yaml", "resources: [a.yaml]\npatches: []\n", "it is kustomize's own"),
        ("kustomization.yml", "kind: Kustomization\nresources: []\n", "it is kustomize's own"),
        ("Chart.yaml", "apiVersion: v2\nname: x\nversion: 0.1.0\n", "it is Helm's own"),
        ("values.yaml", "kind: Deployment\nimage: {tag: a}\n", "it holds Helm's values"),
        ("c/values-prod.yaml", "metadata: {}\n", "it holds Helm's values"),
        ("prod-values.yml", "spec: 1\n", "it holds Helm's values"),
        ("patch.yaml", patch, "it is a JSON patch"),
        ("patch.json", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":1}]", "it is a JSON patch"),
        ("settings.yaml", "global: {scrape_interval: 15s}\n", "it is no Kubernetes object"),
        (
            "a.yaml",
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a}\n",
            "does not read this kind",
        ),
        (
            "a.yaml",
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\n",
            "does not read this kind",
        ),
        (
            "a.yaml",
            "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\nsubsets: []\n",
            "Sluice reads EndpointSlices in their place",
        ),
    ] {
        let lines = told(file, text);
        assert!(
            lines.len() == 1 && lines[0].contains(": note: ") && lines[0].contains(why),
            "{file}: {text}: {lines:?}"
        );
    }
}

#[test]
fn what_could_be_an_object_is_an_error() {
    for text in [
        "kind: Gateway\nmetadata: {name: a}\n",
        "apiversion: v1\nKind: Namespace\n",
        "metadata: {name: a}\n",
        "spec: {}\n",
        "specs: {}\n",
        "- {op: add}\n",
        "- kind: Gateway\n",
        "just text\n",
    ] {
        let lines = told("a.yaml", text);
        assert!(lines.len() == 1 && !lines[0].contains(": note: "), "{text}: {lines:?}");
    }
    let lines = told("values.yaml", "apiVersion: v2\nkind: Service\nmetadata: {name: a}\n");
    assert!(lines[0].contains("\"v2\" is not served"), "a name does not hide a resource: {lines:?}");
}

#[test]
fn kinds_with_a_new_name_are_told_with_it() {
    let old = [
        (
            "gateway.networking.k8s.io/v1alpha2",
            "ReferencePolicy",
            "ReferencePolicy is now ReferenceGrant; write kind ReferenceGrant and apiVersion gateway.networking.k8s.io/v1",
            "spec: {from: [{group: a, kind: B, namespace: c}], to: [{group: \"\", kind: Service}]}",
        ),
        (
            "gateway.networking.x-k8s.io/v1alpha1",
            "XListenerSet",
            "XListenerSet is now ListenerSet; write kind ListenerSet and apiVersion gateway.networking.k8s.io/v1",
            "spec: {parentRef: {name: g}, listeners: [{name: l, port: 80, protocol: HTTP}]}",
        ),
    ];
    for (version, kind, advice, spec) in old {
        let text = |version: &str, kind: &str| {
            format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n{spec}\n")
        };
        let lines = told("a.yaml", &text(version, kind));
        assert!(lines.len() == 1 && lines[0].ends_with(advice), "{lines:?}");
        let (_, followed) = advice.split_once("write kind ").unwrap();
        let (kind, version) = followed.split_once(" and apiVersion ").unwrap();
        assert_eq!(load("a.yaml", &text(version, kind)).diagnostics, []);
    }
}
