//! Receiving: order, end, dropped waits, quiet receives.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    future::Future,
    io::{ErrorKind, Write as _},
    net::Shutdown,
    pin::pin,
    task::{Context, Waker},
    thread,
    time::Duration,
};

use common::{on_every_driver, pair, pattern, std_pair, until};
use gateway_io::{Stream, pause, pool_stats, sleep, spawn};

#[test]
fn bytes_arrive_in_order_and_then_the_end() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        let sent = pattern(1_000_000);
        let copy = sent.clone();
        let writer = thread::spawn(move || {
            peer.write_all(&copy).unwrap();
            peer.shutdown(Shutdown::Write).unwrap();
            peer
        });
        let mut got = Vec::new();
        while let Some(chunk) = ours.recv.recv().await.unwrap() {
            assert!(!chunk.is_empty());
            got.extend_from_slice(&chunk);
        }
        assert!(got == sent);
        assert!(ours.recv.is_ended());
        assert!(ours.recv.recv().await.unwrap().is_none(), "the end stays the end");
        drop(writer.join().unwrap());
    });
}

/// A receive that is dropped while its data arrive must hand them to the next one. With the runtime's own
/// futures every one of these rounds loses its bytes on io_uring.
#[test]
fn a_dropped_receive_loses_nothing_in_two_thousand_races() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        for round in 0..2000_u32 {
            {
                let mut wait = pin!(ours.recv.recv());
                assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                if round % 2 == 0 {
                    // The operation is with the kernel before the bytes come, not only in the queue.
                    pause().await;
                }
                peer.write_all(&round.to_be_bytes()).unwrap();
            }
            let mut got = Vec::new();
            while got.len() < 4 {
                got.extend_from_slice(&ours.recv.recv().await.unwrap().unwrap());
            }
            assert_eq!(got, round.to_be_bytes());
        }
    });
}

/// Quiet receives are cancelled by the sweep (after 1 ms here); bytes sent around that moment
/// must all arrive.
#[test]
fn going_quiet_loses_nothing_in_two_thousand_races() {
    fn eager(driver: gateway_io::Driver) -> gateway_io::RuntimeOptions {
        gateway_io::RuntimeOptions { quiet_after: Duration::ZERO, ..common::options(driver) }
    }
    common::with_every_driver(eager, |_| async {
        let (mut ours, mut peer) = pair();
        let writer = thread::spawn(move || {
            for round in 0..2000_u32 {
                // 0 to 4 ms: before, in, and after the tick that cancels.
                thread::sleep(Duration::from_micros(u64::from(round * 37 % 4000)));
                peer.write_all(&round.to_be_bytes()).unwrap();
            }
            peer
        });
        let mut got = Vec::new();
        while got.len() < 8000 {
            got.extend_from_slice(&ours.recv.recv().await.unwrap().unwrap());
        }
        let expected: Vec<u8> = (0..2000_u32).flat_map(u32::to_be_bytes).collect();
        assert!(got == expected);
        drop(writer.join().unwrap());
    });
}

#[test]
fn idle_connections_hold_no_chunk_and_still_receive() {
    on_every_driver(|_| async {
        let mut peers = Vec::new();
        for _ in 0..50 {
            let (ours, peer) = std_pair();
            peers.push(peer);
            spawn(async move {
                let mut ours = Stream::from_std(ours).unwrap();
                while let Some(chunk) = ours.recv.recv().await.unwrap() {
                    ours.send.send_all(chunk).await.unwrap();
                }
            });
        }
        until("all receives hold a chunk", || pool_stats().lent == 50).await;
        until("none does any more", || pool_stats().lent == 0).await;
        for (n, peer) in peers.iter_mut().enumerate() {
            peer.write_all(&[n as u8]).unwrap();
        }
        for (n, peer) in peers.into_iter().enumerate() {
            let echoed = thread::spawn(move || {
                let mut byte = [0];
                std::io::Read::read_exact(&mut &peer, &mut byte).unwrap();
                byte[0]
            });
            until("the echo", || echoed.is_finished()).await;
            assert_eq!(echoed.join().unwrap(), n as u8);
        }
    });
}

