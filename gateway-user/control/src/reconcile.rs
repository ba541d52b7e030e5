//! The control plane from resources to the live configuration: translate, compile, publish, steer, report.

mod error;
mod live;
mod retry;
mod show;

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway_ir::{Endpoints, Generation, Ir};
use gateway_regex::Library;
use gateway_steer::SteerPlan;
use gateway_translate::{Admission, Admitted, TranslateOptions, Translation, Translator, address_wants};
use jiff::Timestamp;
use tokio::sync::watch;

use crate::addresses::Pool;
use crate::expiry;
use crate::expressions::Builder;
use crate::held_ports::HeldPorts;
use crate::log_deduplicator::LogDeduplicator;
use crate::own_ports::OwnPorts;
use crate::plan::report;
use crate::publish::Workers;
use crate::steer::Steer;
use crate::store::StoreView;
use crate::view::View;

pub use error::ReconcileError;

/// Time after the steering of a bind ends for workers to accept what its queues held, before the tables that
/// serve those connections are replaced. Accepting takes microseconds unless a worker is held up.
const QUEUES_EMPTY: Duration = Duration::from_millis(100);
/// Time for which a port that another program held has to have been free, unless that is set.
const FREED_PORTS_AFTER: Duration = Duration::from_secs(300);

/// Brings workers and steering to what the resources say.
#[derive(Debug)]
pub struct Reconciler<W, S> {
    workers: W,
    steer: S,
    /// Remembers what each object's translation read, so that an edit costs what it touches.
    translator: Translator,
    /// Holds edits back whose expressions are not built yet.
    admission: Admission,
    /// Builds them; without it they are built at once.
    builder: Option<Builder>,
    /// Expressions of translator, admission and snapshots.
    library: Arc<Library>,
    view: watch::Sender<Arc<View>>,
    log_deduplicator: LogDeduplicator,
    generation: Generation,
    /// Where clients reach this node.
    addresses: Vec<IpAddr>,
    /// Addresses of Gateways, if they are not the node's.
    pool: Option<Pool>,
    options: TranslateOptions,
    /// Ports of this node that endpoints must not lead to.
    own_ports: OwnPorts,
    /// The endpoints as the resources have them.
    endpoints: Arc<Endpoints>,
    held_ports: HeldPorts,
    /// Steering failed after a commit: the plan must be applied again though nothing else changed.
    unsettled: bool,
}

impl<W: Workers, S: Steer> Reconciler<W, S> {
    /// Nothing is live yet.
    pub fn new(workers: W, steer: S, options: TranslateOptions, view: watch::Sender<Arc<View>>) -> Self {
        let library = Arc::new(Library::new(options.regex.expression));
        Self {
            workers,
            steer,
            translator: Translator::with_library(options.clone(), Arc::clone(&library)),
            admission: Admission::new(options.clone(), Arc::clone(&library)),
            builder: None,
            library,
            view,
            log_deduplicator: LogDeduplicator::default(),
            generation: Generation(0),
            addresses: Vec::new(),
            pool: None,
            options,
            own_ports: OwnPorts::default(),
            endpoints: Arc::default(),
            held_ports: HeldPorts::new(FREED_PORTS_AFTER, false),
            unsettled: false,
        }
    }

    /// Says where clients reach this node, for the status of Gateways that name no address.
    #[must_use]
    pub fn reached_at(self, addresses: Vec<IpAddr>) -> Self {
        Self { addresses, ..self }
    }

    /// Has expressions built by a thread, so that edits which bring none wait for none.
    pub(crate) fn build_by(&mut self, builder: Builder) {
        self.builder = Some(builder);
    }

    /// True if edits wait for their expressions.
    pub(crate) fn is_building(&self) -> bool {
        !self.view.borrow().building.is_empty()
    }

    /// Says what endpoints must not lead to on this node.
    #[must_use]
    pub fn guarding(self, own_ports: OwnPorts) -> Self {
        Self { own_ports, ..self }
    }

    /// Says how long a port that another program held has to have been free before a listener gets it, and
    /// whether this process takes over from one that serves, so that no socket of a dead one is about to
    /// close.
    #[must_use]
    pub fn taking_freed_ports_after(self, patience: Duration, takes_over: bool) -> Self {
        Self { held_ports: HeldPorts::new(patience, takes_over), ..self }
    }

    /// Gives Gateways addresses of this pool where they leave the choice to us.
    #[must_use]
    pub fn with_pool(self, pool: Pool) -> Self {
        Self { pool: Some(pool), ..self }
    }

