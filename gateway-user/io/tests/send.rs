//! Sending: order, partial writes, vectored sends, dropped flushes, failures.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    future::Future,
    io::{ErrorKind, Read as _},
    net::TcpStream,
    pin::pin,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use common::{on_every_driver, pair, pattern};
use gateway_io::{Chunk, pause, pool_stats};

fn chunk(bytes: &[u8]) -> Chunk {
    let mut chunk = Chunk::take();
    chunk.extend_from_slice(bytes).unwrap();
    chunk
}

/// A head and a short body leave in one buffer; what is long is not copied.
#[test]
fn a_small_chunk_joins_the_one_before_it() {
    on_every_driver(|_| async {
        let (mut ours, peer) = pair();
        let before = pool_stats().lent;
        let sent = pattern(10_000);
        for part in [&sent[..300], &sent[300..2300], &sent[2300..2301]] {
            ours.send.queue(chunk(part));
        }
        assert_eq!((ours.send.queued(), pool_stats().lent - before), (2301, 1));
        ours.send.queue(chunk(&sent[2301..]));
        assert_eq!((ours.send.queued(), pool_stats().lent - before), (10_000, 2));
        ours.send.shutdown_write().await.unwrap();
        assert!(read_slowly(peer).join().unwrap() == sent);
    });
}

fn read_slowly(mut peer: TcpStream) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut got, mut part) = (Vec::new(), vec![0; 30_000]);
        loop {
            match peer.read(&mut part).unwrap() {
                0 => return got,
                n => got.extend_from_slice(&part[..n]),
            }
            thread::sleep(Duration::from_micros(50));
        }
    })
}

/// More than socket buffers hold, in groups of one to twenty chunks: single sends, vectored ones, and
/// remainders of both.
#[test]
fn queued_chunks_arrive_whole_and_in_order() {
    on_every_driver(|_| async {
        let (mut ours, peer) = pair();
        let sent = pattern(12_000_000);
        let reader = read_slowly(peer);
        let mut parts = sent.chunks(9_973);
        for group in (1..=20).cycle() {
            let mut queued = 0;
            for part in parts.by_ref().take(group) {
                ours.send.queue(chunk(part));
                queued += part.len();
            }
            assert_eq!(ours.send.queued(), queued);
            if queued == 0 {
                break;
            }
            ours.send.flush().await.unwrap();
            assert_eq!(ours.send.queued(), 0);
        }
        ours.send.shutdown_write().await.unwrap();
        drop(ours);
        assert!(reader.join().unwrap() == sent);
    });
}

/// A flush that is dropped at any moment neither loses nor repeats a byte.
#[test]
fn a_dropped_flush_loses_nothing() {
    on_every_driver(|_| async {
        let (mut ours, peer) = pair();
        let sent = pattern(2000 * 5000);
        let reader = read_slowly(peer);
        for (round, part) in sent.chunks(5000).enumerate() {
            ours.send.queue(chunk(&part[..2000]));
            ours.send.queue(chunk(&part[2000..]));
            {
                let mut flush = pin!(ours.send.flush());
                // Ready at once on epoll while there is room.
                let _ = flush.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                if round % 3 == 0 {
                    pause().await;
                }
            }
            if round % 4 == 0 {
                ours.send.flush().await.unwrap();
            }
        }
        ours.send.shutdown_write().await.unwrap();
        drop(ours);
        assert!(reader.join().unwrap() == sent);
    });
}

#[test]
fn what_is_queued_while_a_send_is_in_flight_goes_behind_it() {
    on_every_driver(|_| async {
        let (mut ours, peer) = pair();
        let sent = pattern(8_000_000);
        let mut parts = sent.chunks(16_000);
        for part in parts.by_ref().take(300) {
            ours.send.queue(chunk(part));
        }
        let full = {
            let mut flush = pin!(ours.send.flush());
            // Nobody reads yet: it cannot end.
            let mut polls = 0;
            loop {
                let ready = flush.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
                pause().await;
                polls += 1;
                if ready || polls == 50 {
                    break !ready;
                }
            }
        };
        assert!(full, "socket buffers took nearly five megabytes");
        for part in parts {
            ours.send.queue(chunk(part));
        }
        let reader = read_slowly(peer);
        ours.send.shutdown_write().await.unwrap();
        drop(ours);
        assert!(reader.join().unwrap() == sent);
    });
}

#[test]
fn a_failed_send_is_told_once_and_then_the_half_is_broken() {
    on_every_driver(|_| async {
        let (mut ours, peer) = pair();
        drop(peer);
        let error = loop {
            ours.send.queue(chunk(b"head"));
            ours.send.queue(chunk(b"body"));
            if let Err(error) = ours.send.flush().await {
                break error;
            }
            pause().await;
        };
        assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
        assert!(ours.send.is_broken());
        ours.send.queue(chunk(b"more"));
        assert_eq!(ours.send.queued(), 0);
        assert_eq!(ours.send.flush().await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}
