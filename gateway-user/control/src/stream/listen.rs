//! A controller's socket.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_sync::server::{Leading, ServeError, SharedTable, serve};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, info, warn};

use super::nodes::Nodes;

/// Connections at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// Nodes that were connected to the controller before have so long to come to this one.
const COMPLETE_AFTER: Duration = Duration::from_secs(10);
/// The same once one has come.
const COMPLETE_AFTER_FIRST: Duration = Duration::from_secs(2);
/// Interval of looking for silent nodes.
const TICK: Duration = Duration::from_secs(5);
/// Pause after an error of accepting: it has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Settings of the socket.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// The Unix socket.
    pub path: PathBuf,
    /// Users whose processes may follow, beside root.
    pub users: Vec<u32>,
    /// Version of this program, for people.
    pub version: String,
}

/// The thread that serves nodes. Dropped, it ends.
#[derive(Debug)]
pub struct StreamServer {
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

/// Listens, and serves nodes from a thread of its own, which calls `first` before all else.
///
/// # Errors
/// The socket cannot be made, or the system gives no thread.
pub fn listen(
    options: ListenOptions,
    table: Arc<SharedTable>,
    nodes: Arc<Nodes>,
    leading: watch::Receiver<Leading>,
    first: impl FnOnce() + Send + 'static,
) -> io::Result<StreamServer> {
    let ListenOptions { path, users, version } = options;
    // What a process before left; a living one has its state directory locked.
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    // Who may connect is told by the kernel, not by the file.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = watch::channel(false);
    let accepting = Accepting { table, nodes, leading, users, version: version.into() };
    let thread = std::thread::Builder::new().name("sluice-stream".to_owned()).spawn(move || {
        first();
        let running = async {
            match UnixListener::from_std(listener) {
                Ok(listener) => accepting.run(listener, stopped).await,
                Err(error) => warn!("nodes cannot be served: {error}"),
            }
        };
        runtime.block_on(running);
    })?;
    info!(path = %path.display(), "nodes are served");
    Ok(StreamServer { stop, thread: Some(thread), path })
}

impl Drop for StreamServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let _ = std::fs::remove_file(&self.path);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Accepting {
    table: Arc<SharedTable>,
    nodes: Arc<Nodes>,
    leading: watch::Receiver<Leading>,
    users: Vec<u32>,
    version: Arc<str>,
}

impl Accepting {
    async fn run(self, listener: UnixListener, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        tokio::spawn(watch_over(Arc::clone(&self.nodes)));
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if self.may_follow(&stream) => self.serve(stream, place.ok()),
                    Ok(_) => {}
                    Err(error) => {
                        warn!("accepting a node: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    /// True if the kernel says that the other side is one of the users.
    fn may_follow(&self, stream: &UnixStream) -> bool {
        let user = stream.peer_cred().map(|peer| peer.uid());
        let may = user.as_ref().is_ok_and(|user| *user == 0 || self.users.contains(user));
        if !may {
            let user = user.map_or_else(|error| error.to_string(), |user| format!("uid {user}"));
            warn!("{user} may not follow this controller: name the nodes' user with --node-user");
        }
        may
    }

    fn serve(&self, stream: UnixStream, place: Option<tokio::sync::OwnedSemaphorePermit>) {
        let (table, nodes, version) =
            (Arc::clone(&self.table), Arc::clone(&self.nodes), Arc::clone(&self.version));
        let leading = self.leading.clone();
        tokio::spawn(async move {
            let _place = place;
            match serve(stream, &table, leading, &&*nodes, &version).await {
                Ok(()) => {}
                Err(ServeError::Refused(reason)) => warn!("a node was sent away: {reason}"),
                Err(error) => debug!("a node's stream ended: {error}"),
            }
        });
    }
}

/// Lets the nodes be complete once they have had their time, and time go on.
async fn watch_over(nodes: Arc<Nodes>) {
    let begun = tokio::time::Instant::now();
    let mut reports = nodes.reports();
    let first = async { drop(reports.wait_for(|reports| !reports.is_empty()).await) };
    let _ = tokio::time::timeout(COMPLETE_AFTER, first).await;
    tokio::time::sleep_until(
        (begun + COMPLETE_AFTER).min(tokio::time::Instant::now() + COMPLETE_AFTER_FIRST),
    )
    .await;
    nodes.complete();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tick.tick().await;
        nodes.tick();
    }
}
