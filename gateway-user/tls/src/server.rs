//! TLS configuration of one listener.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, ServerConfig, SignatureAlgorithm};

use crate::established::capture::Capture;
use crate::tickets::sealing_only;
use crate::{CipherSuite, ClientTrust, Identity, IdentityError, ListenerTickets, Staple, provider};

/// The application protocols that we speak, best first. A client that offers `http/1.0` alone, as curl 7.88
/// to 8.4 does with `--http1.0`, sends messages that are read like others of HTTP/1.
const ALPN: [&[u8]; 4] = [HTTP2, b"http/1.1", b"http/1.0", b"http/0.9"];
/// The name of HTTP/2 over TLS (RFC 9113 section 3.2).
pub(crate) const HTTP2: &[u8] = b"h2";

/// Bytes of early data that are tried and passed over (RFC 8446 section 4.2.10): who has a ticket of the server that was here before
/// sends what that one allowed, 16 KiB of OpenSSL's. The same record is tried, and counted, anew with each piece that comes behind
/// it, so this is not how much may be sent: the room for a handshake's bytes is.
const EARLY_DATA_SKIPPED: u32 = 1 << 20;

/// The protocol that a client is spoken to by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1, also with clients that offer nothing.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
}

/// The oldest version of TLS that a listener accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2, and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// A version that was agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// Certificates and settings of a listener, ready for handshakes. A clone shares them.
#[derive(Clone)]
pub struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) clients: Option<Arc<ClientChecks>>,
}

/// The checks of clients' certificates.
pub(crate) struct ClientChecks {
    pub(crate) trust: Arc<ClientTrust>,
    /// The configuration for handshakes that must not resume a session.
    pub(crate) full: Arc<ServerConfig>,
}

/// The certificates to choose from, in the order of the listener.
#[derive(Debug)]
struct CertResolver(Vec<Credential>);

/// A certificate chain whose key is ready to sign. Cheap to clone: listeners that show the same certificate
/// share it.
#[derive(Clone, Debug)]
pub struct Credential(Arc<CredentialInner>);

#[derive(Debug)]
struct CredentialInner {
    key: Arc<CertifiedKey>,
    /// The same key with a staple, and the staple.
    stapled: Option<(Arc<CertifiedKey>, Staple)>,
    names: Vec<String>,
}

impl Credential {
    /// Makes a private key ready to sign, which takes some tens of microseconds.
    ///
    /// # Errors
    /// A key that was read by [`Identity::read`] cannot be used after all.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let key = Arc::new(identity.certified()?);
        let stapled = identity.staple.clone().map(|staple| {
            let mut with = CertifiedKey::clone(&key);
            with.ocsp = Some(staple.der.clone());
            (Arc::new(with), staple)
        });
        Ok(Self(Arc::new(CredentialInner { key, stapled, names: identity.names.clone() })))
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.0.key
    }
}

/// Settings of a listener's handshakes beside its certificates.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerOptions<'a> {
    /// The oldest version.
    pub min: MinVersion,
    /// The suites that may be used; all if there are none. A version none of whose suites is among them is not spoken.
    pub suites: &'a [CipherSuite],
    /// Its session tickets; without them every handshake is a full one.
    pub tickets: Option<ListenerTickets<'a>>,
    /// Asks clients for a certificate, and checks it.
    pub clients: Option<&'a Arc<ClientTrust>>,
    /// The application protocols that are offered.
    pub offer: Offer,
}

/// The application protocols that a listener offers to clients (RFC 7301).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offer {
    /// None, and none is chosen of those that a client names: they are the backend's to speak.
    Nothing,
    /// HTTP/1.
    #[default]
    Http1,
    /// HTTP/2 before HTTP/1.1.
    Http2,
}

