//! A layer between socket and halves, here one that turns every byte around.

mod common;

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;

use common::{on_every_driver, pair, pattern};
use gateway_io::{Chunk, Layer, Opened};

const END: u8 = 0xff;

/// Bytes travel as their complement; the byte 0xff on the wire says the end, 0xfe is a mistake that
/// is responded to with "!".
#[derive(Default)]
struct Complement {
    ended: bool,
    /// Times that it was told that the stream is quiet.
    parked: Rc<Cell<u32>>,
}

impl Layer for Complement {
    fn open(
        &mut self,
        mut received: Chunk,
        content: &mut VecDeque<Chunk>,
        out: &mut VecDeque<Chunk>,
    ) -> io::Result<Opened> {
        let end = received.iter().position(|byte| *byte == END);
        received.truncate(end.unwrap_or(received.len()));
        if received.contains(&0xfe) {
            out.push_back(chunk(b"!"));
            return Err(io::ErrorKind::InvalidData.into());
        }
        received.as_mut_slice().iter_mut().for_each(|byte| *byte = !*byte);
        if !received.is_empty() {
            // In two pieces, since a layer may give any number of them.
            let rest = received.split_off(received.len() / 2);
            content.extend([received, rest].into_iter().filter(|piece| !piece.is_empty()));
        }
        self.ended = end.is_some();
        Ok(if self.ended { Opened::End } else { Opened::More })
    }

    fn end(&mut self) -> io::Result<()> {
        if self.ended { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn seal(&mut self, content: &mut VecDeque<Chunk>, out: &mut VecDeque<Chunk>) -> io::Result<()> {
        for mut piece in content.drain(..) {
            piece.as_mut_slice().iter_mut().for_each(|byte| *byte = !*byte);
            out.push_back(piece);
        }
        Ok(())
    }

    fn close(&mut self, out: &mut VecDeque<Chunk>) {
        out.push_back(chunk(&[END]));
    }

    fn park(&mut self) {
        self.parked.set(self.parked.get() + 1);
    }
}

fn chunk(bytes: &[u8]) -> Chunk {
    let mut chunk = Chunk::with_capacity(bytes.len());
    chunk.extend_from_slice(bytes).unwrap();
    chunk
}

fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

/// Without the two bytes that have a meaning of their own on the wire.
fn harmless(len: usize) -> Vec<u8> {
    pattern(len).into_iter().map(|byte| byte.clamp(2, 0xfd)).collect()
}

#[test]
fn what_is_carried_goes_through_the_layer_both_ways() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        assert!(!ours.is_layered());
        ours.send.send_all(chunk(b"clear")).await.unwrap();
        ours.set_layer(Box::new(Complement::default()), VecDeque::new());
        assert!(ours.is_layered());
        let data = harmless(100_000);
        let wire = turned(&data);
        let sender = std::thread::spawn(move || {
            let mut first = [0; 5];
            peer.read_exact(&mut first).unwrap();
            peer.write_all(&wire).unwrap();
            peer.write_all(&[END]).unwrap();
            let mut rest = Vec::new();
            peer.read_to_end(&mut rest).unwrap();
            (first, rest)
        });
        let mut heard = Vec::new();
        while let Some(piece) = ours.recv.recv().await.unwrap() {
            heard.extend_from_slice(&piece);
        }
        assert!(heard == data && ours.recv.is_ended());
        assert!(ours.recv.recv().await.unwrap().is_none(), "the end stays");
        ours.send.queue(chunk(b"ab"));
        ours.send.queue(chunk(b"c"));
        assert_eq!(ours.send.queued(), 3);
        ours.close_in_order(Duration::from_secs(60)).await;
        let (first, rest) = sender.join().unwrap();
        assert_eq!(&first, b"clear");
        assert_eq!(rest, [turned(b"abc"), vec![END]].concat());
    });
}

#[test]
fn what_came_before_a_mistake_is_heard_and_the_mistake_stays_one() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        ours.set_layer(Box::new(Complement::default()), VecDeque::new());
        peer.write_all(&turned(b"ab")).unwrap();
        // Bytes that come with the mistake are lost with it in this layer; those that were opened
        // before are not.
        assert!(ours.recv.recv().await.unwrap().is_some());
        peer.write_all(&[0xfe]).unwrap();
        assert!(ours.recv.recv().await.unwrap().is_some());
        for _ in 0..2 {
            assert_eq!(ours.recv.recv().await.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert!(!ours.recv.is_ended());
        }
    });
}

#[test]
fn an_end_that_was_not_said_is_an_error() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        ours.set_layer(Box::new(Complement::default()), VecDeque::new());
        peer.write_all(&turned(b"cut")).unwrap();
        drop(peer);
        let mut heard = Vec::new();
        let error = loop {
            match ours.recv.recv().await {
                Ok(Some(piece)) => heard.extend_from_slice(&piece),
                Ok(None) => panic!("it looks like an end"),
                Err(error) => break error,
            }
        };
        assert_eq!((heard.as_slice(), error.kind()), (&b"cut"[..], io::ErrorKind::UnexpectedEof));
    });
}

#[test]
fn what_the_layer_says_after_a_mistake_still_goes_out() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        ours.set_layer(Box::new(Complement::default()), VecDeque::new());
        peer.write_all(&[0xfe]).unwrap();
        let error = ours.recv.recv().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        ours.close_in_order(Duration::from_secs(60)).await;
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, [b'!', END]);
    });
}

#[test]
fn a_stream_that_is_quiet_parks_its_layer() {
    on_every_driver(|_| async {
        let (mut ours, mut peer) = pair();
        let parked = Rc::new(Cell::new(0));
        let layer = Complement { parked: Rc::clone(&parked), ..Complement::default() };
        ours.set_layer(Box::new(layer), VecDeque::new());
        peer.write_all(&turned(b"request")).unwrap();
        // It gives two pieces.
        for _ in 0..2 {
            assert!(ours.recv.recv().await.unwrap().is_some());
        }
        ours.send.shrink();
        assert_eq!(parked.get(), 0, "the next request may follow at once");
        assert!(ours.recv.recv_unless_quiet().await.is_none());
        assert_eq!(parked.get(), 1);
        // Something was sent meanwhile.
        ours.send.shrink();
        assert_eq!(parked.get(), 2);
        peer.write_all(&turned(b"request")).unwrap();
        assert!(ours.recv.recv().await.unwrap().is_some(), "and it goes on");
    });
}
