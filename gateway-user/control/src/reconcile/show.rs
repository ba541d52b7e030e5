//! The view for readers, and the log lines of what changed in it.

use std::sync::Arc;

use tracing::{error, info};

use super::Reconciler;
use crate::log_deduplicator::Line;
use crate::publish::{self, Workers};
use crate::steer::Steer;
use crate::view::{Live, View};

impl<W: Workers, S: Steer> Reconciler<W, S> {
    pub(super) fn tell(&self, missing: Vec<publish::PublishError>) {
        for error in missing {
            error!("{error}");
        }
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
            .chain(view.last_error.iter().map(Line::error));
        self.log_deduplicator.update(lines).log();
    }
}

pub(super) fn announce(live: &Live) {
    info!(
        generation = live.generation.0,
        binds = live.plan.binds.len(),
        routes = live.ir.http_routes.len(),
        clusters = live.endpoints.clusters.len(),
        refused = live.refused.len(),
        "configuration is live"
    );
}
