//! Ports that another program held when a Gateway asked for them.
//!
//! A listener that lay in wait for such a port would get it while the other program restarts; with kernel
//! programs that program could then bind and serve nobody. So a port that was found held has to have been
//! free for long, or somebody has to edit the Gateway, who then means it.

use std::collections::BTreeMap;
use std::time::Duration;

use gateway_ir::{Bind, BindAddress, ObjectName};
use gateway_steer::{Rejection, RejectionReason, SteerBind, SteerPlan};
use gateway_sync::item::Desired;
use tokio::time::Instant;

/// Time from the start of a process in which its predecessor's sockets may still close. With io_uring the
/// kernel takes a killed process's sockets apart a moment after the process is gone.
const PREDECESSOR: Duration = Duration::from_secs(10);

/// The ports that were found held.
#[derive(Debug)]
pub(crate) struct HeldPorts {
    /// Time for which a port must have been free.
    patience: Duration,
    /// Until when what was held at the first look may be our predecessor's; `None` if there is none that
    /// died.
    predecessor: Predecessor,
    held: BTreeMap<SteerBind, HeldPort>,
}

#[derive(Debug)]
enum Predecessor {
    /// Nothing was looked at yet.
    Unknown,
    /// It may have died shortly before this moment.
    Until(Instant),
    /// It lives, and what it has is known.
    None,
}

#[derive(Debug)]
struct HeldPort {
    /// The Gateways whose listeners are on it, with their marks: another one says that somebody edited it.
    gateways: Vec<(ObjectName, String)>,
    /// Description of the process that holds it.
    by: String,
    /// Since when nobody does.
    free_since: Option<Instant>,
    /// True if it was held at the first look of all.
    at_first: bool,
}

impl HeldPorts {
    /// A port has to have been free for `patience`; zero takes it as soon as it is. `beside` a process that
    /// serves there is no predecessor whose sockets are about to close.
    pub(crate) fn new(patience: Duration, beside: bool) -> Self {
        let predecessor = if beside { Predecessor::None } else { Predecessor::Unknown };
        Self { patience, predecessor, held: BTreeMap::new() }
    }

    /// The rejections of `wanted` together with those of ports that were held and have not been free for long
    /// enough.
    pub(crate) fn judge(
        &mut self,
        wanted: &SteerPlan,
        mut refused: Vec<Rejection>,
        desired: &Desired,
    ) -> Vec<Rejection> {
        let now = Instant::now();
        self.held.retain(|bind, _| wanted.binds.contains(bind));
        self.note(&refused, desired);
        if matches!(self.predecessor, Predecessor::Unknown) {
            self.predecessor = Predecessor::Until(now + PREDECESSOR);
        }
        let may_be_predecessors = match self.predecessor {
            Predecessor::Until(end) => now < end,
            Predecessor::Unknown | Predecessor::None => false,
        };
        let patience = self.patience;
        self.held.retain(|bind, held| {
            if refused.iter().any(|rejection| rejection.bind == *bind) {
                held.free_since = None;
                return true;
            }
            let since = *held.free_since.get_or_insert(now);
            let in_again = now.duration_since(since) >= patience
                || held.at_first && may_be_predecessors
                || held.gateways != gateways(*bind, desired);
            if !in_again {
                refused.push(held.rejection(*bind, patience));
            }
            !in_again
        });
        refused.sort_by_key(|rejection| rejection.bind);
        refused
    }

    /// Remembers those of `refused` that another program holds.
    pub(crate) fn note(&mut self, refused: &[Rejection], desired: &Desired) {
        let at_first = matches!(self.predecessor, Predecessor::Unknown);
        for rejection in refused.iter().filter(|rejection| rejection.reason == RejectionReason::InUse) {
            let gateways = gateways(rejection.bind, desired);
            let by = rejection.message.split(';').next().unwrap_or_default().to_owned();
            let held = self.held.entry(rejection.bind);
            let held = held.or_insert(HeldPort {
                gateways: Vec::new(),
                by: String::new(),
                free_since: None,
                at_first,
            });
            (held.gateways, held.by, held.free_since) = (gateways, by, None);
        }
    }
}

impl HeldPort {
    fn rejection(&self, bind: SteerBind, patience: Duration) -> Rejection {
        let message = format!(
            "port {} is free, but was not when it was asked for ({}); it is taken once it has been free for {} s \
             (--freed-ports-after), or at once when its Gateway is edited",
            bind.port,
            self.by,
            patience.as_secs()
        );
        Rejection { bind, reason: RejectionReason::Awaited, message }
    }
}

/// The Gateways whose listeners are on a bind, in the order of their names, with their marks.
fn gateways(bind: SteerBind, desired: &Desired) -> Vec<(ObjectName, String)> {
    let same = |address: BindAddress| address == bind.address;
    let same_port = |other: &Bind| other.port == bind.port && other.transport() == bind.transport;
    let found = desired.ir.binds.iter().filter(|other| same_port(other) && same(other.address));
    let mut names: Vec<_> =
        found.flat_map(|bind| &bind.listeners).map(|listener| &listener.id.gateway).collect();
    names.sort();
    names.dedup();
    let marked = |name: &ObjectName| Some((name.clone(), desired.gateways.get(name)?.clone()));
    names.into_iter().filter_map(marked).collect()
}
