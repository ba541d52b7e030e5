//! XMesh: a service mesh and its controller (GEP-3949). Not served by a gateway; read so that files which
//! hold one load.

use serde::{Deserialize, Serialize};

use super::{Condition, ParametersReference, SupportedFeature};

resource! {
    /// A service mesh.
    XMesh, "XMesh", "xmeshes", experimental / "v1alpha1", cluster,
    spec: MeshSpec, status: MeshStatus
}

/// Wanted state of an XMesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshSpec {
    /// The controller; cannot be changed.
    pub controller_name: String,
    /// Configuration of the mesh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters_ref: Option<ParametersReference>,
    /// For people, at most 64 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Reported state of an XMesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MeshStatus {
    /// `Accepted`, `Programmed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// Features the mesh supports, sorted by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<SupportedFeature>,
}
