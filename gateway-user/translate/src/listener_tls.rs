//! The TLS settings of one listener.

use std::sync::Arc;

use gateway_api_types::{Listener, TlsMode};
use gateway_ir::{Hostname, ListenerTls, TlsVersion};
use gateway_tls::CipherSuite;

use crate::certificate::Certificates;
use crate::diagnostics::ConfigError;
use crate::grants::Referrer;
use crate::reason;
use crate::view::View;

/// Our key of `tls.options`: the oldest version of TLS to accept.
pub(crate) const MIN_VERSION: &str = "sluice.dev/min-tls-version";

/// Our key of `tls.options`: whether the listener takes handshakes without a server name.
pub(crate) const DEFAULT: &str = "sluice.dev/default";

/// Our key of `tls.options`: the cipher suites that may be used.
pub(crate) const CIPHER_SUITES: &str = "sluice.dev/cipher-suites";

/// Our key of `tls.options`: backends are told of the client's certificate.
pub(crate) const FORWARD_CLIENT_CERT: &str = "sluice.dev/forward-client-cert";

/// The translation of a listener's `tls`.
#[derive(Debug, Default)]
pub(crate) struct TlsState {
    /// The TLS settings it is served with.
    pub(crate) tls: ListenerTls,
    /// Why it cannot be served at all, if so.
    pub(crate) refused: Option<ConfigError>,
    /// References that lead to no certificate.
    pub(crate) unresolved: Vec<ConfigError>,
    /// Warnings: field and message.
    pub(crate) notes: Vec<(String, String)>,
}

impl TlsState {
    /// Reads the settings of a listener of `owner` at which TLS ends.
    pub(crate) fn new(
        view: &View<'_>,
        certificates: &mut Certificates,
        owner: Referrer<'_>,
        spec: &Listener,
        field: &str,
    ) -> Self {
        let mut state = Self::default();
        let field = format!("{field}.tls");
        let Some(tls) = &spec.tls else {
            let message = format!(
                "a listener of protocol {} needs certificateRefs; name a Secret of type kubernetes.io/tls",
                spec.protocol
            );
            state.unresolved.push(ConfigError::new(reason::INVALID_CERTIFICATE_REF, field, message));
            return state;
        };
        if tls.mode != TlsMode::Terminate {
            let message = format!(
                "mode {} is not possible with protocol {}; use Terminate, or protocol TLS and a TLSRoute",
                tls.mode, spec.protocol
            );
            state.refused =
                Some(ConfigError::new(reason::UNSUPPORTED_VALUE, format!("{field}.mode"), message));
            return state;
        }
        for (index, reference) in tls.certificate_refs.iter().enumerate() {
            let field = format!("{field}.certificateRefs[{index}]");
            match certificates.resolve(view, owner, reference, &field) {
                // Named twice it is one: 64 references are allowed, and to the same Secret.
                Ok((same, _)) if state.tls.certificates.iter().any(|one| Arc::ptr_eq(one, &same)) => {}
                Ok((certificate, notes)) => {
                    state.tls.certificates.push(certificate);
                    state.notes.extend(notes.into_iter().map(|note| (field.clone(), note)));
                }
                Err(error) => state.unresolved.push(error),
            }
        }
        if tls.certificate_refs.is_empty() {
            let message = "no certificate is named; name a Secret of type kubernetes.io/tls";
            let field = format!("{field}.certificateRefs");
            state.unresolved.push(ConfigError::new(reason::INVALID_CERTIFICATE_REF, field, message));
        }
        for (key, value) in &tls.options {
            state.option(&format!("{field}.options[{key:?}]"), key, value);
        }
        state.check_suites(&field);
        state
    }

    /// Reads the settings of a listener that passes TLS through: it shows no certificate and speaks no version.
    pub(crate) fn passthrough(spec: &Listener, field: &str) -> Self {
        let mut state = Self::default();
        let Some(tls) = &spec.tls else { return state };
        if !tls.certificate_refs.is_empty() {
            let message = "with mode Passthrough certificates are the backends', and these have no effect";
            state.notes.push((format!("{field}.tls.certificateRefs"), message.to_owned()));
        }
        for (key, value) in &tls.options {
            let field = format!("{field}.tls.options[{key:?}]");
            match key.as_str() {
                MIN_VERSION | CIPHER_SUITES | FORWARD_CLIENT_CERT => {
                    let message =
                        "with mode Passthrough TLS ends at the backends, and the option has no effect";
                    state.notes.push((field, message.to_owned()));
                }
                _ => state.option(&field, key, value),
            }
        }
        state
    }

