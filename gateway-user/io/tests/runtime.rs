//! A runtime's life: tasks, panics, its end with operations in flight.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    future::{Future, poll_fn},
    io::{Read as _, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    thread,
    time::Duration,
};

use common::{
    WAIT_TIMEOUT, is_socket_open, on_every_driver, on_thread, options, pair, socket_inode, std_pair, until,
};
use gateway_io::{Driver, RuntimeOptions, Stream, live_tasks, pause, pool_stats, run, sleep, spawn};

/// Tasks that wait for the network, for time and for nothing at all end with the runtime, and their
/// sockets with them.
#[test]
fn the_end_of_a_runtime_ends_its_tasks_and_closes_their_sockets() {
    for driver in Driver::ALL {
        on_thread(driver.name(), move || {
            for _ in 0..3 {
                let (sockets, mut peers): (Vec<_>, Vec<_>) = (0..10).map(|_| std_pair()).unzip();
                let inodes: Vec<_> = sockets.iter().map(socket_inode).collect();
                let alive = Rc::new(());
                let held = Rc::clone(&alive);
                // No receive goes quiet: the chunks must come back by the end alone.
                let options = RuntimeOptions { quiet_after: WAIT_TIMEOUT, ..options(driver) };
                run(&options, || async move {
                    for socket in sockets {
                        let held = Rc::clone(&held);
                        spawn(async move {
                            let _held = held;
                            let mut stream = Stream::from_std(socket).unwrap();
                            stream.recv.recv().await.unwrap();
                        });
                    }
                    spawn(sleep(Duration::from_secs(3600)));
                    spawn(std::future::pending());
                    pause().await;
                    assert_eq!(live_tasks(), 13);
                })
                .unwrap();
                assert_eq!(Rc::strong_count(&alive), 1, "a task outlived its runtime");
                assert_eq!(pool_stats().lent, 0);
                for (inode, peer) in inodes.iter().zip(&mut peers) {
                    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
                    assert!(!is_socket_open(inode));
                }
            }
        });
    }
}

#[test]
fn a_caught_panic_ends_one_task_and_nothing_else() {
    on_every_driver(|_| async {
        let (ours, mut peer) = std_pair();
        spawn(async move {
            let mut stream = Stream::from_std(ours).unwrap();
            let mut serve = pin!(async move {
                while let Some(chunk) = stream.recv.recv().await.unwrap() {
                    assert!(&*chunk != b"panic", "as told");
                    stream.send.send_all(chunk).await.unwrap();
                }
            });
            let caught = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| serve.as_mut().poll(cx))) {
                Ok(poll) => poll.map(|()| false),
                Err(_) => std::task::Poll::Ready(true),
            });
            assert!(caught.await);
        });
        peer.write_all(b"panic").unwrap();
        let ended = thread::spawn(move || peer.read(&mut [0]).unwrap());
        until("the connection is closed", || ended.is_finished()).await;
        assert_eq!(ended.join().unwrap(), 0);
        let (mut other, mut peer) = pair();
        peer.write_all(b"still here").unwrap();
        assert_eq!(&*other.recv.recv().await.unwrap().unwrap(), b"still here");
        until("the task is gone", || live_tasks() == 1).await;
    });
}

/// A panic nobody catches goes through `run`; the thread can run a new worker, and nothing of the old
/// one stays open.
#[test]
fn an_uncaught_panic_leaves_a_usable_thread() {
    for driver in Driver::ALL {
        on_thread(driver.name(), move || {
            let (ours, mut peer) = std_pair();
            let inode = socket_inode(&ours);
            let body = AssertUnwindSafe(|| {
                run(&options(driver), || async move {
                    let mut stream = Stream::from_std(ours).unwrap();
                    spawn(async move {
                        stream.recv.recv().await.unwrap();
                    });
                    pause().await;
                    spawn(async { panic!("as told") });
                    std::future::pending::<()>().await;
                })
            });
            assert!(catch_unwind(body).is_err());
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
            let result = run(&options(driver), || async {
                pause().await;
                let (mut ours, mut peer) = pair();
                peer.write_all(b"x").unwrap();
                ours.recv.recv().await.unwrap().unwrap().len()
            });
            assert_eq!(result.unwrap(), 1);
            // The kernel tears the old ring down in its own time.
            for _ in 0..WAIT_TIMEOUT.as_millis() {
                if !is_socket_open(&inode) {
                    return;
                }
                thread::sleep(Duration::from_millis(1));
            }
            panic!("the socket of the panicked worker stays open");
        });
    }
}

#[test]
fn a_second_runtime_in_a_runtime_is_refused_and_nothing_works_outside() {
    on_every_driver(|driver| async move {
        assert!(run(&options(driver), || async {}).is_err());
    });
    assert!(Stream::from_std(std_pair().0).is_err());
}

/// With `DEFER_TASKRUN`, tasks that wake themselves keep all completions away; `pause` does not.
#[test]
fn tasks_that_pause_in_a_loop_do_not_starve_completions() {
    on_every_driver(|_| async {
        for _ in 0..20 {
            spawn(async {
                loop {
                    pause().await;
                }
            });
        }
        let (mut ours, mut peer) = pair();
        for round in 0..100_u8 {
            peer.write_all(&[round]).unwrap();
            assert_eq!(&*ours.recv.recv().await.unwrap().unwrap(), [round]);
        }
    });
}
