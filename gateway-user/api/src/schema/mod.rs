//! The schemas that an API server checks objects with, and that check.
//!
//! They are made by `cargo xtask api-schemas` out of the CRDs and Kubernetes' OpenAPI documents; each file
//! under `schemas/` names its source.

mod advice;
mod cel;
mod defaults;
mod format;
mod model;
mod path;
mod rules;
mod structure;
mod suggest;

pub(crate) use advice::unfilled;
pub(crate) use format::{
    is_dns1123_label, is_dns1123_subdomain, is_label_value, is_qualified_name, plain_base64,
};
pub(crate) use model::Schema;
pub(crate) use path::Path;
pub(crate) use suggest::{did_you_mean, quoted};

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;

use crate::Kind;
use crate::load::Position;
use crate::load::tree::Node;

/// Something that a value does wrong.
#[derive(Debug)]
pub(crate) struct FieldDiagnostic {
    pub(crate) at: Position,
    pub(crate) field: String,
    pub(crate) message: String,
    /// It would be taken differently by other readers, but is not wrong in itself.
    pub(crate) warning: bool,
}

/// Drops nulls, applies defaults and checks everything that the schema says, rules last: they may rely on the
/// rest.
pub(crate) fn apply(schema: &Schema, node: &mut Node) -> Vec<FieldDiagnostic> {
    let mut diagnostics = Vec::new();
    structure::unknown_fields(schema, node, &mut Path::default(), &mut diagnostics);
    defaults::apply(schema, node);
    structure::check(schema, node, &mut Path::default(), &mut diagnostics);
    if diagnostics.iter().all(|v| v.warning) {
        rules::check(schema, node, &mut diagnostics);
    }
    diagnostics
}

/// The schema of a kind in a served version, with that of its `metadata`. `None` if the version is not
/// served.
pub(crate) fn of(kind: Kind, version: &str) -> Option<&'static Schema> {
    static PARSED: [OnceLock<BTreeMap<String, Schema>>; Kind::ALL.len()] =
        [const { OnceLock::new() }; Kind::ALL.len()];
    let served = kind.served_versions();
    if !served.contains(&version) {
        return None;
    }
    PARSED.get(kind as usize)?.get_or_init(|| parse(kind)).get(version)
}

/// Parses the committed schema of a kind. The files are ours and a test parses all of them, so a file that
/// does not parse counts as a kind without schema, which the loader reports.
fn parse(kind: Kind) -> BTreeMap<String, Schema> {
    let Ok(file) = serde_json::from_str::<Value>(source(kind)) else { return BTreeMap::new() };
    let metadata =
        serde_json::from_str::<Value>(include_str!("../../schemas/objectmeta.json")).unwrap_or_default();
    let mut schemas = BTreeMap::new();
    for &version in kind.served_versions() {
        let mut raw = &file["versions"][version];
        if let Some(same_as) = raw.as_str() {
            raw = &file["versions"][same_as];
        }
        let mut raw = raw.clone();
        raw["properties"]["metadata"] = metadata["versions"]["v1"].clone();
        if let Some(schema) = Schema::parse(&raw) {
            schemas.insert(version.to_owned(), schema);
        }
    }
    schemas
}

/// The committed schema file of a kind.
pub(crate) const fn source(kind: Kind) -> &'static str {
    match kind {
        Kind::Namespace => include_str!("../../schemas/namespace.json"),
        Kind::Node => include_str!("../../schemas/node.json"),
        Kind::Service => include_str!("../../schemas/service.json"),
        Kind::EndpointSlice => include_str!("../../schemas/endpointslice.json"),
        Kind::Secret => include_str!("../../schemas/secret.json"),
        Kind::ConfigMap => include_str!("../../schemas/configmap.json"),
        Kind::ClusterTrustBundle => include_str!("../../schemas/clustertrustbundle.json"),
        Kind::GatewayClass => include_str!("../../schemas/gatewayclass.json"),
        Kind::Gateway => include_str!("../../schemas/gateway.json"),
        Kind::GatewayConfig => include_str!("../../schemas/gatewayconfig.json"),
        Kind::ListenerSet => include_str!("../../schemas/listenerset.json"),
        Kind::HttpRoute => include_str!("../../schemas/httproute.json"),
        Kind::GrpcRoute => include_str!("../../schemas/grpcroute.json"),
        Kind::TlsRoute => include_str!("../../schemas/tlsroute.json"),
        Kind::TcpRoute => include_str!("../../schemas/tcproute.json"),
        Kind::UdpRoute => include_str!("../../schemas/udproute.json"),
        Kind::ReferenceGrant => include_str!("../../schemas/referencegrant.json"),
        Kind::BackendTlsPolicy => include_str!("../../schemas/backendtlspolicy.json"),
        Kind::XBackend => include_str!("../../schemas/xbackend.json"),
        Kind::XBackendTrafficPolicy => include_str!("../../schemas/xbackendtrafficpolicy.json"),
        Kind::XMesh => include_str!("../../schemas/xmesh.json"),
        Kind::XTelemetryPolicy => include_str!("../../schemas/xtelemetrypolicy.json"),
    }
}
