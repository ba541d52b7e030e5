//! The generation that new requests are routed by, as one worker holds it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use gateway_ir::{ListenerSettings, ListenerTls, ObjectName, RuleErrorKind};
use gateway_snapshot::{Action, ClusterId, Destination, ListenerInfo, Rule, Snapshot, WorkerRegexes};
use gateway_tls::ServerTls;
use hashbrown::HashMap;

use super::servers::Servers;
use super::shares::{Shared, Shares};
use crate::ProxyConfig;
use crate::metrics::{SeriesPlace, SeriesRef, SeriesTable};
use crate::settings::Settings;
use crate::upstream::{Caller, Cluster, Upstreams};

/// A snapshot with this worker's own caches. Requests borrow it for the lookup only.
pub(crate) struct Live {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) regexes: RefCell<WorkerRegexes>,
    /// By cluster number; filled on first use, again after endpoints changed.
    clusters: RefCell<Vec<Vec<Resolved>>>,
    /// By the rule's and the listener's place in memory, which are the snapshot's as long as this lives.
    routed: RefCell<HashMap<(usize, usize), Rc<Routed>>>,
    servers: Servers,
    /// By what Gateways have of their own; one for all that have the same.
    settings: HashMap<ListenerSettings, Rc<Settings>>,
}

/// A cluster as of one update of the endpoints.
struct Resolved {
    version: u64,
    /// The Gateway whose requests it is for, where that makes a difference: over TLS of its own.
    gateway: Option<ObjectName>,
    cluster: Rc<Cluster>,
}

/// A rule and the listener it was reached by. A request holds this, not the snapshot, so a long stream keeps no
/// tables alive; and holds it by `Rc`, because reference counts shared between workers would be shared counters.
pub(crate) struct Routed {
    pub(crate) rule: Arc<Rule>,
    pub(crate) listener: Arc<ListenerInfo>,
    /// The listener's settings.
    pub(crate) settings: Rc<Settings>,
    /// Shares that count its requests while they are under way.
    pub(crate) shared: Shared,
    /// How its last request ended, and the series of such ends: nearly all end alike, and texts need not be compared.
    last: Cell<Option<(Outcome, SeriesPlace)>>,
}

/// Labels that tell the series of one rule on one listener apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) scheme: &'static str,
    pub(crate) method: &'static str,
    pub(crate) status: u16,
    pub(crate) reason: Option<&'static str>,
    pub(crate) match_index: u32,
}

impl Outcome {
    pub(crate) fn of<'a>(self, listener: &'a str, route: &'a str, pattern: &'a str) -> SeriesRef<'a> {
        let Self { scheme, method, status, reason, match_index: _ } = self;
        SeriesRef { scheme, method, status, reason, listener, route, pattern }
    }
}

impl Live {
    /// Makes everything that a worker needs of its own, but for what `previous` has made already.
    pub(crate) fn new(snapshot: Arc<Snapshot>, config: &ProxyConfig, previous: Option<&Self>) -> Self {
        let clusters = snapshot.clusters().iter().map(|_| Vec::new()).collect();
        let servers = Servers::new(&snapshot, config, previous.map(|previous| &previous.servers));
        Self {
            regexes: RefCell::new(WorkerRegexes::new(&snapshot)),
            clusters: RefCell::new(clusters),
            routed: RefCell::default(),
            servers,
            settings: settings(&snapshot, config),
            snapshot,
        }
    }

    /// TLS settings for handshakes with a listener of this snapshot; `None` if none can succeed.
    pub(crate) fn server(&self, settings: &Arc<ListenerTls>) -> Option<&ServerTls> {
        self.servers.get(settings)
    }

    /// True if a Gateway has settings of its own.
    pub(crate) fn has_settings(&self) -> bool {
        !self.settings.is_empty()
    }

    /// The settings of listeners with these of their own; `None` if those are the process's.
    pub(crate) fn settings(&self, own: &ListenerSettings) -> Option<Rc<Settings>> {
        self.settings.get(own).map(Rc::clone)
    }