    fn option(&mut self, field: &str, key: &str, value: &str) {
        match (key, value) {
            (MIN_VERSION, "1.2") => self.tls.min_version = TlsVersion::Tls12,
            (MIN_VERSION, "1.3") => self.tls.min_version = TlsVersion::Tls13,
            // A request for something stricter must not give something laxer.
            (MIN_VERSION, _) => {
                let message = format!("{value:?} is no version that is spoken; use \"1.2\" or \"1.3\"");
                self.refused = Some(ConfigError::new(reason::UNSUPPORTED_VALUE, field, message));
            }
            (CIPHER_SUITES, _) => match cipher_suites(value) {
                Ok(suites) => self.tls.cipher_suites = suites,
                Err(message) => {
                    self.refused = Some(ConfigError::new(reason::UNSUPPORTED_VALUE, field, message));
                }
            },
            (DEFAULT, "true") => self.tls.is_default = true,
            (FORWARD_CLIENT_CERT, "true") => self.tls.forward_client_cert = true,
            (DEFAULT | FORWARD_CLIENT_CERT, "false") => {}
            (DEFAULT | FORWARD_CLIENT_CERT, _) => {
                let message = format!("{value:?} is neither \"true\" nor \"false\"; use one of them");
                self.refused = Some(ConfigError::new(reason::UNSUPPORTED_VALUE, field, message));
            }
            _ => {
                let message = format!(
                    "the option is not known and has no effect; known: {MIN_VERSION}, {CIPHER_SUITES}, {DEFAULT}, \
                     {FORWARD_CLIENT_CERT}"
                );
                self.notes.push((field.to_owned(), message));
            }
        }
    }

    /// Checks that a version can be spoken with the suites that are left.
    fn check_suites(&mut self, field: &str) {
        let is_tls13 = |name: &str| CipherSuite::named(name).is_some_and(CipherSuite::is_tls13);
        let suites = &self.tls.cipher_suites;
        let only_old = !suites.is_empty() && !suites.iter().any(|name| is_tls13(name));
        if only_old && self.tls.min_version == TlsVersion::Tls13 && self.refused.is_none() {
            let message = format!(
                "none of these suites is of TLS 1.3, which {MIN_VERSION} asks for; add one of {}",
                names(CipherSuite::all().filter(|suite| suite.is_tls13()))
            );
            let field = format!("{field}.options[{CIPHER_SUITES:?}]");
            self.refused = Some(ConfigError::new(reason::UNSUPPORTED_VALUE, field, message));
        }
    }

    /// Clients that check certificates refuse one that is for other names; some do not check, so it is
    /// served.
    pub(crate) fn check_names(&mut self, hostname: Option<&Hostname>, field: &str) {
        let (Some(Hostname::Exact(host)), false) = (hostname, self.tls.certificates.is_empty()) else {
            return;
        };
        if !self.tls.certificates.iter().any(|one| gateway_tls::covers(&one.names, host)) {
            let names = self.tls.certificates.iter().flat_map(|one| &one.names).take(8);
            let names: Vec<_> = names.map(String::as_str).collect();
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            let message =
                format!("no certificate is for hostname {host:?}, only for {names}; clients will refuse it");
            self.notes.push((format!("{field}.tls.certificateRefs"), message));
        }
    }
}

/// A warning: field and message.
type Note = (String, String);

/// The warning that there is no certificate to tell backends of.
pub(crate) fn without_check(field: &str) -> Note {
    let message = "no client is asked for a certificate on this port, and the option has no effect; set \
                   spec.tls.frontend of the Gateway";
    (option_field(field, FORWARD_CLIENT_CERT), message.to_owned())
}

/// The warning that there is no request to tell backends in.
pub(crate) fn without_requests(field: &str) -> Note {
    let message = "a listener of protocol TLS forwards bytes and no requests, and the option has no effect";
    (option_field(field, FORWARD_CLIENT_CERT), message.to_owned())
}

fn option_field(field: &str, key: &str) -> String {
    format!("{field}.tls.options[{key:?}]")
}

/// The suites of a list, each once, in its order, by the names that IANA gives them.
fn cipher_suites(list: &str) -> Result<Vec<Box<str>>, String> {
    let mut suites: Vec<Box<str>> = Vec::new();
    let listed = list.split([',', ':', ' ', '\n']).filter(|name| !name.is_empty());
    for name in listed {
        let Some(suite) = CipherSuite::named(name) else {
            return Err(format!(
                "{name:?} is no cipher suite that is spoken; use some of {}",
                names(CipherSuite::all())
            ));
        };
        if !suites.iter().any(|known| **known == *suite.name()) {
            suites.push(suite.name().into());
        }
    }
    match suites.is_empty() {
        true => Err(format!("it names no cipher suite; use some of {}", names(CipherSuite::all()))),
        false => Ok(suites),
    }
}

fn names(suites: impl Iterator<Item = CipherSuite>) -> String {
    suites.map(CipherSuite::name).collect::<Vec<_>>().join(", ")
}
