//! Binds that must not be taken, each with its reason.

use std::collections::{BTreeSet, HashSet};
use std::io;

use gateway_ir::BindAddress;
use ipnet::IpNet;

use crate::local::{self, Listening};
use crate::{RESERVED_PORTS, SteerBind, SteerOptions, SteerPlan, sockets};

/// A bind that is not served, and what the user can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The bind.
    pub bind: SteerBind,
    /// The reason, for programs.
    pub reason: RejectionReason,
    /// The reason and the remedy in one line, for people.
    pub message: String,
}

/// Reasons to refuse a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectionReason {
    /// On the operator's list of ports that are never taken.
    Reserved,
    /// Another program, or another part of this one, listens there.
    InUse,
    /// The address is not one of this network namespace.
    AddressNotLocal,
    /// Served on a higher port for want of a right, and another bind has that port.
    OffsetClash,
    /// Port of the workers' own sockets.
    InternalPort,
    /// The system does not say who listens.
    Unknown,
    /// bind(2) or listen(2) failed.
    BindFailed,
    /// The kernel programs' map took no entry for it.
    KernelRefused,
    /// Not on the operator's list of ports that may be taken.
    NotAllowed,
    /// Another program held the port when it was asked for, and may be about to come back.
    Awaited,
}

/// Input of a check: how connections arrive.
pub(crate) struct CheckContext<'a> {
    pub(crate) reserved: &'a BTreeSet<u16>,
    /// Ports that may be taken; `None` is all.
    pub(crate) allowed: Option<&'a BTreeSet<u16>>,
    /// Networks on whose addresses no port is reserved.
    pub(crate) pool: &'a [IpNet],
    /// Our own listening sockets.
    pub(crate) own: &'a HashSet<u64>,
    /// Port of the worker sockets, with kernel programs.
    pub(crate) internal_port: Option<u16>,
    /// Port that is really bound for a wanted one.
    pub(crate) bound_port: &'a dyn Fn(SteerBind) -> Result<u16, String>,
    /// True if a bind is ours already. With kernel programs anybody may still bind such a port, and must not
    /// take a running listener off the air by it: first come, first served.
    pub(crate) live: &'a dyn Fn(SteerBind) -> bool,
}

impl RejectionReason {
    /// True if it may hold no more though neither settings nor resources change.
    pub fn is_transient(self) -> bool {
        match self {
            Self::InUse
            | Self::AddressNotLocal
            | Self::Unknown
            | Self::BindFailed
            | Self::KernelRefused
            | Self::Awaited => true,
            Self::Reserved | Self::OffsetClash | Self::InternalPort | Self::NotAllowed => false,
        }
    }

    /// The reason in the style of condition reasons.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "PortReserved",
            Self::InUse => "PortInUse",
            Self::AddressNotLocal => "AddressNotLocal",
            Self::OffsetClash => "PortOffsetClash",
            Self::InternalPort => "InternalPort",
            Self::Unknown => "Unknown",
            Self::BindFailed => "BindFailed",
            Self::KernelRefused => "KernelRefused",
            Self::NotAllowed => "PortNotAllowed",
            Self::Awaited => "PortAwaited",
        }
    }
}

/// Every bind of the plan that must be left out; ordered like the plan.
pub(crate) fn check(plan: &SteerPlan, context: &CheckContext<'_>) -> Vec<Rejection> {
    let listening = local::listening();
    let judge = |bind: &SteerBind| {
        let (reason, message) = judge(*bind, plan, context, &listening)?;
        Some(Rejection { bind: *bind, reason, message })
    };
    plan.binds.iter().filter_map(judge).collect()
}

impl SteerOptions {
    /// The binds of a plan that these options rule out wherever the process runs; ordered like the plan.
    pub fn refused(&self, plan: &SteerPlan) -> Vec<Rejection> {
        let judge = |bind: &SteerBind| {
            let (reason, message) =
                ruled_out(*bind, &self.reserved_ports, self.allowed_ports.as_ref(), &self.pool)?;
            Some(Rejection { bind: *bind, reason, message })
        };
        plan.binds.iter().filter_map(judge).collect()
    }
}

