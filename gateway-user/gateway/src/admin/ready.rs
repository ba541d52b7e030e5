//! Probes: readiness and liveness. They are served on a thread of their own, from values that other threads
//! write: no probe waits for a worker, for the control thread or for a scraper.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use gateway_control::view::View;
use gateway_proxy::worker::Heartbeat;
use tokio::sync::watch;

/// No traffic is wanted once every worker's loop has stood still for this long. One that still turns accepts.
const UNREADY_AFTER: Duration = Duration::from_secs(5);
/// The process is to be restarted once every worker's loop, or the control thread's, has stood still for this
/// long.
pub(super) const DEAD_AFTER: Duration = Duration::from_secs(60);

/// Ready is: a whole configuration is live on all workers, steering is attached, some worker's loop turns,
/// and nobody has asked us to stop.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    view: watch::Receiver<Arc<View>>,
    draining: Arc<AtomicBool>,
    workers: Arc<[Arc<Heartbeat>]>,
    control: Arc<Heartbeat>,
    /// True if there is no data plane: ready is who has told nodes what to serve.
    is_controller: bool,
    notes: Arc<Mutex<Notes>>,
}

/// News of the control thread.
#[derive(Debug, Default)]
struct Notes {
    /// Something that is no reason against traffic.
    remark: Option<String>,
    /// Reason why none can be served any more.
    failure: Option<String>,
}

impl Readiness {
    /// Not ready until `view` shows a live configuration. Each worker stamps its own of `workers`.
    pub(crate) fn new(view: watch::Receiver<Arc<View>>, workers: Arc<[Arc<Heartbeat>]>) -> Self {
        Self {
            view,
            draining: Arc::default(),
            workers,
            control: Arc::default(),
            is_controller: false,
            notes: Arc::default(),
        }
    }

    /// That of a controller: ready once the first lists are in and translated.
    pub(crate) fn of_controller(view: watch::Receiver<Arc<View>>) -> Self {
        Self { is_controller: true, ..Self::new(view, Arc::new([])) }
    }

    /// The control thread's own, which it stamps while its loop turns.
    pub(crate) fn control(&self) -> Arc<Heartbeat> {
        Arc::clone(&self.control)
    }

    /// Every worker's, by slot.
    pub(crate) fn workers(&self) -> &[Arc<Heartbeat>] {
        &self.workers
    }

    fn all_workers_stand_still(&self, limit: Duration) -> bool {
        !self.is_controller && self.workers.iter().all(|worker| worker.age() > limit)
    }

    /// Liveness of the process.
    ///
    /// # Errors
    /// Only a restart can help; with the reason.
    pub(crate) fn check_alive(&self) -> Result<(), String> {
        let limit = DEAD_AFTER.as_secs();
        if self.all_workers_stand_still(DEAD_AFTER) {
            return Err(format!("no worker's loop has turned for {limit} s"));
        }
        if self.control.age() > DEAD_AFTER {
            return Err(format!("the control thread's loop has not turned for {limit} s"));
        }
        match &self.notes.lock().unwrap_or_else(PoisonError::into_inner).failure {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }

    /// True if clients are served: also by a process that ends, as long as a worker's loop turns.
    pub(crate) fn serves(&self) -> bool {
        let is_live = self.view.borrow().live.is_some();
        let has_failed = self.notes.lock().unwrap_or_else(PoisonError::into_inner).failure.is_some();
        is_live && !has_failed && !self.all_workers_stand_still(UNREADY_AFTER)
    }

    /// No more traffic is wanted; there is no way back.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// Has probes told something beside that this process is ready; `None` ends that.
    pub(crate) fn remark(&self, remark: Option<String>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).remark = remark;
    }

    /// No traffic can be served any more, and only a restart can help.
    pub(crate) fn fail(&self, reason: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).failure = Some(reason);
    }

    /// The text for a process that is ready.
    pub(crate) fn text(&self) -> String {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.remark.as_ref().map_or_else(|| "ready".to_owned(), |remark| format!("ready, but {remark}"))
    }

    /// Readiness for traffic.
    ///
    /// # Errors
    /// Traffic is not wanted; with the reason.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.draining.load(Ordering::SeqCst) {
            return Err("draining: a signal asked this process to stop".to_owned());
        }
        if self.all_workers_stand_still(UNREADY_AFTER) {
            return Err(format!("no worker's loop has turned for {} s", UNREADY_AFTER.as_secs()));
        }
        if let Some(reason) = &self.notes.lock().unwrap_or_else(PoisonError::into_inner).failure {
            return Err(reason.clone());
        }
        // Not borrowed for longer than the copy of a pointer, so that who writes it never keeps a probe
        // waiting.
        let view = Arc::clone(&self.view.borrow());
        let is_ready = if self.is_controller { view.stream.is_some() } else { view.live.is_some() };
        let what =
            if self.is_controller { "nothing is translated yet" } else { "no configuration is live yet" };
        match view.last_error.as_ref().or(view.waiting.as_ref()) {
            _ if is_ready => Ok(()),
            Some(error) => Err(format!("{what}: {error}")),
            None => Err(what.to_owned()),
        }
    }
}

