//! Certificates made on the spot, a client that trusts them alone, and a server that shows them.

mod authority;
mod front;

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair, RsaKeySize};
use rustls::crypto::SupportedKxGroup;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

pub use authority::{Authority, Leaf};
pub use front::{FrontOptions, Handshake, TlsFront};

use crate::http::Client;
use crate::wait::WAIT_TIMEOUT;

/// A self-signed certificate and its key.
#[derive(Clone)]
pub struct SelfSigned {
    /// The certificate in PEM.
    pub certificate: String,
    /// The key in PEM.
    pub key: String,
}

/// A client over TLS.
pub type TlsClient = Client<StreamOwned<ClientConnection, TcpStream>>;

/// Versions that a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// TLS 1.2 alone.
    Old,
    /// TLS 1.3 alone.
    New,
}

impl SelfSigned {
    /// For these DNS names.
    ///
    /// # Panics
    /// A name cannot be in a certificate.
    pub fn new(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("names that can be in a certificate");
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    /// The same with an RSA key of 2048 bits.
    ///
    /// # Panics
    /// A name cannot be in a certificate.
    pub fn rsa(names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048).expect("an RSA key");
        let parameters = CertificateParams::new(names).expect("names that can be in a certificate");
        let certificate = parameters.self_signed(&key).expect("a key of a kind that signs");
        Self { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A Secret of type `kubernetes.io/tls` with it, as a YAML document.
    pub fn secret(&self, namespace: &str, name: &str) -> String {
        let indent = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
        format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             type: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
            indent(&self.certificate),
            indent(&self.key)
        )
    }

    /// The private key in DER.
    ///
    /// # Panics
    /// Its text was changed to something that is no key.
    pub fn key_der(&self) -> Vec<u8> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a private key").secret_der().to_vec()
    }

    /// The certificate in DER.
    ///
    /// # Panics
    /// Its text was changed to something that is no certificate.
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate")
    }
}

/// Settings of clients: the certificates that they trust, and the tickets that they keep between connections.
///
/// # Panics
/// A certificate is none.
pub fn client(trusted: &[&SelfSigned], versions: Versions) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for one in trusted {
        roots.add(one.der()).expect("a certificate");
    }
    let versions = match versions {
        Versions::Old => &[&rustls::version::TLS12],
        Versions::New => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
    Arc::new(builder.expect("versions of the provider").with_root_certificates(roots).with_no_client_auth())
}

/// The same clients, who show that certificate when they are asked for one; further ones in its text are its issuers'.
///
/// # Panics
/// The certificate and its key do not belong together.
pub fn showing(trusted: &[&SelfSigned], versions: Versions, own: Option<&SelfSigned>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&client(trusted, versions));
    if let Some(own) = own {
        let chain = CertificateDer::pem_slice_iter(own.certificate.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("certificates");
        let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a private key");
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let shown = CertifiedKey::from_der(chain, key, &provider).expect("a key of the certificate");
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(shown));
    }
    Arc::new(config)
}

/// The same clients, who offer these protocols by ALPN.
pub fn offering(client: &Arc<ClientConfig>, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut client = ClientConfig::clone(client);
    client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(client)
}

/// Connects and makes the handshake for `name`; an IP address is sent as no name.
///
/// # Errors
/// The connection or the handshake fails; the latter's text names the alert.
pub fn connect(to: SocketAddr, name: &str, client: &Arc<ClientConfig>) -> io::Result<TlsClient> {
    let socket = TcpStream::connect_timeout(&to, WAIT_TIMEOUT)?;
    socket.set_read_timeout(Some(WAIT_TIMEOUT))?;
    socket.set_write_timeout(Some(WAIT_TIMEOUT))?;
    socket.set_nodelay(true)?;
    over(socket, name, client)
}

/// Makes the handshake for `name` on a connection that stands; an IP address is sent as no name.
///
/// # Errors
/// The handshake fails; the error's text names the alert.
pub fn over(socket: TcpStream, name: &str, client: &Arc<ClientConfig>) -> io::Result<TlsClient> {
    secured(socket, name, client).map(Client::over)
}

/// The same with the bare stream.
///
/// # Errors
/// The handshake fails; the error's text names the alert.
pub fn secured(
    socket: TcpStream,
    name: &str,
    client: &Arc<ClientConfig>,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::clone(client), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

/// Settings of a server that shows this certificate and takes key shares of these groups, of all that there are if none is named.
///
/// # Panics
/// The certificate and its key do not belong together.
pub fn server(identity: &SelfSigned, groups: &[&'static dyn SupportedKxGroup]) -> Arc<ServerConfig> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !groups.is_empty() {
        provider.kx_groups = groups.to_vec();
    }
    let builder =
        ServerConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a private key");
    let config = builder.expect("versions of the provider").with_no_client_auth();
    Arc::new(
        config.with_single_cert(vec![identity.der()], key).expect("a key that belongs to the certificate"),
    )
}

/// Serves a connection as a backend that speaks TLS: it sends the server name that it was asked for, a line, and then back all
/// that it gets, up to the client's end, which it answers with its own.
///
/// # Errors
/// The connection or the handshake fails.
pub fn echo(socket: TcpStream, server: &Arc<ServerConfig>) -> io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(server)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, socket);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let name = stream.conn.server_name().unwrap_or_default().to_owned();
    writeln!(stream, "{name}")?;
    let mut piece = [0; 4096];
    while let n @ 1.. = stream.read(&mut piece)? {
        stream.write_all(piece.get(..n).unwrap_or_default())?;
    }
    stream.conn.send_close_notify();
    stream.conn.complete_io(&mut stream.sock).map(drop)
}

/// The certificate that the server has shown.
pub fn shown(client: &TlsClient) -> Option<CertificateDer<'static>> {
    let chain = client.stream().conn.peer_certificates()?;
    chain.first().map(|certificate| certificate.clone().into_owned())
}
