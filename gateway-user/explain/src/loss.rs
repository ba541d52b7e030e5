//! Reasons and remedies as values.

use std::fmt;

use gateway_api_types::{Object, ResourceSet};
use gateway_ir::order::Clause;

/// One reason for which a route has not taken a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Its kind.
    pub reason: LossReason,
    /// Object, field and what is wrong there.
    pub message: String,
    /// The change after which this reason is gone, if one change of one object is enough.
    pub remedy: Option<Remedy>,
}

/// A kind of reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossReason {
    /// It names no parent at all.
    NoParent,
    /// Its parent does not exist.
    ParentMissing,
    /// Its parent is of a kind that is not served.
    ParentKind,
    /// Its parent is another controller's Gateway.
    ParentForeign,
    /// No listener has the section or port that it names.
    NoMatchingParent,
    /// No listener allows it.
    NotAllowed,
    /// No listener serves one of its hosts.
    NoMatchingHostname,
    /// Its parent refuses it for another reason.
    NotAccepted,
    /// A condition of its parent tells of a fault, such as a host that is another namespace's.
    Condition,
    /// The listeners of its Gateway are not served.
    ListenerNotServed,
    /// Its listener is on another port.
    OtherPort,
    /// Another listener takes the request's host.
    OtherListener,
    /// It is attached to the listener, but not for the request's host.
    OtherHost,
    /// Another rule goes first, by this clause of the order of precedence; `None` if that cannot be told.
    GoesFirst(Option<Clause>),
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq)]
pub struct Remedy {
    /// The change, for people: a field with its value, a command, or an object in YAML.
    pub text: String,
    /// The object after the change.
    pub object: Object,
}

impl LossReason {
    /// The stable code, in snake_case.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoParent => "no_parent",
            Self::ParentMissing => "parent_missing",
            Self::ParentKind => "parent_kind",
            Self::ParentForeign => "parent_foreign",
            Self::NoMatchingParent => "no_matching_parent",
            Self::NotAllowed => "not_allowed",
            Self::NoMatchingHostname => "no_matching_hostname",
            Self::NotAccepted => "not_accepted",
            Self::Condition => "condition",
            Self::ListenerNotServed => "listener_not_served",
            Self::OtherPort => "other_port",
            Self::OtherListener => "other_listener",
            Self::OtherHost => "other_host",
            Self::GoesFirst(_) => "goes_first",
        }
    }
}

impl Loss {
    pub(crate) fn new(reason: LossReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), remedy: None }
    }

    pub(crate) fn with(mut self, remedy: Option<Remedy>) -> Self {
        self.remedy = remedy;
        self
    }
}

impl Remedy {
    /// The resources after the change.
    pub fn apply(&self, resources: &ResourceSet) -> ResourceSet {
        let mut changed = resources.clone();
        changed.insert(self.object.clone(), None);
        changed
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
