//! Messages to the service manager (sd_notify(3)): readiness, reloads, the end, the main process, and that we
//! are alive. Without `NOTIFY_SOCKET` in the environment nothing is said.

mod socket;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_channel::oneshot;
use gateway_control::publish::Workers as _;
use gateway_control::view::View;
use gateway_proxy::worker::WorkerCommand;
use rustix::time::{ClockId, clock_gettime};
use tracing::{debug, info, warn};

use socket::Socket;

use crate::admin::Shared;

/// Time after the end of a drain to take kernel programs off and to end.
const AFTER_DRAIN: Duration = Duration::from_secs(15);

/// The service manager, if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Manager(Arc<State>);

#[derive(Debug)]
struct State {
    /// Ours to speak: neither is another process still the main one, nor is it again.
    speaks: AtomicBool,
    /// Reloads that are not applied yet.
    reloads: AtomicUsize,
    socket: Socket,
    /// Within this time it wants to hear that we are alive.
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that started us; it hears nothing before [`serve`](Self::serve).
    pub(crate) fn of_environment() -> Self {
        let variable = |name| std::env::var(name).ok();
        let watchdog = socket::watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"));
        let socket = Socket::parse(std::env::var_os("NOTIFY_SOCKET")).unwrap_or_else(|error| {
            warn!("NOTIFY_SOCKET: {error}; the service manager gets no messages");
            Socket::default()
        });
        let (speaks, reloads) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self(Arc::new(State { speaks, reloads, socket, watchdog }))
    }

    /// Says READY when `/healthz/ready` does, then each change of the state, and feeds the watchdog; until
    /// [`fall_silent`](Self::fall_silent) or [`stopping`](Self::stopping). `took_over` if another process was
    /// the main one.
    pub(crate) fn serve(&self, shared: &Shared, took_over: bool) {
        self.0.speaks.store(true, Ordering::SeqCst);
        tokio::spawn(self.clone().report(shared.clone(), took_over));
        if let Some(limit) = self.0.watchdog {
            info!(
                "the service manager's watchdog is fed; it expects a message within {} ms",
                limit.as_millis()
            );
            tokio::spawn(self.clone().feed(shared.clone(), limit));
        }
    }

    async fn report(self, shared: Shared, took_over: bool) {
        let mut view = shared.view.clone();
        let mut said: Option<String> = None;
        while self.speaks() {
            if shared.readiness.check().is_ok() {
                let now = Arc::clone(&view.borrow_and_update());
                let state = status(&shared, &now);
                match &said {
                    // The process before us said so too, unless it is older than that.
                    None if took_over => {
                        self.say(&format!("MAINPID={}\nREADY=1\nSTATUS={state}", std::process::id()));
                    }
                    None => self.say(&format!("READY=1\nSTATUS={state}")),
                    Some(before) if *before != state => self.say(&format!("STATUS={state}")),
                    Some(_) => {}
                }
                said = Some(state);
            }
            if view.changed().await.is_err() {
                return; // nothing changes any more
            }
        }
    }

    /// Sends WATCHDOG for as long as every worker responds. Being here at all shows that the control thread
    /// does.
    async fn feed(self, shared: Shared, limit: Duration) {
        let mut stuck = false;
        while self.speaks() {
            match unresponsive(&shared, limit / 2).await {
                None => {
                    if stuck {
                        info!("all workers respond again");
                        self.say(&format!("STATUS={}", current_status(&shared)));
                    }
                    stuck = false;
                    self.say("WATCHDOG=1");
                }
                Some(slot) => {
                    if !stuck {
                        let state = format!("worker {slot} does not respond; the watchdog is not fed");
                        warn!("{state}");
                        self.say(&format!("STATUS={state}"));
                    }
                    stuck = true;
                }
            }
            tokio::time::sleep(limit / 4).await;
        }
    }

    /// Says that configuration is read again, and when that is done, which `applied` tells.
    pub(crate) fn reloading(&self, shared: &Shared, applied: oneshot::Receiver<()>) {
        if !self.speaks() || shared.readiness.check().is_err() {
            return; // it is being started, and told READY after that
        }
        let now = clock_gettime(ClockId::Monotonic);
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1_000));
        self.0.reloads.fetch_add(1, Ordering::SeqCst);
        let (manager, shared) = (self.clone(), shared.clone());
        tokio::spawn(async move {
            // An error is the end of the compiler thread, about which others speak.
            let _ = applied.await;
            // READY ends all reloads in the manager's eyes, so it belongs to the last one.
            if manager.0.reloads.fetch_sub(1, Ordering::SeqCst) == 1 {
                let state = current_status(&shared);
                manager.say(&format!("READY=1\nSTATUS={state}"));
            }
        });
    }

    /// Says that the end has begun and takes so long at most; nothing after that.
    pub(crate) fn stopping(&self, limit: Duration) {
        // Without the last field a manager with a shorter limit of its own would kill us in the middle.
        let extended = (limit + AFTER_DRAIN).as_micros();
        self.say(&format!(
            "STOPPING=1\nSTATUS=draining for {} s at most\nEXTEND_TIMEOUT_USEC={extended}",
            limit.as_secs()
        ));
        self.fall_silent();
    }

    /// Says which process serves from now on; nothing after that, since it speaks.
    pub(crate) fn main_is(&self, pid: u32) {
        self.say(&format!("MAINPID={pid}"));
        self.fall_silent();
    }

    fn fall_silent(&self) {
        self.0.speaks.store(false, Ordering::SeqCst);
    }

    fn speaks(&self) -> bool {
        self.0.speaks.load(Ordering::SeqCst)
    }

    fn say(&self, message: &str) {
        if self.speaks()
            && let Err(error) = self.0.socket.send(message)
        {
            // A manager that is away for a moment must not fill the log.
            debug!("NOTIFY_SOCKET: {error}");
        }
    }
}

/// The state of now. The view is not borrowed meanwhile: readiness looks at it too, and a second borrow
/// behind a writer that waits for the first would wait for ever.
fn current_status(shared: &Shared) -> String {
    let view = Arc::clone(&shared.view.borrow());
    status(shared, &view)
}

/// One line for people.
fn status(shared: &Shared, view: &View) -> String {
    let (facts, readiness) = (&shared.facts, shared.readiness.check());
    let Some(live) = &view.live else { return readiness.err().unwrap_or_default() };
    let ports = live.plan.binds.len();
    let error = view.last_error.as_ref().map(|error| format!("; {error}")).unwrap_or_default();
    let line = format!(
        "{}: generation {} on {ports} port{}, {} refused; {} steering, {}{error}",
        readiness.map_or_else(|reason| reason, |()| "ready".to_owned()),
        live.generation.0,
        if ports == 1 { "" } else { "s" },
        live.refused.len(),
        facts.steering_path,
        facts.driver,
    );
    // One field is one line.
    line.replace('\n', " ")
}

/// The first worker that does not respond in time. One that has died is none: it is being replaced.
async fn unresponsive(shared: &Shared, limit: Duration) -> Option<usize> {
    let asked: Vec<_> = (0..shared.workers.count())
        .map(|slot| {
            let (reply, response) = oneshot::channel();
            shared.workers.send(slot, WorkerCommand::Ping { reply });
            response
        })
        .collect();
    let end = tokio::time::Instant::now() + limit;
    for (slot, response) in asked.into_iter().enumerate() {
        if tokio::time::timeout_at(end, response).await.is_err() {
            return Some(slot);
        }
    }
    None
}
