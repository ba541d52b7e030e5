//! Translation after translation of the same resources, a little edited each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_api_types::ResourceSet;
use gateway_ir::{Ir, ObjectName, Placement, RouteId};
use gateway_regex::Library;

use crate::addresses::AddressRules;
use crate::assignment::Assignments;
use crate::backend_tls::{BackendPolicies, Surroundings};
use crate::changes::PreviousObjects;
use crate::clusters::Clusters;
use crate::diagnostics::Diagnostics;
use crate::gateway::GatewayState;
use crate::host_load::OverBudget;
use crate::hosts::{Claims, Hosts};
use crate::memo::Routes;
use crate::price::{self, ParentNames, Prices};
use crate::read::Reader;
use crate::served::Served;
use crate::settings::EffectiveSetting;
use crate::status::StatusSet;
use crate::tls_objects::TlsObjects;
use crate::view::View;
use crate::{
    Severity, TranslateOptions, Translation, conflict, digest, gateway, gatewayclass, hints, host_load,
    placement, sets, view,
};

/// Translates again and again, and each time only what an edit touched.
///
/// It remembers what every route and every cluster came to, with the questions that were asked of other
/// objects on the way. A route is translated again if it changed itself or if one of its reads has another
/// result; what it comes to is the same [`Arc`](std::sync::Arc) in the next IR unless it differs. Routes are
/// compared with one another on the hosts that an edited one was or is on. GatewayClasses and Gateways are
/// judged anew each time: they are few, and listeners are in conflict across all of them.
#[derive(Debug)]
pub struct Translator {
    options: TranslateOptions,
    assignments: Option<Arc<Assignments>>,
    library: Arc<Library>,
    previous: PreviousState,
    rebuilt: Rebuilt,
}

/// The work of one update.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Routes that were translated.
    pub routes: usize,
    /// Clusters whose endpoints were collected.
    pub clusters: usize,
    /// Hosts on which routes were compared with one another.
    pub hosts: usize,
    /// Routes on those, each once for each of its listeners.
    pub host_routes: usize,
}

/// The state after the last update, all of one set of resources.
#[derive(Debug, Default)]
struct PreviousState {
    known: PreviousObjects,
    tls: TlsObjects,
    prices: Prices,
    routes: Routes,
    hosts: Hosts,
    served: Served,
    clusters: Clusters,
    policies: BackendPolicies,
    placement: Arc<Placement>,
}

impl Translator {
    /// A translator that has seen nothing yet.
    pub fn new(options: TranslateOptions) -> Self {
        let library = Arc::new(Library::new(options.regex.expression));
        Self::with_library(options, library)
    }

    /// The same with expressions that others have built or will use: those of `library`, whose limit must be
    /// that of the options.
    pub fn with_library(options: TranslateOptions, library: Arc<Library>) -> Self {
        let (previous, rebuilt) = (PreviousState::new(&options), Rebuilt::default());
        Self { options, assignments: None, library, previous, rebuilt }
    }

    /// From the next update on, Gateways have these addresses; with `None`, those of the node they are served
    /// on.
    pub fn assign(&mut self, assignments: Option<Arc<Assignments>>) {
        self.assignments = assignments;
    }

    /// The work of the last update.
    pub fn rebuilt(&self) -> Rebuilt {
        self.rebuilt
    }

    /// Turns resources into what is served and what is said about it: the same as [`crate::translate`] gives.
    ///
    /// Objects that the set shares by `Arc` with the one before cost next to nothing; an object that was read
    /// again and is equal costs a comparison.
    pub fn update(&mut self, resources: &ResourceSet) -> Translation {
        // Taken out, so that after a panic in here nothing is remembered rather than half of it.
        let mut previous = std::mem::replace(&mut self.previous, PreviousState::new(&self.options));
        let assignments = self.assignments.as_deref();
        let (translation, rebuilt) = previous.update(resources, &self.options, assignments, &self.library);
        self.previous = previous;
        self.rebuilt = rebuilt;
        translation
    }
}

impl PreviousState {
    fn new(options: &TranslateOptions) -> Self {
        Self { hosts: Hosts::new(options.host_ownership), ..Self::default() }
    }

