//! Probes of this process alone, over a socket of its own: from its start on, and to its end.
//!
//! Ports are shared by the two processes of a hot restart, and the old one answers there until the new one serves. Here a
//! process that hangs before it serves says that it is not ready, or says nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use gateway_admin::{Hosts, Listener, Server, UnixSocket};
use gateway_proxy::worker::Heartbeat;
use tracing::{info, warn};

use super::ready::{DEAD_AFTER, Readiness, respond};
use super::servers::HEALTH;
use crate::confinement::Confinement;
use crate::handoff::Name;
use crate::identity::Identity;
use crate::privileges;

/// The longest that a start takes before the process reads its configuration: a helper, the state directory and another
/// process's sockets are each waited for, 190 s at most in all.
const START_LIMIT: Duration = Duration::from_secs(200);

/// The state that the process has come to.
#[derive(Debug)]
enum Stage {
    /// The configuration is not read yet; since then.
    Starting(Instant),
    /// It waits for the end of the process that serves.
    Spare,
    /// Another process serves until this one has its configuration.
    TakingOver(Name, Readiness),
    Serving(Readiness),
    /// Another one serves what comes.
    Succeeded(Name),
    /// It does for others what takes a right.
    Helping(Arc<Heartbeat>),
}

/// The stage, as the server's thread reads it.
#[derive(Clone, Debug)]
struct ProbeState(Arc<Mutex<Stage>>);

/// The server behind `--probe-socket`. Dropping it takes the socket away.
#[derive(Debug)]
pub(crate) struct ProbeServer {
    path: Option<PathBuf>,
    state: ProbeState,
    serving: Option<(UnixSocket, Server)>,
}

impl ProbeServer {
    /// Serves at `path`, if there is one, on a thread that has no right. Where another process answers there, as in a hot
    /// restart by hand, this one does in its place once it serves.
    ///
    /// # Errors
    /// The user that this process goes on as cannot listen there.
    pub(crate) fn start(
        path: Option<&Path>,
        identity: &Identity,
        confinement: Confinement,
    ) -> anyhow::Result<Self> {
        let state = ProbeState(Arc::new(Mutex::new(Stage::Starting(Instant::now()))));
        let mut server = Self { path: path.map(Path::to_owned), state, serving: None };
        let Some(path) = path else { return Ok(server) };
        let uid = identity.uid();
        let started = privileges::without_any(identity, || {
            let bound = UnixSocket::bind_free(path)?;
            confinement.control();
            server.state.serve(bound)
        })?;
        match started {
            Ok(serving) => server.serving = Some(serving),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                info!(path = %path.display(), "another process answers probes there until this one serves");
            }
            Err(error) => {
                return Err(error).with_context(|| {
                    format!(
                        "--probe-socket {}: cannot listen there; name a path in a directory that is there and that uid {uid} \
                         may write to",
                        path.display()
                    )
                });
            }
        }
        Ok(server)
    }

    /// This process waits for the end of the one that serves. It does its duty, so it is ready.
    pub(crate) fn waits(&self) {
        self.state.set(Stage::Spare);
    }

    /// It has waited for long enough, and starts.
    pub(crate) fn starts(&self) {
        self.state.set(Stage::Starting(Instant::now()));
    }

    /// Another process serves until this one says that it does.
    pub(crate) fn takes_over(&self, from: Name, readiness: &Readiness) {
        self.state.set(Stage::TakingOver(from, readiness.clone()));
    }

    /// This process is the one, as soon as its readiness says so.
    pub(crate) fn serves(&mut self, readiness: &Readiness) {
        self.state.set(Stage::Serving(readiness.clone()));
        if let (Some(path), None) = (&self.path, &self.serving) {
            let started = UnixSocket::replace(path).and_then(|bound| self.state.serve(bound));
            match started {
                Ok(serving) => self.serving = Some(serving),
                Err(error) => warn!("--probe-socket {}: cannot listen there: {error}", path.display()),
            }
        }
    }

    /// Another process has taken over; this one ends what it has.
    pub(crate) fn succeeded_by(&self, name: &Name) {
        self.state.set(Stage::Succeeded(name.clone()));
    }

    /// This process is a helper, whose loop leaves these time stamps.
    pub(crate) fn helps(&self, heartbeat: Arc<Heartbeat>) {
        self.state.set(Stage::Helping(heartbeat));
    }
}