/// A wait may end where the quiet begins; then another goes on with it, in time and data.
#[test]
fn a_wait_that_ends_in_quiet_loses_neither_data_nor_its_deadline() {
    fn eager(driver: gateway_io::Driver) -> gateway_io::RuntimeOptions {
        gateway_io::RuntimeOptions { quiet_after: Duration::ZERO, ..common::options(driver) }
    }
    common::with_every_driver(eager, |_| async {
        let (mut ours, mut peer) = pair();
        let writer = thread::spawn(move || {
            for round in 0..1000_u32 {
                thread::sleep(Duration::from_micros(u64::from(round * 37 % 4000)));
                peer.write_all(&round.to_be_bytes()).unwrap();
            }
            peer
        });
        let mut got = Vec::new();
        let mut quiet = 0;
        while got.len() < 4000 {
            let received = match ours.recv.recv_unless_quiet().await {
                Some(received) => received,
                None => {
                    quiet += 1;
                    assert_eq!(pool_stats().lent, 0);
                    ours.recv.recv().await
                }
            };
            got.extend_from_slice(&received.unwrap().unwrap());
        }
        let expected: Vec<u8> = (0..1000_u32).flat_map(u32::to_be_bytes).collect();
        assert!(got == expected);
        assert!(quiet > 0);
        ours.recv.set_deadline(Some(Duration::from_millis(200)));
        assert!(ours.recv.recv_unless_quiet().await.is_none());
        assert!(ours.recv.recv_unless_quiet().await.is_none(), "it is quiet already");
        assert_eq!(ours.recv.recv().await.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(writer.join().unwrap());
    });
}

/// A pooled upstream connection: nobody waits, the sweep alone must get the chunk back, and the
/// end must show.
#[test]
fn a_receive_nobody_waits_for_goes_quiet_and_tells_of_the_end() {
    on_every_driver(|_| async {
        let (mut ours, peer) = pair();
        assert!(ours.recv.try_recv().is_none());
        assert_eq!(pool_stats().lent, 1);
        until("the chunk is back", || pool_stats().lent == 0).await;
        assert!(ours.recv.try_recv().is_none());
        drop(peer);
        until("the end shows", || matches!(ours.recv.try_recv(), Some(Ok(None)))).await;
    });
}

#[test]
fn a_reset_by_the_peer_is_an_error() {
    on_every_driver(|_| async {
        let (mut ours, peer) = pair();
        let (result, ()) = {
            let wait = ours.recv.recv();
            let reset = async {
                sleep(Duration::from_millis(5)).await;
                nix::sys::socket::setsockopt(
                    &peer,
                    nix::sys::socket::sockopt::Linger,
                    &libc::linger { l_onoff: 1, l_linger: 0 },
                )
                .unwrap();
                drop(peer);
            };
            reset.await;
            (wait.await, ())
        };
        assert_eq!(result.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

/// A limit is one of receives that begin later; one that is in flight gives its chunk back instead, and loses nothing.
#[test]
fn a_receive_takes_no_more_than_its_limit() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        assert!(ours.recv.try_recv().is_none(), "a receive of a whole chunk is in flight");
        pause().await;
        ours.recv.limit(Some(100));
        ours.recv.give_back_chunk();
        assert!(ours.recv.try_recv().is_none());
        until("the chunk to be given back", || pool_stats().lent == 0).await;
        let sent = pattern(1_000);
        peer.write_all(&sent).unwrap();
        let mut got = Vec::new();
        while got.len() < sent.len() {
            let chunk = ours.recv.recv().await.unwrap().unwrap();
            assert!(chunk.len() <= 100, "{} bytes", chunk.len());
            got.extend_from_slice(&chunk);
        }
        assert!(got == sent);
        ours.recv.limit(None);
        peer.write_all(&sent).unwrap();
        sleep(Duration::from_millis(50)).await;
        let whole = ours.recv.recv().await.unwrap().unwrap();
        assert!(whole.len() > 100 && whole.capacity() >= 16 * 1024, "{whole:?}");
    });
}
