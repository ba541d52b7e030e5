//! ReferenceGrant: leave for objects of other namespaces to refer to those of its own (GEP-709).

use serde::{Deserialize, Serialize};

resource! {
    /// Leave for objects elsewhere to refer to objects here. Only `from` × `to` together grant anything.
    ReferenceGrant, "ReferenceGrant", "referencegrants", gateway / "v1", namespaced,
    spec: ReferenceGrantSpec
}

/// The references that are granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantSpec {
    /// The kinds and namespaces that may refer, any of these.
    pub from: Vec<ReferenceGrantFrom>,
    /// To what, any of these.
    pub to: Vec<ReferenceGrantTo>,
}

/// A kind of referrer in one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantFrom {
    /// API group of the referrer.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
}

/// A kind of object in the grant's namespace, or one object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReferenceGrantTo {
    /// API group; `""` is the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The object's name; every object of the kind if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}
