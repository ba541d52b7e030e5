//! An object of any kind, and how objects are named.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::Kind;
use crate::kind::for_each_kind;

/// Namespace and name. The namespace is empty for a kind that lives in none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Namespace, or empty.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectKey {
    /// A key; `namespace` is empty for a kind that lives in none.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key that `metadata` gives.
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

macro_rules! object {
    ($($variant:ident($type:ty) $field:ident,)+) => {
        /// An object of any kind that we read, cheap to clone.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Object {
            $(
                #[doc = concat!("A `", stringify!($variant), "`.")]
                $variant(Arc<$type>),
            )+
        }

        impl Object {
            /// Its kind.
            pub const fn kind(&self) -> Kind {
                match self { $(Self::$variant(_) => Kind::$variant,)+ }
            }

            /// Its metadata.
            pub fn metadata(&self) -> &ObjectMeta {
                match self { $(Self::$variant(object) => &object.metadata,)+ }
            }

            /// Reads an object of that kind. Nothing is checked but the types; see [`crate::load`] for the
            /// rest.
            ///
            /// # Errors
            /// The mismatch with the type, without a position: the schema check before this one gives it.
            pub fn from_value(kind: Kind, value: Value) -> Result<Self, serde_json::Error> {
                Ok(match kind {
                    $(Kind::$variant => Self::$variant(Arc::new(serde_json::from_value::<$type>(value)?)),)+
                })
            }

            /// As [`from_value`](Self::from_value), from a value that is needed for something else as well.
            ///
            /// # Errors
            /// As there.
            pub fn read(kind: Kind, value: &Value) -> Result<Self, serde_json::Error> {
                use serde::Deserialize as _;
                Ok(match kind {
                    $(Kind::$variant => Self::$variant(Arc::new(<$type>::deserialize(value)?)),)+
                })
            }

            /// The object as JSON, with `apiVersion` and `kind`.
            ///
            /// # Errors
            /// None of our types fails; the signature is serde's.
            pub fn to_value(&self) -> Result<Value, serde_json::Error> {
                match self { $(Self::$variant(object) => serde_json::to_value(&**object),)+ }
            }
        }

        $(
            impl From<$type> for Object {
                fn from(object: $type) -> Self {
                    Self::$variant(Arc::new(object))
                }
            }

            impl From<Arc<$type>> for Object {
                fn from(object: Arc<$type>) -> Self {
                    Self::$variant(object)
                }
            }
        )+
    };
}
for_each_kind!(object);

impl Object {
    /// Its namespace and name.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::of(self.metadata())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.key())
    }
}
