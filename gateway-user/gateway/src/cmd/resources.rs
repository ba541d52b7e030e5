//! Resources of directories and files, read once and translated, for the commands that do not serve them.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway_api_types::{Kind, ObjectKey, ResourceSet};
use gateway_control::expiry;
use gateway_control::kept::KeptKeys;
use gateway_control::own_ports::OwnEndpoint;
use gateway_control::source::file::{Tree, TreeFile, read, read_one};
use gateway_control::source::kube::{Access, Cluster, ClusterOptions};
use gateway_control::store::{Store, StoreView};
use gateway_ir::{Bind, BindAddress, Ir, ListenerId};
use gateway_steer::{SteerBind, SteerPlan};
use gateway_translate::{
    AddressOwnership, Diagnostic, EndpointPolicy, HostOwnership, ObjectRef, RegexLimits, Severity,
    SystemAuthorities, TranslateOptions, Translation, Translator,
};

use ipnet::IpNet;
use jiff::Timestamp;

use super::check::diagnostic::PlacedDiagnostic;
use crate::flags::{AddressMode, Auto, OptionalPath, Ownership, Settings};
use crate::wire;

/// The path that means standard input.
pub(super) const STANDARD_INPUT: &str = "-";
/// The name of standard input in findings.
pub(super) const STANDARD_INPUT_NAME: &str = "standard input";

/// Time that an API server has for everything.
const CLUSTER_TIMEOUT: Duration = Duration::from_secs(30);
/// The address of connections where no Gateway has its own.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Resources and their translation.
#[derive(Debug)]
pub(super) struct Resources {
    /// The objects and what is wrong with the files.
    pub(super) view: StoreView,
    /// Their translation.
    pub(super) translation: Translation,
    /// Endpoints that a gateway with these settings would not use, as far as that can be told from afar:
    /// those on loopback.
    own_endpoints: Vec<OwnEndpoint>,
}

/// The place of resources.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// Directories and files, as if they were one directory.
    Files(&'a [PathBuf]),
    /// The cluster that kubectl would use, with this context or the current one.
    Cluster(Option<&'a str>),
}

impl Resources {
    /// Reads resources as a gateway that just started would.
    ///
    /// # Errors
    /// A file is not there, or cannot be read; the cluster cannot be reached.
    pub(super) fn read(input: &Input<'_>, settings: &Settings) -> anyhow::Result<Self> {
        match input {
            Input::Files(paths) => Ok(Self::of(of_files(paths)?, None, settings)),
            Input::Cluster(context) => {
                let options = ClusterOptions {
                    access: Access::AsKubectl { context: context.map(str::to_owned) },
                    namespaces: Vec::new(),
                    last_good: None,
                    keys: KeptKeys::LeftOut,
                    controller_name: settings.controller_name.0.clone(),
                };
                let cluster = Cluster::start(options)?;
                let view = cluster.read_once(CLUSTER_TIMEOUT)?;
                Ok(Self::of(view, Some(&cluster), settings))
            }
        }
    }

    fn of(view: StoreView, cluster: Option<&Cluster>, settings: &Settings) -> Self {
        let options = translate_options(settings, cluster.is_some());
        let mut translator = Translator::new(options);
        let is_pool = settings.address_mode == AddressMode::Pool;
        let own = cluster.and_then(|cluster| cluster.own_addresses(&settings.controller_name.0, is_pool));
        translator.assign(own.map(Arc::new));
        let mut translation = translator.update(&view.resources);
        let dated = expiry::findings(&translation.ir, &view.resources, Timestamp::now());
        translation.diagnostics.extend(dated);
        let ports = refused_ports(&translation.ir, &view.resources, settings);
        translation.diagnostics.extend(ports);
        let (endpoints, own_endpoints) =
            wire::listens(settings, false).without(&translation.endpoints, &SteerPlan::of(&translation.ir));
        translation.endpoints = endpoints;
        Self { view, translation, own_endpoints }
    }

    /// An address at which a connection to `port` arrives: the only Gateway's, if they have their own.
    ///
    /// # Errors
    /// Several Gateways have the port, each at addresses of its own: the error names them.
    pub(super) fn address(&self, port: u16) -> anyhow::Result<IpAddr> {
        let binds = self.translation.ir.binds.iter().filter(|bind| bind.port == port);
        let mut own: Vec<(&ListenerId, IpAddr)> = Vec::new();
        for bind in binds {
            let BindAddress::Ip(address) = bind.address else { return Ok(LOOPBACK) };
            own.extend(bind.listeners.iter().map(|listener| (&listener.id, address)));
        }
        let Some((first, address)) = own.first() else { return Ok(LOOPBACK) };
        if own.iter().all(|(id, _)| id.gateway == first.gateway) {
            return Ok(*address);
        }
        let names: BTreeSet<_> =
            own.iter().map(|(id, address)| format!("{address} ({})", id.gateway)).collect();
        bail!(
            "several Gateways have port {port}: name the one that is meant by --address; there are {}",
            names.into_iter().collect::<Vec<_>>().join(", ")
        )
    }

    /// Everything there is to say, in the order of files, then of objects.
    pub(super) fn diagnostics(&self) -> Vec<PlacedDiagnostic> {
        let files = self.view.diagnostics.iter().map(PlacedDiagnostic::from);
        let objects = self.translation.diagnostics.iter().map(PlacedDiagnostic::from);
        let own = self.own_endpoints.iter().map(PlacedDiagnostic::from);
        files.chain(objects).chain(own).collect()
    }
}

fn of_files(paths: &[PathBuf]) -> anyhow::Result<StoreView> {
    let mut tree = Tree::default();
    for path in paths {
        if path.as_os_str() == STANDARD_INPUT {
            tree.files.entry(STANDARD_INPUT_NAME.into()).or_insert(standard_input()?);
        } else if std::fs::metadata(path).with_context(|| path.display().to_string())?.is_dir() {
            tree.files.append(&mut read(path)?.files);
        } else {
            tree.files.insert(path.display().to_string().into(), read_one(path)?);
        }
    }
    Ok(Store::default().apply(&tree))
}

/// Listeners on ports that no node with these settings serves.
fn refused_ports(ir: &Ir, resources: &ResourceSet, settings: &Settings) -> Vec<Diagnostic> {
    let options = wire::steer_options(settings, 1, String::new(), 0);
    let mut findings = Vec::new();
    for refusal in options.refused(&SteerPlan::of(ir)) {
        let SteerBind { address, port, transport } = refusal.bind;
        let is_meant =
            |bind: &&Bind| (bind.address, bind.port, bind.transport()) == (address, port, transport);
        for listener in ir.binds.iter().filter(is_meant).flat_map(|bind| &bind.listeners) {
            let ListenerId { gateway, set, listener } = &listener.id;
            let name = set.as_ref().unwrap_or(gateway);
            let kind = if set.is_some() { Kind::ListenerSet } else { Kind::Gateway };
            let key = ObjectKey::new(&*name.namespace, &*name.name);
            let listeners = match set {
                Some(_) => resources.listener_sets.get(&key).map(|set| &set.spec.listeners),
                None => resources.gateways.get(&key).map(|gateway| &gateway.spec.listeners),
            };
            let at = listeners.and_then(|all| all.iter().position(|one| one.name == *listener));
            findings.push(Diagnostic {
                severity: Severity::Warning,
                field: at.map_or_else(String::new, |at| format!("listeners[{at}].port")),
                message: refusal.message.clone(),
                origin: resources.origin(kind, &key).cloned(),
                object: ObjectRef { kind, key },
            });
        }
    }
    findings.dedup();
    findings
}

fn standard_input() -> anyhow::Result<TreeFile> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes).context(STANDARD_INPUT_NAME)?;
    Ok(match String::from_utf8(bytes) {
        Ok(text) => TreeFile::Text(text.into()),
        Err(_) => TreeFile::Unusable("this is not UTF-8: pipe UTF-8 in".to_owned()),
    })
}

