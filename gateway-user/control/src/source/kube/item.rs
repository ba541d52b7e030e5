//! An object as the API server sends it: whatever it holds, its name can be read.

use std::borrow::Cow;

use gateway_api_types::load::{Diagnostic, Severity, check_value};
use gateway_api_types::{Kind, Object, ObjectKey};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One object of a list or of a watch. Reading it fails for no object that is JSON, so that one that our
/// types cannot hold spoils neither the list nor the watch that it is part of.
///
/// With `META` only metadata is asked for.
#[derive(Clone, Debug)]
pub(super) struct Item<const META: bool> {
    /// Name, namespace, uid and resourceVersion; nothing else.
    metadata: ObjectMeta,
    value: Value,
}

impl<'de, const META: bool> Deserialize<'de> for Item<META> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let metadata = value.get("metadata").and_then(Value::as_object);
        let metadata = metadata.map_or_else(ObjectMeta::default, |fields| {
            let text = |field: &str| fields.get(field).and_then(Value::as_str).map(str::to_owned);
            ObjectMeta {
                name: text("name"),
                uid: text("uid"),
                namespace: text("namespace"),
                resource_version: text("resourceVersion"),
                ..ObjectMeta::default()
            }
        });
        Ok(Self { metadata, value })
    }
}

impl<const META: bool> kube::Resource for Item<META> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn metadata_api() -> bool {
        META
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<const META: bool> Item<META> {
    /// Its namespace and name.
    pub(super) fn key(&self) -> ObjectKey {
        ObjectKey::of(&self.metadata)
    }

    /// Metadata without the kind: name, namespace, uid and resourceVersion.
    pub(super) fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    /// The version of it that this is; for comparing with others of the same object only.
    pub(super) fn resource_version(&self) -> Option<&str> {
        self.metadata.resource_version.as_deref()
    }

    /// An annotation.
    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.value.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// The object of that kind, without what no table is made of.
    ///
    /// # Errors
    /// Mistakes that our types cannot hold, a line for each: the API server has checked it by a schema that
    /// is not ours.
    pub(super) fn into_object(mut self, kind: Kind) -> Result<Object, Vec<Diagnostic>> {
        super::kinds::trim(kind, &mut self.value);
        if let Some(fields) = self.value.as_object_mut() {
            // Lists leave them out of their items, and metadata comes under a name of its own.
            fields.insert("apiVersion".to_owned(), kind.api_version().into());
            fields.insert("kind".to_owned(), kind.as_str().into());
        }
        let typed = Object::read(kind, &self.value);
        typed.map_err(|error| self.why_not(kind, &error))
    }

    /// Our own schema says where the mistake is; if it sees none, serde says what it is.
    fn why_not(self, kind: Kind, error: &serde_json::Error) -> Vec<Diagnostic> {
        match check_value(&self.value) {
            Err(lines) if !lines.is_empty() => lines,
            _ => vec![Diagnostic {
                file: "".into(),
                position: Default::default(),
                severity: Severity::Error,
                object: format!("{kind} {}", self.key()),
                field: String::new(),
                message: error.to_string(),
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
        let lines = broken.into_object(Kind::HttpRoute).unwrap_err();
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
        let object = route.into_object(Kind::HttpRoute).unwrap();
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
        let object = name.into_object(Kind::Namespace).unwrap();
        assert_eq!(object.to_string(), "Namespace shop");
        assert_eq!(object.metadata().labels.as_ref().unwrap()["a"], "b");
    }

    #[test]
    fn even_an_object_without_metadata_is_read() {
        assert_eq!(item(json!({"spec": 7})).key(), ObjectKey::new("", ""));
        assert_eq!(item(json!([])).key(), ObjectKey::new("", ""));
    }
}
