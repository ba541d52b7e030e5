//! Both ends of connections that go through a TCP listener whole.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use gateway_testkit::wait;

/// Sends back at `address` what it gets on each connection, until its process ends.
pub(crate) fn start_echo(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || echo(stream));
        }
    });
}

fn echo(mut stream: TcpStream) {
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        if stream.write_all(&piece[..n]).is_err() {
            return;
        }
    }
}

pub(crate) fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(wait::WAIT_TIMEOUT))?;
    Ok(stream)
}

/// Sends a byte and waits until it is back.
pub(crate) fn exchange(stream: &mut (impl Read + Write), byte: u8) -> io::Result<()> {
    stream.write_all(&[byte])?;
    let mut back = [0];
    stream.read_exact(&mut back)?;
    assert_eq!(back, [byte]);
    Ok(())
}

/// True if the gateway has reset the connection, which the first to write or read is told.
pub(crate) fn is_reset<T>(outcome: io::Result<T>) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    outcome.is_err_and(|error| matches!(error.kind(), ConnectionReset | BrokenPipe | NotConnected))
}