/// The verdict of settings alone on a bind.
fn ruled_out(
    bind: SteerBind,
    reserved_ports: &BTreeSet<u16>,
    allowed: Option<&BTreeSet<u16>>,
    pool: &[IpNet],
) -> Option<(RejectionReason, String)> {
    if allowed.is_some_and(|allowed| !allowed.contains(&bind.port)) {
        let message = format!(
            "port {} is not one that this node serves (--allowed-ports); choose another, or have it put on that list",
            bind.port
        );
        return Some((RejectionReason::NotAllowed, message));
    }
    let is_of_pool = match bind.address {
        BindAddress::Any => false,
        BindAddress::Ip(ip) => pool.iter().any(|network| network.contains(&ip.to_canonical())),
    };
    (reserved_ports.contains(&bind.port) && !is_of_pool)
        .then(|| (RejectionReason::Reserved, reserved(bind.port)))
}

fn judge(
    bind: SteerBind,
    plan: &SteerPlan,
    context: &CheckContext<'_>,
    listening: &io::Result<Vec<Listening>>,
) -> Option<(RejectionReason, String)> {
    if let Some(refused) = ruled_out(bind, context.reserved, context.allowed, context.pool) {
        return Some(refused);
    }
    if context.internal_port == Some(bind.port) && bind.transport.is_tcp() {
        let message = format!("port {} is Sluice's own for now; a restart chooses another one", bind.port);
        return Some((RejectionReason::InternalPort, message));
    }
    let port = match (context.bound_port)(bind) {
        Ok(port) => port,
        Err(message) => return Some((RejectionReason::BindFailed, message)),
    };
    if port != bind.port
        && let Some(other) = plan.binds.iter().find(|other| other.port == port && overlap(bind, **other))
    {
        let message = format!(
            "port {} needs CAP_NET_BIND_SERVICE and is served on port {port} without it, but {other} has \
             that port; give the right, or choose another --unprivileged-offset",
            bind.port
        );
        return Some((RejectionReason::OffsetClash, message));
    }
    if let BindAddress::Ip(ip) = bind.address
        && !ip.is_unspecified()
        && let Err(e) = sockets::is_local(ip)
    {
        let message =
            format!("{ip} is not an address of this node ({e}); assign it, or take it off the Gateway");
        return Some((RejectionReason::AddressNotLocal, message));
    }
    if (context.live)(bind) || (context.live)(SteerBind::any(bind.port)) {
        return None;
    }
    if !bind.transport.is_tcp() {
        // Binding tells.
        return None;
    }
    match listening {
        Err(e) => Some((RejectionReason::Unknown, format!("cannot tell who listens on port {port}: {e}"))),
        Ok(listening) => listening
            .iter()
            .find(|l| l.port == port && !context.own.contains(&l.inode) && l.overlaps(bind.address))
            .map(|foreign| (RejectionReason::InUse, in_use(foreign))),
    }
}

fn reserved(port: u16) -> String {
    let usual = RESERVED_PORTS.iter().find(|(p, _)| *p == port).map(|(_, what)| format!(" for {what}"));
    format!(
        "port {port} is reserved on this node{}; choose another port, or take it off --reserved-ports",
        usual.unwrap_or_default()
    )
}

fn in_use(foreign: &Listening) -> String {
    let holder = match local::holder(foreign.inode) {
        Some(holder) if holder.pid == std::process::id() => {
            "this process itself (an admin, health or metrics address)".to_owned()
        }
        Some(holder) => format!("{} (pid {})", holder.program, holder.pid),
        None => format!(
            "a process of uid {} (`ss -ltnp` by root names it, as we do with --keep-capabilities=CAP_SYS_PTRACE)",
            foreign.uid
        ),
    };
    let at = std::net::SocketAddr::new(foreign.address, foreign.port);
    format!("{holder} listens on {at}; stop it, or choose another port")
}