impl ProbeState {
    fn set(&self, stage: Stage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn serve(
        &self,
        (socket, listener): (UnixSocket, std::os::unix::net::UnixListener),
    ) -> io::Result<(UnixSocket, Server)> {
        let router = Router::new().route("/healthz/live", get(live)).route("/healthz/ready", get(ready));
        let router = router.with_state(self.clone());
        let server =
            Server::start("probe", Listener::Unix(listener), router, Hosts::Any, HEALTH, Arc::default())?;
        Ok((socket, server))
    }

    /// Readiness of this process, in words.
    ///
    /// # Errors
    /// It does not serve; with the reason.
    fn check(&self) -> Result<String, String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Spare => {
                Ok("ready: a spare, which waits for the end of the process that serves".to_owned())
            }
            Stage::Starting(_) => Err("it starts, and has no configuration yet".to_owned()),
            Stage::TakingOver(from, readiness) => {
                let why = readiness.check().err().map_or(String::new(), |reason| format!(": {reason}"));
                Err(format!("sluice ({from}) serves until this process has taken over{why}"))
            }
            Stage::Serving(readiness) => readiness.check().map(|()| readiness.text()),
            Stage::Succeeded(by) => {
                Ok(format!("ready: sluice ({by}) has taken over, and this process drains"))
            }
            Stage::Helping(heartbeat) => still_turns(heartbeat).map(|()| "ready".to_owned()),
        }
    }

    /// Liveness.
    ///
    /// # Errors
    /// Only a restart can help; with the reason.
    fn check_alive(&self) -> Result<(), String> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Starting(begun) if begun.elapsed() > START_LIMIT => {
                Err(format!("it has been starting for {} s", START_LIMIT.as_secs()))
            }
            Stage::Starting(_) | Stage::Spare | Stage::Succeeded(_) => Ok(()),
            Stage::TakingOver(_, readiness) | Stage::Serving(readiness) => readiness.check_alive(),
            Stage::Helping(heartbeat) => still_turns(heartbeat),
        }
    }
}

fn still_turns(heartbeat: &Heartbeat) -> Result<(), String> {
    match heartbeat.age() > DEAD_AFTER {
        true => Err(format!("its loop has not turned for {} s", DEAD_AFTER.as_secs())),
        false => Ok(()),
    }
}

async fn live(State(state): State<ProbeState>) -> (StatusCode, String) {
    respond(state.check_alive(), "live\n")
}

async fn ready(State(state): State<ProbeState>) -> (StatusCode, String) {
    match state.check() {
        Ok(text) => respond(Ok(()), &format!("{text}\n")),
        Err(reason) => respond(Err(reason), ""),
    }
}

#[cfg(test)]
mod tests {
    use gateway_control::view::View;
    use tokio::sync::watch;

    use super::*;

    fn state() -> ProbeState {
        ProbeState(Arc::new(Mutex::new(Stage::Starting(Instant::now()))))
    }

    fn name() -> Name {
        Name { pid: 1, pod: Some("sluice-x7f2k".to_owned()) }
    }

    #[test]
    fn only_a_process_that_serves_itself_is_ready() {
        let (_sender, receiver) = watch::channel(Arc::new(View::default()));
        let readiness = Readiness::of_controller(receiver);
        let state = state();
        assert!(state.check().unwrap_err().contains("starts"));
        assert_eq!(state.check_alive(), Ok(()));
        state.set(Stage::TakingOver(name(), readiness.clone()));
        let reason = state.check().unwrap_err();
        assert!(reason.contains("(pid 1 in pod sluice-x7f2k) serves until"), "{reason}");
        assert!(reason.contains("nothing is translated yet"), "{reason}");
        state.set(Stage::Serving(readiness.clone()));
        assert_eq!(state.check(), readiness.check().map(|()| String::new()), "the port says the same");
        readiness.drain();
        assert!(state.check().unwrap_err().contains("draining"));
        state.set(Stage::Succeeded(name()));
        assert!(state.check().unwrap().starts_with("ready: sluice (pid 1 in pod"));
        assert_eq!(state.check_alive(), Ok(()), "though its workers have ended");
    }

    #[test]
    fn a_spare_does_its_duty_by_waiting_and_has_its_time_to_start_from_then_on() {
        let long_ago = Instant::now().checked_sub(START_LIMIT + Duration::from_secs(1)).unwrap();
        let server = ProbeServer { path: None, state: state(), serving: None };
        server.state.set(Stage::Starting(long_ago));
        server.waits();
        assert!(server.state.check().unwrap().starts_with("ready: a spare"));
        assert_eq!(server.state.check_alive(), Ok(()));
        server.starts();
        assert!(server.state.check().unwrap_err().contains("starts"), "nobody serves now");
        assert_eq!(server.state.check_alive(), Ok(()));
    }

    #[test]
    fn a_start_without_an_end_and_a_loop_that_stands_still_are_dead() {
        let long_ago = Instant::now().checked_sub(START_LIMIT + Duration::from_secs(1)).unwrap();
        let hung = state();
        hung.set(Stage::Starting(long_ago));
        assert!(hung.check_alive().unwrap_err().contains("200 s"));
        let stamped = Arc::new(Heartbeat::since(DEAD_AFTER + Duration::from_secs(1)));
        hung.set(Stage::Helping(Arc::clone(&stamped)));
        assert!(hung.check_alive().is_err() && hung.check().is_err());
        stamped.stamp();
        assert_eq!((hung.check_alive(), hung.check()), (Ok(()), Ok("ready".to_owned())));
    }
}
