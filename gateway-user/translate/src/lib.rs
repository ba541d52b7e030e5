//! Gateway API semantics: resources in, intermediate representation and status out.
//!
//! [`translate`] reads as the specification's contents page: classes, Gateways and their listeners, conflicts, routes
//! and their rules, attachment, then what is served and what is said. It is pure: no clock, no input or output, no
//! client, and the input is never changed, so the same resources always give the same answer.
//!
//! A user's mistake is never an `Err`. It becomes a condition on the object, a [`Finding`] for the command line, and
//! where requests can meet it an answer of its own; everything else goes on being served.
#![forbid(unsafe_code)]

mod assemble;
mod attach;
mod backend;
mod conflict;
mod duration;
mod endpoints;
mod filters;
mod findings;
mod gateway;
mod gatewayclass;
mod grants;
mod hints;
mod httproute;
mod listener;
mod matching;
mod reason;
mod report;
mod rule;
mod selector;
mod status;
mod suggest;
mod view;

use std::net::SocketAddr;

use gateway_api_types::ResourceSet;
use gateway_ir::{Endpoints, Ir};
use serde::{Serialize, Serializer};

pub use findings::{Finding, ObjectRef};
pub use gateway_api_types::load::Severity;
pub use report::{NodeReport, RefusedBind, RefusedReason};
pub use status::StatusSet;

/// The controller name of our GatewayClasses unless configured otherwise.
pub const CONTROLLER_NAME: &str = "sluice.dev/gateway";

/// What translation depends on beside the resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranslateOptions {
    /// GatewayClasses with this `spec.controllerName` are ours.
    pub controller_name: String,
}

/// The answer of [`translate`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Translation {
    /// What to serve.
    pub ir: Ir,
    /// The addresses behind it.
    #[serde(serialize_with = "endpoints_as_text")]
    pub endpoints: Endpoints,
    /// What to tell users on their objects, before a node has reported.
    pub status: StatusSet,
    /// The same and more in one line each, by object.
    pub findings: Vec<Finding>,
}

/// `team2/httpbin:8000: [10.0.0.1:8080]`.
fn endpoints_as_text<S: Serializer>(endpoints: &Endpoints, serializer: S) -> Result<S::Ok, S::Error> {
    let text = |addresses: &Vec<SocketAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    serializer.collect_map(endpoints.clusters.iter().map(|(key, all)| (key.to_string(), text(all))))
}

impl Default for TranslateOptions {
    fn default() -> Self {
        Self { controller_name: CONTROLLER_NAME.to_owned() }
    }
}

/// Turns resources into what is served and what is said about it.
pub fn translate(resources: &ResourceSet, options: &TranslateOptions) -> Translation {
    let view = view::View::new(resources);
    let mut findings = findings::Findings::new(resources);

    let classes = gatewayclass::evaluate(&view, options, &mut findings);
    let mut gateways = gateway::evaluate(&view, &classes, &mut findings);
    conflict::resolve(&mut gateways, &mut findings);
    let routes = httproute::evaluate(&view, &gateways, &mut findings);
    assemble::count_attached(&mut gateways, &routes);

    let ir = assemble::ir(&gateways, &routes);
    let endpoints = assemble::endpoints(&view, &ir, &routes, &mut findings);
    hints::find(&view, &gateways, &mut findings);

    let mut status = StatusSet { gateway_classes: classes.status, ..StatusSet::default() };
    for gateway in &gateways {
        status.add_gateway(gateway);
    }
    for route in &routes {
        let object = route.ir.id.object.clone();
        status.http_routes.insert(object, route.status(&options.controller_name, &gateways));
    }
    Translation { ir, endpoints, status, findings: findings.finish() }
}
