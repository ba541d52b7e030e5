//! Sessions behind their handshake: records of a client that has the keys, and bytes of one that has not, to a session of ours that
//! rests between them, and to one of rustls. Both take the same content, and refuse the same record.
#![no_main]

use std::sync::{Arc, LazyLock};

use gateway_tls::{Identity, Outgoing, ServerOptions, ServerSession, ServerTls};
use libfuzzer_sys::fuzz_target;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::kernel::KernelConnection;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeTlsData, UnbufferedStatus};
use rustls::{
    ClientConfig, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore, ServerConfig,
    SupportedCipherSuite,
};

/// Both servers, and a client of each suite that trusts them.
struct Ends {
    ours: ServerTls,
    theirs: Arc<ServerConfig>,
    clients: Vec<Arc<ClientConfig>>,
}

static ENDS: LazyLock<Ends> = LazyLock::new(|| {
    gateway_tls::install_provider();
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let read = Identity::read(certificate.as_bytes(), key.as_bytes());
    let identity = read.expect("what was just made").identity;
    let chain = vec![CertificateDer::from(identity.chain[0].clone())];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("what was just made");
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).expect("a certificate");
    let theirs = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    let all = rustls::crypto::aws_lc_rs::default_provider();
    let clients = all.cipher_suites.iter().filter(|suite| !format!("{:?}", suite.suite()).contains("_RSA_"));
    let client = |suite: &SupportedCipherSuite| {
        let mut own = all.clone();
        own.cipher_suites = vec![*suite];
        let builder = ClientConfig::builder_with_provider(Arc::new(own))
            .with_protocol_versions(&[suite.version()])
            .expect("a version of the suite");
        let mut config = builder.with_root_certificates(roots.clone()).with_no_client_auth();
        config.enable_secret_extraction = true;
        Arc::new(config)
    };
    Ends {
        ours: ServerTls::new([&identity], ServerOptions::default()).expect("settings that agree"),
        theirs: Arc::new(theirs.expect("settings that agree")),
        clients: clients.map(client).collect(),
    }
});

/// Takes bytes behind those that it has not used up, and gives content; what it says goes to `out`.
trait Server {
    fn feed(&mut self, bytes: &[u8], content: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), ()>;
}

#[derive(Default)]
struct Wire {
    bytes: Vec<u8>,
    room: Vec<u8>,
}

impl Outgoing for Wire {
    fn room(&mut self, needed: usize) -> &mut [u8] {
        self.room.resize(needed, 0);
        &mut self.room
    }

    fn wrote(&mut self, count: usize) {
        self.bytes.extend_from_slice(&self.room[..count]);
    }
}

struct Ours {
    session: ServerSession,
    unread: Vec<u8>,
    rests: bool,
}

impl Server for Ours {
    fn feed(&mut self, bytes: &[u8], content: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), ()> {
        self.unread.extend_from_slice(bytes);
        let mut wire = Wire::default();
        let used =
            self.session.receive(&mut self.unread, &mut wire, &mut |part| content.extend_from_slice(part));
        if self.rests {
            self.session.park();
        }
        out.extend(wire.bytes);
        self.unread.drain(..used.map_err(drop)?);
        Ok(())
    }
}

struct Theirs {
    connection: UnbufferedServerConnection,
    unread: Vec<u8>,
}

