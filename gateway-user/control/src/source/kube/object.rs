//! Objects of a cluster as our types hold them.

use gateway_api_types::load::{Diagnostic, Severity, check_value};
use gateway_api_types::{Kind, Object, ObjectKey};
use serde_json::Value;

use crate::kube_watch::Item;

/// The object of that kind, without what no table is made of.
///
/// # Errors
/// Mistakes that our types cannot hold, a line for each: the API server has checked it by a schema that is
/// not ours.
pub(super) fn typed<const META: bool>(item: Item<META>, kind: Kind) -> Result<Object, Vec<Diagnostic>> {
    let key = item.key();
    let mut value = item.into_value();
    super::kinds::trim(kind, &mut value);
    if let Some(fields) = value.as_object_mut() {
        // Lists leave them out of their items, and metadata comes under a name of its own.
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
        fields.insert("kind".to_owned(), kind.as_str().into());
    }
    Object::read(kind, &value).map_err(|error| explain(&value, &key, kind, &error))
}

/// Our own schema says where the mistake is; if it sees none, serde says what it is.
fn explain(value: &Value, key: &ObjectKey, kind: Kind, error: &serde_json::Error) -> Vec<Diagnostic> {
    match check_value(value) {
        Err(lines) if !lines.is_empty() => lines,
        _ => vec![Diagnostic {
            file: "".into(),
            position: Default::default(),
            severity: Severity::Error,
            object: format!("{kind} {key}"),
            field: String::new(),
            message: error.to_string(),
        }],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn item(value: Value) -> Item<false> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn an_object_that_our_types_cannot_hold_has_a_name_and_a_reason() {
        let broken = item(json!({
            "metadata": {"name": "r", "namespace": "n", "resourceVersion": "7", "managedFields": [{}]},
            "spec": {"rules": [{"matches": [{"path": {"type": "Glob", "value": "/a*"}}]}]},
        }));
        assert_eq!(broken.key(), ObjectKey::new("n", "r"));
        assert_eq!(broken.resource_version(), Some("7"));
        let lines = typed(broken, Kind::HttpRoute).unwrap_err();
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert!(
            text[0].starts_with("HTTPRoute n/r: spec.rules[0].matches[0].path.type: ")
                && text[0].contains("Glob"),
            "{text:?}"
        );
    }

    #[test]
    fn what_nobody_reads_is_left_out() {
        let route = item(json!({
            "metadata": {
                "name": "r", "namespace": "n", "managedFields": [{"manager": "kubectl"}],
                "annotations": {"a": "b", "kubectl.kubernetes.io/last-applied-configuration": "{}"},
            },
            "spec": {"parentRefs": [{"name": "g"}]},
        }));
        let object = typed(route, Kind::HttpRoute).unwrap();
        let metadata = object.metadata();
        assert_eq!(metadata.managed_fields, None);
        assert_eq!((&metadata.annotations, metadata.name.as_deref()), (&None, Some("r")));
    }

    #[test]
    fn metadata_alone_makes_a_namespace() {
        let name = item(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "shop", "labels": {"a": "b"}},
        }));
        let object = typed(name, Kind::Namespace).unwrap();
        assert_eq!(object.to_string(), "Namespace shop");
        assert_eq!(object.metadata().labels.as_ref().unwrap()["a"], "b");
    }
}
