//! The bytes that a digest is made of: a structure of its own, so that the intermediate representation may
//! change its names and its shape while nodes of two versions still agree.
//!
//! One JSON text for each listener on each bind, one after the other, without spaces and with the fields in
//! this order. Add a field only so that it is left out wherever older versions serve the same; never rename,
//! reorder or remove one.

use std::net::IpAddr;

use gateway_ir::{BindAddress, ClientValidationMode, ListenerSettings, ObjectName, Serve, TlsVersion};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// Most bytes of a certificate's names that are in a digest. The names follow from the fingerprint: short
/// lists are part of it since its first version, thousands of names for each of 64 references of 64 listeners
/// are not.
const NAMES_MAX: usize = 1_024;

/// One address and port, and one listener of it.
#[derive(Serialize)]
pub(super) struct Bind<'a> {
    address: Address,
    port: u16,
    protocol: &'static str,
    /// Exactly one.
    listeners: [Listener<'a>; 1],
}

/// `"Any"`, or `{"Ip":"10.0.0.1"}`.
#[derive(Serialize)]
enum Address {
    Any,
    Ip(IpAddr),
}

#[derive(Serialize)]
struct Listener<'a> {
    id: Id<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<Tls<'a>>,
    #[serde(skip_serializing_if = "ListenerSettings::is_empty")]
    settings: &'a ListenerSettings,
    /// Fingerprint of the certificate for backends.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_certificate: Option<&'a str>,
    /// Always empty: routes are no part of a digest.
    routes: [(); 0],
}

#[derive(Serialize)]
struct Id<'a> {
    gateway: Name<'a>,
    listener: String,
}

#[derive(Serialize)]
struct Name<'a> {
    namespace: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Tls<'a> {
    certificates: Vec<Certificate<'a>>,
    min_version: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_default: bool,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cipher_suites: &'a [Box<str>],
    #[serde(skip_serializing_if = "Option::is_none")]
    clients: Option<Clients>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    forward_client_cert: bool,
}

/// The check of clients' certificates.
#[derive(Serialize)]
struct Clients {
    mode: &'static str,
    /// SHA-256 of the authorities' certificates, one after the other, in hexadecimal.
    trust: String,
}

#[derive(Serialize)]
struct Certificate<'a> {
    secret: Name<'a>,
    names: &'a [String],
    not_before: i64,
    not_after: i64,
    fingerprint: &'a str,
    /// Certificates in the chain; 0 where the names are left out.
    chain: usize,
    /// Always the same: the key belongs to the fingerprint.
    key: &'static str,
}

impl<'a> Bind<'a> {
    /// The listener as it is served on the bind.
    pub(super) fn new(bind: &gateway_ir::Bind, listener: &'a gateway_ir::Listener) -> Self {
        Self {
            address: match bind.address {
                BindAddress::Any => Address::Any,
                BindAddress::Ip(ip) => Address::Ip(ip),
            },
            port: bind.port,
            protocol: match listener.serve {
                Serve::Http => "Http",
                Serve::Https => "Https",
                Serve::TlsTerminate => "TlsTerminate",
                Serve::TlsPassthrough => "TlsPassthrough",
                Serve::Tcp => "Tcp",
                Serve::Udp => "Udp",
            },
            listeners: [Listener::new(listener)],
        }
    }
}

impl<'a> Listener<'a> {
    fn new(listener: &'a gateway_ir::Listener) -> Self {
        Self {
            id: Id { gateway: Name::new(&listener.id.gateway), listener: listener.id.within_gateway() },
            hostname: listener.hostname.as_ref().map(ToString::to_string),
            tls: listener.tls.as_ref().map(Tls::new),
            settings: &listener.settings,
            backend_certificate: listener.backend_certificate.as_ref().map(|one| one.fingerprint.as_str()),
            routes: [],
        }
    }
}

impl<'a> Name<'a> {
    fn new(name: &'a ObjectName) -> Self {
        Self { namespace: &name.namespace, name: &name.name }
    }
}

impl<'a> Tls<'a> {
    fn new(tls: &'a gateway_ir::ListenerTls) -> Self {
        Self {
            certificates: tls.certificates.iter().map(|one| Certificate::new(one)).collect(),
            min_version: match tls.min_version {
                TlsVersion::Tls12 => "1.2",
                TlsVersion::Tls13 => "1.3",
            },
            is_default: tls.is_default,
            cipher_suites: &tls.cipher_suites,
            clients: tls.clients.as_ref().map(Clients::new),
            forward_client_cert: tls.forward_client_cert,
        }
    }
}

impl Clients {
    fn new(clients: &gateway_ir::ClientValidation) -> Self {
        let mut hash = Sha256::new();
        clients.trust.iter().flat_map(|bundle| &bundle.certificates).for_each(|one| hash.update(one));
        Self {
            mode: match clients.mode {
                ClientValidationMode::AllowValidOnly => "AllowValidOnly",
                ClientValidationMode::AllowInsecureFallback => "AllowInsecureFallback",
            },
            trust: hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl<'a> Certificate<'a> {
    fn new(certificate: &'a gateway_ir::Certificate) -> Self {
        let is_short = certificate.names.iter().map(String::len).sum::<usize>() <= NAMES_MAX;
        Self {
            secret: Name::new(&certificate.secret),
            names: if is_short { certificate.names.as_slice() } else { &[] },
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            fingerprint: &certificate.fingerprint,
            chain: if is_short { certificate.chain.len() } else { 0 },
            key: "not shown",
        }
    }
}
