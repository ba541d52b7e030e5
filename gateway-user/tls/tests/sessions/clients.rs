//! Clients that show certificates, and the verdicts on them.

use std::sync::Arc;

use gateway_tls::{
    ClientMode, ClientTrust, Identity, ListenerTickets, ServerOptions, ServerSession, ServerTls, Tickets,
    forwarded_client_cert,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::common::{Pair, client_config, identity};

type Issuer = CertifiedIssuer<'static, KeyPair>;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
const NAME: &str = "www.example.com";

/// A client's chain, its own certificate first, and its key.
#[derive(Clone)]
struct Shown {
    chain: Vec<Vec<u8>>,
    key: Vec<u8>,
}

fn authority_parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    parameters
}

fn authority() -> Issuer {
    CertifiedIssuer::self_signed(authority_parameters(), KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(root: &Issuer) -> Issuer {
    CertifiedIssuer::signed_by(authority_parameters(), KeyPair::generate().unwrap(), root).unwrap()
}

/// A certificate for clients, with these changes.
fn signed(issuer: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let mut parameters = CertificateParams::new(vec!["client.example.com".to_owned()]).unwrap();
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut parameters);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.signed_by(&key, issuer).unwrap();
    Shown { chain: vec![certificate.der().to_vec()], key: key.serialize_der() }
}

fn valid(issuer: &Issuer) -> Shown {
    signed(issuer, |_| {})
}

/// A listener that asks clients for a certificate of this authority.
struct Listener<'a> {
    identity: &'a Identity,
    tickets: &'a Tickets,
}

impl<'a> Listener<'a> {
    fn of(&self, listener: &'a str) -> ListenerTickets<'a> {
        ListenerTickets { keys: self.tickets, gateway: "edge/gw", listener }
    }

    fn server(&self, listener: &'a str, trusted: &[&[u8]], mode: ClientMode) -> ServerTls {
        let trust = Arc::new(ClientTrust::new(trusted, mode).unwrap());
        let options = ServerOptions {
            tickets: Some(self.of(listener)),
            clients: Some(&trust),
            ..ServerOptions::default()
        };
        ServerTls::new([self.identity], options).unwrap()
    }

    fn client(&self, version: &'static SupportedProtocolVersion, shown: Option<&Shown>) -> Arc<ClientConfig> {
        let config = client_config(&[self.identity], &[version], &[]);
        let Some(Shown { chain, key }) = shown else { return Arc::new(config) };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from(self.identity.chain[0].clone())).unwrap();
        let chain = chain.iter().cloned().map(CertificateDer::from).collect();
        let mut config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, PrivateKeyDer::try_from(key.clone()).unwrap())
            .unwrap();
        config.resumption = Resumption::in_memory_sessions(8);
        Arc::new(config)
    }
}

/// The verdict on a handshake: the certificate that counts, or the reason for which there is no connection.
fn verdict(tls: &ServerTls, client: &Arc<ClientConfig>) -> Result<Option<Vec<u8>>, String> {
    let mut pair = Pair::new(tls, Arc::clone(client), NAME, 700);
    pair.run()?;
    certificate(&pair.server, tls)
}

fn certificate(session: &ServerSession, tls: &ServerTls) -> Result<Option<Vec<u8>>, String> {
    let shown = session.client_certificate(tls).map_err(|error| error.code().to_owned())?;
    Ok(shown.map(<[u8]>::to_vec))
}

/// The reason as the server has it: in TLS 1.3 the client has finished before.
fn refused(tls: &ServerTls, client: &Arc<ClientConfig>) -> String {
    let mut pair = Pair::new(tls, Arc::clone(client), NAME, 700);
    loop {
        let mut sent = Vec::new();
        while pair.client.wants_write() {
            pair.client.write_tls(&mut sent).unwrap();
        }
        let mut wire = crate::common::Wire::default();
        match pair.feed_server(&sent, &mut wire) {
            Err(error) => return error.code().to_owned(),
            Ok(()) if sent.is_empty() && wire.bytes.is_empty() => return "none".to_owned(),
            Ok(()) => drop(pair.feed_client(&wire.bytes)),
        }
    }
}

