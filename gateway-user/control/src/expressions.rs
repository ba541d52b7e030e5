//! The builder thread: expressions that edits wait for are built here, off the way of everybody else's edits.
//!
//! Namespaces take turns, one expression each, so a namespace waits for at most one expression of every other
//! one before each of its own.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use gateway_regex::Expression;
use gateway_translate::Walk;
use tracing::{debug, error};

/// Gives namespaces to the thread. Dropping it ends the thread after the expression that it is at.
#[derive(Debug)]
pub(crate) struct Builder(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Namespaces in the order of their turns.
#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(String, Walk)>,
    is_over: bool,
}

/// A turn: what is to be built for a namespace.
#[derive(Debug)]
struct BuildJob {
    namespace: String,
    walk: Walk,
    /// `None` once everything is built.
    expression: Option<Arc<Expression>>,
}

impl Builder {
    /// Starts the thread, which calls `first` before all else, and `built` after the last expression of a
    /// namespace.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(
        first: impl FnOnce() + Send + 'static,
        built: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        std::thread::Builder::new().name("sluice-regex".to_owned()).spawn(move || {
            first();
            own.run(&built);
        })?;
        Ok(Self(shared))
    }

    /// Replaces the queue of jobs.
    pub(crate) fn set(&self, waiting: BTreeMap<String, Walk>) {
        self.0.queue().set(waiting);
        self.0.changed.notify_one();
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        self.0.queue().is_over = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    /// A panic leaves the queue whole: nothing is built while it is held.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, built: &dyn Fn()) {
        while let Some(turn) = self.next() {
            let Some(expression) = &turn.expression else {
                debug!(namespace = turn.namespace, "expressions are built");
                built();
                continue;
            };
            // The automaton is kept in the expression, for all users.
            if catch_unwind(AssertUnwindSafe(|| expression.verdict().is_ok())).is_err() {
                error!(
                    namespace = turn.namespace,
                    expression = expression.text(),
                    "internal fault while building an expression; the namespace's routes stay as they are"
                );
                continue;
            }
            self.queue().put_back(turn);
        }
    }

    fn next(&self) -> Option<BuildJob> {
        let mut queue = self.queue();
        loop {
            if queue.is_over {
                return None;
            }
            if let Some(turn) = queue.take() {
                return Some(turn);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Queue {
    /// Namespaces keep their places, new ones come last.
    fn set(&mut self, mut waiting: BTreeMap<String, Walk>) {
        self.waiting.retain_mut(|(namespace, walk)| {
            let newer = waiting.remove(namespace);
            let stays = newer.is_some();
            newer.into_iter().for_each(|newer| *walk = newer);
            stays
        });
        self.waiting.extend(waiting);
    }

    fn take(&mut self) -> Option<BuildJob> {
        let (namespace, mut walk) = self.waiting.pop_front()?;
        let expression = walk.missing();
        Some(BuildJob { namespace, walk, expression })
    }

    /// Behind the others, unless something newer waits for the namespace by now.
    fn put_back(&mut self, BuildJob { namespace, walk, .. }: BuildJob) {
        if self.waiting.iter().all(|(other, _)| *other != namespace) {
            self.waiting.push_back((namespace, walk));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use gateway_api_types::{HttpRoute, ObjectKey, ResourceSet};
    use gateway_regex::Library;
    use gateway_translate::{Admission, TranslateOptions};
    use serde_json::{Value, json};

    use super::*;

    /// A queue of routes with so many expressions each, and the holder of the expressions.
    fn waiting(routes: &[(&str, usize)]) -> (BTreeMap<String, Walk>, Admission) {
        let mut set = ResourceSet::default();
        let class = json!({"metadata": {"name": "sluice"}, "spec": {"controllerName": "sluice.dev/gateway"}});
        let listeners = json!([{"name": "web", "port": 80, "protocol": "HTTP"}]);
        let spec = json!({"gatewayClassName": "sluice", "listeners": listeners});
        let gateway = json!({"metadata": {"name": "gw", "namespace": "gateways"}, "spec": spec});
        let key = |namespace: &str, name: &str| ObjectKey::new(namespace, name);
        set.gateway_classes.insert(key("", "sluice"), Arc::new(serde_json::from_value(class).unwrap()));
        set.gateways.insert(key("gateways", "gw"), Arc::new(serde_json::from_value(gateway).unwrap()));
        for (namespace, expressions) in routes {
            set.http_routes.insert(key(namespace, "r"), Arc::new(route(namespace, *expressions)));
        }
        let mut door = Admission::new(TranslateOptions::default(), Arc::new(Library::default()));
        (door.admit(&set).waiting, door)
    }

    fn route(namespace: &str, expressions: usize) -> HttpRoute {
        let path = |n| json!({"path": {"type": "RegularExpression", "value": format!("/{namespace}-{n}.*")}});
        let matches: Vec<Value> = (0..expressions).map(path).collect();
        let parents = json!([{"name": "gw", "namespace": "gateways"}]);
        let spec = json!({"parentRefs": parents, "rules": [{"matches": matches}]});
        serde_json::from_value(json!({"metadata": {"name": "r", "namespace": namespace}, "spec": spec}))
            .unwrap()
    }

    /// Namespaces in the order of their jobs until nothing waits; `-` where a namespace was done.
    fn turns(queue: &mut Queue) -> String {
        let mut turns = String::new();
        while let Some(turn) = queue.take() {
            turns += &turn.namespace;
            match &turn.expression {
                Some(expression) => {
                    assert!(expression.verdict().is_ok());
                    queue.put_back(turn);
                }
                None => turns += "-",
            }
        }
        turns
    }

    #[test]
    fn a_namespace_waits_for_one_expression_of_each_other_one_at_most() {
        let (waiting, _held) = waiting(&[("a", 7), ("b", 1), ("c", 2)]);
        let mut queue = Queue::default();
        queue.set(waiting);
        assert_eq!(turns(&mut queue), "abcab-cac-aaaaa-");
    }

    #[test]
    fn a_namespace_that_comes_late_has_the_place_after_those_that_are_there() {
        let (both, _held) = waiting(&[("a", 5), ("b", 1)]);
        let only = |name: &str| BTreeMap::from([(name.to_owned(), both[name].clone())]);
        let mut queue = Queue::default();
        queue.set(only("a"));
        let turn = queue.take().unwrap();
        turn.expression.as_ref().unwrap().verdict().as_ref().unwrap();
        // While that was built, the neighbour came, and the tenant edited again.
        queue.set(both.clone());
        queue.put_back(turn);
        assert_eq!(queue.waiting.len(), 2, "a namespace waits once");
        assert_eq!(turns(&mut queue), "abab-aaa-");
        queue.set(both.clone());
        queue.set(only("b"));
        assert_eq!(queue.waiting.len(), 1, "whoever has nothing to wait for has no turn");
    }

    #[test]
    fn the_thread_builds_what_waits_and_says_so_for_each_namespace() {
        let (mut both, _held) = waiting(&[("a", 3), ("b", 1)]);
        let (said, heard) = channel();
        let builder = Builder::start(|| (), move || said.send(()).unwrap()).unwrap();
        builder.set(both.clone());
        heard.recv().unwrap();
        heard.recv().unwrap();
        assert!(both.values_mut().all(|walk| walk.missing().is_none()));
        drop(builder);
        assert!(heard.recv().is_err(), "the thread has ended");
    }
}