fn encode<D>(record: &mut EncodeTlsData<'_, D>, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + 20_000, 0);
    let count = record.encode(&mut out[start..]).expect("room");
    out.truncate(start + count);
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
                    encode(&mut record, out);
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

/// The client behind its handshake: what seals its records.
struct Client {
    kernel: KernelConnection<ClientConnectionData>,
    encrypter: Box<dyn MessageEncrypter>,
    number: u64,
}

impl Client {
    fn connect(server: &mut impl Server, config: Arc<ClientConfig>) -> Self {
        let name = ServerName::try_from("a.example").expect("a name");
        let mut client = UnbufferedClientConnection::new(config, name).expect("a client");
        let mut unread = Vec::new();
        // Until a turn in which neither says anything.
        loop {
            let mut sent = Vec::new();
            loop {
                let UnbufferedStatus { discard, state } = client.process_tls_records(&mut unread);
                let is_done = match state.expect("what our server says") {
                    ConnectionState::EncodeTlsData(mut record) => {
                        encode(&mut record, &mut sent);
                        false
                    }
                    ConnectionState::TransmitTlsData(records) => {
                        records.done();
                        false
                    }
                    _ => true,
                };
                unread.drain(..discard);
                if is_done {
                    break;
                }
            }
            let mut out = Vec::new();
            server.feed(&sent, &mut Vec::new(), &mut out).expect("a handshake");
            if sent.is_empty() && out.is_empty() {
                break;
            }
            unread.extend(out);
        }
        let (secrets, kernel) = client.dangerous_into_kernel_connection().expect("it is allowed");
        let (number, keys) = secrets.tx;
        let mut encrypter = encrypter(kernel.negotiated_cipher_suite(), keys);
        // The library's key takes the first record that it seals for the one with number 0, and counts from there.
        for before in 0..number {
            let payload = OutboundChunks::Single(&[]);
            let typ = ContentType::Handshake;
            let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
            encrypter.encrypt(message, before).expect("a record of the handshake");
        }
        Self { kernel, encrypter, number }
    }

    fn is_tls13(&self) -> bool {
        self.kernel.protocol_version() == ProtocolVersion::TLSv1_3
    }

    fn sealed(&mut self, typ: u8, content: &[u8]) -> Vec<u8> {
        let payload = OutboundChunks::Single(content);
        let message =
            OutboundPlainMessage { typ: ContentType::from(typ), version: ProtocolVersion::TLSv1_2, payload };
        self.number += 1;
        self.encrypter.encrypt(message, self.number - 1).expect("room").encode()
    }

    /// The bytes of the next step of a script.
    fn step(&mut self, (kind, value, bytes): (u8, u8, &[u8])) -> Vec<u8> {
        match kind % 8 {
            0..=2 => self.sealed(APPLICATION_DATA, bytes),
            // The type comes behind the content, and zeros behind that.
            3 if self.is_tls13() => {
                let padding = vec![0; usize::from(value)];
                self.sealed(0, &[bytes, &[APPLICATION_DATA], &padding].concat())
            }
            4 => {
                let record = self.sealed(HANDSHAKE, &[24, 0, 0, 1, value % 3]);
                if self.is_tls13() {
                    let (number, keys) = self.kernel.update_tx_secret().expect("keys of TLS 1.3");
                    self.number = number;
                    self.encrypter = encrypter(self.kernel.negotiated_cipher_suite(), keys);
                }
                record
            }
            5 => self.sealed(ALERT, &[value, bytes.first().copied().unwrap_or(0)]),
            // A type of no use; the library judges messages only when they are whole.
            6 => self.sealed(if matches!(value, 0 | ALERT..=APPLICATION_DATA) { 99 } else { value }, &[1]),
            _ => {
                let mut record = self.sealed(APPLICATION_DATA, bytes);
                let at = 5 + usize::from(value) % (record.len() - 5);
                record[at] ^= 1;
                record
            }
        }
    }
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

fn encrypter(suite: SupportedCipherSuite, keys: ConnectionTrafficSecrets) -> Box<dyn MessageEncrypter> {
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = keys
    else {
        panic!("another suite");
    };
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite.aead_alg.encrypter(key, iv),
        SupportedCipherSuite::Tls12(suite) => {
            let fixed = suite.aead_alg.key_block_shape().fixed_iv_len;
            let (fixed, explicit) = iv.as_ref().split_at(fixed);
            suite.aead_alg.encrypter(key, fixed, explicit)
        }
    }
}

/// Most steps of a script: of records without content ours takes fewer, in a row and between key updates.
const STEPS_MAX: usize = 24;

/// The content that comes out of a script, the number of its steps that went well, and if the next one did not.
#[derive(Debug, PartialEq)]
struct Outcome {
    content: Vec<u8>,
    done: usize,
    failed: bool,
}

fn run(server: &mut impl Server, client: &mut Client, mut script: &[u8], piece: usize) -> Outcome {
    let (mut content, mut out, mut done) = (Vec::new(), Vec::new(), 0);
    while let Some((&[kind, value, length], rest)) = script.split_first_chunk().filter(|_| done < STEPS_MAX) {
        let (bytes, later) = rest.split_at(usize::from(length).min(rest.len()));
        script = later;
        for piece in client.step((kind, value, bytes)).chunks(piece) {
            if server.feed(piece, &mut content, &mut out).is_err() {
                return Outcome { content, done, failed: true };
            }
        }
        done += 1;
    }
    Outcome { content, done, failed: false }
}

fn ours(rests: bool) -> Ours {
    let session = ServerSession::new(&ENDS.ours).expect("settings that agree");
    Ours { session, unread: Vec::new(), rests }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[setting, piece], script)) = data.split_first_chunk() else { return };
    let piece = if piece == 0 { usize::MAX } else { usize::from(piece) };
    let config = &ENDS.clients[usize::from(setting >> 2) % ENDS.clients.len()];
    let mut own = ours(false);
    let mut client = Client::connect(&mut own, Arc::clone(config));
    own.rests = setting & 1 == 1;
    if setting & 2 == 2 {
        // Bytes of who has no keys: no content, no panic.
        let (mut content, mut out) = (Vec::new(), Vec::new());
        for piece in script.chunks(piece) {
            let _ = own.feed(piece, &mut content, &mut out);
        }
        assert!(content.is_empty(), "content that nobody sealed");
        return;
    }
    let outcome = run(&mut own, &mut client, script, piece);
    let goes_on = own.feed(&[], &mut Vec::new(), &mut Vec::new()).is_ok();
    assert_eq!(goes_on, !outcome.failed, "a broken session goes on");
    let connection = UnbufferedServerConnection::new(Arc::clone(&ENDS.theirs)).expect("settings that agree");
    let mut theirs = Theirs { connection, unread: Vec::new() };
    let mut client = Client::connect(&mut theirs, Arc::clone(config));
    assert_eq!(outcome, run(&mut theirs, &mut client, script, piece), "rustls takes something else");
});
