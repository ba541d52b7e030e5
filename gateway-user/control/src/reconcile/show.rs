//! The view for readers, and the log lines of what changed in it.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::{error, info};

use super::Applier;
use crate::log_deduplicator::{Line, LogDeduplicator};
use crate::publish::{self, Workers};
use crate::steer::Steer;
use crate::view::{Live, View};

/// Writer of the view.
#[derive(Debug)]
pub(super) struct Shown {
    view: watch::Sender<Arc<View>>,
    log_deduplicator: LogDeduplicator,
}

impl Shown {
    pub(super) fn new(view: watch::Sender<Arc<View>>) -> Self {
        Self { view, log_deduplicator: LogDeduplicator::default() }
    }

    /// The view that is shown.
    pub(super) fn current(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// A copy to change and show.
    pub(super) fn copy(&self) -> View {
        View::clone(&self.view.borrow())
    }

    /// Makes a view known, then says in the log what is new in it: who reads a line finds it true.
    pub(super) fn show(&mut self, view: View) {
        let view = Arc::new(view);
        self.view.send_replace(Arc::clone(&view));
        let rejections = view.live.iter().flat_map(|live| live.refused.iter());
        let lines = (view.diagnostics.iter().map(Line::from))
            .chain(view.findings.iter().map(Line::from))
            .chain(view.own_endpoints.iter().map(Line::warning))
            .chain(rejections.map(|rejection| {
                Line::error(format!("{}: not served: {}", rejection.bind, rejection.message))
            }))
            .chain(view.closed.iter().map(Line::warning))
            .chain(view.last_error.iter().map(Line::error));
        self.log_deduplicator.update(lines).log();
    }
}

impl<W: Workers, S: Steer> Applier<W, S> {
    pub(super) fn tell(&self, missing: Vec<publish::PublishError>) {
        for error in missing {
            error!("{error}");
        }
    }
}

pub(super) fn announce(live: &Live) {
    info!(
        generation = live.generation.0,
        binds = live.plan.binds.len(),
        routes = live.ir.routes.len(),
        clusters = live.endpoints.clusters.len(),
        refused = live.refused.len(),
        "configuration is live"
    );
}
