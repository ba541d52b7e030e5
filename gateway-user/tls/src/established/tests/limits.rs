//! Bounds: of records, of their number, and of what a peer may send in vain.

use super::super::alert::Alert;
use super::super::record::{ALERT, APPLICATION_DATA, CONTENT_MAX, HANDSHAKE, Record};
use super::super::sides::Sides;
use super::common::{Ours, SUITES, Wire, connect, opened, sealed};
use crate::{Established as _, EstablishedSession, HandshakeError, Version};

/// Client and server of every suite.
fn pairs() -> impl Iterator<Item = (Sides, EstablishedSession)> {
    SUITES.iter().map(|suite| {
        let mut server = Ours::new();
        let client = connect(&mut server, *suite);
        (client, server.session.into_established().unwrap())
    })
}

/// The outcome of these bytes, and what the server says to them.
fn told(client: &mut Sides, server: &mut EstablishedSession, bytes: &[u8]) -> (bool, Vec<(u8, Vec<u8>)>) {
    let mut out = Wire::default();
    let received = server.receive(&mut bytes.to_vec(), &mut out, &mut Wire::default());
    (received.is_ok(), opened(client, &out.bytes))
}

fn fatal(alert: Alert) -> (bool, Vec<(u8, Vec<u8>)>) {
    (false, vec![(ALERT, vec![2, alert as u8])])
}

const FINE: (bool, Vec<(u8, Vec<u8>)>) = (true, Vec::new());

#[test]
fn any_bit_that_changes_ends_the_session() {
    for suite in SUITES.iter() {
        let len = sealed(&mut connect(&mut Ours::new(), *suite), APPLICATION_DATA, b"content").len();
        for at in 0..len {
            let mut server = Ours::new();
            let mut client = connect(&mut server, *suite);
            let mut server = server.session.into_established().unwrap();
            let mut record = sealed(&mut client, APPLICATION_DATA, b"content");
            record[at] ^= 1 << (at % 8);
            // Bytes are there behind it, whatever length the header has now.
            record.extend([0; CONTENT_MAX]);
            let (mut out, mut content) = (Wire::default(), Wire::default());
            let received = server.receive(&mut record, &mut out, &mut content);
            assert_eq!(received, Err(HandshakeError::Protocol), "byte {at}");
            assert!(content.bytes.is_empty());
            let [(ALERT, alert)] = &opened(&mut client, &out.bytes)[..] else {
                panic!("byte {at}: no alert")
            };
            let expected = match at {
                0 | 1 | 3 | 4 => [20, 10, 50, 22].contains(&alert[1]),
                _ => alert[1] == Alert::BadRecordMac as u8,
            };
            assert!(expected && alert[0] == 2, "byte {at}: alert {}", alert[1]);
            assert!(server.send(b"more", &mut out).is_err());
        }
    }
}

#[test]
fn records_have_a_length() {
    for (mut client, mut server) in pairs() {
        let whole = sealed(&mut client, APPLICATION_DATA, &[7; CONTENT_MAX]);
        let mut content = Wire::default();
        assert!(server.receive(&mut whole.clone(), &mut Wire::default(), &mut content).is_ok());
        assert_eq!(content.bytes, [7; CONTENT_MAX]);
        assert!(client.seal(APPLICATION_DATA, &[7; CONTENT_MAX + 1], &mut [0; 20_000]).is_err());
        let most = CONTENT_MAX + if client.format.version == Version::Tls13 { 256 } else { 2048 };
        let header = |len: usize| [23, 3, 3, (len >> 8) as u8, len as u8];
        assert_eq!(told(&mut client, &mut server, &header(most)), FINE, "it may come");
        assert_eq!(told(&mut client, &mut server, &header(most + 1)), fatal(Alert::RecordOverflow));
    }
}

#[test]
fn padding_is_taken_off() {
    for (mut client, mut server) in pairs().filter(|(client, _)| client.format.version == Version::Tls13) {
        // The last byte that is not zero is the type; `sealed` puts one behind, which is a zero here.
        for padding in [0, 1, 100] {
            let mut inner = b"content".to_vec();
            inner.push(APPLICATION_DATA);
            inner.resize(inner.len() + padding, 0);
            let mut content = Wire::default();
            let mut record = sealed(&mut client, 0, &inner);
            server.receive(&mut record, &mut Wire::default(), &mut content).unwrap();
            assert_eq!(content.bytes, b"content");
        }
        let zeros = sealed(&mut client, 0, &[0; 10]);
        assert_eq!(told(&mut client, &mut server, &zeros), fatal(Alert::UnexpectedMessage));
    }
}

