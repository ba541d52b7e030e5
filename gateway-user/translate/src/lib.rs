//! Gateway API semantics: resources in, intermediate representation and status out.
//!
//! [`Translator::update`] reads as the specification's contents page: classes, Gateways and their listeners,
//! conflicts, routes and their rules, attachment, then what is served and what is said. It is pure: no clock,
//! no input or output, no client, and the input is never changed, so the same resources always give the same
//! result, whatever was translated before them; [`translate`] is a translator without a past.
//!
//! A user's mistake is never an `Err`. It becomes a condition on the object, a [`Diagnostic`] for the command
//! line, and where requests can meet it a response of its own; everything else goes on being served.
#![forbid(unsafe_code)]

mod addresses;
mod age;
mod assemble;
mod assignment;
mod attach;
mod authorities;
mod backend;
mod backend_tls;
mod certificate;
mod changes;
mod clusters;
pub mod condition_type;
mod conflict;
mod contested;
mod cors;
mod diagnostics;
mod digest;
mod duration;
mod endpoint_policy;
mod endpoints;
mod features;
mod filters;
mod frontend;
mod gateway;
mod gatewayclass;
mod grants;
mod hints;
mod host_load;
mod hosts;
mod listener;
mod listener_tls;
mod matching;
mod memo;
mod mirrors;
mod parameters;
mod parent;
mod placement;
mod price;
mod read;
mod reason;
mod report;
mod retry;
mod route;
mod rule;
mod selector;
mod served;
mod sets;
mod settings;
mod shadowed;
mod slice;
mod status;
mod suggest;
mod tls_objects;
mod translator;
mod unreachable;
mod view;
mod wants;

use std::net::SocketAddr;
use std::sync::Arc;

use gateway_api_types::ResourceSet;
use gateway_ir::{Endpoints, Ir, ListenerSettings, Placement};
use ipnet::IpNet;
use serde::{Serialize, Serializer};

pub use assignment::{AddressWant, Assignment, Assignments, address_wants};
pub use backend_tls::SystemAuthorities;
pub use diagnostics::{Diagnostic, ObjectRef};
pub use digest::{GatewayDigest, digests, set_digests};
pub use endpoint_policy::EndpointPolicy;
pub use gateway_api_types::load::Severity;
pub use hosts::HostTotals;
pub use price::{Admission, Admitted, RegexLimits, Walk};
pub use report::{NodeReport, RejectedBind, RejectionReason};
pub use route::object_kind;
pub use selector::selects;
pub use settings::EffectiveSetting;
pub use status::{MissingGateway, StatusSet};
pub use translator::{Rebuilt, Translator};
pub use view::service_of;
pub use wants::object_wants;

/// The controller name of our GatewayClasses unless configured otherwise.
pub const CONTROLLER_NAME: &str = "sluice.dev/gateway";

/// Settings that translation depends on beside the resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TranslateOptions {
    /// GatewayClasses with this `spec.controllerName` are ours.
    pub controller_name: String,
    /// Endpoint addresses that are used.
    pub endpoints: EndpointPolicy,
    /// Policies that are applied to requests before they are matched.
    pub requests: RequestPolicy,
    /// Limits on the cost of regular expressions.
    pub regex: RegexLimits,
    /// Networks of the addresses that Gateways may name; absent is all.
    pub named_networks: Option<Vec<IpNet>>,
    /// Ownership of one address among those that an older Gateway serves with every address.
    pub address_ownership: AddressOwnership,
    /// Ownership of hosts by namespace.
    pub host_ownership: HostOwnership,
    /// The process's own settings, which bound those of Gateways; absent ones have no limit.
    pub settings: ListenerSettings,
    /// The authorities that BackendTLSPolicies mean by `System`.
    pub system_authorities: SystemAuthorities,
}

/// Policies that the process applies to requests before it matches them, and that make matches dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPolicy {
    /// Fields whose name, with `-` for `_`, is one that only proxies may write are dropped or refused.
    pub takes_underscores: bool,
    /// Paths with a NUL, a bare backslash or a hidden dot segment are refused.
    pub refuses_dangerous_paths: bool,
    /// Paths with an encoded slash or backslash are refused.
    pub refuses_encoded_separators: bool,
}

/// Ownership of hosts by namespace. A host is the text that listener and route hostname come to together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostOwnership {
    /// No: routes of several namespaces share it by the Gateway API's precedence, and it is told where they
    /// collide.
    #[default]
    Shared,
    /// To the one with a label for it, else to that of the oldest route that names it: others' routes are
    /// refused.
    OldestNamespace,
}

/// The right of a younger Gateway of another namespace to take one address out of an older Gateway's
/// every-address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressOwnership {
    /// No: its listener is Conflicted.
    #[default]
    OldestNamespace,
    /// Yes: the exact address wins, as for Gateways of one namespace.
    Shared,
}

/// The result of [`translate`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Translation {
    /// The configuration to serve.
    pub ir: Ir,
    /// The addresses behind it.
    #[serde(serialize_with = "endpoints_as_text")]
    pub endpoints: Arc<Endpoints>,
    /// The nodes on which Gateways are served.
    #[serde(skip_serializing_if = "is_everywhere", serialize_with = "placement_as_text")]
    pub placement: Arc<Placement>,
    /// The status of users' objects, before a node has reported.
    pub status: StatusSet,
    /// The same and more in one line each, by object.
    #[serde(rename = "findings")]
    pub diagnostics: Vec<Diagnostic>,
    /// Number of expressions of routes that are refused.
    #[serde(skip)]
    pub refused_expressions: usize,
    /// Number of rules that are refused because requests for their hosts could have too much scanned.
    #[serde(skip)]
    pub refused_rules: usize,
    /// Hosts and rules that are in each other's way.
    pub hosts: HostTotals,
}

/// `team2/httpbin:8000: [10.0.0.1:8080]`.
fn endpoints_as_text<S: Serializer>(endpoints: &Endpoints, serializer: S) -> Result<S::Ok, S::Error> {
    let text = |addresses: &Arc<[SocketAddr]>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
    serializer.collect_map(endpoints.clusters.iter().map(|(key, all)| (key.to_string(), text(all))))
}

fn is_everywhere(placement: &Arc<Placement>) -> bool {
    placement.is_empty()
}

/// `edge/internal: tier=internal`.
fn placement_as_text<S: Serializer>(placement: &Arc<Placement>, serializer: S) -> Result<S::Ok, S::Error> {
    let gateways = placement.gateways.iter();
    serializer.collect_map(gateways.map(|(name, nodes)| (name.to_string(), nodes.to_string())))
}

impl Default for TranslateOptions {
    fn default() -> Self {
        Self {
            controller_name: CONTROLLER_NAME.to_owned(),
            endpoints: EndpointPolicy::default(),
            requests: RequestPolicy::default(),
            regex: RegexLimits::default(),
            named_networks: None,
            address_ownership: AddressOwnership::default(),
            host_ownership: HostOwnership::default(),
            settings: ListenerSettings::default(),
            system_authorities: SystemAuthorities::default(),
        }
    }
}

impl Default for RequestPolicy {
    fn default() -> Self {
        Self { takes_underscores: true, refuses_dangerous_paths: true, refuses_encoded_separators: false }
    }
}

/// Translates resources into configuration and status, from scratch. For the same resources after an edit
/// keep a [`Translator`], which gives the same result for less.
pub fn translate(resources: &ResourceSet, options: &TranslateOptions) -> Translation {
    Translator::new(options.clone()).update(resources)
}