    /// The worker's handle on a rule and listener of this snapshot; `shares` and `process` are the worker's.
    pub(crate) fn routed(
        &self,
        rule: &Arc<Rule>,
        listener: &Arc<ListenerInfo>,
        shares: &Shares,
        process: &Rc<Settings>,
    ) -> Rc<Routed> {
        let key = (Arc::as_ptr(rule).addr(), Arc::as_ptr(listener).addr());
        let mut routed = self.routed.borrow_mut();
        let fresh = || {
            let shared = shares.of(&rule.route.id.object.namespace, &listener.text);
            Rc::new(Routed {
                rule: rule.clone(),
                listener: listener.clone(),
                settings: self.settings(&listener.settings).unwrap_or_else(|| Rc::clone(process)),
                shared,
                last: Cell::new(None),
            })
        };
        Rc::clone(routed.entry(key).or_insert_with(fresh))
    }

    /// The current endpoints of a cluster of this snapshot, for requests that the listener takes.
    pub(crate) fn cluster(
        &self,
        id: ClusterId,
        listener: &ListenerInfo,
        upstreams: &Upstreams,
    ) -> Option<Rc<Cluster>> {
        let mut clusters = self.clusters.borrow_mut();
        let resolved = clusters.get_mut(id.0 as usize)?;
        let version = upstreams.version();
        let key = self.snapshot.clusters().get(id.0 as usize)?;
        // TLS that a client speaks with the backend is not put into another.
        let is_secured = key.tls && !listener.serve.passes_tls_through();
        let gateway = is_secured.then_some(&listener.id.gateway);
        let is_for = |one: &Resolved| one.gateway.as_ref() == gateway;
        let at = resolved.iter().position(is_for);
        if let Some(known) = at.and_then(|at| resolved.get(at)).filter(|known| known.version == version) {
            return Some(Rc::clone(&known.cluster));
        }
        let known = at.map(|at| resolved.swap_remove(at).cluster);
        let certificate = listener.backend_certificate.as_ref();
        let caller = gateway.map(|gateway| Caller { gateway, certificate });
        let cluster = upstreams.resolve(key, caller, known);
        resolved.push(Resolved { version, gateway: gateway.cloned(), cluster: Rc::clone(&cluster) });
        Some(cluster)
    }
}

/// Settings that differ from the process's: of each listener, and of each bind's connections.
fn settings(snapshot: &Snapshot, config: &ProxyConfig) -> HashMap<ListenerSettings, Rc<Settings>> {
    let of_binds = snapshot.binds().map(|bind| bind.settings());
    let of_listeners = snapshot.binds().flat_map(|bind| bind.listeners()).map(|listener| &listener.settings);
    let mut settings = HashMap::new();
    for own in of_binds.chain(of_listeners).filter(|own| !own.is_empty()) {
        settings
            .entry(*own)
            .or_insert_with(|| Rc::new(Settings::of(config.timeouts, config.access_log, own)));
    }
    settings
}

impl Routed {
    /// The series that a request of this rule is counted in; `table` is the worker's.
    pub(crate) fn series(&self, outcome: Outcome, table: &mut SeriesTable) -> SeriesPlace {
        match self.last.get() {
            Some((last, place)) if last == outcome && table.holds(place) => place,
            _ => {
                let pattern = self.rule.path_pattern(outcome.match_index);
                let place = table.place(outcome.of(&self.listener.text, &self.rule.route.text, pattern));
                self.last.set(Some((outcome, place)));
                place
            }
        }
    }

    /// The sentence behind a failure of this rule or of one of its backends.
    pub(crate) fn failure(&self, kind: RuleErrorKind) -> Option<&str> {
        match &self.rule.action {
            Action::Fail(failure) => Some(&failure.message),
            Action::Redirect(_) => None,
            Action::Forward(picker) => picker.targets().find_map(|(_, target)| match &target.destination {
                Destination::Fail(failure) if failure.kind == kind => Some(failure.message.as_str()),
                _ => None,
            }),
        }
    }
}