#[test]
fn what_costs_and_says_nothing_is_bounded() {
    for (mut client, mut server) in pairs() {
        for _ in 0..2 {
            for _ in 0..32 {
                let empty = sealed(&mut client, APPLICATION_DATA, b"");
                assert_eq!(told(&mut client, &mut server, &empty), FINE);
            }
            let some = sealed(&mut client, APPLICATION_DATA, b"x");
            assert_eq!(told(&mut client, &mut server, &some), FINE);
        }
        for n in 0..33 {
            let empty = sealed(&mut client, APPLICATION_DATA, b"");
            let want = if n < 32 { FINE } else { fatal(Alert::UnexpectedMessage) };
            assert_eq!(told(&mut client, &mut server, &empty), want);
        }
    }
    for (mut client, mut server) in pairs() {
        for n in 0..5 {
            let warning = sealed(&mut client, ALERT, &[1, 90]);
            let want = if n < 4 { FINE } else { fatal(Alert::UnexpectedMessage) };
            assert_eq!(told(&mut client, &mut server, &warning), want);
        }
    }
    for (mut client, mut server) in pairs().filter(|(client, _)| client.format.version == Version::Tls13) {
        for n in 0..33 {
            let update = sealed(&mut client, HANDSHAKE, &[24, 0, 0, 1, 1]);
            client.update_out().unwrap();
            let want = if n < 32 { FINE } else { fatal(Alert::UnexpectedMessage) };
            assert_eq!(told(&mut client, &mut server, &update), want);
        }
    }
}

#[test]
fn keys_are_changed_before_they_are_used_up() {
    for (mut client, mut server) in pairs() {
        let most = client.format.cipher.records_per_key();
        if most == u64::MAX {
            continue;
        }
        // The client has seen as many.
        server.sides.set_sealed(most - 3);
        client.set_opened(most - 3);
        let mut out = Wire::default();
        server.send(b"one", &mut out).unwrap();
        server.send(b"two", &mut out).unwrap();
        assert_eq!(opened(&mut client, &out.bytes).len(), 2);
        out.bytes.clear();
        let sent = server.send(b"three", &mut out);
        if client.format.version == Version::Tls12 {
            assert!(sent.is_err() && server.send(b"four", &mut out).is_err());
            assert_eq!(opened(&mut client, &out.bytes), [(ALERT, vec![2, 80])]);
            continue;
        }
        sent.unwrap();
        let (update, rest) = out.bytes.split_at(5 + 5 + 1 + 16);
        assert_eq!(opened(&mut client, update), [(HANDSHAKE, vec![24, 0, 0, 1, 0])]);
        client.update_incoming().unwrap();
        assert_eq!(opened(&mut client, rest), [(APPLICATION_DATA, b"three".to_vec())]);
    }
}

#[test]
fn numbers_do_not_wrap() {
    for (mut client, mut server) in pairs() {
        server.sides.set_sealed(u64::MAX - 1);
        client.set_opened(u64::MAX - 1);
        if client.format.cipher.records_per_key() < u64::MAX {
            continue;
        }
        let mut out = Wire::default();
        let sent = server.send(b"one", &mut out);
        // Another key of TLS 1.3 begins anew.
        assert_eq!(sent.is_ok(), client.format.version == Version::Tls13);
        client.set_sealed(u64::MAX);
        assert!(client.seal(APPLICATION_DATA, b"x", &mut [0; 100]).is_err());
    }
}

#[test]
fn a_session_at_rest_is_small_and_wakes() {
    for (mut client, mut server) in pairs() {
        let mut out = Wire::default();
        for _ in 0..3 {
            server.park();
            assert!(!server.sides.is_awake());
            let mut record = sealed(&mut client, APPLICATION_DATA, b"x");
            server.receive(&mut record, &mut out, &mut Wire::default()).unwrap();
            assert!(server.sides.is_awake());
        }
    }
    assert!(size_of::<EstablishedSession>() <= 192, "{}", size_of::<EstablishedSession>());
    assert!(Record::read(&[], Version::Tls13).unwrap().is_none());
}
