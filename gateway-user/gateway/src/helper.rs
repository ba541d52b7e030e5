//! The helper that this process asks for what takes a right (`--helper`).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway_control::steer::SharedSteering;
use gateway_helper::{HelperClient, Policy};
use gateway_steer::{Helper, SteerOptions};
use nix::unistd::geteuid;
use tracing::{error, warn};

use crate::admin::Readiness;
use crate::flags::{AddressMode, Settings, StateDir};
use crate::state_dir;

/// Limit for a helper to listen that starts beside this process.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to the helper, if there is to be one, and has it make the state directory this process's where it
/// is not.
///
/// # Errors
/// No helper listens there, or it does less than the settings ask for.
pub(crate) fn connect(settings: &Settings) -> anyhow::Result<Option<Arc<HelperClient>>> {
    let Some(path) = &settings.helper.0 else { return Ok(None) };
    let client = HelperClient::connect(path, CONNECT_TIMEOUT).with_context(|| {
        format!("--helper {}: is `sluice helper` running, with this user as --node-uid?", path.display())
    })?;
    fits(settings, &client.policy()).with_context(|| format!("--helper {}", path.display()))?;
    if needs_state_dir(&settings.state_dir) {
        let given = client.give_state_dir();
        given.with_context(|| format!("--helper {}: its --state-dir is not given away", path.display()))?;
    }
    Ok(Some(client))
}

/// True if the directory is not there or is another user's.
fn needs_state_dir(setting: &StateDir) -> bool {
    let is_own = |dir: &Path| state_dir::owner(dir) == Some(geteuid().as_raw());
    match setting {
        _ if geteuid().is_root() => false,
        StateDir::Auto => !is_own(Path::new(state_dir::OF_SYSTEM)),
        StateDir::Path(dir) => !is_own(dir),
    }
}

/// Finds settings that the helper does not follow.
fn fits(settings: &Settings, policy: &Policy) -> anyhow::Result<()> {
    if settings.address_mode == AddressMode::Pool {
        let outside = settings.address_pool.0.iter();
        let outside =
            outside.clone().find(|network| !policy.pool.iter().any(|theirs| theirs.contains(*network)));
        if let Some(network) = outside {
            bail!("it assigns no addresses of {network}; start it with --address-pool that covers it");
        }
        if settings.address_interface.0 != policy.interface {
            let theirs = policy.interface.as_deref().unwrap_or("none");
            bail!("it puts addresses on interface {theirs}; --address-interface must name the same one");
        }
    }
    let ours = &settings.reserved_ports.0;
    let missing: Vec<_> = policy.reserved_ports.iter().filter(|port| !ours.contains(port)).collect();
    if !missing.is_empty() {
        warn!("the helper reserves ports that --reserved-ports does not: {missing:?}; they are not served");
    }
    Ok(())
}

/// The options of a process with this helper, whose limits hold as well.
pub(crate) fn follow(options: SteerOptions, helper: &Arc<HelperClient>) -> SteerOptions {
    let policy = helper.policy();
    let allowed_ports = match (options.allowed_ports, policy.allowed_ports) {
        (Some(ours), Some(theirs)) => Some(&ours & &theirs),
        (ours, theirs) => ours.or(theirs),
    };
    let reserved_ports = &options.reserved_ports | &policy.reserved_ports;
    let helper: Arc<dyn Helper> = helper.clone();
    SteerOptions { allowed_ports, reserved_ports, helper: Some(helper), ..options }
}

/// Follows the connection to the helper for those who ask whether this process is ready.
#[derive(Debug)]
pub(crate) struct HelperWatch {
    helper: Arc<HelperClient>,
    /// Connections to helpers, of which the last one keeps the stand-by.
    connections: u64,
    /// True if it was said that connections reach no worker any more.
    said: bool,
}

impl HelperWatch {
    /// Of this helper.
    pub(crate) fn new(helper: Arc<HelperClient>) -> Self {
        let connections = helper.state().connections;
        Self { helper, connections, said: false }
    }

    /// Another process has taken over, and serves this one's addresses.
    pub(crate) fn succeeded(&self) {
        self.helper.leave_addresses();
    }

    /// Looks, and notes what it sees. Waits for nobody.
    pub(crate) fn look(&mut self, steering: &SharedSteering, readiness: &Readiness) {
        let state = self.helper.state();
        readiness.remark((!state.connected).then(|| {
            format!(
                "the helper is away ({}): what is served stays, new ports below 1024 have to wait",
                state.error
            )
        }));
        if state.connected && state.connections > self.connections && steering.renew_stand_by() {
            self.connections = state.connections;
        }
        if steering.is_detached() == Some(true) && !self.said {
            self.said = true;
            error!(
                "the helper has taken its programs off: connections reach no worker; replace this process, as by `sluice \
                 upgrade`"
            );
            readiness.fail("the helper has taken its programs off: connections reach no worker".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::flags::tests::settings;

    #[test]
    fn a_pool_that_the_helper_does_not_cover_is_a_mistake_in_the_settings() {
        let settings = settings(&[
            ("address-mode", "pool"),
            ("address-pool", "192.0.2.0/25"),
            ("address-interface", "lo"),
        ]);
        let policy = |pool: &str, interface: Option<&str>| Policy {
            pool: vec![pool.parse().unwrap()],
            interface: interface.map(str::to_owned),
            reserved_ports: BTreeSet::new(),
            allowed_ports: None,
        };
        assert!(fits(&settings, &policy("192.0.2.0/24", Some("lo"))).is_ok());
        let error = |policy| fits(&settings, &policy).unwrap_err().to_string();
        assert!(error(policy("192.0.2.0/26", Some("lo"))).contains("192.0.2.0/25"));
        assert!(error(policy("192.0.2.0/24", None)).contains("interface none"));
    }
}
