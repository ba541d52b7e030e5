//! Sessions against rustls' own client, over memory.

mod clients;
mod common;
mod established;

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use common::{Pair, Wire, client_config, identity, pem, server};
use gateway_tls::{
    Identity, IdentityError, ListenerTickets, MinVersion, ServerOptions, ServerTls, Tickets, Version, hello,
};
use rustls::version::{TLS12, TLS13};

#[test]
fn both_versions_carry_data_however_it_is_cut() {
    let identity = identity(&["www.example.com"]);
    let tls = server(&[&identity]);
    for (version, want) in [(&TLS12, Version::Tls12), (&TLS13, Version::Tls13)] {
        for piece in [1, 100, 5000, 100_000] {
            let client = Arc::new(client_config(&[&identity], &[version], &["http/1.1"]));
            let mut pair = Pair::new(&tls, client, "www.example.com", piece);
            pair.run().unwrap();
            assert!(!pair.server.is_handshaking());
            assert_eq!(pair.server.version(), Some(want));
            assert_eq!(pair.client.alpn_protocol(), Some(&b"http/1.1"[..]));
            let long: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
            assert_eq!(pair.ask(&long), long, "{want:?} in pieces of {piece}");
            assert_eq!(pair.say(&long), long, "{want:?} in pieces of {piece}");
            assert_eq!(pair.unread, b"", "nothing is left over");
        }
    }
}

#[test]
fn the_end_is_said_once_and_heard() {
    let identity = identity(&["a.example"]);
    let mut pair = Pair::new(
        &server(&[&identity]),
        Arc::new(client_config(&[&identity], &[&TLS13], &[])),
        "a.example",
        1000,
    );
    let mut early = Wire::default();
    pair.server.close(&mut early);
    assert!(early.bytes.is_empty(), "there is nothing to end yet");
    pair.run().unwrap();
    assert!(!pair.server.is_peer_closed());
    pair.client.send_close_notify();
    pair.run().unwrap();
    assert!(pair.server.is_peer_closed());
    assert_eq!(pair.say(b"still here"), b"still here", "the other direction stays open");
    let mut wire = Wire::default();
    pair.server.close(&mut wire);
    pair.feed_client(&wire.bytes).unwrap();
    assert_eq!(pair.client.reader().read(&mut [0; 8]).unwrap(), 0, "a clean end");
    let mut again = Wire::default();
    pair.server.close(&mut again);
    assert!(again.bytes.is_empty());
}

#[test]
fn what_breaks_the_protocol_is_answered_with_an_alert() {
    let identity = identity(&["a.example"]);
    let tls = server(&[&identity]);
    let cases = [
        (client_config(&[&identity], &[&TLS13], &["h2"]), "no_application_protocol"),
        (client_config(&[], &[&TLS13], &[]), "client_alert"),
    ];
    for (client, want) in cases {
        let mut pair = Pair::new(&tls, Arc::new(client), "a.example", 1000);
        let ended = pair.run().or_else(|why| if want == "client_alert" { pair.run() } else { Err(why) });
        let ended = ended.unwrap_err();
        // The client's side sees our alert, or says its own; either is a fatal end.
        assert!(ended.contains(want) || ended.contains("NoApplicationProtocol"), "{ended}");
    }
    let strict =
        ServerTls::new([&identity], ServerOptions { min: MinVersion::Tls13, ..ServerOptions::default() })
            .unwrap();
    let mut old =
        Pair::new(&strict, Arc::new(client_config(&[&identity], &[&TLS12], &[])), "a.example", 1000);
    let ended = old.run().unwrap_err();
    assert!(ended.contains("ProtocolVersion"), "{ended}");
    let mut pair = Pair::new(&tls, Arc::new(client_config(&[&identity], &[&TLS13], &[])), "a.example", 1000);
    pair.run().unwrap();
    let mut wire = Wire::default();
    let error = pair.feed_server(
        &[23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20],
        &mut wire,
    );
    assert_eq!(error.unwrap_err().code(), "protocol_error");
    assert!(pair.feed_client(&wire.bytes).unwrap_err().contains("BadRecordMac"));
    assert!(pair.server.send(b"x", &mut Wire::default()).is_err(), "nothing is sent after a fatal alert");
}

/// A handshake message that goes on in another record, and something else in between: the session refers to
/// bytes of the first one then.
#[test]
fn a_piece_of_a_handshake_message_and_then_an_alert_end_the_session_in_order() {
    let identity = identity(&["a.example"]);
    let tls = server(&[&identity]);
    let mut pair = Pair::new(&tls, Arc::new(client_config(&[&identity], &[&TLS12], &[])), "a.example", 9000);
    let mut hello = Vec::new();
    pair.client.write_tls(&mut hello).unwrap();
    pair.feed_server(&hello, &mut Wire::default()).unwrap();
    let mut wire = Wire::default();
    let error = pair.feed_server(&[22, 3, 3, 0, 1, 16, 21, 3, 3, 0, 2, 1, 0], &mut wire);
    assert_eq!(error.unwrap_err().code(), "protocol_error");
    assert!(pair.server.receive(&mut [], &mut Wire::default(), &mut |_| {}).is_err());
    pair.server.close(&mut Wire::default());
}

