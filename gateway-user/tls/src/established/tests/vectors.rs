//! The trace of RFC 8448 section 3: TLS_AES_128_GCM_SHA256, behind the handshake.

use super::super::keys::{Cipher, Secret, Seed};
use super::super::record::{ALERT, APPLICATION_DATA, Format, HANDSHAKE};
use super::super::sides::{Sides, Way};
use super::common::{Wire, opened};
use crate::{Established as _, EstablishedSession, Version};

const CLIENT_SECRET: &str = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
const SERVER_SECRET: &str = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";

const CLIENT_KEY: (&str, &str) = ("17422dda596ed5d9acd890e3c63f5051", "5b78923dee08579033e523d9");
const SERVER_KEY: (&str, &str) = ("9f02283b6c9c07efc26bb9f2ac92e356", "cf782b88dd83549aadf1e984");

/// The client's 50 bytes of content, and its end.
const CLIENT_RECORDS: [&str; 2] = [
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e\
     1f5a6292a2977014bd1e3deae63aeebb21694915e4",
    "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3",
];
/// The server's, behind its ticket.
const SERVER_RECORDS: [&str; 2] = [
    "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c\
     4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
    "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9",
];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn way(secret: &str, number: u64) -> Way {
    Way { seed: Seed::Traffic(Secret::new(&bytes(secret)).unwrap()), number }
}

/// The server's session behind the ticket that it has sent.
fn server() -> Sides {
    let format = Format { version: Version::Tls13, cipher: Cipher::Aes128Gcm };
    Sides::new(format, way(SERVER_SECRET, 1), way(CLIENT_SECRET, 0))
}

#[test]
fn secrets_give_their_keys() {
    for (secret, (key, iv)) in [(CLIENT_SECRET, CLIENT_KEY), (SERVER_SECRET, SERVER_KEY)] {
        let seed = way(secret, 0).seed;
        assert!(seed.gives(Cipher::Aes128Gcm, &bytes(key), &bytes(iv)));
        assert!(!seed.gives(Cipher::ChaCha20Poly1305, &bytes(key), &bytes(iv)));
        assert!(!seed.gives(Cipher::Aes128Gcm, &bytes(iv), &bytes(iv)));
    }
}

#[test]
fn the_servers_part_is_what_the_trace_says() {
    for parks in [false, true] {
        let mut session = EstablishedSession::new(server());
        let (mut out, mut content) = (Wire::default(), Wire::default());
        let said: Vec<u8> = (0..50).collect();
        for (n, (theirs, ours)) in CLIENT_RECORDS.into_iter().zip(SERVER_RECORDS).enumerate() {
            let mut theirs = bytes(theirs);
            let len = theirs.len();
            assert_eq!(session.receive(&mut theirs, &mut out, &mut content), Ok(len));
            assert_eq!(content.bytes, said);
            if parks {
                session.park();
            }
            match n {
                0 => session.send(&said, &mut out).unwrap(),
                _ => session.close(&mut out),
            }
            assert_eq!(std::mem::take(&mut out.bytes), bytes(ours));
        }
        assert!(session.is_peer_closed());
    }
}

#[test]
fn the_clients_part_opens_what_the_server_sends() {
    let format = Format { version: Version::Tls13, cipher: Cipher::Aes128Gcm };
    let mut client = Sides::new(format, way(CLIENT_SECRET, 0), way(SERVER_SECRET, 1));
    let said: Vec<u8> = (0..50).collect();
    assert_eq!(opened(&mut client, &bytes(SERVER_RECORDS[0])), [(APPLICATION_DATA, said)]);
    assert_eq!(opened(&mut client, &bytes(SERVER_RECORDS[1])), [(ALERT, vec![1, 0])]);
}

#[test]
fn key_updates_lead_both_sides_to_the_same_key() {
    let format = Format { version: Version::Tls13, cipher: Cipher::Aes128Gcm };
    let mut client = Sides::new(format, way(CLIENT_SECRET, 0), way(SERVER_SECRET, 1));
    let mut session = EstablishedSession::new(server());
    let (mut out, mut content) = (Wire::default(), Wire::default());
    for _ in 0..3 {
        let mut record = super::common::sealed(&mut client, HANDSHAKE, &[24, 0, 0, 1, 1]);
        client.update_out().unwrap();
        record.extend(super::common::sealed(&mut client, APPLICATION_DATA, b"new"));
        session.receive(&mut record, &mut out, &mut content).unwrap();
        session.send(b"response", &mut out).unwrap();
        let records = std::mem::take(&mut out.bytes);
        let (update, rest) = records.split_at(5 + 5 + 1 + 16);
        assert_eq!(opened(&mut client, update), [(HANDSHAKE, vec![24, 0, 0, 1, 0])]);
        client.update_incoming().unwrap();
        assert_eq!(opened(&mut client, rest), [(APPLICATION_DATA, b"response".to_vec())]);
    }
    assert_eq!(content.bytes, b"newnewnew");
}
