//! An object as the API server sends it: whatever it holds, its name can be read.

use std::borrow::Cow;

use gateway_api_types::ObjectKey;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// One object of a list or of a watch. Reading it fails for no object that is JSON, so that one that our
/// types cannot hold spoils neither the list nor the watch that it is part of.
///
/// With `META` only metadata is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Item<const META: bool> {
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
    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::of(&self.metadata)
    }

    /// Metadata without the kind: name, namespace, uid and resourceVersion.
    pub(crate) fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    /// The version of it that this is; for comparing with others of the same object only.
    pub(crate) fn resource_version(&self) -> Option<&str> {
        self.metadata.resource_version.as_deref()
    }

    /// An annotation.
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        self.value.get("metadata")?.get("annotations")?.get(name)?.as_str()
    }

    /// The whole object as JSON. Items of a list have neither `apiVersion` nor `kind`.
    pub(crate) fn into_value(self) -> Value {
        self.value
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
    fn even_an_object_without_metadata_is_read() {
        assert_eq!(item(json!({"spec": 7})).key(), ObjectKey::new("", ""));
        assert_eq!(item(json!([])).key(), ObjectKey::new("", ""));
    }
}
