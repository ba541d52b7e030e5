//! An API server that speaks as much of the real one's protocol as a client that lists and watches needs, and
//! fails as asked.
//!
//! Objects are JSON and checked by nobody. Every kind has one version, `v1`; those of Sluice's own group have `v1alpha1`.

mod requests;
mod serve;
mod state;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::scratch::Scratch;
use state::State;

/// The kinds that a gateway reads in a cluster. NodeReports and Leases are not among them: without those, no process leads,
/// and each says so once. Nor are ClusterTrustBundles, which few API servers have.
pub const READ_KINDS: [&str; 18] = [
    "gatewayclasses.gateway.networking.k8s.io",
    "gateways.gateway.networking.k8s.io",
    "listenersets.gateway.networking.k8s.io",
    "httproutes.gateway.networking.k8s.io",
    "grpcroutes.gateway.networking.k8s.io",
    "tcproutes.gateway.networking.k8s.io",
    "tlsroutes.gateway.networking.k8s.io",
    "udproutes.gateway.networking.k8s.io",
    "referencegrants.gateway.networking.k8s.io",
    "backendtlspolicies.gateway.networking.k8s.io",
    "gatewayconfigs.sluice.dev",
    "namespaces",
    "nodes",
    "services",
    "endpointslices.discovery.k8s.io",
    "secrets",
    "configmaps",
    "customresourcedefinitions.apiextensions.k8s.io",
];

/// A running server on a free port of 127.0.0.1. Dropping it ends it.
#[derive(Debug)]
pub struct ApiServer {
    address: SocketAddr,
    world: Arc<World>,
    accepting: Option<JoinHandle<()>>,
    dir: Scratch,
}

/// State that connections share.
#[derive(Debug, Default)]
struct World {
    state: Mutex<State>,
    changed: Condvar,
}

impl World {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something and tells all watches.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }
}

impl ApiServer {
    /// Starts it with no object. The kinds of `plurals` (`httproutes.gateway.networking.k8s.io`, `services`)
    /// are installed; other kinds get 404.
    ///
    /// # Errors
    /// No socket, thread or directory.
    pub fn start(plurals: &[&str]) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let world = Arc::<World>::default();
        world.lock().installed.extend(plurals.iter().map(|name| (*name).to_owned()));
        let served = Arc::clone(&world);
        let accepting = thread::Builder::new().name("apiserver".to_owned()).spawn(move || {
            for stream in listener.incoming() {
                if served.lock().ended {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let world = Arc::clone(&served);
                thread::spawn(move || serve::connection(&world, &stream));
            }
        })?;
        Ok(Self { address, world, accepting: Some(accepting), dir: Scratch::new("apiserver")? })
    }

    /// A kubeconfig for it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig(&self) -> io::Result<PathBuf> {
        let text = format!(
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             clusters: [{{name: c, cluster: {{server: 'http://{}'}}}}], users: [{{name: u, user: {{}}}}]}}",
            self.address
        );
        self.dir.write("kubeconfig", &text)?;
        Ok(self.dir.join("kubeconfig"))
    }

    /// Adds an object to the kind of that name, or replaces it.
    pub fn put(&self, plural: &str, object: Value) {
        self.world.change(|state| state.put(plural, object));
    }

    /// Removes an object.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        self.world.change(|state| state.delete(plural, namespace, name));
    }

    /// Sends a bookmark to those who watch the kind.
    pub fn bookmark(&self, plural: &str) {
        self.world.change(|state| state.bookmark(plural));
    }

    /// Sends a line that is no event to those who watch the kind.
    pub fn garbage(&self, plural: &str, line: &str) {
        self.world.change(|state| state.garbage(plural, line));
    }

    /// Forgets all history: a watch that asks for what comes after an earlier version than now's is told 410.
    pub fn forget(&self) {
        self.world.change(State::forget);
    }

    /// Cuts every connection, streams in the middle of an event.
    pub fn cut(&self) {
        self.world.change(|state| state.epoch += 1);
    }

    /// True if it is away: connections are closed as they come.
    pub fn set_away(&self, away: bool) {
        self.world.change(|state| {
            state.away = away;
            state.epoch += u64::from(away);
        });
    }

    /// True if lists are streamed, as they are at first; if not, requests for that get 422.
    pub fn set_streaming(&self, streaming: bool) {
        self.world.change(|state| state.pages_only = !streaming);
    }

    /// Forbids a verb (`list`, `watch`) on a kind, or allows it again. All connections are cut.
    pub fn set_forbidden(&self, plural: &str, verb: &str, forbidden: bool) {
        let rule = (plural.to_owned(), verb.to_owned());
        self.world.change(|state| {
            if forbidden {
                state.forbidden.insert(rule)
            } else {
                state.forbidden.remove(&rule)
            };
            state.epoch += 1;
        });
    }

    /// Installs a kind.
    pub fn install(&self, plural: &str) {
        self.world.change(|state| state.installed.insert(plural.to_owned()));
    }

    /// The requests so far, each its path and query.
    pub fn requests(&self) -> Vec<String> {
        self.world.lock().requests.clone()
    }

    /// How many watches of the kind run.
    pub fn watchers(&self, plural: &str) -> usize {
        self.world.lock().watchers.get(plural).copied().unwrap_or(0)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.world.change(|state| {
            state.ended = true;
            state.epoch += 1;
        });
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
