//! Secrets of session tickets, which a controller gives to the nodes of each Gateway, so that clients come back to any of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway_ir::{Ir, ObjectName};
use gateway_tls::{TicketRoots, TicketSecret, Tickets};
use jiff::Timestamp;
use tracing::warn;

/// Secrets by Gateway, newest first.
type Secrets = Arc<BTreeMap<ObjectName, Vec<TicketSecret>>>;

/// A controller's roots, and the secrets that nodes have been given.
#[derive(Debug)]
pub(super) struct TicketGiver {
    /// `None` without randomness: then each node has secrets of its own.
    roots: Option<TicketRoots>,
    given: Secrets,
}

impl TicketGiver {
    pub(super) fn new() -> Self {
        let roots = TicketRoots::new(now())
            .inspect_err(|error| warn!("nodes have no session tickets in common: {error}"));
        Self { roots: roots.ok(), given: Arc::default() }
    }

    /// In how long there is a new root.
    pub(super) fn due_in(&self) -> Option<Duration> {
        let turn = self.roots.as_ref().map(TicketRoots::next_turn)?;
        Some(Duration::from_secs(turn.saturating_sub(now())))
    }

    /// The secrets as of now; the same as before by `Arc` unless one differs.
    pub(super) fn follow(&mut self, ir: &Ir) -> Secrets {
        let Some(roots) = &mut self.roots else { return Arc::default() };
        let turned = roots.turn(now());
        let listeners = ir.binds.iter().flat_map(|bind| &bind.listeners);
        let ends_tls = listeners.filter(|listener| listener.serve.terminates_tls());
        let mut gateways: Vec<&ObjectName> = ends_tls.map(|listener| &listener.id.gateway).collect();
        gateways.sort_unstable();
        gateways.dedup();
        if turned || !gateways.iter().copied().eq(self.given.keys()) {
            let secrets = |name: &ObjectName| (name.clone(), roots.of_gateway(&name.to_string()));
            self.given = Arc::new(gateways.into_iter().map(secrets).collect());
        }
        Arc::clone(&self.given)
    }
}

/// A node's keys, and what its controller gave it last.
#[derive(Debug)]
pub(super) struct TicketTaker {
    tickets: Tickets,
    taken: Secrets,
}

impl TicketTaker {
    pub(super) fn new(tickets: Tickets) -> Self {
        Self { tickets, taken: Arc::default() }
    }

    /// Goes on with these secrets. With none, as a copy on disk has, those of before are used on.
    pub(super) fn take(&mut self, secrets: &Secrets) {
        if secrets.is_empty() || Arc::ptr_eq(secrets, &self.taken) {
            return;
        }
        for (gateway, now) in secrets.iter().filter(|(gateway, now)| self.taken.get(gateway) != Some(*now)) {
            self.tickets.give(&gateway.to_string(), now);
        }
        let names: std::collections::HashSet<String> = secrets.keys().map(ToString::to_string).collect();
        self.tickets.keep_given(|gateway| names.contains(gateway));
        self.taken = Arc::clone(secrets);
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}
