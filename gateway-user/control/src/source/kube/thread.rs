//! The thread on which everything runs that speaks to the API server.

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use gateway_api_types::{Kind, Object, ObjectKey};
use gateway_translate::TranslateOptions;
use jiff::Timestamp;
use kube::Client;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::error;

use super::connect::{Access, ConnectError};
use super::fetch;
use super::kinds::{Subject, WATCHED};
use super::last_good::{self, LastGoodWriter, Scope};
use super::shared::{Shared, WatchId, WatchState};
use crate::kept::KeptKeys;
use crate::kube_watch::ApiError;
use crate::source::PollResult;
use crate::store::StoreView;

/// Time between a panic of a watch and its next begin.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Limit for a server that says nothing, where objects of an earlier process can be served.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A cluster, and the part of it that is read.
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// Address and credentials of its API server.
    pub access: Access,
    /// The namespaces to read; empty is all.
    pub namespaces: Vec<String>,
    /// File in which all objects outlive the process, if any.
    pub last_good: Option<PathBuf>,
    /// Private keys in that file.
    pub keys: KeptKeys,
    /// The controller whose Gateways are served: of Secrets, those that they refer to are read.
    pub controller_name: String,
}

/// A cluster under watch. Clones are of the same one; when the last is gone, the watches end.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    server: Arc<str>,
    shared: Arc<Shared>,
    runtime: Handle,
    /// Where objects are kept, and of what cluster.
    last_good: Option<(PathBuf, Scope)>,
    keys: KeptKeys,
    /// Its end ends the thread.
    _alive: Arc<oneshot::Sender<()>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("server", &self.server).finish_non_exhaustive()
    }
}

/// First message of the thread once it runs.
type Ready = (Client, Arc<str>, Handle, Option<(PathBuf, Scope)>);

impl Cluster {
    /// Starts the thread and its watches. A server that cannot be reached is no error: it is tried again and
    /// again.
    ///
    /// # Errors
    /// [`ConnectError`]: the kubeconfig or the pod's files cannot be used, or the system gives no thread.
    pub fn start(options: ClusterOptions) -> Result<Self, ConnectError> {
        let ClusterOptions { access, namespaces, last_good, keys, controller_name } = options;
        let ids = ids(&namespaces);
        let shared = Arc::new(Shared::new(
            ids.clone(),
            TranslateOptions { controller_name, ..TranslateOptions::default() },
        ));
        let (alive, ended) = oneshot::channel::<()>();
        let (ready, started) = channel();
        let (watched, kept) = (Arc::clone(&shared), keys.clone());
        std::thread::Builder::new().name("sluice-kube".to_owned()).spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error.into()))),
            };
            runtime.block_on(async {
                match client(&access).await {
                    Ok((client, server)) => {
                        let scope = Scope { server: server.to_string(), namespaces };
                        let last_good = last_good.map(|path| (path, scope));
                        let left =
                            last_good.as_ref().and_then(|(path, scope)| last_good::read(path, scope, &kept));
                        if let Some(objects) = left {
                            watched.begin_with(objects);
                        }
                        watch_all(ids, &client, &watched);
                        tokio::spawn(async move {
                            tokio::time::sleep(CONNECT_TIMEOUT).await;
                            watched.wait_no_more();
                        });
                        let _ = ready.send(Ok((client, server, Handle::current(), last_good)));
                    }
                    Err(error) => return drop(ready.send(Err(error))),
                }
                // The end of the other side is the signal.
                let _ = ended.await;
            });
            runtime.shutdown_background();
        })?;
        let ended = || ConnectError::Thread(std::io::Error::other("it ended"));
        let (client, server, runtime, last_good): Ready = started.recv().map_err(|_| ended())??;
        Ok(Self { client, server, shared, runtime, last_good, keys, _alive: Arc::new(alive) })
    }

    /// The client that the watches use.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The server's address, for people.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Runs a future on the thread that speaks to the server. It ends with the thread.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(future)
    }

    /// The newest version of an object that a watch has shown, its status and resourceVersion included.
    pub fn object(&self, kind: Kind, key: &ObjectKey) -> Option<Object> {
        self.shared.object(kind, key)
    }

    /// The names of all objects of a kind that the watches have shown.
    pub fn keys(&self, kind: Kind) -> Vec<ObjectKey> {
        self.shared.keys(kind)
    }

    /// A counter that changes with every object, also with its status.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes()
    }

    /// State of every watch, with the number of its objects.
    pub fn watches(&self) -> Vec<(WatchId, WatchState, usize)> {
        self.shared.watches()
    }

    pub(crate) fn wake_by(&self, waker: impl Fn() + Send + 'static) {
        self.shared.wake_by(Box::new(waker));
    }

    /// Keeps its objects for the next process, if that is wanted.
    pub(crate) fn last_good_writer(&self) -> Option<LastGoodWriter> {
        self.last_good.clone().map(|(path, scope)| LastGoodWriter::new(path, scope, self.keys.clone()))
    }

    pub(crate) fn take(&self, view: &mut StoreView) -> PollResult {
        self.shared.take(view)
    }
}

