//! A directory's resources, read once and translated, for the commands that do not serve them.

use std::path::Path;
use std::sync::Arc;

use gateway_control::expiry;
use gateway_control::journal::Line;
use gateway_control::own_ports::OwnEndpoint;
use gateway_control::source::file::read;
use gateway_control::store::{Store, StoreView};
use gateway_steer::SteerPlan;
use gateway_translate::{
    AddressOwnership, EndpointPolicy, HostOwnership, RegexLimits, Severity, TranslateOptions, Translation,
    translate,
};

use jiff::Timestamp;

use crate::flags::{Ownership, Settings};
use crate::wire;

/// What a directory holds and means.
#[derive(Debug)]
pub(super) struct Resources {
    /// The objects and what is wrong with the files.
    pub(super) view: StoreView,
    /// What they mean.
    pub(super) translation: Translation,
    /// Endpoints that a gateway with these settings would not use, as far as that can be told from afar: those on loopback.
    own_endpoints: Vec<OwnEndpoint>,
}

impl Resources {
    /// Reads `dir` as a gateway that just started would.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) fn read(dir: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let view = Store::default().apply(&read(dir)?);
        let mut translation = translate(&view.resources, &translate_options(settings, false));
        let dated = expiry::findings(&translation.ir, &view.resources, Timestamp::now());
        translation.findings.extend(dated);
        let endpoints = Arc::new(std::mem::take(&mut translation.endpoints));
        let (endpoints, own_endpoints) =
            wire::listens(settings, false).without(&endpoints, &SteerPlan::of(&translation.ir));
        translation.endpoints = Arc::unwrap_or_clone(endpoints);
        Ok(Self { view, translation, own_endpoints })
    }

    /// Everything there is to say, in the order of files, then of objects.
    pub(super) fn lines(&self) -> Vec<Line> {
        let files = self.view.diagnostics.iter().map(Line::from);
        let findings = self.translation.findings.iter().map(placed);
        let own = self.own_endpoints.iter().map(|one| Line::warning(format!("warning: {one}")));
        files.chain(findings).chain(own).collect()
    }
}

/// A finding with its object's place in front, as compilers print it.
fn placed(finding: &gateway_translate::Finding) -> Line {
    let place = finding.origin.as_ref().map_or(String::new(), |origin| format!("{origin}: "));
    let severity = match finding.severity {
        Severity::Error => String::new(),
        other => format!("{other}: "),
    };
    Line { severity: finding.severity, text: format!("{place}{severity}{finding}") }
}

/// The options of translation that the settings choose. Endpoints of a cluster are written by many, those of files by the
/// machine's operator.
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
        address_ownership: match settings.address_ownership {
            Ownership::OldestNamespace => AddressOwnership::OldestNamespace,
            Ownership::Shared => AddressOwnership::Shared,
        },
        host_ownership: match settings.host_ownership {
            Ownership::OldestNamespace => HostOwnership::OldestNamespace,
            Ownership::Shared => HostOwnership::Shared,
        },
    }
}
