//! Connections over memory whose client seals whatever it likes.

use std::sync::{Arc, LazyLock};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite};

use super::super::capture::{self, Capture};
use super::super::record::{self, HEADER, OVERHEAD, Record};
use super::super::sides::Sides;
use super::super::start::sides;
use crate::{Identity, Outgoing, ServerOptions, ServerSession, ServerTls, Version, provider};

/// Bytes on their way.
#[derive(Default)]
pub(super) struct Wire {
    pub(super) bytes: Vec<u8>,
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

static ENDS: LazyLock<(Identity, ServerTls)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let identity = Identity::read(made.cert.pem().as_bytes(), key.as_bytes()).unwrap().identity;
    let server = ServerTls::new([&identity], ServerOptions::default()).unwrap();
    (identity, server)
});

/// Suites of both versions, one for each cipher.
pub(super) static SUITES: LazyLock<Vec<SupportedCipherSuite>> = LazyLock::new(|| {
    let suites = provider().cipher_suites.clone();
    suites.into_iter().filter(|suite| !format!("{:?}", suite.suite()).contains("_RSA_")).collect()
});

fn client(suite: SupportedCipherSuite) -> ClientConnection {
    let mut own = (*provider()).clone();
    own.cipher_suites = vec![suite];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ENDS.0.chain[0].clone())).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(own))
        .with_protocol_versions(&[suite.version()])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    config.key_log = Arc::new(Capture);
    ClientConnection::new(Arc::new(config), ServerName::try_from("a.example").unwrap()).unwrap()
}

/// A server that takes bytes, and gives content and what it has to send.
pub(super) trait Server {
    fn feed(&mut self, bytes: &[u8], content: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), ()>;
}

/// Our session, which may rest between any two pieces.
pub(super) struct Ours {
    pub(super) session: ServerSession,
    pub(super) parks: bool,
    unread: Vec<u8>,
}

impl Ours {
    pub(super) fn new() -> Self {
        Self { session: ServerSession::new(&ENDS.1).unwrap(), parks: false, unread: Vec::new() }
    }
}

impl Server for Ours {
    fn feed(&mut self, bytes: &[u8], content: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), ()> {
        self.unread.extend_from_slice(bytes);
        let mut wire = Wire::default();
        let mut put = |part: &[u8]| content.extend_from_slice(part);
        let used = self.session.receive(&mut self.unread, &mut wire, &mut put);
        if self.parks {
            self.session.park();
        }
        out.extend(wire.bytes);
        self.unread.drain(..used.map_err(drop)?);
        Ok(())
    }
}

/// The library's.
pub(super) struct Theirs {
    connection: UnbufferedServerConnection,
    unread: Vec<u8>,
}

impl Theirs {
    pub(super) fn new() -> Self {
        let connection = UnbufferedServerConnection::new(ENDS.1.config.clone()).unwrap();
        Self { connection, unread: Vec::new() }
    }
}

impl Server for Theirs {
    fn feed(&mut self, bytes: &[u8], content: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), ()> {
        self.unread.extend_from_slice(bytes);
        loop {
            let UnbufferedStatus { discard, state } = self.connection.process_tls_records(&mut self.unread);
            let is_done = match state.map_err(drop)? {
                ConnectionState::ReadTraffic(mut records) => {
                    while let Some(Ok(record)) = records.next_record() {
                        content.extend_from_slice(record.payload);
                    }
                    false
                }
                ConnectionState::EncodeTlsData(mut record) => {
                    let mut room = vec![0; 20_000];
                    let count = record.encode(&mut room).unwrap();
                    out.extend_from_slice(&room[..count]);
                    false
                }
                ConnectionState::TransmitTlsData(records) => {
                    records.done();
                    false
                }
                ConnectionState::PeerClosed => false,
                _ => true,
            };
            self.unread.drain(..discard);
            if is_done {
                return Ok(());
            }
        }
    }
}

/// Makes a handshake of this suite with a server; gives the client's keys behind it.
pub(super) fn connect(server: &mut impl Server, suite: SupportedCipherSuite) -> Sides {
    let mut client = client(suite);
    let mut secrets = None;
    let mut is_over = false;
    while !is_over {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).unwrap();
        }
        let (mut content, mut out) = (Vec::new(), Vec::new());
        server.feed(&sent, &mut content, &mut out).unwrap();
        // A server that is the library's leaves its own.
        capture::take();
        let mut rest = out.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
            secrets = capture::take().or(secrets);
        }
        is_over = !client.is_handshaking() && !client.wants_write();
    }
    let version = Version::of(client.protocol_version().unwrap());
    let extracted = client.dangerous_extract_secrets().unwrap();
    sides(version, &extracted, secrets.map(|secrets| (secrets.client, secrets.server))).unwrap()
}

/// A record of the client's.
pub(super) fn sealed(client: &mut Sides, typ: u8, content: &[u8]) -> Vec<u8> {
    let mut room = vec![0; content.len() + OVERHEAD];
    let len = client.seal(typ, content, &mut room).unwrap();
    room.truncate(len);
    room
}

/// Types and contents of what the server has sent.
pub(super) fn opened(client: &mut Sides, mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(record) = Record::read(bytes, client.format.version).unwrap() {
        let mut room = vec![0; record.room()];
        let record::Opened { typ, len } = client.open(&record, &mut room).unwrap();
        room.truncate(len);
        all.push((typ, room));
        bytes = &bytes[record.len()..];
    }
    assert!(bytes.is_empty() || bytes.len() < HEADER);
    all
}
