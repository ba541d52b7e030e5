//! backendRefs: which Service and port is meant, whether it may be referred to, and whether we can speak to
//! it.

use gateway_api_types::BackendObjectReference;
use gateway_ir::{BackendProtocol, ClusterKey, ObjectName, RouteKind, RuleErrorKind, Transport};
use k8s_openapi::api::core::v1::{Service, ServicePort};

use crate::diagnostics::ConfigError;
use crate::grants::{Referent, Referrer};
use crate::read::Reader;
use crate::reason;
use crate::slice::is_of;
use crate::suggest::{self, SearchBudget};

/// appProtocols of a port whose backend wants a header of the PROXY protocol before all else.
const PROXY_V1: &str = "sluice.dev/proxy-v1";
const PROXY_V2: &str = "sluice.dev/proxy-v2";

/// A backendRef that cannot be used: the fault for status and findings, the kind for the share's 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) error: ConfigError,
    pub(crate) kind: RuleErrorKind,
}

/// A backendRef that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) cluster: ClusterKey,
    /// Warnings: field and message.
    pub(crate) note: Option<(String, String)>,
}

/// The meaning of an appProtocol for HTTP (KEP-3726, IANA, whose names are the same in capitals; `grpc` and `http2` as service
/// meshes name HTTP/2 in clear text).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AppProtocol {
    /// Forwarding in this protocol.
    Speak(BackendProtocol),
    /// Forwarding in this protocol over TLS.
    SpeakTls(BackendProtocol),
    /// Forwarding behind a header that names the client.
    NamesClient,
    /// A name that says nothing about HTTP (`example.com/thing`), so that it does not stand in the way.
    Unknown,
}

impl AppProtocol {
    fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let prefixed = name.strip_prefix("kubernetes.io/");
        match prefixed.unwrap_or(&name) {
            // Requests of many clients share connections, each of which could name one.
            PROXY_V1 | PROXY_V2 => Self::NamesClient,
            "h2c" | "http2" | "grpc" => Self::Speak(BackendProtocol::Http2),
            // WebSocket begins as HTTP/1.1, on any route.
            "ws" => Self::Speak(BackendProtocol::Http1),
            "wss" | "https" | "tls" => Self::SpeakTls(BackendProtocol::Http1),
            "grpcs" | "h2" => Self::SpeakTls(BackendProtocol::Http2),
            "" | "http" if prefixed.is_none() => Self::Speak(BackendProtocol::Http1),
            _ => Self::Unknown,
        }
    }
}

/// Finds the cluster that a reference means. Permission comes before existence, so that nobody learns from a
/// status what another namespace holds.
///
/// # Errors
/// The way of `HTTPBackendRef` in which it is invalid, as a reason of `ResolvedRefs`.
pub(crate) fn resolve(
    reader: &Reader<'_, '_>,
    referrer: Referrer<'_>,
    reference: &BackendObjectReference,
    field: &str,
) -> Result<Backend, Unresolved> {
    if !reference.is_service() {
        return Err(unsupported_kind(reference, field));
    }
    let namespace = reference.namespace.as_deref().unwrap_or(referrer.namespace);
    let name = reference.name.as_str();
    let referent = Referent { group: "", kind: "Service", namespace, name };
    if !reader.allows(referrer, referent) {
        return Err(not_permitted(reader, referrer, referent, field));
    }
    let Some(port) = reference.port else {
        return Err(not_found(format!("{field}.port"), "a Service needs a port; add one".to_owned()));
    };
    let Some(service) = reader.service(namespace, name) else {
        return Err(no_service(reader, referrer, referent, field));
    };
    let (is_l4, transport) = (referrer.is_for_connections(), referrer.transport());
    let service_port = supported(service, referrer, referent, port, field)?;
    let app_protocol = service_port.app_protocol.as_deref().unwrap_or_default();
    if transport == Transport::Udp {
        if matches!(app_protocol, PROXY_V1 | PROXY_V2) {
            return Err(names_client(referrer, referent, port, app_protocol, field));
        }
        // A BackendTLSPolicy is for connections.
        let (service, protocol) = (ObjectName::new(namespace, name), BackendProtocol::Udp);
        return Ok(Backend { cluster: ClusterKey { service, port, protocol, tls: false }, note: None });
    }
    let tls = reader.wants_tls(namespace, name, service_port.name.as_deref());
    let cluster = |protocol| ClusterKey { service: ObjectName::new(namespace, name), port, protocol, tls };
    if is_l4 {
        return Ok(Backend { cluster: cluster(l4(app_protocol)), note: None });
    }
    // gRPC has no other transport.
    let is_grpc = referrer.kind == RouteKind::GRPCRoute.as_str();
    let (protocol, note) = match AppProtocol::of(app_protocol) {
        AppProtocol::SpeakTls(_) if !tls => return Err(without_policy(referent, port, app_protocol, field)),
        AppProtocol::NamesClient => return Err(names_client(referrer, referent, port, app_protocol, field)),
        AppProtocol::Speak(_) | AppProtocol::SpeakTls(_) if is_grpc => (BackendProtocol::Http2, None),
        AppProtocol::Speak(protocol) | AppProtocol::SpeakTls(protocol) => (protocol, None),
        AppProtocol::Unknown => {
            let (protocol, spoken) = match is_grpc {
                true => (BackendProtocol::Http2, "HTTP/2"),
                false => (BackendProtocol::Http1, "HTTP/1.1"),
            };
            let message = format!(
                "appProtocol {app_protocol:?} of Service \"{namespace}/{name}\" is not known; {spoken} is spoken"
            );
            (protocol, Some((format!("{field}.port"), message)))
        }
    };
    Ok(Backend { cluster: cluster(protocol), note })
}

