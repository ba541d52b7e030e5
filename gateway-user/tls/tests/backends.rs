//! Client sessions against rustls' own server, over memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use gateway_tls::{
    BackendTlsError, ClientOptions, ClientSession, ClientTls, Identity, Outgoing, PeerName, Protocol,
    Version, read_authorities, read_bundle,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

#[derive(Default)]
struct Wire(Vec<u8>, usize);

impl Outgoing for Wire {
    fn room(&mut self, needed: usize) -> &mut [u8] {
        self.0.resize(self.1 + needed.max(1), 0);
        self.0.get_mut(self.1..).unwrap_or_default()
    }

    fn wrote(&mut self, count: usize) {
        self.1 += count;
        self.0.truncate(self.1);
    }
}

/// A certificate that signs itself, and its key, in PEM.
fn self_signed(names: &[&str]) -> (String, String) {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    (CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn server(identity: &(String, String), alpn: &[&[u8]]) -> ServerConnection {
    ServerConnection::new(server_config(identity, alpn)).unwrap()
}

fn server_config((certificate, key): &(String, String), alpn: &[&[u8]]) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(chain, key).unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn client(trusted: &str, names: &[PeerName], protocol: impl Into<Option<Protocol>>) -> ClientTls {
    let authorities = read_authorities(trusted.as_bytes()).unwrap();
    let authorities: Vec<&[u8]> = authorities.iter().map(Vec::as_slice).collect();
    let options = ClientOptions {
        authorities: &authorities,
        hostname: "a.b.example",
        names,
        credential: None,
        protocol: protocol.into(),
    };
    ClientTls::new(&options).unwrap()
}

/// Runs both sides, in pieces of this size, to the end of the handshake.
fn run(
    tls: &ClientTls,
    server: &mut ServerConnection,
    piece: usize,
) -> Result<ClientSession, BackendTlsError> {
    let mut session = ClientSession::new(tls)?;
    let mut inbox = Vec::new();
    loop {
        let mut wire = Wire::default();
        let used = session.receive(&mut inbox, &mut wire, &mut |_| {});
        let sent = wire.0;
        let mut sent = sent.as_slice();
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            let _ = server.process_new_packets();
        }
        inbox.drain(..used?);
        if !session.is_handshaking() {
            return Ok(session);
        }
        let mut out = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut out).unwrap();
        }
        if out.is_empty() {
            return Err(BackendTlsError::Closed);
        }
        for part in out.chunks(piece) {
            inbox.extend_from_slice(part);
            let mut wire = Wire::default();
            let used = session.receive(&mut inbox, &mut wire, &mut |_| {})?;
            inbox.drain(..used);
            let mut sent = wire.0.as_slice();
            while !sent.is_empty() {
                server.read_tls(&mut sent).unwrap();
                server.process_new_packets().unwrap();
            }
        }
        if !session.is_handshaking() {
            return Ok(session);
        }
    }
}

#[test]
fn content_goes_both_ways_however_it_is_cut() {
    let identity = self_signed(&["a.b.example"]);
    for piece in [1, 100, 100_000] {
        let mut server = server(&identity, &[b"http/1.1"]);
        let mut session = run(&client(&identity.0, &[], Protocol::Http1), &mut server, piece).unwrap();
        assert_eq!((session.version(), session.protocol()), (Some(Version::Tls13), Protocol::Http1));
        let mut wire = Wire::default();
        session.send(&[7; 40_000], &mut wire).unwrap();
        let mut sent = wire.0.as_slice();
        let mut got = Vec::new();
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            server.process_new_packets().unwrap();
            let _ = server.reader().read_to_end(&mut got);
        }
        assert_eq!(got, [7; 40_000]);
        server.writer().write_all(b"hello").unwrap();
        let mut back = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut back).unwrap();
        }
        let mut content = Vec::new();
        let used =
            session.receive(&mut back, &mut Wire::default(), &mut |part| content.extend_from_slice(part));
        assert_eq!((used.unwrap(), content.as_slice()), (back.len(), &b"hello"[..]));
    }
}

