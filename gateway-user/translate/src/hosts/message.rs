//! The words of notes on hosts: reasons, fields, fixes and sentences.

use std::collections::BTreeSet;

use gateway_ir::{Hostname, RouteId};

use super::examine::{Note, RuleName};
use super::verdict::MESSAGES_MAX;
use crate::Severity;
use crate::parent::listener_text;
use crate::reason;

impl Note {
    /// True if requests go elsewhere than one of the routes means.
    pub(super) fn is_conflict(&self) -> bool {
        match self {
            Self::OtherListener(_) | Self::Unreachable { .. } | Self::Takes { .. } | Self::Loses { .. } => {
                true
            }
            Self::Shares(_) | Self::SharedBy(_) | Self::LastOfOwner(_) => false,
        }
    }

    pub(super) fn is_ownership(&self) -> bool {
        matches!(self, Self::LastOfOwner(_))
    }

    /// The reason of the condition that it makes, if it makes one.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self {
            Self::OtherListener(_) | Self::Unreachable { .. } => Some(reason::RULE_NEVER_REACHED),
            Self::Takes { .. } => Some(reason::TAKES_REQUESTS),
            Self::Loses { .. } => Some(reason::LOSES_REQUESTS),
            Self::Shares(_) | Self::SharedBy(_) => Some(reason::SHARED),
            Self::LastOfOwner(_) => None,
        }
    }

    /// Severity, field and fix of its finding, if it makes one: of two routes in each other's way the younger
    /// has it.
    pub(super) fn diagnostic(&self) -> Option<(Severity, String, String)> {
        let warning = |field: String, fix: String| Some((Severity::Warning, field, fix));
        match self {
            Self::OtherListener(_) => warning(
                "hostnames".to_owned(),
                "attach the route to that listener, or change one of the hostnames".to_owned(),
            ),
            Self::Unreachable { rule, position, .. } => {
                let field = match position {
                    Some(position) => format!("rules[{rule}].matches[{position}]"),
                    None => format!("rules[{rule}]"),
                };
                warning(field, "change one of the two, or take this one away".to_owned())
            }
            Self::Takes { rule, .. } => warning(
                format!("rules[{rule}]"),
                "use another host or path; --host-ownership=oldest-namespace refuses it".to_owned(),
            ),
            Self::LastOfOwner(heir) => warning(
                "hostnames".to_owned(),
                format!(
                    "without it the host is namespace {:?}'s, unless a label of the Namespace keeps it",
                    heir.object.namespace
                ),
            ),
            Self::Shares(_) => Some((Severity::Note, "hostnames".to_owned(), String::new())),
            Self::Loses { .. } | Self::SharedBy(_) => None,
        }
    }
}

/// The route that the sentences are about.
#[derive(Clone, Copy)]
pub(super) struct MessageWriter<'a> {
    pub(super) route: &'a RouteId,
    /// True if the rule is said with its place: a condition has none.
    pub(super) with_place: bool,
}

impl MessageWriter<'_> {
    /// One thing in a sentence.
    pub(super) fn say(self, note: &Note, hosts: &BTreeSet<Option<Hostname>>) -> String {
        let on = named(hosts);
        match note {
            Note::OtherListener(listener) => format!(
                "no request for {on} reaches this route, because {} has a more specific hostname",
                listener_text(listener)
            ),
            Note::Unreachable { rule, position, by } => {
                let position = position.map(|position| format!(".matches[{position}]")).unwrap_or_default();
                let it = if self.with_place { format!("rules[{rule}]{position}") } else { "it".to_owned() };
                format!("no request for {on} reaches {it}: {} takes the same ones first", self.other(by))
            }
            Note::Takes { rule, path, from } => format!(
                "{} takes requests for {on} from {}, which is older and of another namespace",
                self.own(*rule, path),
                self.other(from)
            ),
            Note::Loses { rule, path, to } => format!(
                "{}, which is younger and of another namespace, takes requests for {on} from {}",
                self.other(to),
                self.own(*rule, path)
            ),
            Note::Shares(route) | Note::SharedBy(route) => {
                format!("{on} is served by {route} of another namespace too")
            }
            Note::LastOfOwner(heir) => format!(
                "this is the only route of its namespace on {on}, which {heir} of another namespace wants too"
            ),
        }
    }

    fn own(self, rule: usize, path: &str) -> String {
        if self.with_place { format!("rules[{rule}] ({path})") } else { path.to_owned() }
    }

    fn other(self, name: &RuleName) -> String {
        let route = if name.route == *self.route { String::new() } else { format!("{} ", name.route) };
        format!("{route}rules[{}] ({})", name.rule, name.path)
    }
}

/// `host "a.example.com"`, `hosts "a", "b" and others`.
fn named(hosts: &BTreeSet<Option<Hostname>>) -> String {
    let names: Vec<_> = hosts.iter().flatten().take(MESSAGES_MAX).map(|host| format!("\"{host}\"")).collect();
    match (hosts.contains(&None), names.as_slice()) {
        (true, _) | (_, []) => "any host".to_owned(),
        (false, [only]) => format!("host {only}"),
        (false, several) => {
            let more = if hosts.len() > MESSAGES_MAX { " and others" } else { "" };
            format!("hosts {}{more}", several.join(", "))
        }
    }
}
