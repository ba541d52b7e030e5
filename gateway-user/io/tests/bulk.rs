//! Large chunks: for streams that fill ordinary ones, and for so many of them only.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::io::Write as _;

use common::{on_every_driver, pair, pattern};
use gateway_io::{Chunk, Stream, pool_stats};

/// Bytes that fit into socket buffers at once: three ordinary chunks.
const SENT: usize = 48 * 1024;

/// The next chunk, once all that the peer has sent lies in the socket.
async fn next(stream: &mut Stream) -> Chunk {
    stream.recv.recv().await.unwrap().unwrap()
}

#[test]
fn a_stream_that_fills_a_chunk_gets_a_large_one_until_less_comes() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        let sent = pattern(SENT);
        ours.recv.expect_long(true);
        peer.write_all(&sent).unwrap();
        let first = next(&mut ours).await;
        assert_eq!((first.len(), pool_stats().bulk), (pool_stats().chunk_size, 0));
        let second = next(&mut ours).await;
        assert_eq!((second.len(), pool_stats().bulk), (SENT - first.len(), 1));
        assert!([first.as_slice(), second.as_slice()].concat() == sent);
        drop(second);
        peer.write_all(b"little").unwrap();
        let third = next(&mut ours).await;
        assert_eq!((third.as_slice(), pool_stats().bulk), (b"little".as_slice(), 1), "nobody knew yet");
        drop(third);
        peer.write_all(b"little").unwrap();
        let fourth = next(&mut ours).await;
        assert_eq!((fourth.as_slice(), pool_stats().bulk), (b"little".as_slice(), 0));
    });
}

#[test]
fn a_crowd_of_such_streams_gets_a_bounded_number() {
    on_every_driver(|_| async {
        let mut held = Vec::new();
        for at in 0..140 {
            let (mut ours, mut peer) = pair();
            ours.recv.expect_long(true);
            peer.write_all(&pattern(SENT)).unwrap();
            let first = next(&mut ours).await;
            let second = next(&mut ours).await;
            let large = second.len() > pool_stats().chunk_size;
            assert_eq!(large, at < 128, "stream {at}");
            held.push((ours, peer, first, second));
        }
        assert_eq!(pool_stats().bulk, 128);
        held.clear();
        assert_eq!(pool_stats().bulk, 0);
    });
}

#[test]
fn who_expects_no_long_body_gets_ordinary_chunks() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        peer.write_all(&pattern(SENT)).unwrap();
        for _ in 0..3 {
            assert_eq!(next(&mut ours).await.len(), pool_stats().chunk_size);
        }
    });
}