/// The protocol of a port for whole connections, whose bytes are the client's own.
fn l4(app_protocol: &str) -> BackendProtocol {
    match app_protocol {
        PROXY_V1 => BackendProtocol::TcpProxyV1,
        PROXY_V2 => BackendProtocol::TcpProxyV2,
        _ => BackendProtocol::Tcp,
    }
}

/// The port of that number of a Service we can forward to.
fn supported<'s>(
    service: &'s Service,
    referrer: Referrer<'_>,
    referent: Referent<'_>,
    port: u16,
    field: &str,
) -> Result<&'s ServicePort, Unresolved> {
    let Referent { namespace, name, .. } = referent;
    let (is_l4, transport) = (referrer.is_for_connections(), referrer.transport());
    let spec = service.spec.as_ref();
    if spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName") {
        let message = format!(
            "Service \"{namespace}/{name}\" is of type ExternalName, which is not supported (CVE-2021-25740); \
             use a Service with endpoints"
        );
        return Err(unresolved(
            reason::INVALID_KIND,
            RuleErrorKind::InvalidKind,
            format!("{field}.name"),
            message,
        ));
    }
    let ports = spec.and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    let field = format!("{field}.port");
    let same: Vec<_> = ports.iter().filter(|candidate| candidate.port == i32::from(port)).collect();
    let Some(found) = same.iter().find(|candidate| is_of(transport, candidate.protocol.as_deref())) else {
        if let Some(other) = same.first() {
            let protocol = other.protocol.as_deref().filter(|name| !name.is_empty());
            let message = format!(
                "port {port} of Service \"{namespace}/{name}\" is {}; {} needs {}",
                protocol.unwrap_or(Transport::Tcp.name()),
                if is_l4 { format!("a {}", referrer.kind) } else { "HTTP".to_owned() },
                transport.name()
            );
            return Err(unsupported_protocol(field, message));
        }
        return Err(not_found(field, no_port(ports, namespace, name, port)));
    };
    Ok(found)
}

/// TLS is to be spoken, and nothing says what to check: a certificate that nobody checks is worth nothing.
fn without_policy(referent: Referent<'_>, port: u16, app_protocol: &str, field: &str) -> Unresolved {
    let Referent { namespace, name, .. } = referent;
    let message = format!(
        "port {port} of Service \"{namespace}/{name}\" has appProtocol {app_protocol:?}, so TLS is to be spoken, and no \
         BackendTLSPolicy says whom to trust; add one in namespace {namespace:?} that targets the Service"
    );
    unsupported_protocol(format!("{field}.port"), message)
}

/// A connection carries requests of many clients, and a header of the PROXY protocol names one; a datagram has no room that is
/// not the client's.
fn names_client(
    referrer: Referrer<'_>,
    referent: Referent<'_>,
    port: u16,
    app_protocol: &str,
    field: &str,
) -> Unresolved {
    let Referent { namespace, name, .. } = referent;
    let why = match referrer.transport() {
        Transport::Tcp => "a connection to it would carry requests of many clients",
        Transport::Udp => "datagrams are passed on as they are",
    };
    let message = format!(
        "port {port} of Service \"{namespace}/{name}\" has appProtocol {app_protocol:?}, which is for TCPRoutes and TLSRoutes: \
         {why}"
    );
    unsupported_protocol(format!("{field}.port"), message)
}

