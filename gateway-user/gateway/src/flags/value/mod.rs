//! The types that settings have: how each is written, and what is allowed.

mod list;
mod number;
mod remote;
mod word;

pub(crate) use list::{
    Addresses, AllowedPorts, Capabilities, Cidrs, Cpus, Namespaces, Networks, Ports, Uids, UpgradeProtocols,
};
pub(crate) use number::{Auto, Count, Limit, Size, Wait, WaitOrOff, bytes_text};
pub(crate) use remote::{Accounts, Controller};
pub(crate) use word::{
    AccessLog, AddressMode, AfterTakeOver, ControllerName, EncodedSeparators, FilePath, Interface, IoMode,
    LastGood, Listen, LogFilter, MergeSlashes, NodeEndpoints, NodeReports, ObjectName, OptionalPath,
    Ownership, ReasonHeader, RequestTrailers, Seccomp, StateDir, SteeringMode, TakeOver, Toggle,
    UnderscoreHeaders, UnfinishedWrites, User,
};

/// A type that a setting can have.
pub(crate) trait Value: Sized {
    /// Reads what the user wrote, without surrounding blanks.
    fn parse(text: &str) -> Option<Self>;

    /// Allowed values, as the object of "write": `a number from 1 to 64`.
    fn allowed() -> String;
}

/// Decimal digits and nothing else: `u64::from_str` would also take a leading `+`.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

fn dns_name(text: &str) -> bool {
    gateway_ir::Hostname::parse(text).is_ok_and(|name| matches!(name, gateway_ir::Hostname::Exact(_)))
        && !text.bytes().any(|b| b.is_ascii_uppercase())
}
