//! Messages after the handshake, and those that there must not be.

use super::super::alert::Alert;
use super::super::record::{ALERT, APPLICATION_DATA, HANDSHAKE};
use super::super::sides::Sides;
use super::common::{Ours, SUITES, Wire, connect, opened, sealed};
use crate::{Established as _, EstablishedSession, HandshakeError, Version};

/// Content types that a session has no use for.
const CHANGE_CIPHER_SPEC: u8 = 20;
const HEARTBEAT: u8 = 24;

/// A client that asks for another handshake: a message of this type and length.
const HELLO: [u8; 12] = [1, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];

/// The end of a session: its error, what it said, and the content that came out.
#[derive(Debug, PartialEq)]
struct Outcome {
    error: Option<HandshakeError>,
    said: Vec<(u8, Vec<u8>)>,
    content: Vec<u8>,
}

/// The outcome of the records that a client makes, in each version.
fn outcomes(version: Version, make: impl Fn(&mut Sides) -> Vec<u8>) -> Vec<Outcome> {
    let of_version = SUITES.iter().filter(|suite| Version::of(suite.version().version) == version);
    let run = |suite| {
        let mut server = Ours::new();
        let mut client = connect(&mut server, suite);
        let mut server: EstablishedSession = server.session.into_established().unwrap();
        let (mut out, mut content) = (Wire::default(), Wire::default());
        let received = server.receive(&mut make(&mut client), &mut out, &mut content);
        Outcome { error: received.err(), said: opened(&mut client, &out.bytes), content: content.bytes }
    };
    of_version.map(|suite| run(*suite)).collect()
}

fn all_fail(version: Version, alert: Alert, make: impl Fn(&mut Sides) -> Vec<u8>) {
    for outcome in outcomes(version, make) {
        assert_eq!(outcome.said, [(ALERT, vec![2, alert as u8])]);
        assert_eq!((outcome.error, outcome.content), (Some(HandshakeError::Protocol), Vec::new()));
    }
}

fn both_fail(alert: Alert, make: impl Fn(&mut Sides) -> Vec<u8>) {
    all_fail(Version::Tls12, alert, &make);
    all_fail(Version::Tls13, alert, &make);
}

/// These records in a row.
fn records(client: &mut Sides, parts: &[(u8, &[u8])]) -> Vec<u8> {
    parts.iter().flat_map(|(typ, content)| sealed(client, *typ, content)).collect()
}

#[test]
fn records_of_other_types_are_refused() {
    for typ in [CHANGE_CIPHER_SPEC, HEARTBEAT, 0xff] {
        both_fail(Alert::UnexpectedMessage, |client| sealed(client, typ, &[1]));
    }
    // In clear text.
    both_fail(Alert::UnexpectedMessage, |_| vec![CHANGE_CIPHER_SPEC, 3, 3, 0, 1, 1]);
    all_fail(Version::Tls13, Alert::UnexpectedMessage, |_| vec![ALERT, 3, 3, 0, 2, 2, 40]);
    all_fail(Version::Tls12, Alert::BadRecordMac, |_| vec![ALERT, 3, 3, 0, 2, 2, 40]);
    both_fail(Alert::UnexpectedMessage, |_| b"GET / HTTP/1.1\r\n".to_vec());
    both_fail(Alert::BadRecordMac, |_| vec![APPLICATION_DATA, 3, 3, 0, 0]);
}

#[test]
fn neither_alerts_nor_messages_are_empty() {
    both_fail(Alert::UnexpectedMessage, |client| sealed(client, ALERT, &[]));
    both_fail(Alert::UnexpectedMessage, |client| sealed(client, HANDSHAKE, &[]));
}

#[test]
fn no_record_comes_between_parts_of_a_message() {
    for typ in [APPLICATION_DATA, ALERT] {
        all_fail(Version::Tls13, Alert::UnexpectedMessage, |client| {
            records(client, &[(HANDSHAKE, &[24, 0]), (typ, &[1, 0])])
        });
        all_fail(Version::Tls12, Alert::UnexpectedMessage, |client| {
            records(client, &[(HANDSHAKE, &HELLO[..7]), (typ, &[1, 0])])
        });
    }
}

#[test]
fn a_key_update_may_come_in_parts_but_ends_its_record() {
    for cut in 1..5 {
        let outcomes = outcomes(Version::Tls13, |client| {
            let (first, second) = [24, 0, 0, 1, 0].split_at(cut);
            let mut bytes = records(client, &[(HANDSHAKE, first), (HANDSHAKE, second)]);
            client.update_out().unwrap();
            bytes.extend(sealed(client, APPLICATION_DATA, b"new"));
            bytes
        });
        for outcome in outcomes {
            assert_eq!(outcome, Outcome { error: None, said: Vec::new(), content: b"new".to_vec() });
        }
    }
    let both = [24, 0, 0, 1, 0, 24, 0, 0, 1, 0];
    for message in [&both[..], &both[..6]] {
        all_fail(Version::Tls13, Alert::UnexpectedMessage, |client| sealed(client, HANDSHAKE, message));
    }
    all_fail(Version::Tls13, Alert::IllegalParameter, |client| sealed(client, HANDSHAKE, &[24, 0, 0, 1, 2]));
    all_fail(Version::Tls13, Alert::DecodeError, |client| sealed(client, HANDSHAKE, &[24, 0, 0, 2, 0, 0]));
    all_fail(Version::Tls12, Alert::UnexpectedMessage, |client| sealed(client, HANDSHAKE, &[24, 0, 0, 1, 0]));
}