fn overlap(a: SteerBind, b: SteerBind) -> bool {
    let same = a.address == BindAddress::Any || b.address == BindAddress::Any || a.address == b.address;
    same && a.transport == b.transport
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context<'a>(own: &'a HashSet<u64>, reserved: &'a BTreeSet<u16>) -> CheckContext<'a> {
        CheckContext {
            reserved,
            allowed: None,
            pool: &[],
            own,
            internal_port: Some(40_000),
            bound_port: &|bind| Ok(bind.port),
            live: &|_| false,
        }
    }

    #[test]
    fn reserved_and_internal_ports_are_refused() {
        let (own, list) = (HashSet::new(), BTreeSet::from([22, 8022]));
        let plan: SteerPlan = [22, 8022, 40_000].into_iter().map(SteerBind::any).collect();
        let refused = check(&plan, &context(&own, &list));
        let reasons: Vec<_> = refused.iter().map(|r| (r.bind.port, r.reason)).collect();
        assert_eq!(
            reasons,
            [
                (22, RejectionReason::Reserved),
                (8022, RejectionReason::Reserved),
                (40_000, RejectionReason::InternalPort)
            ]
        );
        assert!(refused[0].message.contains("SSH") && refused[0].message.contains("--reserved-ports"));
    }

    #[test]
    fn no_port_is_reserved_on_addresses_of_the_pool() {
        let (own, list) = (HashSet::new(), BTreeSet::from([7022]));
        let pool: [IpNet; 1] = ["127.0.0.8/30".parse().unwrap()];
        let context = CheckContext { pool: &pool, ..context(&own, &list) };
        let at = |address: &str| SteerBind::exact(address.parse().unwrap());
        let plan: SteerPlan =
            [SteerBind::any(7022), at("127.0.0.7:7022"), at("127.0.0.9:7022")].into_iter().collect();
        let refused: Vec<_> =
            check(&plan, &context).iter().map(|rejection| rejection.bind.to_string()).collect();
        assert_eq!(refused, ["*:7022", "127.0.0.7:7022"]);
    }

    #[test]
    fn of_allowed_ports_alone_are_listeners_served() {
        let (own, list, allowed) = (HashSet::new(), BTreeSet::new(), BTreeSet::from([7080, 7443]));
        let context = CheckContext { allowed: Some(&allowed), ..context(&own, &list) };
        let plan: SteerPlan = [7080, 7081, 7443].into_iter().map(SteerBind::any).collect();
        let refused = check(&plan, &context);
        assert_eq!(
            refused.iter().map(|r| (r.bind.port, r.reason)).collect::<Vec<_>>(),
            [(7081, RejectionReason::NotAllowed)]
        );
        assert!(refused[0].message.contains("--allowed-ports") && !refused[0].reason.is_transient());
    }

    #[test]
    fn a_port_moved_up_must_not_meet_another_bind() {
        let (own, list) = (HashSet::new(), BTreeSet::new());
        let moved: &dyn Fn(SteerBind) -> Result<u16, String> =
            &|bind| Ok(if bind.port < 1024 { bind.port + 8000 } else { bind.port });
        let context = CheckContext { internal_port: None, bound_port: moved, ..context(&own, &list) };
        let plan: SteerPlan = [SteerBind::any(80), SteerBind::any(8080)].into_iter().collect();
        let refused = check(&plan, &context);
        let clash: Vec<_> = refused.iter().filter(|r| r.reason == RejectionReason::OffsetClash).collect();
        assert_eq!(clash.len(), 1);
        assert_eq!(clash[0].bind.port, 80);
    }

    #[test]
    fn an_address_of_nobody_is_refused() {
        let (own, list) = (HashSet::new(), BTreeSet::new());
        let bind = SteerBind::exact("192.0.2.1:80".parse().unwrap()); // RFC 5737: documentation only
        let refused = check(&[bind].into_iter().collect(), &context(&own, &list));
        assert_eq!(refused.iter().map(|r| r.reason).collect::<Vec<_>>(), [RejectionReason::AddressNotLocal]);
    }
}
