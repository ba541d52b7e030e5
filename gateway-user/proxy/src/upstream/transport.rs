//! Secure transports: what connections to backends show and check, made once for each set of settings.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use gateway_ir::{BackendProtocol, BackendTls, Certificate, SubjectAltName};
use gateway_tls::{ClientOptions, ClientTls, Credential, Identity, PeerName, Protocol, Staple};
use hashbrown::HashMap;

use crate::Reason;

/// The Gateway on whose behalf backends are spoken to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) gateway: &'a gateway_ir::ObjectName,
    /// The certificate that it shows.
    pub(crate) certificate: Option<&'a Arc<Certificate>>,
}

/// Tells the pools of two transports apart: connections that were made with other settings carry no new requests. A number
/// is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum TransportId {
    Clear(BackendProtocol),
    Tls(u64),
}

/// Settings of connections over TLS that are alike.
#[derive(Debug)]
pub(crate) struct SecureTransport {
    pub(super) id: TransportId,
    pub(super) tls: ClientTls,
    /// These stay where they are as long as this does: their places are its key.
    _settings: Arc<BackendTls>,
    _certificate: Option<Arc<Certificate>>,
}

/// All of one worker.
#[derive(Debug, Default)]
pub(super) struct SecureTransports {
    known: RefCell<HashMap<Key, Rc<SecureTransport>>>,
    next: Cell<u64>,
}

/// Places of the settings and of the certificate in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    settings: usize,
    certificate: Option<usize>,
    protocol: BackendProtocol,
}

impl SecureTransports {
    /// The transport to a cluster with these settings.
    ///
    /// # Errors
    /// The reason that the Gateway's requests must not go there.
    pub(super) fn of(
        &self,
        settings: Option<&Arc<BackendTls>>,
        protocol: BackendProtocol,
        caller: Caller<'_>,
    ) -> Result<Rc<SecureTransport>, Reason> {
        let settings = settings.filter(|one| one.is_usable()).ok_or(Reason::BackendTlsInvalid)?;
        if settings.refuses(caller.gateway) {
            return Err(Reason::BackendTlsNoRoom);
        }
        let key = Key {
            settings: Arc::as_ptr(settings).addr(),
            certificate: caller.certificate.map(|one| Arc::as_ptr(one).addr()),
            protocol,
        };
        let mut known = self.known.borrow_mut();
        if let Some(same) = known.get(&key) {
            return Ok(Rc::clone(same));
        }
        let tls = client(settings, protocol, caller).map_err(|error| {
            tracing::error!(policy = %settings.policy, "a BackendTLSPolicy that was good cannot be used: {error}");
            Reason::BackendTlsInvalid
        })?;
        self.next.set(self.next.get() + 1);
        let transport = Rc::new(SecureTransport {
            id: TransportId::Tls(self.next.get()),
            tls,
            _settings: Arc::clone(settings),
            _certificate: caller.certificate.map(Arc::clone),
        });
        known.insert(key, Rc::clone(&transport));
        Ok(transport)
    }

    /// Forgets those that no cluster and no backend has any more.
    pub(super) fn sweep(&self) {
        self.known.borrow_mut().retain(|_, transport| Rc::strong_count(transport) > 1);
    }
}

fn client(
    settings: &BackendTls,
    protocol: BackendProtocol,
    caller: Caller<'_>,
) -> Result<ClientTls, Box<dyn std::error::Error>> {
    let authorities: Vec<&[u8]> =
        settings.trust.iter().flat_map(|bundle| &bundle.certificates).map(Vec::as_slice).collect();
    let name = |name: &SubjectAltName| match name {
        SubjectAltName::Hostname(name) => PeerName::Dns(name.clone()),
        SubjectAltName::Uri(uri) => PeerName::Uri(uri.clone()),
    };
    let names: Vec<_> = settings.subject_alt_names.iter().map(name).collect();
    let credential = caller.certificate.map(|one| Credential::new(&identity(one))).transpose()?;
    let protocol = match protocol {
        BackendProtocol::Http1 => Some(Protocol::Http1),
        BackendProtocol::Http2 => Some(Protocol::Http2),
        BackendProtocol::Tcp
        | BackendProtocol::TcpProxyV1
        | BackendProtocol::TcpProxyV2
        | BackendProtocol::Udp => None,
    };
    let options = ClientOptions {
        authorities: &authorities,
        hostname: &settings.hostname,
        names: &names,
        credential: credential.as_ref(),
        protocol,
    };
    Ok(ClientTls::new(&options)?)
}

fn staple(one: &gateway_ir::Staple) -> Staple {
    let gateway_ir::Staple { der, this_update, next_update } = one.clone();
    Staple { der, this_update, next_update }
}

pub(crate) fn identity(certificate: &Certificate) -> Identity {
    Identity {
        chain: certificate.chain.clone(),
        key: certificate.key.0.clone(),
        names: certificate.names.clone(),
        fingerprint: certificate.fingerprint.clone(),
        not_before: certificate.not_before,
        not_after: certificate.not_after,
        staple: certificate.staple.as_ref().map(staple),
    }
}