#[test]
fn the_old_key_opens_nothing_behind_a_key_update() {
    all_fail(Version::Tls13, Alert::BadRecordMac, |client| {
        records(client, &[(HANDSHAKE, &[24, 0, 0, 1, 0]), (APPLICATION_DATA, b"old")])
    });
}

#[test]
fn other_messages_of_a_handshake_are_refused() {
    // ClientHello, NewSessionTicket, Certificate, Finished.
    for typ in [1, 4, 11, 20] {
        all_fail(Version::Tls13, Alert::UnexpectedMessage, |client| {
            sealed(client, HANDSHAKE, &[typ, 0, 0, 0])
        });
    }
    for typ in [0, 4, 11, 20] {
        all_fail(Version::Tls12, Alert::UnexpectedMessage, |client| {
            sealed(client, HANDSHAKE, &[typ, 0, 0, 0])
        });
    }
    all_fail(Version::Tls12, Alert::DecodeError, |client| sealed(client, HANDSHAKE, &[1, 1, 0, 0]));
}

#[test]
fn another_handshake_is_declined_once() {
    let declined = (ALERT, vec![1, Alert::NoRenegotiation as u8]);
    for cut in 1..HELLO.len() {
        let (first, second) = HELLO.split_at(cut);
        let once = outcomes(Version::Tls12, |client| {
            records(client, &[(HANDSHAKE, first), (HANDSHAKE, second), (APPLICATION_DATA, b"on")])
        });
        for outcome in once {
            assert_eq!(outcome.said, std::slice::from_ref(&declined));
            assert_eq!((outcome.error, &outcome.content[..]), (None, &b"on"[..]));
        }
    }
    for outcome in outcomes(Version::Tls12, |client| sealed(client, HANDSHAKE, &[HELLO, HELLO].concat())) {
        assert_eq!(outcome.said, [declined.clone(), (ALERT, vec![2, Alert::UnexpectedMessage as u8])]);
        assert_eq!(outcome.error, Some(HandshakeError::Protocol));
    }
}

#[test]
fn alerts_have_the_meaning_of_their_version() {
    for version in [Version::Tls12, Version::Tls13] {
        all_fail(version, Alert::DecodeError, |client| sealed(client, ALERT, &[1]));
        all_fail(version, Alert::DecodeError, |client| sealed(client, ALERT, &[1, 0, 0]));
        // An end, of either level; what is behind does not count.
        for level in [1, 2] {
            let ended = outcomes(version, |client| {
                let mut bytes = records(client, &[(APPLICATION_DATA, b"last"), (ALERT, &[level, 0])]);
                bytes.extend(b"anything");
                bytes
            });
            for outcome in ended {
                assert_eq!(outcome, Outcome { error: None, said: Vec::new(), content: b"last".to_vec() });
            }
        }
        for outcome in outcomes(version, |client| sealed(client, ALERT, &[2, 42])) {
            assert_eq!(outcome.error, Some(HandshakeError::ClientAlert));
            assert!(outcome.said.is_empty());
        }
        for outcome in outcomes(version, |client| sealed(client, ALERT, &[3, 42])) {
            assert_eq!(outcome.said, [(ALERT, vec![2, Alert::IllegalParameter as u8])]);
        }
        let expected = if version == Version::Tls12 { Vec::new() } else { vec![(ALERT, vec![2, 50])] };
        for outcome in outcomes(version, |client| sealed(client, ALERT, &[1, 41])) {
            assert_eq!(outcome.said, expected);
        }
    }
}

#[test]
fn an_end_is_said_once_and_nothing_follows() {
    for suite in SUITES.iter() {
        let mut server = Ours::new();
        let mut client = connect(&mut server, *suite);
        let mut server = server.session.into_established().unwrap();
        let mut out = Wire::default();
        server.close(&mut out);
        server.close(&mut out);
        assert!(server.send(b"more", &mut out).is_err());
        assert_eq!(opened(&mut client, &out.bytes), [(ALERT, vec![1, 0])]);
        out.bytes.clear();
        // The other direction goes on, and its errors are no reason to say more.
        let mut content = Wire::default();
        let mut bytes = sealed(&mut client, APPLICATION_DATA, b"still");
        server.receive(&mut bytes, &mut out, &mut content).unwrap();
        assert_eq!(content.bytes, b"still");
        assert!(server.receive(&mut [0], &mut out, &mut content).is_err());
        assert!(server.receive(&mut [], &mut out, &mut content).is_err(), "it stays broken");
        assert!(out.bytes.is_empty());
    }
}
