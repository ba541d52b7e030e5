//! `sluice helper`: holds the rights of a gateway that has none.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway_control::addresses::{link, netlink};
use gateway_helper::{Duties, Policy, Server};
use gateway_proxy::worker::Heartbeat;
use gateway_steer::{AddressCheck, LendOptions};
use rustix::thread::CapabilitySet;
use tracing::{info, warn};

use super::{End, bad_settings};
use crate::admin::ProbeServer;
use crate::cli::HelperArgs;
use crate::confinement::{Confinement, Denials};
use crate::flags::Settings;
use crate::identity::Identity;
use crate::{instance, logging, pool, privileges, signals, state_dir, wire};

/// Capabilities that something takes which a helper does.
const NEEDED: CapabilitySet = CapabilitySet::BPF
    .union(CapabilitySet::PERFMON)
    .union(CapabilitySet::NET_ADMIN)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    // A state directory, its files and sockets: whoever's they were.
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER);

/// Time between two looks at system calls that were denied.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Work of a helper that other crates do.
#[derive(Debug)]
struct Work {
    interface: Option<String>,
    state_dir: PathBuf,
    uid: u32,
    /// Looks for other hosts before an address is put on the interface.
    check: Option<Mutex<AddressCheck>>,
}

fn lock(check: &Mutex<AddressCheck>) -> MutexGuard<'_, AddressCheck> {
    check.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves gateways until a signal asks to stop.
pub(super) fn run(args: HelperArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let HelperArgs { socket, node_uid: uid, hold_connections, .. } = args;
    if uid == 0 {
        bail!("--node-uid 0: root needs no helper; name the user that `sluice run` runs as");
    }
    let confinement = Confinement::of_helper(settings.seccomp);
    let (_log_control, _log_flush) = logging::init(&settings.log.0, &Identity::default(), confinement)?;
    let probe_socket = settings.probe_socket.0.as_deref();
    let probes = ProbeServer::start(probe_socket, &Identity::default(), confinement)?;
    let work = work(&settings, uid)?;
    let policy = Policy {
        reserved_ports: settings.reserved_ports.0.iter().copied().collect(),
        allowed_ports: settings.allowed_ports.0.as_ref().map(|ports| ports.iter().copied().collect()),
        pool: settings.address_pool.0.clone(),
        interface: work.interface.clone(),
    };
    let lend = LendOptions {
        reserved_ports: policy.reserved_ports.clone(),
        allowed_ports: policy.allowed_ports.clone(),
        pool: policy.pool.clone(),
        bpffs: settings.bpffs.0.clone(),
        layout: wire::layout(),
    };
    // What a helper before this one has left; gateways hold on to what they use.
    if let Err(error) = gateway_steer::cleanup(&settings.bpffs.0) {
        warn!("not everything that dead processes left could be removed: {error}");
    }
    let at = || format!("--socket {}", socket.display());
    let name = instance::helper_name(&socket);
    let server = Server::listen(&socket, uid, policy, lend, name, hold_connections.0, Box::new(work))
        .with_context(at)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut orders = signals::listen()?;
        let kept = privileges::keep_alone(NEEDED).context("dropping rights")?;
        confinement.helper();
        server.start()?;
        info!("serving uid {uid} at {} with {}", socket.display(), kept.join(", "));
        let mut denials = Denials::default();
        let heartbeat = Arc::new(Heartbeat::default());
        probes.helps(Arc::clone(&heartbeat));
        let signal = loop {
            denials.report();
            heartbeat.stamp();
            tokio::select! {
                signal = orders.stop() => break signal,
                () = tokio::time::sleep(REPORT_INTERVAL) => {}
            }
        };
        info!("{signal}: gateways go on with what they have");
        anyhow::Ok(())
    })?;
    server.close();
    Ok(End::Done)
}

fn work(settings: &Settings, uid: u32) -> anyhow::Result<Work> {
    let interface = settings.address_interface.0.clone();
    match (&interface, settings.address_pool.0.is_empty()) {
        (Some(_), true) => bail!("--address-interface does nothing without --address-pool"),
        (None, false) => {
            bail!("--address-pool: name the interface to put addresses on with --address-interface")
        }
        _ => {}
    }
    if let Some(Err(why)) = interface.as_deref().map(netlink::check) {
        bail!("--address-interface: {why}");
    }
    let check = interface.as_deref().and_then(pool::address_check).map(Mutex::new);
    Ok(Work { interface, state_dir: state_dir::resolve(&settings.state_dir)?, uid, check })
}

impl Work {
    fn interface(&self) -> Result<&str, String> {
        self.interface.as_deref().ok_or_else(|| "there is no --address-interface".to_owned())
    }
}

impl Duties for Work {
    fn give_state_dir(&self) -> io::Result<()> {
        state_dir::make_for(&self.state_dir, self.uid)
    }

    fn expect_address(&self, ip: IpAddr) -> Result<(), String> {
        let interface = self.interface()?;
        match &self.check {
            // This host would not find itself.
            Some(check) if !netlink::has(interface, ip)? => {
                let begun = lock(check).begin(interface, ip);
                begun.map_err(|error| format!("asking on {interface} for {ip}: {error}"))
            }
            _ => Ok(()),
        }
    }

    fn put_address(&self, ip: IpAddr) -> Result<bool, String> {
        let interface = self.interface()?;
        if let Some(check) = &self.check
            && !netlink::has(interface, ip)?
        {
            link::must_be_free(&mut lock(check), interface, ip)?;
        }
        netlink::put(interface, ip)
    }

    fn remove_address(&self, ip: IpAddr) -> Result<(), String> {
        netlink::take_off(self.interface()?, ip)
    }

    fn announce(&self, ip: IpAddr) -> Result<(), String> {
        let interface = self.interface()?;
        gateway_steer::announce(interface, ip)
            .map_err(|error| format!("announcing {ip} on {interface}: {error}"))
    }
}
