//! TLS from strangers, before and after a handshake: never a panic, a failure stays one, and content comes
//! out as it was sealed. ClientHellos are read by rustls as well.
#![no_main]

use std::sync::{Arc, LazyLock};

use gateway_tls::hello::{HelloReader, MAX_HELLO, Peek, peek};
use gateway_tls::{Identity, Outgoing, ServerOptions, ServerSession, ServerTls};
use libfuzzer_sys::fuzz_target;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::Acceptor;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore,
};

/// A record's content type (RFC 8446 section 5.1).
const APPLICATION_DATA: u8 = 23;

/// A server and a client that trusts it.
struct Ends {
    server: ServerTls,
    client: Arc<ClientConfig>,
}

static ENDS: LazyLock<Ends> = LazyLock::new(|| {
    gateway_tls::install_provider();
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    let key = made.signing_key.serialize_pem();
    let read = Identity::read(made.cert.pem().as_bytes(), key.as_bytes());
    let identity = read.expect("what was just made").identity;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.chain[0].clone())).expect("a certificate");
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.enable_secret_extraction = true;
    let server = ServerTls::new([&identity], ServerOptions::default()).expect("settings that agree");
    Ends { server, client: Arc::new(client) }
});

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

/// The server's end, fed as a connection feeds it: what is not used up comes again with more.
struct Server {
    session: ServerSession,
    unread: Vec<u8>,
    content: Vec<u8>,
    failed: bool,
    wire: Wire,
}

impl Server {
    fn new() -> Self {
        let session = ServerSession::new(&ENDS.server).expect("settings that agree");
        Self { session, unread: Vec::new(), content: Vec::new(), failed: false, wire: Wire::default() }
    }

    fn feed(&mut self, bytes: &[u8], piece: usize) {
        for piece in bytes.chunks(piece.max(1)) {
            self.unread.extend_from_slice(piece);
            let content = &mut self.content;
            let used = self
                .session
                .receive(&mut self.unread, &mut self.wire, &mut |part| content.extend_from_slice(part));
            assert!(!self.failed || used.is_err(), "a broken session goes on");
            match used {
                Ok(used) => drop(self.unread.drain(..used)),
                Err(_) => self.failed = true,
            }
            if !self.session.is_handshaking() {
                assert!(
                    self.session.send(b"response", &mut self.wire).is_ok() || self.failed || self.is_closed()
                );
            }
        }
    }

    fn is_closed(&self) -> bool {
        self.session.is_peer_closed()
    }
}

/// A hello that comes in pieces is found in the first of them that holds it, and what follows changes nothing: the way of a
/// connection that is passed through is decided by it.
fn in_pieces(bytes: &[u8], piece: usize) {
    let whole = peek(bytes);
    let (mut reader, mut cut) = (HelloReader::default(), 0);
    while cut < bytes.len() {
        cut = cut.saturating_add(piece).min(bytes.len());
        let seen = reader.peek(&bytes[..cut]);
        assert_eq!(seen, peek(&bytes[..cut]), "a reader that keeps its place");
        match seen {
            Peek::Incomplete => assert!(cut < MAX_HELLO, "it is waited for"),
            // The last look: a connection is decided by it.
            Peek::Hello { server_name } => {
                assert_eq!(whole, Peek::Hello { server_name }, "another name with more bytes");
                return;
            }
            wrong => return assert_eq!(whole, wrong, "it is another thing with more bytes"),
        }
    }
}

/// Bytes from anybody.
fn before(bytes: &[u8], piece: usize) {
    in_pieces(bytes, piece);
    if let Peek::Hello { server_name } = peek(bytes) {
        let mut acceptor = Acceptor::default();
        let mut rest = bytes;
        while acceptor.read_tls(&mut rest).is_ok_and(|count| count > 0) {}
        if let Ok(Some(accepted)) = acceptor.accept() {
            let theirs = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
            assert_eq!(server_name, theirs, "two names in one ClientHello");
        }
    }
    let mut server = Server::new();
    server.feed(bytes, piece);
    assert!(server.content.is_empty(), "content without a handshake");
    server.session.close(&mut server.wire);
}

/// Records that only who has the keys can make: type, length and content of each.
fn after(mut script: &[u8], piece: usize) {
    let mut server = Server::new();
    let (mut encrypter, mut number) = shake_hands(&mut server);
    let (mut sealed, mut said, mut only_content) = (Vec::new(), Vec::new(), true);
    while let Some((&[typ, length], rest)) = script.split_first_chunk() {
        let (content, later) = rest.split_at(usize::from(length).min(rest.len()));
        script = later;
        let is_content = match typ {
            // RFC 8446 section 5.4: zeros are padding, and the type is what stands before them.
            0 => meant(content).inspect(|content| said.extend_from_slice(content)).is_some(),
            APPLICATION_DATA => {
                said.extend_from_slice(content);
                true
            }
            _ => false,
        };
        only_content &= is_content;
        let typ = ContentType::from(typ);
        let payload = OutboundChunks::Single(content);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_3, payload };
        sealed.extend(encrypter.encrypt(message, number).expect("room").encode());
        number += 1;
    }
    server.feed(&sealed, piece);
    assert!(said.starts_with(&server.content), "content that nobody sealed");
    assert!(!only_content || (server.content == said && !server.failed), "content is lost");
    server.session.close(&mut server.wire);
}

/// The content of a record whose padding has begun, if it is content.
fn meant(padded: &[u8]) -> Option<&[u8]> {
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded[end] == APPLICATION_DATA).then_some(&padded[..end])
}

/// The keys that the client encrypts with from here on, and the number of its next record.
fn shake_hands(server: &mut Server) -> (Box<dyn MessageEncrypter>, u64) {
    let name = ServerName::try_from("a.example").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(&ENDS.client), name).expect("a client");
    while client.is_handshaking() || client.wants_write() {
        let mut sent = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut sent).expect("memory");
        }
        server.feed(&sent, usize::MAX);
        let mut response = server.wire.bytes.as_slice();
        while !response.is_empty() {
            client.read_tls(&mut response).expect("memory");
            client.process_new_packets().expect("what our server says");
        }
        server.wire.bytes.clear();
    }
    let suite = client.negotiated_cipher_suite().and_then(|suite| suite.tls13()).expect("TLS 1.3");
    let (number, secrets) = client.dangerous_extract_secrets().expect("it is allowed").tx;
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
    else {
        panic!("another suite");
    };
    (suite.aead_alg.encrypter(key, iv), number)
}

fuzz_target!(|data: &[u8]| {
    LazyLock::force(&ENDS);
    let Some((&[side, piece], bytes)) = data.split_first_chunk() else { return };
    let piece = if piece == 0 { usize::MAX } else { usize::from(piece) };
    if side & 1 == 0 { before(bytes, piece) } else { after(bytes, piece) }
});
