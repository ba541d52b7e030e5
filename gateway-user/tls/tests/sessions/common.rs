//! Certificates made on the spot, and a client that talks to a session over memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use gateway_tls::{HandshakeError, Identity, Outgoing, ServerOptions, ServerSession, ServerTls};
use rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore,
};

/// Bytes for the client, in a buffer that is too small on purpose at first.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    room: Vec<u8>,
}

impl Outgoing for Wire {
    fn room(&mut self, needed: usize) -> &mut [u8] {
        self.room.resize(needed.max(100), 0);
        &mut self.room
    }

    fn wrote(&mut self, count: usize) {
        self.bytes.extend_from_slice(&self.room[..count]);
    }
}

/// PEM of a self-signed certificate for these names, and of its key.
pub(crate) fn pem(names: &[&str]) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
        .unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

pub(crate) fn identity(names: &[&str]) -> Identity {
    let (certificate, key) = pem(names);
    Identity::read(certificate.as_bytes(), key.as_bytes()).unwrap().identity
}

pub(crate) fn server(identities: &[&Identity]) -> ServerTls {
    gateway_tls::install_provider();
    ServerTls::new(identities.iter().copied(), ServerOptions::default()).unwrap()
}

/// A client that trusts these identities alone.
pub(crate) fn client_config(
    trusted: &[&Identity],
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConfig {
    gateway_tls::install_provider();
    let mut roots = RootCertStore::empty();
    for identity in trusted {
        roots.add(CertificateDer::from(identity.chain[0].clone())).unwrap();
    }
    let mut config = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Both ends of a connection.
pub(crate) struct Pair {
    pub(crate) client: ClientConnection,
    pub(crate) server: ServerSession,
    /// Bytes that the server has not used up.
    pub(crate) unread: Vec<u8>,
    /// Bytes that the server has decrypted.
    pub(crate) content: Vec<u8>,
    /// Bytes that reach the server in one piece at most.
    pub(crate) piece: usize,
}

impl Pair {
    pub(crate) fn new(tls: &ServerTls, client: Arc<ClientConfig>, name: &str, piece: usize) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let client = ClientConnection::new(client, name).unwrap();
        let server = ServerSession::new(tls).unwrap();
        Self { client, server, unread: Vec::new(), content: Vec::new(), piece }
    }

    /// Exchanges bytes until nobody has any.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        loop {
            let mut sent = Vec::new();
            while self.client.wants_write() {
                self.client.write_tls(&mut sent).unwrap();
            }
            let mut wire = Wire::default();
            let mut failed = None;
            for piece in sent.chunks(self.piece) {
                if let Err(error) = self.feed_server(piece, &mut wire) {
                    failed = Some(error);
                    break;
                }
            }
            self.feed_client(&wire.bytes)?;
            if let Some(error) = failed {
                return Err(error.code().to_owned());
            }
            if sent.is_empty() && wire.bytes.is_empty() {
                return Ok(());
            }
        }
    }

    pub(crate) fn feed_server(&mut self, piece: &[u8], wire: &mut Wire) -> Result<(), HandshakeError> {
        self.unread.extend_from_slice(piece);
        let content = &mut self.content;
        let used =
            self.server.receive(&mut self.unread, wire, &mut |part| content.extend_from_slice(part))?;
        self.unread.drain(..used);
        Ok(())
    }

    pub(crate) fn feed_client(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            self.client.read_tls(&mut bytes).unwrap();
            self.client.process_new_packets().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// The server's bytes, as the client reads them.
    pub(crate) fn say(&mut self, data: &[u8]) -> Vec<u8> {
        let mut wire = Wire::default();
        self.server.send(data, &mut wire).unwrap();
        let mut heard = Vec::new();
        for piece in wire.bytes.chunks(1000) {
            self.feed_client(piece).unwrap();
            let mut buffer = [0; 20_000];
            while let Ok(count) = self.client.reader().read(&mut buffer) {
                heard.extend_from_slice(&buffer[..count]);
                if count == 0 {
                    break;
                }
            }
        }
        heard
    }

    /// The client's bytes, as the server reads them.
    pub(crate) fn ask(&mut self, data: &[u8]) -> Vec<u8> {
        let mut rest = data;
        while !rest.is_empty() {
            let count = self.client.writer().write(rest).unwrap();
            rest = &rest[count..];
            self.run().unwrap();
        }
        std::mem::take(&mut self.content)
    }
}

/// A record of TLS 1.3 with this content of this type, as the client's next one (RFC 8446 section 5.2).
pub(crate) fn sealed_by(client: ClientConnection, content: &[u8], typ: ContentType) -> Vec<u8> {
    let suite = client.negotiated_cipher_suite().and_then(|suite| suite.tls13()).unwrap();
    let (number, secrets) = client.dangerous_extract_secrets().unwrap().tx;
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        panic!("another suite");
    };
    let payload = OutboundChunks::Single(content);
    let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_3, payload };
    suite.aead_alg.encrypter(key, iv).encrypt(message, number).unwrap().encode()
}