fn unresolved(reason: &'static str, kind: RuleErrorKind, field: String, message: String) -> Unresolved {
    Unresolved { error: ConfigError::new(reason, field, message), kind }
}

fn not_found(field: String, message: String) -> Unresolved {
    unresolved(reason::BACKEND_NOT_FOUND, RuleErrorKind::BackendNotFound, field, message)
}

fn unsupported_protocol(field: String, message: String) -> Unresolved {
    unresolved(reason::UNSUPPORTED_PROTOCOL, RuleErrorKind::UnsupportedProtocol, field, message)
}

fn unsupported_kind(reference: &BackendObjectReference, field: &str) -> Unresolved {
    let (field, message) = match (reference.group.as_str(), reference.kind.as_str()) {
        (group, "Service") => {
            (format!("{field}.group"), format!("group {group:?} has no supported Service; leave group out"))
        }
        ("", kind) => {
            let hint = suggest::did_you_mean(kind, ["Service"], &SearchBudget::default());
            (format!("{field}.kind"), format!("kind {kind} is not supported; supported: Service{hint}"))
        }
        (group, kind) => (
            format!("{field}.kind"),
            format!("kind {kind} of group {group} is not supported; supported: Service"),
        ),
    };
    unresolved(reason::INVALID_KIND, RuleErrorKind::InvalidKind, field, message)
}

fn not_permitted(reader: &Reader<'_, '_>, from: Referrer<'_>, to: Referent<'_>, field: &str) -> Unresolved {
    let Referent { namespace, name, .. } = to;
    let known = reader.namespace_names();
    let hint = if known.contains(namespace) {
        "; ask its owner for one".to_owned()
    } else {
        let near = suggest::did_you_mean(namespace, known.iter().copied(), &reader.budget);
        format!("; nothing is known of such a namespace{near}")
    };
    let message = format!(
        "no ReferenceGrant in namespace {namespace:?} lets {}s of namespace {:?} refer to Service {name:?} there",
        from.kind, from.namespace
    );
    let error = ConfigError::new(reason::REF_NOT_PERMITTED, format!("{field}.namespace"), message);
    Unresolved { error: error.with_hint(hint), kind: RuleErrorKind::RefNotPermitted }
}

/// Only Services that the referrer may refer to are suggested.
fn no_service(reader: &Reader<'_, '_>, from: Referrer<'_>, to: Referent<'_>, field: &str) -> Unresolved {
    let hint = reader.near_service(from, to).map(|(namespace, name)| format!("{namespace}/{name}"));
    let hint = hint.map(|name| suggest::question(&name)).unwrap_or_default();
    let mut unresolved =
        not_found(format!("{field}.name"), format!("no Service \"{}/{}\"", to.namespace, to.name));
    unresolved.error = unresolved.error.with_hint(hint);
    unresolved
}

fn no_port(ports: &[ServicePort], namespace: &str, name: &str, wanted: u16) -> String {
    let listed: Vec<_> = ports.iter().map(describe_port).collect();
    let by_target = ports.iter().find(|port| target_number(port) == Some(i32::from(wanted)));
    let hint = match (by_target, ports) {
        (Some(port), _) => format!("; {wanted} is the target port of {}, use that", port.port),
        (None, [only]) => format!("; did you mean {}?", only.port),
        (None, []) => String::new(),
        (None, _) => {
            let numbers: Vec<_> = ports.iter().map(|port| port.port.to_string()).collect();
            suggest::nearest(
                &wanted.to_string(),
                numbers.iter().map(String::as_str),
                &SearchBudget::default(),
            )
            .map(|port| format!("; did you mean {port}?"))
            .unwrap_or_default()
        }
    };
    let has = if listed.is_empty() { "no port at all".to_owned() } else { listed.join(", ") };
    format!("Service \"{namespace}/{name}\" has no port {wanted}, it has {has}{hint}")
}

fn describe_port(port: &ServicePort) -> String {
    match port.name.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => format!("{} ({name})", port.port),
        None => port.port.to_string(),
    }
}

fn target_number(port: &ServicePort) -> Option<i32> {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    match port.target_port.as_ref()? {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(text) => text.parse().ok(),
    }
}
