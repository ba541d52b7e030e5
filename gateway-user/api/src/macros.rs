//! Parts that every API type repeats: closed enums, open enums, and the frame of a resource.

/// A closed enum of the API: every value the CRD lists, and no other.
macro_rules! closed_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vmeta])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// The value as the API spells it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// A string that the API lets implementations extend (`example.com/name`): the values it names, and `Other`.
macro_rules! open_enum {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(from = "String", into = "String")]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
            /// A value the API does not name itself.
            Other(String),
        }

        impl $name {
            /// The value as the API spells it.
            pub fn as_str(&self) -> &str {
                match self { $(Self::$variant => $text,)+ Self::Other(text) => text }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                match text.as_str() { $($text => Self::$variant,)+ _ => Self::Other(text) }
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => $text.to_owned(),)+ $name::Other(text) => text }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

/// A Kubernetes resource: `metadata`, `spec` and, where the CRD has one, `status`.
///
/// `apiVersion` and `kind` are written from the type and not checked when read: whoever picks the type has
/// read them. The `k8s_openapi` traits let a client crate use the type without this crate knowing the client.
macro_rules! resource {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $plural:literal, $group:ident / $version:literal, $scope:ident,
     spec: $spec:ty $(, status: $status:ty)?) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        pub struct $name {
            /// Name, namespace, labels, generation, creation time.
            #[serde(default)]
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            /// The desired state.
            pub spec: $spec,
            $(
                /// The state that controllers report.
                #[serde(default)]
                pub status: Option<$status>,
            )?
        }

        impl k8s_openapi::Resource for $name {
            const API_VERSION: &'static str = concat!(resource!(@group $group), "/", $version);
            const GROUP: &'static str = resource!(@group $group);
            const KIND: &'static str = $kind;
            const VERSION: &'static str = $version;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = resource!(@scope $scope);
        }

        impl k8s_openapi::Metadata for $name {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }
            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct;
                let mut out = serializer.serialize_struct($kind, 5)?;
                out.serialize_field("apiVersion", <Self as k8s_openapi::Resource>::API_VERSION)?;
                out.serialize_field("kind", $kind)?;
                out.serialize_field("metadata", &self.metadata)?;
                out.serialize_field("spec", &self.spec)?;
                $(
                    let status: &Option<$status> = &self.status;
                    if let Some(status) = status {
                        out.serialize_field("status", status)?;
                    }
                )?
                out.end()
            }
        }
    };
    (@group gateway) => { "gateway.networking.k8s.io" };
    (@group experimental) => { "gateway.networking.x-k8s.io" };
    (@group sluice) => { "sluice.dev" };
    (@scope namespaced) => { k8s_openapi::NamespaceResourceScope };
    (@scope cluster) => { k8s_openapi::ClusterResourceScope };
}
