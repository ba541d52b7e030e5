//! The NodeReport resource: a node's report as an object in the cluster.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gateway_ir::{BindAddress, Generation, ObjectName, Transport};
use gateway_translate::{GatewayDigest, NodeReport, RejectedBind, RejectionReason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use serde::{Deserialize, Serialize};

/// `sluice.dev/v1alpha1` NodeReport; one per node, named after it, in Sluice's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct NodeRecord {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// Its report.
    #[serde(default)]
    pub status: RecordStatus,
}

/// Report of a node about what it serves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordStatus {
    /// The program and its version.
    #[serde(default)]
    pub program: String,
    /// Time at which the node last said that it is there. Others count from when they saw it change, never by
    /// this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_time: Option<MicroTime>,
    /// The configuration that is live, counted by the node for itself.
    #[serde(default)]
    pub generation: u64,
    /// Addresses at which clients reach the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Every Gateway that is live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<GatewayRecord>,
    /// Every ListenerSet that is live.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listener_sets: Vec<GatewayRecord>,
    /// Addresses and ports that are asked for and not served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedRecord>,
}

/// One Gateway, or ListenerSet, as a node serves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayRecord {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Stands for its listeners as they are served.
    pub digest: GatewayDigest,
}

/// One address and port that a node does not serve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedRecord {
    /// An IP address, or `*` for every address of the node.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The transport of that port; left out for TCP, as versions before write it.
    #[serde(default, skip_serializing_if = "Transport::is_tcp")]
    pub transport: Transport,
    /// Machine-readable reason.
    pub reason: RejectionReason,
    /// The error and its fix.
    pub message: String,
}

impl k8s_openapi::Resource for NodeRecord {
    const API_VERSION: &'static str = "sluice.dev/v1alpha1";
    const GROUP: &'static str = "sluice.dev";
    const KIND: &'static str = "NodeReport";
    const VERSION: &'static str = "v1alpha1";
    const URL_PATH_SEGMENT: &'static str = "nodereports";
    type Scope = k8s_openapi::NamespaceResourceScope;
}

impl k8s_openapi::Metadata for NodeRecord {
    type Ty = ObjectMeta;
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Serialize for NodeRecord {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use k8s_openapi::Resource as _;
        use serde::ser::SerializeStruct as _;
        let mut out = serializer.serialize_struct(Self::KIND, 4)?;
        out.serialize_field("apiVersion", Self::API_VERSION)?;
        out.serialize_field("kind", Self::KIND)?;
        out.serialize_field("metadata", &self.metadata)?;
        out.serialize_field("status", &self.status)?;
        out.end()
    }
}

impl From<&NodeReport> for RecordStatus {
    fn from(report: &NodeReport) -> Self {
        let gateway = |(name, digest): (&ObjectName, &GatewayDigest)| GatewayRecord {
            namespace: name.namespace.to_string(),
            name: name.name.to_string(),
            digest: digest.clone(),
        };
        let refused = |refused: &RejectedBind| RefusedRecord {
            address: match refused.address {
                BindAddress::Any => "*".to_owned(),
                BindAddress::Ip(ip) => ip.to_string(),
            },
            port: refused.port,
            transport: refused.transport,
            reason: refused.reason,
            message: refused.message.clone(),
        };
        Self {
            program: concat!("sluice ", env!("CARGO_PKG_VERSION")).to_owned(),
            renew_time: None,
            generation: report.generation.0,
            addresses: report.addresses.iter().map(IpAddr::to_string).collect(),
            gateways: report.gateways.iter().map(gateway).collect(),
            listener_sets: report.listener_sets.iter().map(gateway).collect(),
            refused: report.refused.iter().map(refused).collect(),
        }
    }
}

