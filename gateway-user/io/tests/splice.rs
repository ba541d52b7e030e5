//! Bytes from socket to socket by way of a pipe.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    future::poll_fn,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use common::{on_every_driver, pair, pattern, until};
use gateway_io::{Chunk, PIPES_MAX, Pipe, RecvHalf, SendHalf, Spliced, pause};

fn writes(mut peer: TcpStream, sent: Vec<u8>, part: usize) -> thread::JoinHandle<TcpStream> {
    thread::spawn(move || {
        for part in sent.chunks(part) {
            peer.write_all(part).unwrap();
        }
        peer.shutdown(Shutdown::Write).unwrap();
        peer
    })
}

fn reads_slowly(mut peer: TcpStream) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let (mut got, mut part) = (Vec::new(), vec![0; 30_000]);
        loop {
            match peer.read(&mut part).unwrap() {
                0 => return got,
                count => got.extend_from_slice(&part[..count]),
            }
            thread::sleep(Duration::from_micros(50));
        }
    })
}

/// Moves everything up to the end, and gives how much went through pipes.
async fn splice_all(from: &mut RecvHalf, to: &mut SendHalf) -> usize {
    let mut total = 0;
    loop {
        let mut pipe = Pipe::take().unwrap();
        match from.try_splice(&mut pipe).unwrap() {
            Spliced::Moved(count) => {
                assert_eq!(pipe.held(), count);
                total += count;
                poll_fn(|cx| to.poll_splice(cx, &mut pipe)).await.unwrap();
                assert_eq!(pipe.held(), 0);
            }
            Spliced::Nothing => poll_fn(|cx| from.poll_readable(cx)).await.unwrap(),
            Spliced::End => return total,
            Spliced::Busy => panic!("nothing is in flight"),
        }
    }
}

/// More than sockets hold, to a receiver that is slower than its sender.
#[test]
fn everything_arrives_in_order_and_then_the_end() {
    on_every_driver(|_| async {
        let ((mut ours, sender), (mut other, receiver)) = (pair(), pair());
        let sent = pattern(12_000_000);
        let (writer, reader) = (writes(sender, sent.clone(), 100_000), reads_slowly(receiver));
        assert_eq!(splice_all(&mut ours.recv, &mut other.send).await, sent.len());
        assert!(ours.recv.is_ended());
        other.send.shutdown_write().await.unwrap();
        assert!(reader.join().unwrap() == sent);
        drop(writer.join().unwrap());
    });
}

/// Received and spliced bytes are one stream, in both directions of one socket, also once it does not block.
#[test]
fn chunks_and_pipes_take_turns() {
    on_every_driver(|_| async {
        let ((mut ours, sender), (mut other, receiver)) = (pair(), pair());
        let sent = pattern(3_000_000);
        let (writer, reader) = (writes(sender, sent.clone(), 7_001), reads_slowly(receiver));
        let mut turn = 0_usize;
        loop {
            turn += 1;
            let mut pipe = Pipe::take().unwrap();
            match (turn % 3, ours.recv.try_splice(&mut pipe).unwrap()) {
                (_, Spliced::End) => break,
                (_, Spliced::Moved(_)) => {
                    other.send.queue(Chunk::take());
                    poll_fn(|cx| other.send.poll_splice(cx, &mut pipe)).await.unwrap();
                }
                (0, _) => poll_fn(|cx| ours.recv.poll_readable(cx)).await.unwrap(),
                _ => match ours.recv.recv().await.unwrap() {
                    Some(chunk) => other.send.send_all(chunk).await.unwrap(),
                    None => break,
                },
            }
        }
        other.send.shutdown_write().await.unwrap();
        assert!(reader.join().unwrap() == sent);
        drop(writer.join().unwrap());
        // The other way, of sockets that do not block any more: more than they hold, by ordinary sends.
        let ((mut ours, sender), (mut other, receiver)) = (pair(), pair());
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(ours.recv.try_splice(&mut pipe).unwrap(), Spliced::Nothing);
        assert_eq!(other.recv.try_splice(&mut pipe).unwrap(), Spliced::Nothing);
        let (writer, reader) = (writes(sender, sent.clone(), 100_000), reads_slowly(receiver));
        while let Some(chunk) = ours.recv.recv().await.unwrap() {
            for _ in 0..2 {
                let mut copy = Chunk::with_capacity(chunk.len());
                copy.extend_from_slice(&chunk).unwrap();
                other.send.queue(copy);
            }
            other.send.flush().await.unwrap();
        }
        other.send.shutdown_write().await.unwrap();
        assert_eq!(reader.join().unwrap().len(), 2 * sent.len());
        drop(writer.join().unwrap());
    });
}