/// The same after the handshake, sealed as the client seals: half of a Finished.
#[test]
fn half_of_a_message_after_the_handshake_ends_the_session_in_order() {
    let identity = identity(&["a.example"]);
    let mut config = client_config(&[&identity], &[&TLS13], &[]);
    config.enable_secret_extraction = true;
    let mut pair = Pair::new(&server(&[&identity]), Arc::new(config), "a.example", 9000);
    pair.run().unwrap();
    let Pair { client, mut server, .. } = pair;
    let record = common::sealed_by(client, &[20, 0, 0], rustls::ContentType::Handshake);
    let mut input = record.clone();
    let error = server.receive(&mut input, &mut Wire::default(), &mut |_| panic!("no content"));
    assert_eq!(error.unwrap_err().code(), "protocol_error");
    assert!(server.send(b"response", &mut Wire::default()).is_err());
    server.close(&mut Wire::default());
}

#[test]
fn clients_come_back_with_a_ticket_to_any_worker_that_has_the_keys() {
    let identity = identity(&["a.example"]);
    let tickets = Tickets::new().unwrap();
    let at = |gateway, listener| {
        let tickets = Some(ListenerTickets { keys: &tickets, gateway, listener });
        ServerTls::new([&identity], ServerOptions { tickets, ..ServerOptions::default() }).unwrap()
    };
    let worker = || at("edge/web", "https");
    for version in [&TLS12, &TLS13] {
        let client = Arc::new(client_config(&[&identity], &[version], &[]));
        let mut resumed = Vec::new();
        for _ in 0..3 {
            let mut pair = Pair::new(&worker(), Arc::clone(&client), "a.example", 1000);
            pair.run().unwrap();
            assert_eq!(pair.ask(b"x"), b"x");
            resumed.push(pair.server.is_resumed());
        }
        assert_eq!(resumed, [false, true, true], "{version:?}");
        for elsewhere in [at("edge/web", "other"), at("edge/other", "https")] {
            let mut pair = Pair::new(&elsewhere, Arc::clone(&client), "a.example", 1000);
            pair.run().unwrap();
            assert!(!pair.server.is_resumed(), "a ticket of another listener");
            let mut pair = Pair::new(&worker(), Arc::clone(&client), "a.example", 1000);
            pair.run().unwrap();
            assert_eq!(pair.ask(b"x"), b"x");
        }
    }
}

/// A client that was served by another server before, with early data, comes back to us with that server's ticket.
#[test]
fn early_data_for_another_server_is_passed_over() {
    let identity = identity(&["a.example"]);
    gateway_tls::install_provider();
    let (chain, key) = (identity.chain[0].clone().into(), identity.key.clone().try_into().unwrap());
    let other = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![chain], key);
    let mut other = other.unwrap();
    other.max_early_data_size = 16 << 10;
    let mut client = client_config(&[&identity], &[&TLS13], &[]);
    client.enable_early_data = true;
    let client = Arc::new(client);
    let mut there = rustls::ServerConnection::new(Arc::new(other)).unwrap();
    let mut first =
        rustls::ClientConnection::new(Arc::clone(&client), "a.example".try_into().unwrap()).unwrap();
    for _ in 0..4 {
        let mut bytes = Vec::new();
        while first.wants_write() {
            first.write_tls(&mut bytes).unwrap();
        }
        there.read_tls(&mut &bytes[..]).unwrap();
        there.process_new_packets().unwrap();
        let mut bytes = Vec::new();
        while there.wants_write() {
            there.write_tls(&mut bytes).unwrap();
        }
        first.read_tls(&mut &bytes[..]).unwrap();
        first.process_new_packets().unwrap();
    }
    let tickets = Tickets::new().unwrap();
    let tickets = Some(ListenerTickets { keys: &tickets, gateway: "edge/web", listener: "https" });
    let ours = ServerTls::new([&identity], ServerOptions { tickets, ..ServerOptions::default() }).unwrap();
    let mut pair = Pair::new(&ours, client, "a.example", 9000);
    let sent = pair.client.early_data().unwrap().write(&[b'x'; 16 << 10]).unwrap();
    assert_eq!(sent, 16 << 10);
    pair.run().unwrap();
    assert!(!pair.client.is_early_data_accepted() && !pair.server.is_resumed());
    assert_eq!(pair.ask(b"again"), b"again", "and nothing of it before that");
}

