//! Connecting.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    io::{ErrorKind, Read as _, Write as _},
    thread,
};

use common::{WAIT_TIMEOUT, loopback, on_every_driver, until};
use gateway_io::{Chunk, connect};

#[test]
fn a_connection_carries_bytes_both_ways() {
    on_every_driver(|_| async {
        let listener = loopback();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut socket, peer) = listener.accept().unwrap();
            let mut ping = [0; 4];
            socket.read_exact(&mut ping).unwrap();
            socket.write_all(b"pong").unwrap();
            (ping, peer)
        });
        let mut ours = connect(address, WAIT_TIMEOUT).await.unwrap();
        assert_eq!(ours.peer_addr().unwrap(), address);
        let mut ping = Chunk::take();
        ping.extend_from_slice(b"ping").unwrap();
        ours.send.send_all(ping).await.unwrap();
        assert_eq!(&*ours.recv.recv().await.unwrap().unwrap(), b"pong");
        until("served", || server.is_finished()).await;
        assert_eq!(server.join().unwrap(), (*b"ping", ours.local_addr().unwrap()));
    });
}

#[test]
fn a_refused_connection_is_told() {
    on_every_driver(|_| async {
        let listener = loopback();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert_eq!(connect(address, WAIT_TIMEOUT).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}
