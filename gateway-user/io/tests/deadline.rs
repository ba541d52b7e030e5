//! Deadlines: never early, never losing what the operation brings later.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    future::{pending, ready},
    io::{ErrorKind, Read as _, Write as _},
    thread,
    time::{Duration, Instant},
};

use common::{on_every_driver, pair, pattern, until};
use gateway_io::{AssertCancelSafe, Chunk, Either, now, pause, race, sleep, with_deadline};

const SHORT: Duration = Duration::from_millis(20);

#[test]
fn a_receive_times_out_and_a_later_one_gets_the_data() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        for _ in 0..20 {
            let began = Instant::now();
            ours.recv.set_deadline(Some(SHORT));
            assert_eq!(ours.recv.recv().await.unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(began.elapsed() >= SHORT);
            peer.write_all(b"late").unwrap();
            // The deadline is used up: this waits as long as it takes.
            assert_eq!(ours.recv.recv().await.unwrap().unwrap().as_slice(), b"late");
        }
    });
}

#[test]
fn data_win_over_a_deadline_that_passed_and_a_cleared_one_does_nothing() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        ours.recv.set_deadline(Some(Duration::ZERO));
        assert!(ours.recv.try_recv().is_none());
        peer.write_all(b"data").unwrap();
        sleep(SHORT).await;
        assert_eq!(ours.recv.recv().await.unwrap().unwrap().as_slice(), b"data");
        ours.recv.set_deadline(Some(Duration::from_millis(2)));
        ours.recv.set_deadline(None);
        let waited = with_deadline(SHORT, ours.recv.recv()).await;
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut, "only the outer limit may pass");
    });
}

#[test]
fn a_send_times_out_and_goes_on_where_it_was() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        let sent = pattern(12_000_000);
        let mut all = Chunk::with_capacity(sent.len());
        all.extend_from_slice(&sent).unwrap();
        ours.send.set_deadline(Some(SHORT));
        assert_eq!(ours.send.send_all(all).await.unwrap_err().kind(), ErrorKind::TimedOut);
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            peer.read_to_end(&mut got).map(|_| got)
        });
        ours.send.shutdown_write().await.unwrap();
        until("all read", || reader.is_finished()).await;
        assert!(reader.join().unwrap().unwrap() == sent);
    });
}

#[test]
fn waits_are_limited_and_raced() {
    on_every_driver(|_| async {
        let began = Instant::now();
        let never = AssertCancelSafe(pending::<()>());
        assert_eq!(with_deadline(SHORT, never).await.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(began.elapsed() >= SHORT);
        assert_eq!(with_deadline(Duration::ZERO, AssertCancelSafe(ready(7))).await.unwrap(), 7);

        let (mut ours, mut peer) = pair();
        for round in 0..200_u8 {
            let quick = AssertCancelSafe(pause());
            assert!(matches!(race(ours.recv.recv(), quick).await, Either::Right(())));
            peer.write_all(&[round]).unwrap();
            let Either::Left(got) = race(ours.recv.recv(), AssertCancelSafe(pending::<()>())).await else {
                panic!("the wrong one")
            };
            assert_eq!(got.unwrap().unwrap().as_slice(), [round]);
        }
    });
}

#[test]
fn the_coarse_clock_moves_and_is_never_ahead() {
    on_every_driver(|_| async {
        let first = now();
        until("a tick", || now() > first).await;
        assert!(now() <= Instant::now());
    });
}
