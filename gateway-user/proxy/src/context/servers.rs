//! TLS configurations of listeners, as one worker holds them.

use std::sync::Arc;

use gateway_ir::{
    Certificate, ClientValidation, ClientValidationMode, ListenerTls, Serve, TlsVersion, TrustBundle,
};
use gateway_snapshot::{ListenerInfo, Snapshot};
use gateway_tls::{
    CipherSuite, ClientMode, ClientTlsError, ClientTrust, Credential, IdentityError, ListenerTickets,
    MinVersion, Offer, ServerOptions, ServerTls,
};
use hashbrown::HashMap;

use crate::ProxyConfig;
use crate::upstream::identity;

/// One configuration for each listener whose handshakes can succeed, with the parts that they share.
#[derive(Default)]
pub(crate) struct Servers {
    /// By the settings' place in memory, which is the same in all snapshots until something in them changes; the snapshot
    /// keeps them there.
    by_settings: HashMap<usize, ServerTls>,
    /// Certificates that are ready to sign, by their place in memory, where they stay as long as they are in here. Each is
    /// made once, however many listeners show it: a Gateway has 64, with 64 references each.
    credentials: HashMap<usize, (Arc<Certificate>, Credential)>,
    /// Authorities that are ready to check clients, by their places and the strictness: the listeners of a Gateway mostly
    /// have the same.
    trust: HashMap<TrustKey, (Vec<Arc<TrustBundle>>, Arc<ClientTrust>)>,
}

type TrustKey = (Vec<usize>, ClientValidationMode);

/// A listener whose handshakes cannot succeed after all.
#[derive(Debug, thiserror::Error)]
enum ServerError {
    #[error("a certificate that was good cannot be served: {0}")]
    Certificate(#[from] IdentityError),
    #[error("authorities that were good cannot check clients: {0}")]
    Trust(#[from] ClientTlsError),
}

impl Servers {
    /// The configurations of a snapshot, made but for what `previous` has made already. A listener without a certificate, or
    /// without an authority to check its clients by, has none.
    pub(crate) fn new(snapshot: &Snapshot, config: &ProxyConfig, previous: Option<&Self>) -> Self {
        let mut servers = Self::default();
        let listeners = snapshot.binds().flat_map(|bind| bind.tls());
        for (listener, settings) in
            listeners.filter(|(_, tls)| !tls.certificates.is_empty() && !tls.trusts_nobody())
        {
            let place = Arc::as_ptr(settings).addr();
            if servers.by_settings.contains_key(&place) {
                continue;
            }
            if let Some((previous, same)) = previous.and_then(|all| Some((all, all.by_settings.get(&place)?)))
            {
                servers.keep(settings, previous);
                servers.by_settings.insert(place, same.clone());
                continue;
            }
            match servers.server(listener, settings, config, previous) {
                Ok(tls) => drop(servers.by_settings.insert(place, tls)),
                // They were checked when they were read. One listener's must not hold up the rest.
                Err(error) => tracing::error!(listener = &*listener.text, "{error}"),
            }
        }
        servers
    }

    /// The configuration for handshakes with a listener; `None` if none can succeed.
    pub(crate) fn get(&self, settings: &Arc<ListenerTls>) -> Option<&ServerTls> {
        self.by_settings.get(&Arc::as_ptr(settings).addr())
    }

    fn server(
        &mut self,
        listener: &ListenerInfo,
        settings: &ListenerTls,
        config: &ProxyConfig,
        known: Option<&Self>,
    ) -> Result<ServerTls, ServerError> {
        let shown = settings.certificates.iter().map(|one| self.credential(one, known));
        let shown = shown.collect::<Result<_, _>>()?;
        let clients = settings.clients.as_ref().map(|clients| self.trust(clients, known)).transpose()?;
        let suites: Vec<_> =
            settings.cipher_suites.iter().filter_map(|name| CipherSuite::named(name)).collect();
        let (gateway, name) = (listener.id.gateway.to_string(), listener.id.within_gateway());
        let tickets = config.tickets.as_ref();
        let tickets = tickets.map(|keys| ListenerTickets { keys, gateway: &gateway, listener: &name });
        let options = ServerOptions {
            tickets,
            min: match settings.min_version {
                TlsVersion::Tls12 => MinVersion::Tls12,
                TlsVersion::Tls13 => MinVersion::Tls13,
            },
            suites: &suites,
            clients: clients.as_ref(),
            offer: match listener.serve {
                Serve::Https if config.http2 => Offer::Http2,
                Serve::Https => Offer::Http1,
                _ => Offer::Nothing,
            },
        };
        Ok(ServerTls::with(shown, options)?)
    }

    /// That of a certificate, made if neither these nor the `known` ones have it.
    fn credential(
        &mut self,
        certificate: &Arc<Certificate>,
        known: Option<&Self>,
    ) -> Result<Credential, IdentityError> {
        let place = Arc::as_ptr(certificate).addr();
        if let Some((_, same)) = self.credentials.get(&place) {
            return Ok(same.clone());
        }
        let credential = match known.and_then(|known| known.credentials.get(&place)) {
            Some((_, same)) => same.clone(),
            None => Credential::new(&identity(certificate))?,
        };
        self.credentials.insert(place, (Arc::clone(certificate), credential.clone()));
        Ok(credential)
    }

    /// The same for authorities.
    fn trust(
        &mut self,
        clients: &ClientValidation,
        known: Option<&Self>,
    ) -> Result<Arc<ClientTrust>, ClientTlsError> {
        let key = trust_key(clients);
        if let Some((_, same)) = self.trust.get(&key) {
            return Ok(Arc::clone(same));
        }
        let trust = match known.and_then(|known| known.trust.get(&key)) {
            Some((_, same)) => Arc::clone(same),
            None => {
                let authorities: Vec<&[u8]> =
                    clients.trust.iter().flat_map(|bundle| &bundle.certificates).map(Vec::as_slice).collect();
                let mode = match clients.mode {
                    ClientValidationMode::AllowValidOnly => ClientMode::ValidOnly,
                    ClientValidationMode::AllowInsecureFallback => ClientMode::InsecureFallback,
                };
                Arc::new(ClientTrust::new(&authorities, mode)?)
            }
        };
        self.trust.insert(key, (clients.trust.clone(), Arc::clone(&trust)));
        Ok(trust)
    }

    /// Keeps the parts of a listener that is as before.
    fn keep(&mut self, settings: &ListenerTls, known: &Self) {
        for certificate in &settings.certificates {
            let place = Arc::as_ptr(certificate).addr();
            self.credentials.extend(known.credentials.get(&place).map(|same| (place, same.clone())));
        }
        if let Some(key) = settings.clients.as_ref().map(trust_key)
            && let Some(same) = known.trust.get(&key)
        {
            self.trust.insert(key, same.clone());
        }
    }
}

fn trust_key(clients: &ClientValidation) -> TrustKey {
    (clients.trust.iter().map(|bundle| Arc::as_ptr(bundle).addr()).collect(), clients.mode)
}
