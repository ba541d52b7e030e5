//! Messages from other threads, on every driver.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{thread, time::Duration};

use common::on_every_driver;
use gateway_io::{MailSender, mailbox, pause, spawn};

/// In bursts with gaps, so that messages meet a sleeping, a waking and a busy worker.
#[test]
fn twenty_thousand_messages_arrive_in_order() {
    on_every_driver(|_| async {
        let (sender, mut receiver) = mailbox::<u32>();
        let thread = thread::spawn(move || {
            for n in 0..20_000 {
                sender.send(n).unwrap();
                if n % 97 == 0 {
                    thread::sleep(Duration::from_micros(300));
                }
            }
        });
        for n in 0..20_000 {
            assert_eq!(receiver.recv().await, Some(n));
        }
        assert_eq!(receiver.recv().await, None, "all senders are gone");
        thread.join().unwrap();
    });
}

/// One message at a time, the next only after the response: every one must wake the worker.
#[test]
fn every_message_wakes_a_sleeping_worker() {
    on_every_driver(|_| async {
        let (sender, mut receiver) = mailbox::<std::sync::mpsc::Sender<()>>();
        let thread = thread::spawn(move || {
            for _ in 0..2000 {
                let (reply, replies) = std::sync::mpsc::channel();
                sender.send(reply).unwrap();
                replies.recv_timeout(common::WAIT_TIMEOUT).unwrap();
            }
        });
        while let Some(reply) = receiver.recv().await {
            reply.send(()).unwrap();
        }
        thread.join().unwrap();
    });
}

/// The sender outlives the worker: its message comes back, and the waiting task's future died on
/// its own thread.
#[test]
fn a_worker_that_ends_refuses_mail_and_drops_the_receiver_itself() {
    struct DiesOn(thread::ThreadId);
    impl Drop for DiesOn {
        fn drop(&mut self) {
            assert_eq!(self.0, thread::current().id());
        }
    }
    let mut senders: Vec<MailSender<String>> = Vec::new();
    for driver in gateway_io::Driver::ALL {
        let (sender, mut receiver) = mailbox::<String>();
        let worker = thread::spawn(move || {
            let main = || async move {
                let guard = DiesOn(thread::current().id());
                spawn(async move {
                    let _guard = guard;
                    while receiver.recv().await.is_some() {}
                });
                pause().await;
            };
            gateway_io::run(&common::options(driver), main).unwrap();
        });
        sender.send("in time".to_owned()).unwrap_or_default();
        worker.join().unwrap();
        senders.push(sender);
    }
    for sender in senders {
        assert!(sender.is_closed());
        assert_eq!(sender.send("late".to_owned()), Err("late".to_owned()));
    }
}
