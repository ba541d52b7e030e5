//! Documents of the admin server for programs; server and commands share them, so that they cannot drift
//! apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_ir::{BackendTls, BindAddress, ClusterKey, Endpoints, ObjectName};
use gateway_steer::PlaceholderState;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// The response of `/status`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusDocument {
    /// The process that responds.
    pub(crate) process: Process,
    /// True if traffic is wanted: `ready`, or why not.
    pub(crate) readiness: String,
    /// The live generation; 0 before the first.
    pub(crate) generation: u64,
    /// When it went live, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) live_since: Option<String>,
    /// Why a newer configuration is not live, if one is not.
    #[serde(rename = "trouble", default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
    /// Steering of connections.
    pub(crate) steering: Steering,
    /// I/O driver that serves them.
    pub(crate) io: Io,
    /// State of each watch of the cluster; none over a directory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) watches: Vec<WatchLine>,
    /// The controller's stream, on a node that follows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) controller: Option<ControllerLine>,
    /// Nodes that follow, on a controller.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) nodes: Vec<NodeLine>,
    /// Every Gateway of ours; none on a node that follows a controller, which knows no conditions of Gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gateways: Vec<GatewayLine>,
    /// ListenerSets of those Gateways.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) listener_sets: Vec<ListenerSetLine>,
    /// Every listener of our Gateways.
    pub(crate) listeners: Vec<ListenerLine>,
    /// Settings of the Gateways that GatewayConfigs give some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) settings: Vec<SettingLine>,
    /// Every route and parent.
    pub(crate) routes: Vec<RouteLine>,
    /// Backends that are spoken to over TLS.
    #[serde(rename = "backendTLS", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) backend_tls: Vec<BackendTlsLine>,
    /// Errors and warnings in files and resources, one line each.
    pub(crate) findings: Vec<String>,
    /// The full status of every object, as the Gateway API has it.
    pub(crate) status: Value,
}

/// The process.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    /// Sluice's version.
    pub(crate) version: String,
    /// Process id.
    pub(crate) pid: u32,
    /// When it started, RFC 3339.
    pub(crate) started: String,
    /// Source of its configuration: a directory, or the cluster at an address.
    pub(crate) source: String,
    /// Capabilities that it still has, as capabilities(7) names them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) capabilities: Option<Vec<String>>,
    /// The process that it took over from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) took_over: Option<TookOverLine>,
    /// Processes that asked to take over and did not, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) takeover_failures: BTreeMap<String, u64>,
}

/// A take-over.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TookOverLine {
    /// The process before this one, as it saw itself.
    pub(crate) pid: u32,
    /// Its version.
    pub(crate) version: String,
    /// From asking to being the only one.
    pub(crate) milliseconds: u64,
}

/// Steering.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Steering {
    /// `ebpf` or `reuseport`.
    pub(crate) path: String,
    /// The path with the reason for it.
    pub(crate) detail: String,
    /// Why nobody is reached over IPv6, if nobody is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) without_ipv6: Option<String>,
    /// Steered ports that other programs are kept from; not said where workers listen on them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) placeholders: Option<Placeholders>,
}

/// Sockets that are bound to steered ports and never listen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Placeholders {
    /// Their number.
    pub(crate) held: usize,
    /// Addresses and ports without one, by the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) missing: BTreeMap<String, Vec<String>>,
}

impl From<PlaceholderState> for Placeholders {
    fn from(state: PlaceholderState) -> Self {
        let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (bind, reason) in state.missing {
            missing.entry(reason).or_default().push(bind.to_string());
        }
        Self { held: state.held, missing }
    }
}

/// Workers and what drives them.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Io {
    /// `uring-defer`, `uring-coop`, `uring-plain` or `epoll`.
    pub(crate) driver: String,
    /// Drivers that were preferred and refused, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<String>,
    /// Worker threads.
    pub(crate) workers: usize,
    /// Worker threads that died and were replaced.
    #[serde(default)]
    pub(crate) worker_deaths: u64,
    /// Client connections that ended with them.
    #[serde(default)]
    pub(crate) lost_connections: u64,
    /// Writer of the access log: `uring`, `write` or `off`.
    #[serde(default)]
    pub(crate) access_log: String,
    /// Why that is not `uring`, if it should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access_log_refused: Option<String>,
}

/// A node's stream from its controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ControllerLine {
    /// True while it is there.
    pub(crate) connected: bool,
    /// Version of its program; empty before it was there.
    pub(crate) program: String,
    /// The version of what is served.
    pub(crate) version: u64,
    /// Seconds since the controller was heard; `None` before the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) age_seconds: Option<u64>,
    /// The reason for having no stream, as long as there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// A node that follows a controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeLine {
    /// Its name.
    pub(crate) node: String,
    /// Version of its program.
    pub(crate) program: String,
    /// True while its stream is there.
    pub(crate) connected: bool,
    /// The version that it acknowledged last.
    pub(crate) version: u64,
    /// Items that it serves closed, since its version does not know what they need.
    pub(crate) closed: u64,
    /// Error that keeps the version from being live there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Evidence on a node whose stream is gone, where addresses could move from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) suspicion: Option<String>,
}