impl ServerTls {
    /// [`ServerTls::with`] these, each made ready.
    ///
    /// # Errors
    /// As [`Credential::new`].
    pub fn new<'a>(
        identities: impl IntoIterator<Item = &'a Identity>,
        options: ServerOptions<'_>,
    ) -> Result<Self, IdentityError> {
        let credentials = identities.into_iter().map(Credential::new).collect::<Result<_, _>>()?;
        Self::with(credentials, options)
    }

    /// The configuration of a listener. Of several certificates a client gets one for the name it asks for
    /// and of a kind that it can check, ECDSA before RSA.
    ///
    /// # Errors
    /// None of the versions can be spoken, which does not happen.
    pub fn with(credentials: Vec<Credential>, options: ServerOptions<'_>) -> Result<Self, IdentityError> {
        let versions = match options.min {
            MinVersion::Tls12 => &[&TLS13, &TLS12][..],
            MinVersion::Tls13 => &[&TLS13],
        };
        let builder = ServerConfig::builder_with_provider(limited(options.suites))
            .with_protocol_versions(versions)
            .map_err(|_| IdentityError::BadKey)?;
        let builder = match options.clients {
            Some(trust) => {
                builder.with_client_cert_verifier(Arc::clone(trust) as Arc<dyn ClientCertVerifier>)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(CertResolver(credentials)));
        let offered = ALPN.into_iter().filter(|name| match options.offer {
            Offer::Nothing => false,
            Offer::Http1 => *name != HTTP2,
            Offer::Http2 => true,
        });
        config.alpn_protocols = offered.map(<[u8]>::to_vec).collect();
        // A cache of sessions would be written to under a lock by every handshake; tickets take a lock to look at a map.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Behind its handshake a session goes on without the library.
        config.enable_secret_extraction = true;
        config.key_log = Arc::new(Capture);
        // Requests in early data may be replayed by whoever recorded them (RFC 8470). Without tickets no session is resumed; with
        // them rustls takes no early data, and this is how much of it is passed over.
        config.max_early_data_size = 0;
        if let Some(tickets) = options.tickets {
            config.ticketer = tickets.producer(options.clients.map(|trust| &**trust));
            config.max_early_data_size = EARLY_DATA_SKIPPED;
        }
        let clients = options.clients.map(|trust| {
            let mut full = config.clone();
            full.ticketer = sealing_only(&config.ticketer);
            Arc::new(ClientChecks { trust: Arc::clone(trust), full: Arc::new(full) })
        });
        Ok(Self { config: Arc::new(config), clients })
    }

    /// True if clients are asked for a certificate.
    pub fn asks_clients(&self) -> bool {
        self.clients.is_some()
    }
}

/// Our crypto provider with these suites alone, if there are any.
fn limited(suites: &[CipherSuite]) -> Arc<CryptoProvider> {
    let all = provider();
    if suites.is_empty() {
        return all;
    }
    let mut own = CryptoProvider::clone(&all);
    own.cipher_suites.retain(|one| suites.iter().any(|suite| suite.id == one.suite()));
    Arc::new(own)
}

impl CredentialInner {
    /// The key as of now: with its staple as long as clients take that. One that is over would have some of them refuse.
    fn now(&self) -> &Arc<CertifiedKey> {
        let Some((stapled, staple)) = &self.stapled else { return &self.key };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if staple.is_current(i64::try_from(now).unwrap_or(i64::MAX)) { stapled } else { &self.key }
    }
}

impl CertResolver {
    fn best(&self, name: Option<&str>, fits: impl Fn(&CertifiedKey) -> bool) -> Option<&CredentialInner> {
        let rank = |shown: &&CredentialInner| {
            let named = name.is_none_or(|name| covers(&shown.names, name));
            let ecdsa = shown.key.key.algorithm() == SignatureAlgorithm::ECDSA;
            (!named, !ecdsa)
        };
        self.0.iter().map(|one| &*one.0).filter(|shown| fits(&shown.key)).min_by_key(rank)
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        let fits = |key: &CertifiedKey| key.key.choose_scheme(schemes).is_some();
        let best = self.best(hello.server_name(), fits);
        // None fits: the handshake fails with the alert for that.
        best.or_else(|| self.0.first().map(|one| &*one.0)).map(|shown| Arc::clone(shown.now()))
    }
}

/// Most names that are looked at one by one. More than these are sorted by [`Identity::read`]: the
/// certificate for a host is looked for in every handshake, for each certificate of the listener, and a
/// certificate can have thousands.
pub(crate) const NAMES_UNSORTED: usize = 64;

/// True if one of a certificate's names covers a host: itself, or with `*` for exactly one label (RFC 9525
/// section 6.3). More than 64 are sorted.
pub fn covers(names: &[String], host: &str) -> bool {
    if names.len() <= NAMES_UNSORTED {
        return names.iter().any(|name| covers_one(name, host));
    }
    let has = |wanted: &str| names.binary_search_by(|name| name.as_str().cmp(wanted)).is_ok();
    let parent = host.split_once('.').filter(|(label, _)| !label.is_empty());
    has(host)
        || parent.is_some_and(|(_, parent)| {
            let star = b"*.".iter().chain(parent.as_bytes());
            names.binary_search_by(|name| name.bytes().cmp(star.clone().copied())).is_ok()
        })
}

fn covers_one(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(suffix) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix),
        None => pattern == host,
    }
}

impl Version {
    pub(crate) fn of(version: ProtocolVersion) -> Self {
        if version == ProtocolVersion::TLSv1_3 { Self::Tls13 } else { Self::Tls12 }
    }

    /// `1.2` or `1.3`: the attribute `tls.protocol.version` of OpenTelemetry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_one_label() {
        for (pattern, host, want) in [
            ("a.example", "a.example", true),
            ("a.example", "b.a.example", false),
            ("*.example", "a.example", true),
            ("*.example", "b.a.example", false),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*", "example", false),
        ] {
            assert_eq!(covers(&[pattern.to_owned()], host), want, "{pattern} and {host}");
            let many: Vec<String> = (0..NAMES_UNSORTED).map(|n| format!("{n}.examplf")).collect();
            let mut names = [many.as_slice(), &[pattern.to_owned()]].concat();
            names.sort();
            assert_eq!(covers(&names, host), want, "{pattern} among others and {host}");
        }
    }
}