impl From<&RecordStatus> for NodeReport {
    /// Entries that another version wrote and this one cannot read are left out: of a Gateway without a
    /// digest it is not known that it is served.
    fn from(status: &RecordStatus) -> Self {
        let refused = |refused: &RefusedRecord| {
            let address = match refused.address.as_str() {
                "*" => BindAddress::Any,
                ip => BindAddress::Ip(ip.parse().ok()?),
            };
            let RefusedRecord { port, transport, reason, message, .. } = refused.clone();
            Some(RejectedBind { address, port, transport, reason, message })
        };
        let gateway =
            |one: &GatewayRecord| (ObjectName::new(&*one.namespace, &*one.name), one.digest.clone());
        Self {
            generation: Generation(status.generation),
            gateways: status.gateways.iter().map(gateway).collect::<BTreeMap<_, _>>(),
            listener_sets: status.listener_sets.iter().map(gateway).collect(),
            refused: status.refused.iter().filter_map(refused).collect(),
            addresses: status.addresses.iter().filter_map(|ip| ip.parse().ok()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use gateway_testkit::golden;

    use super::*;

    #[test]
    fn a_report_survives_its_way_through_the_cluster() {
        let report = NodeReport {
            generation: Generation(7),
            gateways: [(ObjectName::new("edge", "gw"), GatewayDigest("0123456789abcdef".to_owned()))].into(),
            listener_sets: [(ObjectName::new("shop", "hosts"), GatewayDigest("0f1e2d3c4b5a6978".to_owned()))]
                .into(),
            refused: vec![
                RejectedBind {
                    address: BindAddress::Any,
                    port: 80,
                    transport: Transport::Tcp,
                    reason: RejectionReason::PortUnavailable,
                    message: "nginx listens".to_owned(),
                },
                RejectedBind {
                    address: BindAddress::Ip("fd00::1".parse().unwrap()),
                    port: 443,
                    transport: Transport::Udp,
                    reason: RejectionReason::AddressNotUsable,
                    message: "not here".to_owned(),
                },
            ],
            addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::9".parse().unwrap()],
        };
        let record = NodeRecord { status: RecordStatus::from(&report), ..NodeRecord::default() };
        let text = serde_json::to_string(&record).unwrap();
        let back: NodeRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(NodeReport::from(&back.status), report);
    }

    /// Nodes of other versions write and read these bytes while a cluster is updated.
    #[test]
    fn the_format_is_byte_for_byte_as_it_was() {
        let refused = |address, port, reason, message: &str| RejectedBind {
            address,
            port,
            transport: Transport::Tcp,
            reason,
            message: message.to_owned(),
        };
        let report = NodeReport {
            generation: Generation(7),
            gateways: [
                (ObjectName::new("edge", "web"), GatewayDigest("0123456789abcdef".to_owned())),
                (ObjectName::new("team-b", "api"), GatewayDigest("fedcba9876543210".to_owned())),
            ]
            .into(),
            listener_sets: BTreeMap::new(),
            refused: vec![
                refused(BindAddress::Any, 80, RejectionReason::PortUnavailable, "nginx listens"),
                refused(
                    BindAddress::Ip("fd00::1".parse().unwrap()),
                    443,
                    RejectionReason::AddressNotUsable,
                    "not an address of this node",
                ),
            ],
            addresses: vec!["10.0.0.1".parse().unwrap(), "fd00::9".parse().unwrap()],
        };
        let record = |report: &NodeReport, renew_time| {
            let (name, namespace) = (Some("node-1".to_owned()), Some("sluice-system".to_owned()));
            let metadata = ObjectMeta { name, namespace, ..ObjectMeta::default() };
            let status =
                RecordStatus { program: "sluice 0.1.0".to_owned(), renew_time, ..RecordStatus::from(report) };
            NodeRecord { metadata, status }
        };
        let renewed = jiff::Timestamp::new(1_700_000_000, 123_456_000).map(MicroTime).unwrap();
        let cases = [
            ("node-report.json", record(&report, Some(renewed)), report),
            ("node-report-empty.json", record(&NodeReport::default(), None), NodeReport::default()),
        ];
        for (name, record, report) in cases {
            let mut text = serde_json::to_string_pretty(&record).unwrap();
            text.push('\n');
            let bytes = golden::check(name, text.as_bytes());
            let back: NodeRecord = serde_json::from_slice(&bytes).unwrap();
            assert_eq!(back, record);
            assert_eq!(NodeReport::from(&back.status), report);
        }
    }

    /// Every field that is written, and no other, is in the schema that the API server prunes by.
    #[test]
    fn the_crd_knows_every_field() {
        let crd: serde_json::Value =
            serde_saphyr::from_str(include_str!("../../../../deploy/crds/nodereports.yaml")).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        let names = |value: &serde_json::Value| {
            let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names
        };
        let report = NodeReport {
            gateways: [(ObjectName::new("a", "b"), GatewayDigest(String::new()))].into(),
            listener_sets: [(ObjectName::new("a", "s"), GatewayDigest(String::new()))].into(),
            refused: vec![RejectedBind {
                address: BindAddress::Any,
                port: 1,
                transport: Transport::Udp,
                reason: RejectionReason::PortUnavailable,
                message: String::new(),
            }],
            addresses: vec!["10.0.0.1".parse().unwrap()],
            ..NodeReport::default()
        };
        let mut status = RecordStatus::from(&report);
        status.renew_time = Some(MicroTime(jiff::Timestamp::UNIX_EPOCH));
        let status = serde_json::to_value(&status).unwrap();
        assert_eq!(names(&status), names(&schema["properties"]));
        for list in ["gateways", "listenerSets", "refused"] {
            assert_eq!(names(&status[list][0]), names(&schema["properties"][list]["items"]["properties"]));
        }
        let refused = &schema["properties"]["refused"]["items"]["properties"];
        assert_eq!(refused["reason"]["enum"], serde_json::json!(["PortUnavailable", "AddressNotUsable"]));
        assert_eq!(refused["transport"]["enum"], serde_json::json!(["Tcp", "Udp"]));
    }
}
