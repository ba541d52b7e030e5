//! TLS configuration of connections to backends.

use std::fmt;
use std::sync::Arc;

use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};

use crate::backend_sessions::BackendSessions;
use crate::peer::{ClientTlsError, PeerName};
use crate::server::HTTP2;
use crate::verifier::BackendVerifier;
use crate::{Credential, Protocol, provider};

/// Checks and names of connections to a backend.
#[derive(Clone, Copy, Debug)]
pub struct ClientOptions<'a> {
    /// Certificates of the authorities to trust, in DER.
    pub authorities: &'a [&'a [u8]],
    /// The server name to send, and to find in the certificate where there are no `names`.
    pub hostname: &'a str,
    /// Names of which the certificate must have one.
    pub names: &'a [PeerName],
    /// Shown to backends that ask for a certificate.
    pub credential: Option<&'a Credential>,
    /// The protocol within: the only one that is offered (RFC 7301). `None` offers none, for bytes that are a client's own.
    pub protocol: Option<Protocol>,
}

/// Settings of connections to one backend, ready for handshakes, with the sessions that it resumes. A clone shares both.
#[derive(Clone)]
pub struct ClientTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
    protocol: Option<Protocol>,
}

impl ClientTls {
    /// Settings of connections to backends. Parses every authority.
    ///
    /// # Errors
    /// [`ClientTlsError`].
    pub fn new(options: &ClientOptions<'_>) -> Result<Self, ClientTlsError> {
        let name =
            ServerName::try_from(options.hostname.to_owned()).map_err(|_| ClientTlsError::BadHostname)?;
        let verifier = BackendVerifier::new(options.authorities, options.names)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| ClientTlsError::Version)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match options.credential {
            Some(credential) => {
                let resolver = SingleCertAndKey::from(Arc::clone(credential.certified()));
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match options.protocol {
            None => Vec::new(),
            Some(Protocol::Http1) => vec![b"http/1.1".to_vec()],
            Some(Protocol::Http2) => vec![HTTP2.to_vec()],
        };
        config.resumption = Resumption::store(Arc::new(BackendSessions::default()));
        // A request in early data may be replayed by whoever recorded it (RFC 8470).
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config), name, protocol: options.protocol })
    }

    /// The same settings with sessions of its own: a ticket is of use only to the backend that gave it.
    #[must_use]
    pub fn with_own_sessions(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::store(Arc::new(BackendSessions::default()));
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// The protocol that is offered.
    pub fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }
}

/// True if a text can be the hostname of [`ClientOptions`].
pub fn is_server_name(hostname: &str) -> bool {
    ServerName::try_from(hostname).is_ok()
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").field("name", &self.name).finish_non_exhaustive()
    }
}
