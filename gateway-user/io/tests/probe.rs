//! Which driver is chosen, where io_uring works and where it is refused.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    thread,
};

use common::{child::in_a_process_of_its_own, pair, until};
use gateway_io::{
    Driver, IoMode, RuntimeOptions,
    file::{FileDriver, FileTarget, FileThread},
    probe, run,
};
use gateway_testkit::scratch::Scratch;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter_all_threads};

/// A worker on `driver` responds.
fn serves(driver: Driver) {
    run(&common::options(driver), || async {
        let (mut ours, mut peer) = pair();
        let client = thread::spawn(move || {
            peer.write_all(b"ping").unwrap();
            let mut got = [0; 4];
            peer.read_exact(&mut got).unwrap();
            got
        });
        let chunk = ours.recv.recv().await.unwrap().unwrap();
        ours.send.send_all(chunk).await.unwrap();
        until("the response", || client.is_finished()).await;
        assert_eq!(&client.join().unwrap(), b"ping");
    })
    .unwrap();
}

/// From here on the given system calls fail with EPERM in this process, as under containerd's
/// default profile.
fn refuse(calls: &[i64]) {
    let rules: BTreeMap<i64, Vec<_>> = calls.iter().map(|&call| (call, Vec::new())).collect();
    let eperm = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, eperm, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    apply_filter_all_threads(&program).unwrap();
}

#[test]
fn auto_takes_the_first_ring_that_works_and_it_serves() {
    let found = probe(IoMode::Auto, 256, 2).unwrap();
    let before: Vec<_> = Driver::ALL.into_iter().take_while(|&driver| driver != found.driver).collect();
    let refused: Vec<_> = found.refused.iter().map(|(driver, _)| *driver).collect();
    assert_eq!(refused, before, "every better driver has its reason");
    serves(found.driver);
    if found.driver.is_uring() {
        assert_eq!(probe(IoMode::Uring, 256, 2).unwrap(), found);
    }
}

#[test]
fn epoll_is_taken_without_a_try() {
    let found = probe(IoMode::Epoll, 256, 2).unwrap();
    assert_eq!(found.driver, Driver::Epoll);
    assert!(found.refused.is_empty());
}

/// More entries than the kernel allows (32,768): the probe must use the very ring that was asked for.
#[test]
fn a_ring_too_large_is_refused_with_reasons() {
    let found = probe(IoMode::Auto, 1 << 20, 2).unwrap();
    assert_eq!(found.driver, Driver::Epoll);
    assert_eq!(found.refused.len(), 3);
    let error = probe(IoMode::Uring, 1 << 20, 2).unwrap_err();
    assert_eq!(error.refused.len(), 3);
    let text = error.to_string();
    for part in ["uring-defer: io_uring_setup", "uring-coop: ", "uring-plain: ", "io mode auto"] {
        assert!(text.contains(part), "{text}");
    }
    let options = RuntimeOptions { ring_entries: 1 << 20, ..RuntimeOptions::new(Driver::UringDefer) };
    assert!(run(&options, || async {}).is_err());
}

#[test]
fn where_io_uring_is_refused_epoll_serves() {
    in_a_process_of_its_own("where_io_uring_is_refused_epoll_serves", || {
        refuse(&[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register]);
        let found = probe(IoMode::Auto, 256, 2).unwrap();
        assert_eq!(found.driver, Driver::Epoll);
        assert_eq!(found.refused.len(), 3);
        for (_, why) in &found.refused {
            assert!(why.contains("io_uring_setup: Operation not permitted"), "{why}");
        }
        serves(found.driver);
        let error = probe(IoMode::Uring, 256, 2).unwrap_err();
        assert!(error.to_string().contains("not permitted"), "{error}");

        let scratch = Scratch::new("log-refused").unwrap();
        let target = || FileTarget::Path(scratch.join("access.log"));
        assert!(FileThread::start(target(), IoMode::Uring).is_err());
        let log = FileThread::start(target(), IoMode::Auto).unwrap();
        assert_eq!(log.driver(), FileDriver::Plain);
        assert!(log.refused().unwrap().contains("not permitted"));
        log.sink().try_push(b"line\n".to_vec()).unwrap();
        assert!(log.stop(common::WAIT_TIMEOUT));
        assert_eq!(std::fs::read_to_string(scratch.join("access.log")).unwrap(), "line\n");
    });
}

/// A ring that can be made but not entered would leave the runtime below spinning without a word.
#[test]
fn a_ring_that_cannot_be_entered_is_refused() {
    in_a_process_of_its_own("a_ring_that_cannot_be_entered_is_refused", || {
        refuse(&[libc::SYS_io_uring_enter]);
        let found = probe(IoMode::Auto, 256, 2).unwrap();
        assert_eq!(found.driver, Driver::Epoll);
        for (_, why) in &found.refused {
            assert!(why.contains("io_uring_enter"), "{why}");
        }
        serves(found.driver);
    });
}
