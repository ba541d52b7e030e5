//! XBackendTrafficPolicy: retry budgets for Services (GEP-3388).

use serde::{Deserialize, Serialize};

use super::{LocalPolicyTargetReference, PolicyStatus, SessionPersistence};

resource! {
    /// Retries of requests to a backend, and sessions that are kept together.
    XBackendTrafficPolicy, "XBackendTrafficPolicy", "xbackendtrafficpolicies", experimental / "v1alpha1", namespaced,
    spec: XBackendTrafficPolicySpec, status: PolicyStatus
}

/// Wanted state of an XBackendTrafficPolicy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct XBackendTrafficPolicySpec {
    /// The backends, 1 to 16.
    pub target_refs: Vec<LocalPolicyTargetReference>,
    /// Part of the traffic that may be retries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_constraint: Option<RetryConstraint>,
    /// Keeps sessions on one endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_persistence: Option<SessionPersistence>,
}

/// Part of the traffic that may be retries; beyond it the response is 503.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryConstraint {
    /// The share of requests.
    #[serde(default)]
    pub budget: BudgetDetails,
    /// A rate that is always allowed.
    #[serde(default)]
    pub min_retry_rate: RequestRate,
}

/// A share of the requests of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetDetails {
    /// 0 to 100.
    #[serde(default = "twenty")]
    pub percent: u8,
    /// GEP-2257 duration, 1 s to 1 h.
    #[serde(default = "ten_seconds")]
    pub interval: String,
}

/// Requests per interval.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRate {
    /// 1 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// GEP-2257 duration, more than 0 s, at most 1 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}

impl Default for BudgetDetails {
    fn default() -> Self {
        Self { percent: twenty(), interval: ten_seconds() }
    }
}

impl Default for RequestRate {
    fn default() -> Self {
        Self { count: Some(10), interval: Some("1s".to_owned()) }
    }
}

fn twenty() -> u8 {
    20
}

fn ten_seconds() -> String {
    "10s".to_owned()
}
