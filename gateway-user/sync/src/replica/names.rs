//! Names of objects, each kept once: an item names its own object, listeners and Services, and thousands of items name the same.

use std::collections::HashSet;
use std::sync::Arc;

use gateway_ir::{Action, ClusterKey, ListenerId, ObjectName, Route, WeightedTarget};

use crate::item::Value;

/// Names beyond those that were needed last at which those that nobody has are looked for.
const SLACK: usize = 1024;

/// Every name that any item has.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashSet<Arc<str>>,
    /// Names that were needed when they were looked at last.
    needed: usize,
}

/// The destinations of a route's backends.
fn targets(route: &mut Route) -> Box<dyn Iterator<Item = &mut WeightedTarget> + '_> {
    match route {
        Route::Http(route) => Box::new(route.rules.iter_mut().flat_map(|rule| {
            match &mut rule.action {
                Action::Forward(backends) => backends.as_mut_slice(),
                Action::Redirect(_) | Action::Fail(_) => &mut [],
            }
            .iter_mut()
            .map(|backend| &mut backend.target)
        })),
        Route::L4(route) => Box::new(route.rule.backends.iter_mut().map(|backend| &mut backend.target)),
    }
}

impl Names {
    /// Has an item that was just read share its names with others.
    pub(super) fn share(&mut self, value: &mut Value) {
        match value {
            Value::Route(route, attached) => {
                attached.iter_mut().for_each(|one| self.listener(&mut one.listener));
                // Nobody else has it yet.
                let Some(route) = Arc::get_mut(route) else { return };
                self.object(&mut route.id_mut().object);
                for target in targets(route) {
                    if let WeightedTarget::Cluster(cluster) = target {
                        self.cluster(cluster);
                    }
                }
            }
            Value::Cluster(key, _) | Value::BackendTls(key, _) => self.cluster(key),
            Value::Gateway(name, _) | Value::Tickets(name, _) => self.object(name),
            Value::Listener(listener) => self.listener(&mut listener.id),
            Value::Address(_, owner) => self.object(&mut owner.gateway),
            Value::Certificate(_) | Value::Trust(_) => {}
        }
    }

    /// Forgets names that no item has any more, if there may be many.
    pub(super) fn forget_unused(&mut self) {
        if self.known.len() > 2 * self.needed + SLACK {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.known.shrink_to_fit();
            self.needed = self.known.len();
        }
    }

    fn listener(&mut self, id: &mut ListenerId) {
        self.object(&mut id.gateway);
        if let Some(set) = &mut id.set {
            self.object(set);
        }
    }

    fn cluster(&mut self, key: &mut ClusterKey) {
        self.object(&mut key.service);
    }

    fn object(&mut self, object: &mut ObjectName) {
        for name in [&mut object.namespace, &mut object.name] {
            match self.known.get(&**name) {
                Some(known) => *name = Arc::clone(known),
                None => drop(self.known.insert(Arc::clone(name))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shared_and_those_that_are_gone_forgotten() {
        let mut names = Names::default();
        let mut value = |gateway: &str| {
            let mut value = Value::Gateway(ObjectName::new("edge", gateway), String::new());
            names.share(&mut value);
            match value {
                Value::Gateway(name, _) => name,
                _ => unreachable!("it was one"),
            }
        };
        let (a, b) = (value("a"), value("b"));
        assert!(Arc::ptr_eq(&a.namespace, &b.namespace));
        assert!(!Arc::ptr_eq(&a.name, &b.name));
        let many: Vec<_> = (0..2 * SLACK).map(|number| value(&number.to_string())).collect();
        assert_eq!(names.known.len(), 2 * SLACK + 3);
        drop((many, b));
        names.forget_unused();
        assert_eq!(names.known.len(), 2, "edge, and a");
        assert_eq!(&*a.name, "a");
    }
}