#[test]
fn the_certificate_that_names_the_host_is_shown() {
    let (a, b) = (identity(&["a.example"]), identity(&["*.b.example", "b.example"]));
    let tls = server(&[&a, &b]);
    for (name, want) in [("a.example", &a), ("x.b.example", &b), ("b.example", &b)] {
        // It trusts one of them only, so the other one would be refused.
        let mut pair = Pair::new(&tls, Arc::new(client_config(&[want], &[&TLS13], &[])), name, 1000);
        pair.run().unwrap_or_else(|why| panic!("{name}: {why}"));
    }
}

#[test]
fn the_peek_sees_the_name_that_the_session_sees() {
    let identity = identity(&["www.example.com"]);
    let client = Arc::new(client_config(&[&identity], &[&TLS13, &TLS12], &["h2", "http/1.1"]));
    let mut pair = Pair::new(&server(&[&identity]), client, "www.example.com", 1000);
    let mut sent = Vec::new();
    pair.client.write_tls(&mut sent).unwrap();
    assert_eq!(hello::peek(&sent), hello::Peek::Hello { server_name: Some("www.example.com".to_owned()) });
}

/// The name that browsers send for `https://www.example.com./`.
#[test]
fn a_final_dot_is_seen_alike_by_peek_and_session() {
    let identity = identity(&["www.example.com"]);
    let client = Arc::new(client_config(&[&identity], &[&TLS13], &[]));
    let mut pair = Pair::new(&server(&[&identity]), client, "www.example.comx", 1000);
    let mut sent = Vec::new();
    pair.client.write_tls(&mut sent).unwrap();
    let at = sent.windows(16).position(|part| part == b"www.example.comx").unwrap();
    sent[at + 15] = b'.';
    assert_eq!(hello::peek(&sent), hello::Peek::Hello { server_name: Some("www.example.com".to_owned()) });
    let mut wire = Wire::default();
    pair.feed_server(&sent, &mut wire).unwrap();
    assert!(wire.bytes.starts_with(&[22, 3, 3]), "a ServerHello: {:?}", &wire.bytes[..8]);
}

#[test]
fn every_protocol_of_http_1_is_spoken() {
    let identity = identity(&["a.example"]);
    let tls = server(&[&identity]);
    for (offered, chosen) in [
        (&["http/1.0"][..], "http/1.0"),
        (&["http/0.9"], "http/0.9"),
        (&["http/1.0", "http/1.1"], "http/1.1"),
        (&["h2", "http/1.0"], "http/1.0"),
    ] {
        let client = Arc::new(client_config(&[&identity], &[&TLS13], offered));
        let mut pair = Pair::new(&tls, client, "a.example", 1000);
        pair.run().unwrap();
        assert_eq!(pair.client.alpn_protocol(), Some(chosen.as_bytes()), "{offered:?}");
    }
}

#[test]
fn broken_secrets_are_told_apart() {
    let (certificate, key) = pem(&["A.example", "*.b.example"]);
    let (other, other_key) = pem(&["c.example"]);
    let read = |certificate: &str, key: &str| {
        Identity::read(certificate.as_bytes(), key.as_bytes()).map(|read| read.identity)
    };
    let good = read(&certificate, &key).unwrap();
    assert_eq!(good.names, ["a.example", "*.b.example"]);
    assert!(good.not_before < good.not_after);
    assert!(!format!("{good:?}").contains(&format!("{:?}", &good.key[..4])), "the key is not shown");
    assert_eq!(read(&format!("{certificate}{other}"), &key).unwrap().chain.len(), 2);
    let cut = &certificate[..certificate.len() / 2];
    let damaged = certificate.replace("MII", "!!!");
    let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let sealed = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for (certificate, key, want) in [
        ("Hello world\n", key.as_str(), IdentityError::NoCertificate),
        ("", &key, IdentityError::NoCertificate),
        (&key, &key, IdentityError::NoCertificate),
        (cut, &key, IdentityError::BadPem("a section has no END line")),
        (&damaged, &key, IdentityError::BadPem("a section is not base64")),
        (empty, &key, IdentityError::BadCertificate(1)),
        (&format!("{certificate}{empty}"), &key, IdentityError::BadCertificate(2)),
        (&certificate, "Hello world\n", IdentityError::NoKey),
        (&certificate, &certificate, IdentityError::NoKey),
        (&certificate, &key[..key.len() / 2], IdentityError::BadKeyPem("a section has no END line")),
        (&certificate, &key.replace("MI", "!!"), IdentityError::BadKeyPem("a section is not base64")),
        (&certificate, sealed, IdentityError::EncryptedKey),
        (&certificate, nonsense, IdentityError::BadKey),
        (&certificate, &other_key, IdentityError::Mismatch),
    ] {
        assert_eq!(read(certificate, key).unwrap_err(), want, "{certificate:.40} {key:.40}");
    }
}