#[test]
fn every_certificate_has_its_verdict() {
    let identity = identity(&[NAME]);
    let tickets = Tickets::new().unwrap();
    let (root, stranger) = (authority(), authority());
    let below = intermediate(&root);
    let listener = Listener { identity: &identity, tickets: &tickets };
    let mut through = valid(&below);
    let bare = through.clone();
    through.chain.push(below.der().to_vec());
    let own = rcgen::generate_simple_self_signed(vec!["pinned.example.com".to_owned()]).unwrap();
    let pinned = Shown { chain: vec![own.cert.der().to_vec()], key: own.signing_key.serialize_der() };
    let trusted: [&[u8]; 2] = [root.der(), &pinned.chain[0]];
    let expired = |parameters: &mut CertificateParams| {
        (parameters.not_before, parameters.not_after) =
            (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    };
    let early = |parameters: &mut CertificateParams| parameters.not_before = date_time_ymd(4000, 1, 1);
    let for_servers = |parameters: &mut CertificateParams| {
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let any = |parameters: &mut CertificateParams| parameters.extended_key_usages.clear();
    let cases = [
        (Some(valid(&root)), None),
        (Some(signed(&root, any)), None),
        (Some(through), None),
        (Some(pinned.clone()), None),
        (None, Some("client_certificate_required")),
        (Some(bare), Some("client_certificate_unknown_ca")),
        (Some(valid(&stranger)), Some("client_certificate_unknown_ca")),
        (Some(signed(&root, expired)), Some("client_certificate_expired")),
        (Some(signed(&root, early)), Some("client_certificate_not_yet_valid")),
        (Some(signed(&root, for_servers)), Some("client_certificate_bad_usage")),
    ];
    let strict = listener.server("a", &trusted, ClientMode::ValidOnly);
    let lax = listener.server("a", &trusted, ClientMode::InsecureFallback);
    assert!(strict.asks_clients());
    for version in VERSIONS {
        for (at, (shown, reason)) in cases.iter().enumerate() {
            let client = listener.client(version, shown.as_ref());
            let own = shown.as_ref().map(|shown| shown.chain[0].clone());
            let about = format!("case {at}, {version:?}");
            match reason {
                None => assert_eq!(verdict(&strict, &client), Ok(own.clone()), "{about}"),
                Some(reason) => assert_eq!(refused(&strict, &client), *reason, "{about}"),
            }
            let counts = own.filter(|_| reason.is_none());
            let client = listener.client(version, shown.as_ref());
            assert_eq!(verdict(&lax, &client), Ok(counts), "{about}, with a fallback");
        }
    }
}

#[test]
fn tickets_are_of_use_to_their_listener_and_its_authorities_alone() {
    let identity = identity(&[NAME]);
    let tickets = Tickets::new().unwrap();
    let (root, other) = (authority(), authority());
    let shown = valid(&root);
    let listener = Listener { identity: &identity, tickets: &tickets };
    let strict =
        |name: &'static str, trusted: &[&[u8]]| listener.server(name, trusted, ClientMode::ValidOnly);
    for version in VERSIONS {
        let client = listener.client(version, Some(&shown));
        let resumes = |tls: &ServerTls| {
            let mut pair = Pair::new(tls, Arc::clone(&client), NAME, 700);
            pair.run().map(|()| (pair.server.is_resumed(), certificate(&pair.server, tls)))
        };
        let counts = || Ok(Some(shown.chain[0].clone()));
        let own = strict("a", &[root.der()]);
        assert_eq!(resumes(&own), Ok((false, counts())));
        assert_eq!(resumes(&own), Ok((true, counts())), "{version:?}");
        assert_eq!(
            resumes(&strict("a", &[root.der()])),
            Ok((true, counts())),
            "settings that were made anew"
        );
        assert_eq!(resumes(&strict("b", &[root.der()])), Ok((false, counts())), "another listener");
        assert_eq!(resumes(&own), Ok((false, counts())), "whose ticket is of no use here");
        let more: [&[u8]; 2] = [root.der(), other.der()];
        assert_eq!(resumes(&strict("a", &more)), Ok((false, counts())), "other authorities");
        let _ = resumes(&own);
        let lax = listener.server("a", &[root.der()], ClientMode::InsecureFallback);
        assert_eq!(resumes(&lax), Ok((false, counts())), "another strictness");
        let _ = resumes(&own);
        let open = ServerOptions { tickets: Some(listener.of("a")), ..ServerOptions::default() };
        let open = ServerTls::new([&identity], open).unwrap();
        assert_eq!(resumes(&open), Ok((false, Ok(None))), "no check");
        assert_eq!(resumes(&own), Ok((false, counts())), "which a session without one does not pass");
    }
}

#[test]
fn a_resumed_certificate_is_checked_again() {
    let identity = identity(&[NAME]);
    let tickets = Tickets::new().unwrap();
    let root = authority();
    let listener = Listener { identity: &identity, tickets: &tickets };
    let brief = signed(&root, |parameters| {
        let now = std::time::SystemTime::now();
        parameters.not_after = (now + std::time::Duration::from_secs(4)).into();
    });
    let tls = listener.server("a", &[root.der()], ClientMode::ValidOnly);
    let lax = listener.server("b", &[root.der()], ClientMode::InsecureFallback);
    let clients: Vec<_> = VERSIONS.iter().map(|version| listener.client(version, Some(&brief))).collect();
    let lax_clients: Vec<_> = VERSIONS.iter().map(|version| listener.client(version, Some(&brief))).collect();
    for (strict, fallback) in clients.iter().zip(&lax_clients) {
        assert_eq!(verdict(&tls, strict), Ok(Some(brief.chain[0].clone())));
        assert_eq!(verdict(&lax, fallback), Ok(Some(brief.chain[0].clone())));
    }
    while refused(&tls, &listener.client(&TLS13, Some(&brief))) != "client_certificate_expired" {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    for (version, (strict, fallback)) in VERSIONS.into_iter().zip(clients.iter().zip(&lax_clients)) {
        let mut pair = Pair::new(&tls, Arc::clone(strict), NAME, 100_000);
        let mut hello = Vec::new();
        pair.client.write_tls(&mut hello).unwrap();
        pair.feed_server(&hello, &mut crate::common::Wire::default()).unwrap();
        assert!(pair.server.is_resumed() && pair.server.is_stale(&tls));
        pair.server = ServerSession::without_resumption(&tls).unwrap();
        let mut wire = crate::common::Wire::default();
        pair.feed_server(&hello, &mut wire).unwrap();
        assert!(!pair.server.is_resumed() && !pair.server.is_stale(&tls), "the same bytes begin a full one");
        let _ = pair.feed_client(&wire.bytes);
        let anew = listener.client(version, Some(&brief));
        assert_eq!(refused(&tls, &anew), "client_certificate_expired");
        let mut pair = Pair::new(&lax, Arc::clone(fallback), NAME, 700);
        pair.run().unwrap();
        assert!(!pair.server.is_stale(&lax), "with a fallback the session goes on");
        assert_eq!(certificate(&pair.server, &lax), Ok(None), "and its certificate counts no more");
    }
}

#[test]
fn a_bundle_of_many_authorities_gives_no_hints() {
    let identity = identity(&[NAME]);
    let tickets = Tickets::new().unwrap();
    let listener = Listener { identity: &identity, tickets: &tickets };
    let authorities: Vec<_> = (0..200).map(|_| authority()).collect();
    let trusted: Vec<&[u8]> = authorities.iter().map(|one| one.der().as_ref()).collect();
    let tls = listener.server("a", &trusted, ClientMode::ValidOnly);
    let shown = valid(&authorities[100]);
    for version in VERSIONS {
        let client = listener.client(version, Some(&shown));
        let mut pair = Pair::new(&tls, client, NAME, 100_000);
        let mut hello = Vec::new();
        pair.client.write_tls(&mut hello).unwrap();
        let mut wire = crate::common::Wire::default();
        pair.feed_server(&hello, &mut wire).unwrap();
        assert!(wire.bytes.len() < 4_000, "{} bytes", wire.bytes.len());
    }
    assert!(ClientTrust::new(&[b"no certificate"], ClientMode::ValidOnly).is_err());
    assert!(forwarded_client_cert(b"no certificate").starts_with("Hash="));
}

/// A Certificate in many records has the library shown several at once, and so perhaps what comes behind Finished.
#[test]
fn keys_may_change_right_behind_a_certificate_in_many_records() {
    let identity = identity(&[NAME]);
    let tickets = Tickets::new().unwrap();
    let root = authority();
    let listener = Listener { identity: &identity, tickets: &tickets };
    let tls = listener.server("a", &[root.der()], ClientMode::ValidOnly);
    let shown = valid(&root);
    for fragment in [32, 64, 100, 128, 150, 200, 300, 500] {
        let mut client = ClientConfig::clone(&listener.client(&TLS13, Some(&shown)));
        client.max_fragment_size = Some(fragment);
        let mut pair = Pair::new(&tls, Arc::new(client), NAME, 100_000);
        let mut hello = Vec::new();
        pair.client.write_tls(&mut hello).unwrap();
        while pair.client.wants_write() {
            pair.client.write_tls(&mut hello).unwrap();
        }
        let mut wire = crate::common::Wire::default();
        pair.feed_server(&hello, &mut wire).unwrap();
        pair.feed_client(&wire.bytes).unwrap();
        for _ in 0..3 {
            pair.client.refresh_traffic_keys().unwrap();
        }
        pair.run().unwrap_or_else(|error| panic!("fragments of {fragment}: {error}"));
        assert_eq!(pair.ask(b"request"), b"request", "fragments of {fragment}");
        assert_eq!(pair.say(b"response"), b"response", "fragments of {fragment}");
    }
}