#[test]
fn as_many_handshakes_at_once_resume_as_there_are_tickets() {
    let identity = self_signed(&["a.b.example"]);
    let config = server_config(&identity, &[]);
    let tls = client(&identity.0, &[], None);
    let handshake = || {
        let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
        let session = run(&tls, &mut server, 100_000).unwrap();
        (session, server)
    };
    // Each handshake uses one and is given more.
    for _ in 0..100 {
        let (mut session, mut server) = handshake();
        let mut tickets = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut tickets).unwrap();
        }
        session.receive(&mut tickets, &mut Wire::default(), &mut |_| {}).unwrap();
    }
    // None of these is given another one.
    let resumed = (0..80).take_while(|_| handshake().0.is_resumed()).count();
    assert_eq!(resumed, 64, "each ticket is used once, and the newest are kept");
}

#[test]
fn http_2_is_told_by_alpn() {
    let identity = self_signed(&["a.b.example"]);
    let tls = client(&identity.0, &[], Protocol::Http2);
    let session = run(&tls, &mut server(&identity, &[b"http/1.1", b"h2"]), 1000).unwrap();
    assert_eq!(session.protocol(), Protocol::Http2);
    let session = run(&tls, &mut server(&identity, &[]), 1000).unwrap();
    assert_eq!(session.protocol(), Protocol::Http1, "chosen by nobody");
    let refused = run(&tls, &mut server(&identity, &[b"http/1.1"]), 1000);
    assert_eq!(refused.err(), Some(BackendTlsError::Refused));
}

#[test]
fn no_protocol_is_offered_for_bytes_that_are_a_clients_own() {
    let identity = self_signed(&["a.b.example"]);
    let mut server = server(&identity, &[b"h2", b"http/1.1"]);
    run(&client(&identity.0, &[], None), &mut server, 1000).unwrap();
    assert_eq!(server.alpn_protocol(), None);
}

#[test]
fn names_are_checked_as_they_are_asked_for() {
    let dns = |name: &str| PeerName::Dns(name.to_owned());
    for (shown, wanted, good) in [
        (&["a.b.example"][..], vec![], true),
        (&["*.b.example"], vec![], true),
        (&["*.example"], vec![], false),
        (&["b.example"], vec![], false),
        (&["b.example"], vec![dns("b.example")], true),
        (&["B.Example"], vec![dns("b.example")], true),
        (&["*.b.example"], vec![dns("a.b.example")], true),
        (&["a.b.example"], vec![dns("*.b.example")], true),
        (&["a.b.example"], vec![dns("*.example")], false),
        (&["a.example"], vec![dns("b.example")], false),
        (&["a.example"], vec![dns("c.example"), dns("a.example")], true),
    ] {
        let identity = self_signed(shown);
        let outcome = run(&client(&identity.0, &wanted, Protocol::Http1), &mut server(&identity, &[]), 9000);
        assert_eq!(outcome.err(), (!good).then_some(BackendTlsError::WrongName), "{shown:?} {wanted:?}");
    }
}

#[test]
fn authorities_are_read_and_bad_ones_have_a_place() {
    let (one, two) = (self_signed(&["a.example"]).0, self_signed(&["b.example"]).0);
    assert_eq!(read_authorities(format!("{one}{two}{one}").as_bytes()).unwrap().len(), 2);
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let said = |text: &str| read_authorities(text.as_bytes()).unwrap_err().to_string();
    assert!(said("").contains("no certificate in PEM"));
    assert!(said(&format!("{one}{bad}")).contains("certificate 2 "));
    assert!(said(&one.repeat(1_001)).contains("1001 certificates"));
    assert_eq!(read_bundle(format!("{bad}{two}").as_bytes()).unwrap().len(), 1);
    assert!(read_bundle(bad.as_bytes()).is_err());
    // A key beside it is no authority.
    let identity = self_signed(&["a.example"]);
    assert!(Identity::read(identity.0.as_bytes(), identity.1.as_bytes()).is_ok());
    assert!(read_authorities(identity.1.as_bytes()).is_err());
}
