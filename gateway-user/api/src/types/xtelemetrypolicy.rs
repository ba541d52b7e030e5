//! XTelemetryPolicy: tracing of what a Gateway serves (GEP-4768).

use serde::{Deserialize, Serialize};

use super::{BackendObjectReference, Fraction, HttpHeader, LocalPolicyTargetReference, PolicyStatus};

resource! {
    /// Telemetry of what a Gateway serves.
    XTelemetryPolicy, "XTelemetryPolicy", "xtelemetrypolicies", experimental / "v1alpha1", namespaced,
    spec: XTelemetryPolicySpec, status: PolicyStatus
}

closed_enum! {
    /// True if something is done.
    TelemetryMode {
        /// It is.
        Enabled = "Enabled",
        /// It is not.
        Disabled = "Disabled",
        /// As the implementation likes.
        ImplementationDefault = "ImplementationDefault",
    }
}

closed_enum! {
    /// Where an attribute's value comes from.
    AttributeSourceType {
        /// A request header.
        Header = "Header",
        /// The policy itself.
        Literal = "Literal",
        /// A known attribute (GEP-5253).
        Attribute = "Attribute",
    }
}

/// Wanted state of an XTelemetryPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XTelemetryPolicySpec {
    /// The Gateways, 1 to 16.
    pub target_refs: Vec<LocalPolicyTargetReference>,
    /// Tracing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingSpec>,
}

/// Tracing: requests, sampling, and the collector of spans.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracingSpec {
    /// True if to trace; the other fields belong to `Enabled`.
    #[serde(default = "implementation_default")]
    pub mode: TelemetryMode,
    /// Where spans go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<TracingProvider>,
    /// Share of the requests without a traced parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_rate: Option<Fraction>,
    /// Sampling of requests with a traced parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_based_sampling: Option<ParentBasedSampling>,
    /// Attributes to add, each name once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<TelemetryAttribute>,
    /// Template of the span's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_name: Option<String>,
    /// The `service.name` resource attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
}

/// A collector that takes OTLP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TracingProvider {
    /// Where it is.
    pub backend_ref: BackendObjectReference,
    /// Headers to send with every export.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader>,
}

/// Sampling of requests with a traced parent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentBasedSampling {
    /// True if the parent decides.
    #[serde(default = "implementation_default")]
    pub mode: TelemetryMode,
    /// Share of those requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling_rate: Option<Fraction>,
}

/// One attribute; the field that `sourceType` names is present.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TelemetryAttribute {
    /// Its name in the span.
    pub name: String,
    /// Where its value comes from.
    pub source_type: AttributeSourceType,
    /// For `Header`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_name: Option<String>,
    /// For `Literal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal_value: Option<String>,
    /// For `Attribute`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribute_key: Option<String>,
}

fn implementation_default() -> TelemetryMode {
    TelemetryMode::ImplementationDefault
}
