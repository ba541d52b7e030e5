//! A cluster under watch, against a server that fails in every way we know.

mod authorities;
mod failures;
mod nodes;
mod objects;
mod secrets;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gateway_api_types::{Kind, ObjectKey};
use gateway_testkit::apiserver::ApiServer;
use gateway_testkit::wait::until;
use serde_json::{Value, json};

use super::kinds::{Subject, WATCHED};
use super::{Access, Cluster, ClusterOptions, WatchState};
use crate::kept::KeptKeys;
use crate::source::PollResult;
use crate::store::StoreView;

pub(super) const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
pub(super) const SLICES: &str = "endpointslices.discovery.k8s.io";

/// A server with every kind that is watched.
fn server() -> ApiServer {
    server_without(None)
}

/// The same but for one kind.
fn server_without(kind: Option<Kind>) -> ApiServer {
    let plurals: Vec<String> = WATCHED
        .into_iter()
        .filter(|watched| Some(*watched) != kind)
        .map(Subject::Objects)
        .chain([Subject::Definitions])
        .map(Subject::resource)
        .collect();
    ApiServer::start(&plurals.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

/// A cluster, and what a reader of it has.
struct Reader {
    cluster: Cluster,
    view: StoreView,
    wakes: Arc<AtomicU64>,
}

impl Reader {
    fn of(api: &ApiServer, namespaces: &[&str]) -> Self {
        Self::with(api, namespaces, None)
    }

    fn with(api: &ApiServer, namespaces: &[&str], last_good: Option<PathBuf>) -> Self {
        Self::keeping(api, namespaces, last_good, KeptKeys::Plain)
    }

    fn keeping(api: &ApiServer, namespaces: &[&str], last_good: Option<PathBuf>, keys: KeptKeys) -> Self {
        let access = Access::Kubeconfig(api.kubeconfig().unwrap());
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        let cluster = Cluster::start(ClusterOptions {
            access,
            namespaces,
            last_good,
            keys,
            controller_name: gateway_translate::CONTROLLER_NAME.to_owned(),
        })
        .unwrap();
        let wakes = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&wakes);
        cluster.wake_by(move || {
            counter.fetch_add(1, Ordering::SeqCst);
        });
        Self { cluster, view: StoreView::default(), wakes }
    }

    /// Takes what is new until `ready`; whatever comes between is there for it to judge.
    #[track_caller]
    fn until(&mut self, what: &str, mut ready: impl FnMut(&StoreView) -> bool) {
        until(what, || {
            let result = self.cluster.take(&mut self.view);
            (!matches!(result, PollResult::Waiting(_)) && ready(&self.view)).then_some(())
        });
    }

    /// As [`until`](Self::until), with exactly these routes in the end.
    #[track_caller]
    fn until_routes(&mut self, names: &[&str]) {
        self.until(&format!("routes {names:?}"), |view| routes(view) == names);
    }

    fn state(&self, kind: Kind) -> WatchState {
        let watches = self.cluster.watches().into_iter();
        let mut found = watches.filter(|(id, ..)| id.subject == Subject::Objects(kind));
        found.next().unwrap().1
    }

    fn lines(&self) -> Vec<String> {
        self.view.diagnostics.iter().map(ToString::to_string).collect()
    }
}

fn routes(view: &StoreView) -> Vec<&str> {
    view.resources.http_routes.keys().map(|key| key.name.as_str()).collect()
}

/// A route whose one rule has that path.
fn route(name: &str, generation: i64, path: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop", "generation": generation, "uid": name},
        "spec": {"parentRefs": [{"name": "web"}], "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": path}}]}]},
    })
}

fn path_of(view: &StoreView, name: &str) -> Option<String> {
    let route = view.resources.http_routes.get(&ObjectKey::new("shop", name))?;
    Some(route.spec.rules[0].matches[0].path.value.clone())
}

fn slice(name: &str, namespace: &str, address: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": [{"addresses": [address]}],
    })
}