/// `/healthz/live` and `/healthz/ready`.
pub(super) fn router(readiness: Readiness) -> Router {
    Router::new().route("/healthz/live", get(live)).route("/healthz/ready", get(ready)).with_state(readiness)
}

async fn live(State(readiness): State<Readiness>) -> (StatusCode, String) {
    respond(readiness.check_alive(), "live\n")
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    respond(readiness.check(), &format!("{}\n", readiness.text()))
}

pub(super) fn respond(checked: Result<(), String>, good: &str) -> (StatusCode, String) {
    match checked {
        Ok(()) => (StatusCode::OK, good.to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use gateway_control::view::Live;
    use gateway_ir::{Generation, Ir};

    use super::*;

    fn workers(count: usize) -> Arc<[Arc<Heartbeat>]> {
        (0..count).map(|_| Arc::default()).collect()
    }

    fn live() -> Live {
        let ir = Arc::new(Ir::default());
        Live {
            generation: Generation(1),
            since: jiff::Timestamp::UNIX_EPOCH,
            snapshot: Arc::new(gateway_snapshot::compile(&ir, Generation(1))),
            ir,
            endpoints: Arc::default(),
            plan: Arc::default(),
            refused: Arc::default(),
        }
    }

    #[test]
    fn ready_from_the_first_live_configuration_until_the_signal() {
        let (sender, receiver) = watch::channel(Arc::new(View::default()));
        let readiness = Readiness::new(receiver, workers(2));
        assert!(readiness.check().unwrap_err().contains("no configuration"));
        sender.send_replace(Arc::new(View { waiting: Some("a list".into()), ..View::default() }));
        assert!(readiness.check().unwrap_err().contains("a list"));
        sender.send_replace(Arc::new(View { last_error: Some("x.yaml: gone".into()), ..View::default() }));
        assert!(readiness.check().unwrap_err().contains("x.yaml: gone"));
        sender.send_replace(Arc::new(View { live: Some(live()), ..View::default() }));
        assert_eq!(readiness.check(), Ok(()));
        // A later mistake does not take a serving gateway out of the load balancer.
        sender.send_replace(Arc::new(View {
            live: Some(live()),
            last_error: Some("x".into()),
            ..View::default()
        }));
        assert_eq!((readiness.check(), readiness.text()), (Ok(()), "ready".to_owned()));
        readiness.remark(Some("the helper is away".into()));
        assert_eq!((readiness.check(), readiness.text().as_str()), (Ok(()), "ready, but the helper is away"));
        assert!(readiness.serves());
        readiness.clone().fail("steered off".into());
        assert!(!readiness.serves());
        assert_eq!(readiness.check(), Err("steered off".to_owned()));
        assert_eq!(readiness.check_alive(), Err("steered off".to_owned()));
        readiness.drain();
        assert!(readiness.check().unwrap_err().contains("draining"));
    }

    #[test]
    fn workers_that_stand_still_make_it_unready_and_then_dead_unless_one_turns() {
        let view = View { live: Some(live()), ..View::default() };
        let (_sender, receiver) = watch::channel(Arc::new(view));
        let workers: Arc<[Arc<Heartbeat>]> =
            (0..3).map(|_| Arc::new(Heartbeat::since(Duration::from_secs(6)))).collect();
        let readiness = Readiness::new(receiver.clone(), Arc::clone(&workers));
        assert!(readiness.check().unwrap_err().contains("no worker's loop has turned for 5 s"));
        assert!(!readiness.serves(), "nobody is to count on it");
        assert_eq!(readiness.check_alive(), Ok(()), "slow is not dead");
        workers[1].stamp();
        assert_eq!((readiness.check(), readiness.serves()), (Ok(()), true), "one worker accepts");
        let dead = Readiness::new(
            receiver,
            (0..3).map(|_| Arc::new(Heartbeat::since(Duration::from_secs(61)))).collect(),
        );
        assert!(dead.check_alive().unwrap_err().contains("60 s"));
        dead.workers()[2].stamp();
        assert_eq!(dead.check_alive(), Ok(()));
    }
}
