//! Sessions behind their handshake, with a client of rustls that changes keys and a server that rests in between.

use std::io::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore, SupportedCipherSuite};

use crate::common::{Pair, Wire, identity, server};

/// Something that happens on a connection.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The client sends so many bytes, or the server.
    Ask(usize),
    Say(usize),
    /// The client takes another key, and asks for the server's.
    Update,
    /// The server frees what it can.
    Park,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..300_usize).prop_map(Step::Ask),
        (0..40_000_usize).prop_map(Step::Ask),
        (1..300_usize).prop_map(Step::Say),
        (0..40_000_usize).prop_map(Step::Say),
        Just(Step::Update),
        Just(Step::Park),
    ]
}

fn suites() -> Vec<SupportedCipherSuite> {
    gateway_tls::install_provider();
    let all = CryptoProvider::get_default().unwrap().cipher_suites.clone();
    all.into_iter().filter(|suite| !format!("{:?}", suite.suite()).contains("_RSA_")).collect()
}

/// A connection of this suite, in pieces of this length.
fn pair(suite: SupportedCipherSuite, piece: usize) -> Pair {
    let identity = identity(&["a.example"]);
    let mut provider = CryptoProvider::clone(CryptoProvider::get_default().unwrap());
    provider.cipher_suites = vec![suite];
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(identity.chain[0].clone())).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[suite.version()])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Pair::new(&server(&[&identity]), Arc::new(config), "a.example", piece)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn content_arrives_whatever_becomes_of_keys(
        steps in prop::collection::vec(step(), 1..20),
        suite in any::<prop::sample::Index>(),
        piece in prop_oneof![1..40_usize, 1000..70_000_usize],
    ) {
        let all = suites();
        let suite = all[suite.index(all.len())];
        let mut pair = pair(suite, piece);
        pair.run().unwrap();
        let bytes: Vec<u8> = (0..40_000_u32).map(|n| (n * 31) as u8).collect();
        for step in steps {
            match step {
                Step::Ask(count) => prop_assert!(pair.ask(&bytes[..count]) == bytes[..count]),
                Step::Say(count) => prop_assert!(pair.say(&bytes[..count]) == bytes[..count]),
                Step::Update => {
                    let is_updated = pair.client.refresh_traffic_keys().is_ok();
                    prop_assert_eq!(is_updated, suite.tls13().is_some());
                    pair.run().unwrap();
                }
                Step::Park => pair.server.park(),
            }
        }
        pair.client.send_close_notify();
        pair.run().unwrap();
        prop_assert!(pair.server.is_peer_closed());
    }
}

/// All that the client has to send.
fn sent(pair: &mut Pair) -> Vec<u8> {
    let mut sent = Vec::new();
    while pair.client.wants_write() {
        pair.client.write_tls(&mut sent).unwrap();
    }
    sent
}

#[test]
fn keys_may_change_right_behind_the_handshake() {
    for suite in suites().into_iter().filter(|suite| suite.tls13().is_some()) {
        for piece in [1, 90, 100_000] {
            let mut pair = pair(suite, piece);
            let mut wire = Wire::default();
            let hello = sent(&mut pair);
            pair.feed_server(&hello, &mut wire).unwrap();
            pair.feed_client(&wire.bytes).unwrap();
            assert!(!pair.client.is_handshaking() && pair.server.is_handshaking());
            // All in one with what ends the handshake.
            pair.client.refresh_traffic_keys().unwrap();
            pair.client.writer().write_all(b"request").unwrap();
            pair.client.refresh_traffic_keys().unwrap();
            pair.client.send_close_notify();
            pair.run().unwrap();
            assert_eq!(std::mem::take(&mut pair.content), b"request");
            assert!(pair.server.is_peer_closed());
            assert_eq!(pair.say(b"response"), b"response");
        }
    }
}

#[test]
fn a_session_is_taken_behind_its_handshake_alone() {
    let mut pair = pair(suites()[0], 1000);
    let hello = sent(&mut pair);
    pair.feed_server(&hello, &mut Wire::default()).unwrap();
    assert!(pair.server.into_established().is_err());
}
