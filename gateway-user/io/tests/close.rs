//! Closing: promptly with operations in flight, by reset, lingering.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    future::Future,
    io::{ErrorKind, Read as _, Write as _},
    net::Shutdown,
    pin::pin,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use common::{is_socket_open, on_every_driver, pattern, socket_inode, std_pair, until};
use gateway_io::{Chunk, Stream, pause};

fn poll_once<F: Future>(future: F) {
    assert!(pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
}

fn chunk(bytes: &[u8]) -> Chunk {
    let mut chunk = Chunk::with_capacity(bytes.len());
    chunk.extend_from_slice(bytes).unwrap();
    chunk
}

/// In flight: a receive, a quiet receive (a poll), a send that does not fit; both halves or one
/// after the other.
#[test]
fn a_dropped_stream_is_closed_at_once_whatever_is_in_flight() {
    on_every_driver(|_| async {
        for case in 0..4 {
            let (ours, mut peer) = std_pair();
            let inode = socket_inode(&ours);
            let mut ours = Stream::from_std(ours).unwrap();
            poll_once(ours.recv.recv());
            match case {
                1 => until("quiet", || gateway_io::pool_stats().lent == 0).await,
                2 => poll_once(ours.send.send_all(chunk(&pattern(10_000_000)))),
                _ => {}
            }
            pause().await;
            if case == 3 {
                let Stream { recv, send } = ours;
                drop(recv);
                pause().await;
                assert!(is_socket_open(&inode), "the other half is in use");
                drop(send);
            } else {
                drop(ours);
            }
            let ended = thread::spawn(move || peer.read_to_end(&mut Vec::new()).is_ok());
            until("the peer sees the end", || ended.is_finished()).await;
            assert!(ended.join().unwrap());
            until("the descriptor is closed", || !is_socket_open(&inode)).await;
            until("no chunk is held", || gateway_io::pool_stats().lent == 0).await;
        }
    });
}

#[test]
fn reset_is_seen_as_a_reset() {
    on_every_driver(|_| async {
        for in_flight in [false, true] {
            let (ours, mut peer) = std_pair();
            let mut ours = Stream::from_std(ours).unwrap();
            if in_flight {
                poll_once(ours.recv.recv());
                pause().await;
            }
            ours.send.send_all(chunk(b"half of it")).await.unwrap();
            ours.reset().unwrap();
            let seen = thread::spawn(move || peer.read_to_end(&mut Vec::new()).map_err(|error| error.kind()));
            until("the peer sees it", || seen.is_finished()).await;
            assert_eq!(seen.join().unwrap(), Err(ErrorKind::ConnectionReset), "in flight: {in_flight}");
        }
    });
}

/// The peer is still sending when the response comes; without lingering the kernel's reset destroys it.
#[test]
fn a_lingering_close_lets_the_answer_through() {
    on_every_driver(|_| async {
        let (ours, mut peer) = std_pair();
        let inode = socket_inode(&ours);
        let mut ours = Stream::from_std(ours).unwrap();
        let client = thread::spawn(move || {
            peer.write_all(&pattern(3_000_000)).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            let mut response = Vec::new();
            peer.read_to_end(&mut response).map(|_| response)
        });
        assert!(ours.recv.recv().await.unwrap().is_some());
        ours.send.queue(chunk(b"400"));
        ours.close_lingering(10_000_000, common::WAIT_TIMEOUT).await;
        until("the response", || client.is_finished()).await;
        assert_eq!(client.join().unwrap().unwrap(), b"400");
        until("closed", || !is_socket_open(&inode)).await;
    });
}

#[test]
fn a_lingering_close_is_bounded_in_bytes_and_time() {
    on_every_driver(|_| async {
        let (ours, mut peer) = std_pair();
        let flood = thread::spawn(move || while peer.write_all(&[0; 65_536]).is_ok() {});
        Stream::from_std(ours).unwrap().close_lingering(1_000_000, common::WAIT_TIMEOUT).await;
        until("the flood is cut off", || flood.is_finished()).await;

        let (ours, peer) = std_pair();
        let inode = socket_inode(&ours);
        Stream::from_std(ours).unwrap().close_lingering(1_000_000, Duration::from_millis(5)).await;
        until("the silent one is cut off", || !is_socket_open(&inode)).await;
        drop(peer);
    });
}