    fn update(
        &mut self,
        resources: &ResourceSet,
        options: &TranslateOptions,
        assignments: Option<&Assignments>,
        library: &Library,
    ) -> (Translation, Rebuilt) {
        let view = View::new(resources, &options.endpoints);
        let mut diagnostics = Diagnostics::default();
        let mut rebuilt = Rebuilt::default();

        let classes = gatewayclass::evaluate(&view, options, &mut diagnostics);
        self.tls.start();
        let mut gateways = gateway::evaluate(
            &view,
            &classes,
            &mut self.tls,
            AddressRules { assignments, named: options.named_networks.as_deref() },
            &options.settings,
            &mut diagnostics,
        );
        sets::join(&view, &mut self.tls, &mut gateways, &mut diagnostics);
        let host_claims = Claims::of(&view, options.host_ownership, &mut diagnostics);
        conflict::resolve(&mut gateways, options, &host_claims, &mut diagnostics);

        let changes = self.known.update(&view, &gateways);
        let reader = || Reader::new(&view, &gateways, options.requests);
        let controller = &options.controller_name;
        let ours = names_of(&gateways);
        self.prices.update(price::priced(resources, &ours, self.known.expressive()), library, &options.regex);
        let mut edited = self.routes.update(&changes, resources, controller, &self.prices, reader);
        let refused = price::scan_refusals(self.routes.demanding(), &options.regex);
        let refused_rules = refused.values().map(BTreeMap::len).sum();
        edited.extend(self.routes.refuse(refused, resources, controller, reader));
        rebuilt.routes = edited.iter().filter(|edit| edit.is_translated).count();
        self.routes.diagnostics().for_each(|route| diagnostics.repeat(route));
        let (examined, affected) =
            self.hosts.follow(&gateways, host_claims, &self.routes, &edited, &mut diagnostics);
        (rebuilt.hosts, rebuilt.host_routes) = (examined.hosts, examined.routes);

        self.served.follow(&gateways, &self.routes, &self.hosts, &edited, &affected);
        let mut ir = self.served.ir(&gateways);
        let refused = self.refuse_over_budget(&mut ir, &gateways, &mut diagnostics);
        rebuilt.clusters = self.clusters.follow(&ir.routes, &changes, &mut diagnostics, reader);
        let around = Surroundings {
            gateways: &gateways,
            routes: &self.routes,
            served: &ir.routes,
            controller,
            system: &options.system_authorities,
        };
        let authorities = &mut self.tls.authorities;
        let policies =
            self.policies.follow(&view, around, authorities, self.clusters.keys(), &mut diagnostics);
        self.tls.finish();
        let endpoints = self.clusters.endpoints(policies.tls);
        tell_refused(&mut gateways, policies.refused, &mut diagnostics);

        let shadowed = self.served.shadowed(&gateways);
        shadowed.tell(&mut diagnostics);
        self.served.count_attached(&mut gateways, &self.routes, &refused);
        hints::find(&view, &gateways, &mut diagnostics);
        let (digests, set_digests) = (digest::digests(&ir), digest::set_digests(&ir));
        let placement = self.place(resources, &gateways, &mut diagnostics);
        let mut status = StatusSet {
            gateway_classes: classes.status,
            digests,
            set_digests,
            set_gateways: Arc::new(gateways.iter().filter(|one| one.set.is_some()).map(gateway_of).collect()),
            placement: Arc::clone(&placement),
            owners: assignments.map(Assignments::owners).unwrap_or_default(),
            settings: Arc::new(gateways.iter().filter(|one| one.set.is_none()).map(settings_of).collect()),
            backend_tls_policies: policies.statuses,
            missing_gateways: self.routes.missing_gateways().collect(),
            ..StatusSet::default()
        };
        gateways.iter().for_each(|gateway| status.add_parent(gateway));
        status.routes = self.served.statuses(&self.routes, &refused, &shadowed);
        let (refused_expressions, hosts) = (self.prices.refused_count(), self.hosts.totals());
        let diagnostics = diagnostics.finish(resources);
        let translation = Translation {
            ir,
            endpoints,
            placement,
            status,
            diagnostics,
            refused_expressions,
            refused_rules,
            hosts,
        };
        (translation, rebuilt)
    }

    /// The placement as of now; the same as before by `Arc` unless it differs.
    fn place(
        &mut self,
        resources: &ResourceSet,
        gateways: &[GatewayState<'_>],
        diagnostics: &mut Diagnostics,
    ) -> Arc<Placement> {
        let now = placement::of(resources, gateways);
        placement::tell(&now, diagnostics);
        if now != *self.placement {
            self.placement = Arc::new(now);
        }
        Arc::clone(&self.placement)
    }

    /// Refuses the rules that are over a host's budget of conditions, with a diagnostic each.
    fn refuse_over_budget(
        &self,
        ir: &mut Ir,
        gateways: &[GatewayState<'_>],
        diagnostics: &mut Diagnostics,
    ) -> OverBudget {
        let heavy = self.served.heavy(gateways);
        let conditions = |route: &RouteId| self.routes.find(route).map_or(0, |one| one.conditions);
        let refused = host_load::over(ir, &heavy, conditions);
        refused.apply(ir);
        for (route, rule, message) in refused.all() {
            let field = format!("rules[{rule}].matches");
            let message = message.split_once(": ").map_or(message, |(_, message)| message);
            diagnostics.push(Severity::Error, &view::route_ref(route), &field, message);
        }
        refused
    }
}

/// A set and its Gateway.
fn gateway_of(set: &GatewayState<'_>) -> (ObjectName, ObjectName) {
    (set.key.name().clone(), set.name.clone())
}

/// The Gateways and sets of ours, for prices.
fn names_of<'v>(gateways: &'v [GatewayState<'_>]) -> ParentNames<'v> {
    let key = |one: &'v GatewayState<'_>| {
        let name = one.key.name();
        (one.key.kind(), &*name.namespace, &*name.name)
    };
    gateways.iter().map(key).collect()
}

/// The settings of a Gateway as they are in force.
fn settings_of(gateway: &GatewayState<'_>) -> (ObjectName, Vec<EffectiveSetting>) {
    (gateway.name.clone(), gateway.settings.effective.clone())
}

/// Tells Gateways which BackendTLSPolicies they cannot use as they stand.
fn tell_refused(
    gateways: &mut [GatewayState<'_>],
    mut refused: BTreeMap<ObjectName, Vec<String>>,
    diagnostics: &mut Diagnostics,
) {
    for gateway in gateways.iter_mut().take_while(|one| one.set.is_none()) {
        gateway.refused_policies = refused.remove(&gateway.name).unwrap_or_default();
        for message in &gateway.refused_policies {
            diagnostics.push(Severity::Error, &view::gateway_ref(&gateway.name), "", message);
        }
    }
}
