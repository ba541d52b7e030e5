//! A whole HTTP/2 connection of a client: of any bytes, the worker that serves it makes no panic, and what is left when it is
//! gone is what was before. Everybody else is served.
//!
//! The first byte says how the rest is sent.
#![no_main]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use gateway_testkit::http2::frames::settings;
use libfuzzer_sys::fuzz_target;
use sluice_fuzz::sequence::{PREFACE, wild};
use sluice_fuzz::worker::{HANGS, Steady, Worker};

/// Epoll in place of io_uring.
const EPOLL: u8 = 1;
/// The bytes themselves in place of frames that are made of them.
const RAW: u8 = 2;
/// No preface goes before.
const BARE: u8 = 4;
/// Two halves, one after the other.
const HALVES: u8 = 8;
/// No response is waited for.
const HASTY: u8 = 16;
/// The connection is reset.
const RESET: u8 = 32;

/// Time in which something comes from a worker that has something to say.
const QUIET: Duration = Duration::from_millis(3);

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else { return };
    let is = |bit| how & bit != 0;
    let bytes = if is(RAW) { rest.to_vec() } else { wild(rest) };
    let before = if is(BARE) { Vec::new() } else { [PREFACE, &settings(&[])].concat() };
    let worker = Worker::on(!is(EPOLL));
    let mut stream = worker.connect();
    let all = [before, bytes].concat();
    let (one, another) = all.split_at(if is(HALVES) { all.len() / 2 } else { all.len() });
    // It may be closed at any byte.
    let mut reader = Steady(stream.0.try_clone().expect("a socket has a duplicate"));
    let mut sent = send(&mut stream, &mut reader, one);
    if is(HALVES) {
        look(&mut reader, QUIET);
        sent = sent && send(&mut stream, &mut reader, another);
    }
    if !is(HASTY) && sent {
        while look(&mut reader, QUIET) {}
    }
    if !is(RESET) {
        let _ = stream.0.shutdown(Shutdown::Write);
        while look(&mut reader, HANGS) {}
    }
    drop((stream, reader));
    worker.assert_sound();
});

/// Sends bytes, and takes what comes meanwhile so that neither waits for the other for ever; false at the end.
fn send(stream: &mut Steady, reader: &mut Steady, bytes: &[u8]) -> bool {
    for part in bytes.chunks(16 << 10) {
        if stream.write_all(part).is_err() {
            return false;
        }
        if bytes.len() > part.len() {
            look(reader, Duration::from_micros(100));
        }
    }
    true
}

/// Takes what comes within this time; false if nothing does, or at the end.
fn look(reader: &mut Steady, within: Duration) -> bool {
    reader.0.set_read_timeout(Some(within)).expect("a socket has time-outs");
    match reader.read(&mut [0; 64 << 10]) {
        Ok(count) => count > 0,
        Err(error) => {
            let late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
            assert!(!late || within < HANGS, "the worker does not end the connection");
            false
        }
    }
}
