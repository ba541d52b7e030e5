//! Diagnostics of watches, and of objects that are fetched one by one.

use std::collections::BTreeSet;

use gateway_api_types::load::{Diagnostic, Position, Severity};
use gateway_api_types::{Kind, ObjectKey};

use super::{Inner, WatchId};
use crate::source::kube::kinds::Subject;

impl Inner {
    /// Missing part of the source before anything may be served.
    pub(super) fn waits_for(&self) -> Option<String> {
        if self.waits_no_more {
            return None;
        }
        let missing: Vec<&WatchId> = self
            .watches
            .iter()
            .filter(|(_, state)| !state.has_responded(self.stale))
            .map(|(id, _)| id)
            .collect();
        let Some(first) = missing.first() else {
            let pending = self.wanted.pending(|(kind, key)| self.held(*kind, key).is_some());
            return (pending > 0).then(|| {
                format!("waiting for {pending} certificates that Gateways and BackendTLSPolicies refer to")
            });
        };
        let state = self.watches.get(*first)?;
        Some(match state.current_error() {
            Some(failure) => failure.line(first.subject, first.namespace.as_deref(), false),
            None => {
                format!("waiting for the first list of {} of {} kinds", missing.len(), self.watches.len())
            }
        })
    }

    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let broken = self.broken.values().flatten().cloned();
        self.diagnostics_of_watches().into_iter().chain(broken).chain(self.diagnostics_of_wanted()).collect()
    }

    pub(super) fn diagnostics_of_wanted(&self) -> impl Iterator<Item = Diagnostic> {
        let failed = self.wanted.failures().map(|((kind, key), why)| {
            let rest = match (self.held(*kind, key).is_some(), kind) {
                (true, _) => "its last version stays in force",
                (false, Kind::Secret) => "listeners that refer to it have no certificate",
                (false, _) => "BackendTLSPolicies and listeners that refer to it trust nobody",
            };
            about(*kind, key, format!("cannot be read, so {rest}; tried again: {why}"))
        });
        let keyless = self.wanted.without_key().map(|key| {
            let message = "its private key is not kept on disk (--last-good=no-keys), so listeners that refer to it have no \
                           certificate until the API server responds";
            about(Kind::Secret, key, message.to_owned())
        });
        failed.chain(keyless)
    }

    /// Namespaces that are to be read and are not there: one that comes later is read then.
    pub(super) fn missing_namespaces(&self) -> impl Iterator<Item = Diagnostic> {
        let named = self.watches.iter().filter(|(id, state)| {
            id.subject == Subject::Objects(Kind::Namespace) && state.synced && state.current_error().is_none()
        });
        let names = named.filter_map(|(id, _)| id.namespace.as_deref());
        let missing = names.filter(|name| self.held(Kind::Namespace, &ObjectKey::new("", *name)).is_none());
        missing.map(|name| Diagnostic {
            file: "".into(),
            position: Position::default(),
            severity: Severity::Warning,
            object: String::new(),
            field: String::new(),
            message: format!(
                "--watch-namespaces: the cluster has no namespace {name:?}, so nothing is read there"
            ),
        })
    }

    /// One line for each reason, however many kinds it is the reason of.
    pub(super) fn diagnostics_of_watches(&self) -> Vec<Diagnostic> {
        let mut said = BTreeSet::new();
        let failing = self.watches.iter().filter_map(|(id, state)| Some((id, state, state.current_error()?)));
        failing
            .map(|(id, state, failure)| {
                let synced = state.synced || self.stale;
                (failure, failure.line(id.subject, id.namespace.as_deref(), synced))
            })
            .filter(|(failure, line)| {
                said.insert(if failure.is_common() { String::new() } else { line.clone() })
            })
            .map(|(_, message)| Diagnostic {
                file: "".into(),
                position: Position::default(),
                severity: Severity::Error,
                object: String::new(),
                field: String::new(),
                message,
            })
            .chain(self.missing_namespaces())
            .collect()
    }
}

fn about(kind: Kind, key: &ObjectKey, message: String) -> Diagnostic {
    Diagnostic {
        file: "".into(),
        position: Position::default(),
        severity: Severity::Error,
        object: format!("{kind} {key}"),
        field: String::new(),
        message,
    }
}

pub(super) fn outcome(kind: Kind, key: &ObjectKey, held: bool) -> Diagnostic {
    let message =
        if held { "its last good version stays in force" } else { "it is left out, and all else is served" };
    Diagnostic {
        file: "".into(),
        position: Position::default(),
        severity: Severity::Warning,
        object: format!("{kind} {key}"),
        field: String::new(),
        message: message.to_owned(),
    }
}
