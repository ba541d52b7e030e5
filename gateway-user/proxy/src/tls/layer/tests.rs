use gateway_testkit::tls::SelfSigned;
use gateway_tls::{
    ClientOptions, ClientSession, ClientTls, EstablishedSession, Identity, ServerOptions, ServerSession,
    ServerTls,
};
use proptest::prelude::*;

use super::*;

/// Both sides of a connection whose handshake is over.
fn connected() -> (TlsLayer<ClientSession>, TlsLayer<EstablishedSession>) {
    let made = SelfSigned::new(&["a.example"]);
    let identity = Identity::read(made.certificate.as_bytes(), made.key.as_bytes()).unwrap().identity;
    let authority = made.der();
    let client = ClientTls::new(&ClientOptions {
        authorities: &[&authority],
        hostname: "a.example",
        names: &[],
        credential: None,
        protocol: None,
    });
    let server = ServerTls::new([&identity], ServerOptions::default()).unwrap();
    let mut client = ClientSession::new(&client.unwrap()).unwrap();
    let mut server = ServerSession::new(&server).unwrap();
    let mut to_client = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        let mut out = VecDeque::new();
        client.receive(&mut to_client, &mut Records(&mut out), &mut |_| {}).unwrap();
        let mut to_server = joined(&out);
        out.clear();
        server.receive(&mut to_server, &mut Records(&mut out), &mut |_| {}).unwrap();
        to_client = joined(&out);
    }
    // Tickets came with the server's last bytes.
    client.receive(&mut to_client, &mut Records(&mut VecDeque::new()), &mut |_| {}).unwrap();
    let server = server.into_established().unwrap();
    (TlsLayer::new(client, Chunk::with_capacity(0)), TlsLayer::new(server, Chunk::with_capacity(0)))
}

fn joined(chunks: &VecDeque<Chunk>) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| chunk.as_slice().iter().copied()).collect()
}

fn chunk(bytes: &[u8]) -> Chunk {
    let mut chunk = Chunk::with_capacity(bytes.len());
    chunk.extend_from_slice(bytes).unwrap();
    chunk
}

/// The content that a side opens of bytes that come in pieces of these lengths, over and over.
fn opened(layer: &mut TlsLayer<EstablishedSession>, bytes: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut content, mut out) = (VecDeque::new(), VecDeque::new());
    let (mut rest, mut lengths) = (bytes, lengths.iter().cycle());
    while !rest.is_empty() {
        let (piece, later) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
        assert_eq!(layer.open(chunk(piece), &mut content, &mut out).unwrap(), Opened::More);
        rest = later;
    }
    assert!(layer.partial.is_none() && out.is_empty());
    joined(&content)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn records_are_opened_however_they_are_cut(
        contents in prop::collection::vec(prop_oneof![1..40_usize, 1000..70_000_usize], 1..8),
        lengths in prop::collection::vec(prop_oneof![1..8_usize, 5..5000_usize, 16_000..17_000_usize, 4096..140_000_usize], 1..6),
    ) {
        let (mut client, mut server) = connected();
        let mut sent = Vec::new();
        let mut records = VecDeque::new();
        for (n, length) in contents.into_iter().enumerate() {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 31 + n) as u8).collect();
            client.seal(&mut [chunk(&bytes)].into(), &mut records).unwrap();
            sent.extend(bytes);
        }
        prop_assert!(opened(&mut server, &joined(&records), &lengths) == sent);
    }
}

#[test]
fn a_beginning_waits_in_memory_for_its_record() {
    let (mut client, mut server) = connected();
    let mut records = VecDeque::new();
    client.seal(&mut [chunk(&[b'x'; 40_000])].into(), &mut records).unwrap();
    let bytes = joined(&records);
    let (mut content, mut out) = (VecDeque::new(), VecDeque::new());
    // Two records and the beginning of the third, in a chunk that is larger than any.
    let mut received = Chunk::with_capacity(128 * 1024);
    received.extend_from_slice(&bytes[..33_000]).unwrap();
    server.open(received, &mut content, &mut out).unwrap();
    let partial = server.partial.as_ref().unwrap();
    assert!(partial.capacity() <= RECORD_MAX && partial.capacity() >= record_length(partial).unwrap());
    // The rest of it is no more than that is completed by.
    server.open(chunk(&bytes[33_000..]), &mut content, &mut out).unwrap();
    assert!(server.partial.is_none());
    assert_eq!(joined(&content).len(), 40_000);
}

#[test]
fn content_of_a_large_receive_is_one_chunk() {
    let (mut client, mut server) = connected();
    let mut records = VecDeque::new();
    client.seal(&mut [chunk(&[b'x'; 120_000])].into(), &mut records).unwrap();
    let (mut content, mut out) = (VecDeque::new(), VecDeque::new());
    server.open(chunk(&joined(&records)), &mut content, &mut out).unwrap();
    assert_eq!(content.iter().map(Chunk::len).collect::<Vec<_>>(), [120_000]);
}

#[test]
fn an_end_behind_content_is_seen() {
    let (mut client, mut server) = connected();
    let mut records = VecDeque::new();
    client.seal(&mut [chunk(b"last")].into(), &mut records).unwrap();
    client.close(&mut records);
    let bytes = joined(&records);
    let (mut content, mut out) = (VecDeque::new(), VecDeque::new());
    let (first, second) = bytes.split_at(7);
    assert_eq!(server.open(chunk(first), &mut content, &mut out).unwrap(), Opened::More);
    assert_eq!(server.open(chunk(second), &mut content, &mut out).unwrap(), Opened::End);
    assert_eq!(joined(&content), b"last");
}
