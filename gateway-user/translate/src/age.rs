//! The age of an object, by which precedence goes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// `metadata.creationTimestamp` in seconds since 1970; objects in files have none.
pub(crate) fn created(metadata: &ObjectMeta) -> Option<i64> {
    metadata.creation_timestamp.as_ref().map(|time| time.0.as_second())
}
