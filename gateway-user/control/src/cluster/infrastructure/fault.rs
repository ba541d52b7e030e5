//! Reasons for which a Gateway lacks its account, in users' words.

use std::collections::BTreeMap;

use gateway_ir::ObjectName;
use kube::Error;

use super::account::WantedAccount;

/// A reason for which a Gateway has not what its infrastructure asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfrastructureFault {
    /// `NameTaken`, `NameTooLong` or `NotWritten`: the condition's reason.
    pub reason: &'static str,
    /// The object, what is wrong with it, and what to do.
    pub message: String,
}

/// Faults by Gateway; those without one are not in here.
pub type InfrastructureFaults = BTreeMap<ObjectName, InfrastructureFault>;

pub(super) fn described(wanted: &WantedAccount) -> String {
    format!("ServiceAccount {}/{}", wanted.gateway.namespace, wanted.name)
}

pub(super) fn taken(wanted: &WantedAccount) -> InfrastructureFault {
    let message = format!(
        "infrastructure: {} is not this Gateway's and stays as it is; rename it or the Gateway",
        described(wanted)
    );
    InfrastructureFault { reason: "NameTaken", message }
}

pub(super) fn refused(verb: &str, wanted: &WantedAccount, error: &Error) -> InfrastructureFault {
    not_written(format!("{verb} {}: {error}{}", described(wanted), hint(error, verb)))
}

pub(super) fn hint(error: &Error, verb: &str) -> String {
    let is_denied = matches!(error, Error::Api(status) if status.code == 403);
    match is_denied {
        true => format!("; allow verb {verb} on serviceaccounts, or set --gateway-accounts=false"),
        false => String::new(),
    }
}

pub(super) fn not_written(message: String) -> InfrastructureFault {
    InfrastructureFault { reason: "NotWritten", message: format!("infrastructure: {message}; tried again") }
}