    /// From here on no other process serves what this one does: addresses that nobody has any more may go.
    pub fn settle(&mut self) {
        if let Some(pool) = &mut self.pool {
            pool.settle();
        }
    }

    /// The steering, to close it when all is over.
    pub fn into_steer(self) -> S {
        self.steer
    }

    /// Makes `resources` live, as far as they can be. Whatever happens is in the [`View`] afterwards and in
    /// the log.
    pub async fn reconcile(&mut self, resources: &StoreView) {
        let begun = Instant::now();
        let mut view = View::clone(&self.view.borrow());
        let Admitted { resources: admitted, waiting } = self.admission.admit(&resources.resources);
        view.building = waiting.keys().cloned().collect();
        // Nothing is served by halves: the first configuration is whole, expressions and all.
        let admitted = match &self.builder {
            Some(builder) if view.live.is_some() => {
                builder.set(waiting);
                admitted
            }
            _ => {
                view.building = Arc::default();
                std::borrow::Cow::Borrowed(&resources.resources)
            }
        };
        if let Some(pool) = &mut self.pool {
            let wants = address_wants(&resources.resources, &self.options);
            self.translator.assign(Some(pool.provide(wants).await));
        }
        let translated = unharmed("translating", || self.translator.update(&admitted));
        let translation = match translated {
            Ok(translation) => translation,
            Err(fault) => {
                view.tally.failed += 1;
                view.last_error = Some(fault.to_string());
                self.show(view);
                return;
            }
        };
        let Translation {
            ir,
            endpoints,
            status,
            diagnostics: findings,
            refused_expressions,
            refused_rules,
            hosts,
        } = translation;
        let (ir, endpoints) = (Arc::new(ir), Arc::new(endpoints));
        view.waiting = None;
        view.hosts = hosts;
        (view.refused_expressions, view.refused_rules) = (refused_expressions, refused_rules);
        self.endpoints = endpoints;
        let result = self.bring_live(&mut view, &ir, &resources.resources).await;
        view.tally.failed += u64::from(result.is_err());
        view.last_error = result.as_ref().err().map(ToString::to_string);

        if let Some(pool) = &mut self.pool
            && result.is_ok()
        {
            pool.withdraw().await;
        }
        let report = report(view.live.as_ref(), &self.addresses);
        // A Gateway is called programmed only if what is live of it is what was asked for.
        let reported = if view.live.is_some() { status.with_report(&report) } else { status.clone() };
        view.since = Arc::new(view.since.follow(&reported, Timestamp::now()));
        view.status = Arc::new(reported);
        view.translated = Arc::new(status);
        view.report = Arc::new(report);
        view.diagnostics = resources.diagnostics.as_slice().into();
        let dated = expiry::findings(&ir, &resources.resources, Timestamp::now());
        view.findings = findings.into_iter().chain(dated).collect();
        view.tally.errors = resources.diagnostics.iter().filter(|line| line.is_error()).count() as u64;
        view.tally.reconciled += 1;
        view.tally.reconciled_us += u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.show(view);
    }

    /// Says that the source cannot be read; what is live stays.
    pub fn unreadable(&mut self, error: &str) {
        let mut view = View::clone(&self.view.borrow());
        view.tally.unreadable += 1;
        view.last_error = Some(error.to_owned());
        self.show(view);
    }

    /// Says that the source has not shown everything yet, so that nothing can be made live.
    pub fn waiting(&mut self, what: String, resources: &StoreView) {
        let mut view = View::clone(&self.view.borrow());
        view.waiting = Some(what);
        view.diagnostics = resources.diagnostics.as_slice().into();
        self.show(view);
    }
}

/// Runs one of the pure stages. A panic in it, which only a fault of ours can cause, must not take a serving
/// gateway down with it. Nothing is left half done: compilation changes nothing, and a translator that was
/// interrupted forgets what it knew.
fn unharmed<T>(what: &'static str, stage: impl FnOnce() -> T) -> Result<T, ReconcileError> {
    catch_unwind(AssertUnwindSafe(stage)).map_err(|_| ReconcileError::Fault(what))
}

/// Binds to steer on this node.
fn here(pool: Option<&Pool>, ir: &Ir) -> SteerPlan {
    let plan = SteerPlan::of(ir);
    match pool {
        Some(pool) => pool.here(plan),
        None => plan,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_ours_is_an_error_and_not_the_end() {
        let error = unharmed("testing", || panic!("injected by a test")).map(|()| 0).unwrap_err();
        assert!(error.to_string().contains("internal fault while testing"), "{error}");
    }
}