async fn client(access: &Access) -> Result<(Client, Arc<str>), ConnectError> {
    let config = access.config().await?;
    let server = super::connect::address(&config);
    let client = Client::try_from(config)
        .map_err(|error| ConnectError::Client(server.clone(), super::connect::chain(&error)))?;
    Ok((client, server.into()))
}

/// One watch for each kind and namespace; what lives in no namespace is watched once, and of Namespaces those
/// that count.
fn ids(namespaces: &[String]) -> Vec<WatchId> {
    let subjects = WATCHED.into_iter().map(Subject::Objects).chain([Subject::Definitions]);
    let each = |subject: Subject| {
        let scoped = subject.namespaced() || subject == Subject::Objects(Kind::Namespace);
        let names: Vec<Option<String>> = match (scoped, namespaces) {
            (false, _) | (true, []) => vec![None],
            (true, names) => names.iter().cloned().map(Some).collect(),
        };
        names.into_iter().map(move |namespace| WatchId { subject, namespace })
    };
    subjects.flat_map(each).collect()
}

fn watch_all(ids: Vec<WatchId>, client: &Client, shared: &Arc<Shared>) {
    let recovered = Arc::new(Notify::new());
    let fetched = ids.iter().find(|id| id.subject == Subject::Objects(Kind::Secret)).cloned();
    for id in ids {
        let (of, client, kept, recovered) =
            (id.clone(), client.clone(), Arc::clone(shared), Arc::clone(&recovered));
        let watch =
            move || super::watch::run(of.clone(), client.clone(), Arc::clone(&kept), Arc::clone(&recovered));
        tokio::spawn(keep_running(id, Arc::clone(shared), watch));
    }
    let Some(id) = fetched else { return };
    let (client, fetched) = (client.clone(), Arc::clone(shared));
    let fetch = move || fetch::run(client.clone(), Arc::clone(&fetched));
    tokio::spawn(keep_running(id, Arc::clone(shared), fetch));
}

/// Runs a watch, and again if it panics, which only a fault of ours can cause: it must not leave its kind as
/// it was for ever.
async fn keep_running<F: Future<Output = ()> + Send + 'static>(
    id: WatchId,
    shared: Arc<Shared>,
    watch: impl Fn() -> F,
) {
    while let Err(ended) = tokio::spawn(watch()).await {
        if !ended.is_panic() {
            return;
        }
        let fault = "internal fault: please report it with the log".to_owned();
        error!("the watch of {} panicked and restarts", id.subject.resource());
        shared.note(&id, |state| state.fail(ApiError::Other(fault), Timestamp::now()));
        tokio::time::sleep(RETRY_DELAY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_watch_that_panics_is_noted_and_begins_anew() {
        let id = WatchId { subject: Subject::Objects(Kind::Service), namespace: None };
        let shared = Arc::new(Shared::new([id.clone()], TranslateOptions::default()));
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let watch = move || {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            async move { assert!(!first, "injected by a test") }
        };
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(keep_running(id, Arc::clone(&shared), watch));
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        let (_, state, _) = shared.watches().remove(0);
        assert!(state.failing.unwrap().1.to_string().contains("internal fault"));
    }

    #[test]
    fn what_lives_in_namespaces_is_watched_in_each_that_counts() {
        let of = |namespaces: &[&str], subject| {
            let names: Vec<String> = namespaces.iter().map(|name| (*name).to_owned()).collect();
            let ids = ids(&names).into_iter().filter(move |id| id.subject == subject);
            ids.map(|id| id.namespace.unwrap_or("*".to_owned())).collect::<Vec<_>>().join(" ")
        };
        let kind = Subject::Objects;
        assert_eq!(of(&[], kind(Kind::HttpRoute)), "*");
        assert_eq!(of(&["a", "b"], kind(Kind::HttpRoute)), "a b");
        assert_eq!(of(&["a", "b"], kind(Kind::Namespace)), "a b");
        assert_eq!(of(&["a", "b"], kind(Kind::GatewayClass)), "*");
        assert_eq!(of(&["a"], Subject::Definitions), "*");
    }
}