/// The options of translation that the settings choose. Endpoints of a cluster are written by many, those of
/// files by the machine's operator.
pub(crate) fn translate_options(settings: &Settings, over_cluster: bool) -> TranslateOptions {
    TranslateOptions {
        controller_name: settings.controller_name.0.clone(),
        endpoints: EndpointPolicy {
            refuse_special: over_cluster,
            networks: settings.backend_networks.0.clone(),
        },
        requests: wire::request_policy(settings),
        regex: RegexLimits {
            expression: settings.regex_bytes.bytes(),
            route: settings.regex_route_bytes.bytes(),
            namespace: settings.regex_namespace_bytes.bytes(),
            scan: settings.regex_scan_bytes.bytes(),
            request_line: settings.max_request_line.bytes(),
            head: settings.max_header_bytes.bytes(),
        },
        named_networks: named_networks(settings),
        address_ownership: match settings.address_ownership {
            Ownership::OldestNamespace => AddressOwnership::OldestNamespace,
            Ownership::Shared => AddressOwnership::Shared,
        },
        host_ownership: match settings.host_ownership {
            Ownership::OldestNamespace => HostOwnership::OldestNamespace,
            Ownership::Shared => HostOwnership::Shared,
        },
        settings: wire::listener_settings(settings),
        system_authorities: system_authorities(&settings.system_ca_certificates),
    }
}

/// The networks of the addresses that Gateways may name; `None` is all.
fn named_networks(settings: &Settings) -> Option<Vec<IpNet>> {
    let pool = || match settings.address_mode {
        AddressMode::Pool => settings.address_pool.0.clone(),
        AddressMode::Node => Vec::new(),
    };
    match (&settings.gateway_addresses, settings.address_mode) {
        (Auto::Auto, AddressMode::Node) => None,
        (Auto::Auto, AddressMode::Pool) => Some(pool()),
        (Auto::Set(more), _) => Some([pool(), more.0.clone()].concat()),
    }
}

/// The bundle of the system. That there is none matters to BackendTLSPolicies alone that ask for it, and they say so.
fn system_authorities(path: &OptionalPath) -> SystemAuthorities {
    let Some(path) = &path.0 else {
        return SystemAuthorities::none("--system-ca-certificates is none");
    };
    match std::fs::read(path) {
        Ok(pem) => SystemAuthorities::read(&pem),
        Err(error) => SystemAuthorities::none(format!(
            "{}: {error}; --system-ca-certificates names another bundle",
            path.display()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::tests::settings;

    #[test]
    fn gateways_name_addresses_of_the_pool_and_those_that_the_operator_adds() {
        let of = |set: &[(&str, &str)]| {
            let networks = named_networks(&settings(set))?;
            Some(networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(of(&[]), None, "any");
        assert_eq!(of(&[("gateway-addresses", "none")]).as_deref(), Some(""));
        assert_eq!(of(&[("gateway-addresses", "192.0.2.7")]).as_deref(), Some("192.0.2.7/32"));
        let pool = [("address-mode", "pool"), ("address-pool", "10.0.0.0/8")];
        assert_eq!(of(&pool).as_deref(), Some("10.0.0.0/8"));
        let more = [pool[0], pool[1], ("gateway-addresses", "fd00::/8")];
        assert_eq!(of(&more).as_deref(), Some("10.0.0.0/8 fd00::/8"));
    }
}
