//! Settings of steering, and their defaults.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use gateway_common::{MAX_POOL, SteerGuard};
use ipnet::IpNet;

use crate::{Helper, SteerError};

/// Steering mode: how connections reach the workers (`--steering`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SteeringMode {
    /// Kernel programs where they can be loaded, else `SO_REUSEPORT`, saying why.
    #[default]
    Auto,
    /// Kernel programs or nothing.
    Ebpf,
    /// A listening socket per worker and bind; no kernel programs.
    ReusePort,
}

/// Directory that bpffs is usually mounted at.
pub const DEFAULT_BPFFS: &str = "/sys/fs/bpf";

/// Ports that are refused unless the operator takes them off the list, and what is usually behind them.
pub const RESERVED_PORTS: [(u16, &str); 8] = [
    (22, "SSH"),
    (2379, "etcd clients"),
    (2380, "etcd peers"),
    (6443, "the Kubernetes API server"),
    (10250, "the kubelet"),
    (10256, "kube-proxy's health check"),
    (10257, "the controller manager"),
    (10259, "the scheduler"),
];

/// Options of [`Steering::open`](crate::Steering::open).
#[derive(Clone, Debug)]
pub struct SteerOptions {
    /// Number of workers, 1 to 256: one slot and one listening socket each.
    pub workers: usize,
    /// Name of this process among others on the node, letters, digits, `-` and `_`: its pins lie in a
    /// directory of that name.
    pub instance: String,
    /// Version of the maps' layout: pins of another one lie in another directory, so nobody takes
    /// them for his own.
    pub layout: u32,
    /// Directory that bpffs is mounted at. Without one, programs are loaded all the same, but not pinned.
    pub bpffs: PathBuf,
    /// Number of connections that may wait for accept(2) per socket; the kernel caps it at
    /// `net.core.somaxconn` (listen(2)).
    pub backlog: u32,
    /// Ports that are never taken on an address of the node.
    pub reserved_ports: BTreeSet<u16>,
    /// Ports that may be taken; `None` is all.
    pub allowed_ports: Option<BTreeSet<u16>>,
    /// Networks whose addresses are given to Gateways: they are not the node's own, and no port is reserved
    /// on them. At most 64.
    pub pool: Vec<IpNet>,
    /// Most placeholder sockets with kernel programs; each takes a descriptor, 0 makes none.
    pub placeholders: usize,
    /// Number added to privileged ports where the process may not bind them; `None` refuses such binds
    /// instead. Kernel programs need no privileged bind and ignore it.
    pub unprivileged_offset: Option<u16>,
    /// A process that does what takes a right; `None` where this one has the rights, or does without.
    pub helper: Option<Arc<dyn Helper>>,
}

impl SteerOptions {
    /// The defaults for so many workers of the process called `instance`.
    pub fn new(workers: usize, instance: impl Into<String>) -> Self {
        Self {
            workers,
            instance: instance.into(),
            layout: gateway_common::LAYOUT_VERSION,
            bpffs: PathBuf::from(DEFAULT_BPFFS),
            backlog: 4096,
            reserved_ports: RESERVED_PORTS.iter().map(|(port, _)| *port).collect(),
            allowed_ports: None,
            pool: Vec::new(),
            placeholders: 1024,
            unprivileged_offset: Some(8000),
            helper: None,
        }
    }

    /// Ports and networks that the kernel programs never steer; `None` if there are too many networks.
    pub(crate) fn guard(&self) -> Option<SteerGuard> {
        let mut guard = SteerGuard::NONE;
        self.reserved_ports.iter().for_each(|port| guard.reserve(*port));
        let exempt = |network: &IpNet| guard.exempt(network.network(), network.prefix_len());
        IpNet::aggregate(&self.pool).iter().all(exempt).then_some(guard)
    }

    pub(crate) fn validate(&self) -> Result<(), SteerError> {
        let bad = |option, reason: String| Err(SteerError::Option { option, reason });
        let most = gateway_common::MAX_SLOTS as usize;
        if self.workers == 0 || self.workers > most {
            return bad("workers", format!("{} is not between 1 and {most}", self.workers));
        }
        if self.guard().is_none() {
            return bad("address-pool", format!("more than {MAX_POOL} networks; join some of them"));
        }
        // bpffs allows no dots in names; a slash would leave the directory.
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.instance.is_empty() || self.instance.len() > 64 || !self.instance.chars().all(allowed) {
            return bad(
                "instance",
                format!("{:?} is not 1 to 64 letters, digits, '-' and '_'", self.instance),
            );
        }
        Ok(())
    }
}
