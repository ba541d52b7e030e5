//! A response of a backend over HTTP/2 that keeps to the rules reaches its client whole however it is cut, and nothing is
//! left of it.
//!
//! The first byte is how often it is cut; two bytes for each say where.
#![no_main]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::http2::frames::{GOAWAY, HEADERS, SETTINGS, frame, settings};
use libfuzzer_sys::fuzz_target;
use sluice_fuzz::sequence::{Input, PREFACE, answer};
use sluice_fuzz::worker::Worker;

/// A response to give, and where it is cut.
#[derive(Default)]
struct Script {
    frames: Vec<u8>,
    cuts: Vec<usize>,
}

type Shared = Arc<Mutex<Script>>;

thread_local! {
    static ALL: &'static (Shared, [Worker; 2]) = {
        let script = Shared::default();
        let workers = Worker::before_h2(serve(Arc::clone(&script)));
        Box::leak(Box::new((script, workers)))
    };
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let first = input.byte();
    let cuts =
        (0..first & 7).map(|_| usize::from(u16::from_be_bytes([input.byte(), input.byte()]))).collect();
    let (script, workers) = ALL.with(|all| *all);
    let worker = &workers[usize::from(first & 8 == 0)];
    *script.lock().unwrap_or_else(PoisonError::into_inner) = Script { frames: input.0.to_vec(), cuts };
    let want = answer(input.0, 1);
    let mut client = Client::over(worker.connect());
    client
        .send("GET / HTTP/1.1\r\nHost: a.example\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        .expect("the worker reads");
    let response = client.response().unwrap_or_else(|error| panic!("{error}: {want:?}"));
    assert_eq!((response.status, response.reason()), (200, None));
    assert!(response.body == want.content, "{} bytes for {}", response.body.len(), want.content.len());
    let trailer = response.trailers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-end"));
    assert_eq!(trailer.map(|(_, value)| value.clone()), want.trailer);
    drop(client);
    *script.lock().unwrap_or_else(PoisonError::into_inner) = Script::default();
    worker.assert_sound();
});

/// A backend that gives the response that is wanted now, and lives as long as the process.
fn serve(script: Shared) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let script = Arc::clone(&script);
            thread::spawn(move || respond(stream, &script));
        }
    });
    address
}

/// Serves one connection: one response, and the end.
fn respond(mut stream: TcpStream, script: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(&[settings(&[]), frame(SETTINGS, 1, 0, &[])].concat())?;
    stream.read_exact(&mut [0; PREFACE.len()])?;
    loop {
        let mut header = [0; 9];
        stream.read_exact(&mut header)?;
        let [a, b, c, kind, _, d, e, f, g] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        if kind == HEADERS {
            break send(&mut stream, script, u32::from_be_bytes([d, e, f, g]))?;
        }
    }
    // It is the worker that closes.
    while stream.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

fn send(stream: &mut TcpStream, script: &Shared, id: u32) -> std::io::Result<()> {
    let (bytes, mut cuts) = {
        let script = script.lock().unwrap_or_else(PoisonError::into_inner);
        (answer(&script.frames, id).bytes, script.cuts.clone())
    };
    cuts.iter_mut().for_each(|cut| *cut %= bytes.len());
    cuts.sort_unstable();
    let mut from = 0;
    for cut in cuts.into_iter().filter(|cut| *cut > 0) {
        stream.write_all(&bytes[from..cut])?;
        from = cut;
        // Else two pieces arrive as one.
        thread::sleep(Duration::from_micros(200));
    }
    let goodbye = frame(GOAWAY, 0, 0, &[&id.to_be_bytes()[..], &[0; 4]].concat());
    stream.write_all(&[&bytes[from..], &goodbye].concat())
}