/// A wait for readiness that nobody waits for any more takes nothing away, and a receive in flight is no room for a splice.
#[test]
fn waits_and_receives_hand_over_to_each_other() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        ours.recv.set_deadline(Some(Duration::from_millis(1)));
        let waited = poll_fn(|cx| ours.recv.poll_readable(cx)).await;
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::TimedOut);
        peer.write_all(b"one").unwrap();
        assert_eq!(&*ours.recv.recv().await.unwrap().unwrap(), b"one");
        ours.recv.set_deadline(Some(Duration::from_millis(1)));
        assert_eq!(ours.recv.recv().await.unwrap_err().kind(), ErrorKind::TimedOut);
        let mut pipe = Pipe::take().unwrap();
        assert_eq!(ours.recv.try_splice(&mut pipe).unwrap(), Spliced::Busy);
        peer.write_all(b"two").unwrap();
        poll_fn(|cx| ours.recv.poll_readable(cx)).await.unwrap();
        assert_eq!(ours.recv.try_splice(&mut pipe).unwrap(), Spliced::Busy);
        assert_eq!(&*ours.recv.recv().await.unwrap().unwrap(), b"two");
        peer.write_all(b"three").unwrap();
        poll_fn(|cx| ours.recv.poll_readable(cx)).await.unwrap();
        assert_eq!(ours.recv.try_splice(&mut pipe).unwrap(), Spliced::Moved(5));
        poll_fn(|cx| ours.send.poll_splice(cx, &mut pipe)).await.unwrap();
        let mut back = [0; 5];
        peer.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"three");
    });
}

#[test]
fn a_receiver_that_takes_nothing_times_out_and_a_broken_one_is_told() {
    on_every_driver(|_| async {
        let ((mut ours, mut sender), (mut other, receiver)) = (pair(), pair());
        let writer = thread::spawn(move || {
            let all = vec![7; 1_000_000];
            while sender.write_all(&all).is_ok() {}
        });
        let mut pipe = Pipe::take().unwrap();
        loop {
            other.send.set_deadline(Some(Duration::from_millis(50)));
            match poll_fn(|cx| other.send.poll_splice(cx, &mut pipe)).await {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    break;
                }
            }
            poll_fn(|cx| ours.recv.poll_readable(cx)).await.unwrap();
            assert!(matches!(ours.recv.try_splice(&mut pipe).unwrap(), Spliced::Moved(_)));
        }
        assert!(pipe.held() > 0);
        drop(receiver);
        let broken = poll_fn(|cx| other.send.poll_splice(cx, &mut pipe)).await.unwrap_err();
        assert!(matches!(broken.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{broken}");
        assert!(other.send.is_broken());
        drop((ours, pipe));
        until("the writer's end", || writer.is_finished()).await;
    });
}

#[test]
fn a_worker_has_so_many_pipes_and_uses_them_again() {
    on_every_driver(|_| async {
        for _ in 0..3 {
            let all: Vec<_> = (0..PIPES_MAX).map(|_| Pipe::take().unwrap()).collect();
            assert!(Pipe::take().is_none());
            // One with something in it is not lent again with that.
            let (mut ours, mut peer) = pair();
            drop(all);
            let mut pipe = Pipe::take().unwrap();
            peer.write_all(b"lost").unwrap();
            poll_fn(|cx| ours.recv.poll_readable(cx)).await.unwrap();
            assert_eq!(ours.recv.try_splice(&mut pipe).unwrap(), Spliced::Moved(4));
            drop(pipe);
            pause().await;
            let all: Vec<_> = (0..PIPES_MAX).map(|_| Pipe::take().unwrap()).collect();
            assert!(all.iter().all(|pipe| pipe.held() == 0));
        }
    });
}
