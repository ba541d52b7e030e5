//! Every object we hold, typed and in order: what `translate` reads.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::kind::for_each_kind;
use crate::{InstalledApi, Kind, Object, ObjectKey};

/// The place that an object was read from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// The file, as the loader was given it.
    pub file: Arc<str>,
    /// The line on which the object begins, from 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Objects of one kind, ordered by namespace and name. Copies share all that is alike in them.
pub type Objects<T> = imbl::OrdMap<ObjectKey, Arc<T>>;

macro_rules! resource_set {
    ($($variant:ident($type:ty) $field:ident,)+) => {
        /// All objects of one moment, per kind, ordered by namespace and name. Cloning shares the objects, so
        /// an object that did not change is the same [`Arc`] in the next set.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct ResourceSet {
            $(
                #[doc = concat!("All objects of kind `", stringify!($variant), "`.")]
                pub $field: Objects<$type>,
            )+
            /// The installed Gateway API; `None` where no API server has a part in it, so that it is what
            /// this crate knows.
            pub installed: Option<Arc<InstalledApi>>,
            origins: BTreeMap<(Kind, ObjectKey), Origin>,
        }

        impl ResourceSet {
            /// The object of that kind and name.
            pub fn get(&self, kind: Kind, key: &ObjectKey) -> Option<Object> {
                match kind { $(Kind::$variant => self.$field.get(key).cloned().map(Object::$variant),)+ }
            }

            /// Number of objects.
            pub fn len(&self) -> usize {
                0 $(+ self.$field.len())+
            }

            /// The names of all objects of a kind, in order.
            pub fn keys(&self, kind: Kind) -> Box<dyn Iterator<Item = &ObjectKey> + '_> {
                match kind { $(Kind::$variant => Box::new(self.$field.keys()),)+ }
            }

            /// Every object, by kind, then by namespace and name.
            pub fn iter(&self) -> impl Iterator<Item = Object> + '_ {
                std::iter::empty()$(.chain(self.$field.values().cloned().map(Object::$variant)))+
            }

            /// Adds an object, or replaces the one of its kind and name, which is returned.
            pub fn insert(&mut self, object: Object, origin: Option<Origin>) -> Option<Object> {
                let (kind, key) = (object.kind(), object.key());
                match origin {
                    Some(origin) => self.origins.insert((kind, key.clone()), origin),
                    None => self.origins.remove(&(kind, key.clone())),
                };
                match object { $(Object::$variant(new) => self.$field.insert(key, new).map(Object::$variant),)+ }
            }

            /// Removes the object of that kind and name, which is returned.
            pub fn remove(&mut self, kind: Kind, key: &ObjectKey) -> Option<Object> {
                self.origins.remove(&(kind, key.clone()));
                match kind { $(Kind::$variant => self.$field.remove(key).map(Object::$variant),)+ }
            }
        }
    };
}
for_each_kind!(resource_set);

impl ResourceSet {
    /// Where the object was read, if it came from a file.
    pub fn origin(&self, kind: Kind, key: &ObjectKey) -> Option<&Origin> {
        self.origins.get(&(kind, key.clone()))
    }

    /// True if it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl FromIterator<(Object, Option<Origin>)> for ResourceSet {
    /// A later object replaces an earlier one of the same kind and name.
    fn from_iter<I: IntoIterator<Item = (Object, Option<Origin>)>>(objects: I) -> Self {
        let mut set = Self::default();
        for (object, origin) in objects {
            set.insert(object, origin);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gateway(namespace: &str, name: &str) -> Object {
        let value = json!({
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"gatewayClassName": "c", "listeners": [{"name": "l", "port": 80, "protocol": "HTTP"}]}
        });
        Object::from_value(Kind::Gateway, value).expect("a gateway")
    }

    #[test]
    fn objects_are_held_in_order_and_found_again() {
        let origin = Origin { file: "b.yaml".into(), line: 3 };
        let mut set: ResourceSet =
            [(gateway("b", "x"), None), (gateway("a", "y"), Some(origin.clone()))].into_iter().collect();
        let keys: Vec<_> = set.iter().map(|o| o.to_string()).collect();
        assert_eq!(keys, ["Gateway a/y", "Gateway b/x"]);
        let key = ObjectKey::new("a", "y");
        assert_eq!(set.origin(Kind::Gateway, &key), Some(&origin));
        assert_eq!(set.origin(Kind::Gateway, &key).map(ToString::to_string).as_deref(), Some("b.yaml:3"));

        assert_eq!(set.insert(gateway("a", "y"), None), Some(gateway("a", "y")), "replaced");
        assert_eq!(set.origin(Kind::Gateway, &key), None, "the new one came from no file");
        assert_eq!(set.remove(Kind::Gateway, &key), Some(gateway("a", "y")));
        assert_eq!((set.len(), set.get(Kind::Gateway, &key)), (1, None));
    }
}
