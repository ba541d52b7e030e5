//! Whether traffic is wanted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use gateway_control::view::View;
use tokio::sync::watch;

/// Ready is: a whole configuration is live on all workers, steering is attached, and nobody has asked us to stop.
#[derive(Clone, Debug)]
pub(crate) struct Readiness {
    view: watch::Receiver<Arc<View>>,
    draining: Arc<AtomicBool>,
}

impl Readiness {
    /// Not ready until `view` shows a live configuration.
    pub(crate) fn new(view: watch::Receiver<Arc<View>>) -> Self {
        Self { view, draining: Arc::default() }
    }

    /// No more traffic is wanted; there is no way back.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    /// `Err` with the reason if traffic is not wanted.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.draining.load(Ordering::SeqCst) {
            return Err("draining: a signal asked this process to stop".to_owned());
        }
        let view = self.view.borrow();
        match (&view.live, view.trouble.as_ref().or(view.waiting.as_ref())) {
            (Some(_), _) => Ok(()),
            (None, Some(trouble)) => Err(format!("no configuration is live yet: {trouble}")),
            (None, None) => Err("no configuration is live yet".to_owned()),
        }
    }
}

/// `/healthz/live` and `/healthz/ready`.
pub(super) fn router(readiness: Readiness) -> Router {
    Router::new()
        .route("/healthz/live", get(|| async { "live\n" }))
        .route("/healthz/ready", get(ready))
        .with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> (StatusCode, String) {
    match readiness.check() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use gateway_control::view::Live;
    use gateway_ir::{Generation, Ir};

    use super::*;

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
        let readiness = Readiness::new(receiver);
        assert!(readiness.check().unwrap_err().contains("no configuration"));
        sender.send_replace(Arc::new(View { waiting: Some("a list".into()), ..View::default() }));
        assert!(readiness.check().unwrap_err().contains("a list"));
        sender.send_replace(Arc::new(View { trouble: Some("x.yaml: gone".into()), ..View::default() }));
        assert!(readiness.check().unwrap_err().contains("x.yaml: gone"));
        sender.send_replace(Arc::new(View { live: Some(live()), ..View::default() }));
        assert_eq!(readiness.check(), Ok(()));
        // A later mistake does not take a serving gateway out of the load balancer.
        sender.send_replace(Arc::new(View {
            live: Some(live()),
            trouble: Some("x".into()),
            ..View::default()
        }));
        assert_eq!(readiness.check(), Ok(()));
        readiness.drain();
        assert!(readiness.check().unwrap_err().contains("draining"));
    }
}