/// One watch of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WatchLine {
    /// The kind.
    pub(crate) kind: String,
    /// The namespace, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// True if a whole list has arrived.
    pub(crate) synced: bool,
    /// Objects held.
    pub(crate) objects: usize,
    /// When the server said anything last, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_event: Option<String>,
    /// Since when it fails, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failing_since: Option<String>,
    /// Why it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

/// One Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayLine {
    /// `namespace/name`.
    pub(crate) gateway: String,
    /// Its own conditions by type.
    pub(crate) conditions: BTreeMap<String, ConditionLine>,
}

/// One ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListenerSetLine {
    /// `namespace/name`.
    pub(crate) listener_set: String,
    /// Its Gateway, as `namespace/name`.
    pub(crate) gateway: String,
    /// Its own conditions by type.
    pub(crate) conditions: BTreeMap<String, ConditionLine>,
}

/// One listener on one address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListenerLine {
    /// `namespace/name`.
    pub(crate) gateway: String,
    /// The listener's name.
    pub(crate) listener: String,
    /// `*` or an address; empty if it is not served.
    pub(crate) address: String,
    /// The port that it asks for; `None` if it is not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    /// The port that is really bound, if another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) served_on: Option<u16>,
    /// `HTTP`, `HTTPS`, `TLS` or `TCP`; empty if it is not served.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) protocol: String,
    /// Its hostname; empty is every host.
    pub(crate) hostname: String,
    /// Mode of `Gateway.spec.tls.frontend` in which it asks clients for certificates; `None` if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_certificates: Option<String>,
    /// Routes attached to it.
    pub(crate) attached_routes: i32,
    /// Conditions by type.
    pub(crate) conditions: BTreeMap<String, ConditionLine>,
}

/// One setting of a Gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingLine {
    /// `namespace/name`.
    pub(crate) gateway: String,
    /// Its field in a GatewayConfig.
    pub(crate) setting: String,
    /// The value in force; `none` for no limit.
    pub(crate) value: String,
    /// Where that is written: a field of a GatewayConfig, or a flag.
    pub(crate) source: String,
}

/// One route and parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RouteLine {
    /// `HTTPRoute namespace/name`.
    pub(crate) route: String,
    /// `namespace/name`, with `/listener` where the parentRef names one.
    pub(crate) parent: String,
    /// Conditions by type.
    pub(crate) conditions: BTreeMap<String, ConditionLine>,
}

/// A port of a Service that is spoken to over TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BackendTlsLine {
    /// `namespace/service:port`, and the protocol if it is not HTTP/1.1.
    pub(crate) backend: String,
    /// The BackendTLSPolicy that says how, `namespace/name`.
    pub(crate) policy: String,
    /// The server name that is sent.
    pub(crate) hostname: String,
    /// Names of which the certificate must have one, if others than that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<String>,
    /// Objects that the authorities are from, each with the number of its certificates.
    pub(crate) trust: Vec<String>,
    /// The reason that there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<String>,
    /// Gateways that must not use the policy, since its status has no room for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused_gateways: Vec<String>,
}

impl BackendTlsLine {
    /// One for each of these endpoints' clusters that is spoken to over TLS.
    pub(crate) fn all(endpoints: &Endpoints) -> Vec<Self> {
        let texts = |all: &[ObjectName]| all.iter().map(ToString::to_string).collect();
        let line = |(key, tls): (&ClusterKey, &Arc<BackendTls>)| Self {
            backend: ClusterKey { tls: false, ..key.clone() }.to_string(),
            policy: tls.policy.to_string(),
            hostname: tls.hostname.to_string(),
            names: tls.subject_alt_names.iter().map(ToString::to_string).collect(),
            trust: tls.trust.iter().map(ToString::to_string).collect(),
            fault: tls.fault.as_deref().map(str::to_owned),
            refused_gateways: texts(&tls.refused_gateways),
        };
        endpoints.tls.iter().map(line).collect()
    }
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConditionLine {
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    /// One word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
}

/// `*` for every address.
pub(crate) fn address(address: BindAddress) -> String {
    match address {
        BindAddress::Any => "*".to_owned(),
        BindAddress::Ip(ip) => ip.to_string(),
    }
}

/// Endpoints as a map from `namespace/service:port` to addresses.
pub(crate) fn endpoints<S: Serializer>(endpoints: &Endpoints, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(endpoints.clusters.iter().map(|(key, addresses)| (key.to_string(), addresses)))
}
