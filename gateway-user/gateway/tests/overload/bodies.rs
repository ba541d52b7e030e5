//! Bodies without an end.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::wait;

use crate::common::{HTTP, with_gateway_flags};
use crate::memory::rss_kib;
use crate::{ODD, active, neighbours_are_served, route_the_odd};

/// A backend that sends chunks for every request until its client is gone; counts what it sent, and who is
/// there.
fn endless_backend() -> (Arc<AtomicU64>, Arc<AtomicU64>) {
    let (sent, open) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, there) = (Arc::clone(&sent), Arc::clone(&open));
    let listener = TcpListener::bind(ODD).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            there.fetch_add(1, Ordering::Relaxed);
            let (count, there) = (Arc::clone(&count), Arc::clone(&there));
            thread::spawn(move || {
                send_without_end(stream, &count);
                there.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    (sent, open)
}

fn send_without_end(mut stream: TcpStream, count: &AtomicU64) {
    let mut head = [0; 4096];
    let _ = stream.read(&mut head);
    let mut chunk = format!("{:x}\r\n", 32 << 10).into_bytes();
    chunk.resize(chunk.len() + (32 << 10), b'x');
    chunk.extend(b"\r\n");
    if stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err() {
        return;
    }
    while stream.write_all(&chunk).is_ok() {
        count.fetch_add(32 << 10, Ordering::Relaxed);
    }
}

#[test]
fn an_endless_download_streams_in_bounded_memory_and_waits_for_its_reader() {
    /// Far above a few buffers, far below what passes through.
    const MOST_KIB: u64 = 8 * 1024;
    with_gateway_flags("endless", &["--access-log", "off"], |_, running| {
        let (sent, open) = endless_backend();
        route_the_odd(running);
        neighbours_are_served("nobody");
        let pid = running.gateway.pid();
        let before = rss_kib(pid);
        let mut reader = TcpStream::connect(HTTP).unwrap();
        reader.set_read_timeout(Some(wait::WAIT_TIMEOUT)).unwrap();
        reader.write_all(b"GET /odd HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let (mut seen, mut peak, mut buffer) = (0_u64, 0, vec![0; 256 << 10]);
        while seen < 128 << 20 {
            let n = reader.read(&mut buffer).unwrap();
            assert_ne!(n, 0, "ended after {seen} bytes");
            seen += n as u64;
            peak = peak.max(rss_kib(pid));
        }
        eprintln!("128 MiB of an endless body: VmRSS {before} KiB before, {peak} KiB at most");
        assert!(peak <= before + MOST_KIB);
        // Now nobody reads: the backend must come to wait, not the memory to grow.
        let count = || sent.load(Ordering::Relaxed);
        wait::until("the backend to wait", || {
            let before = count();
            thread::sleep(Duration::from_millis(300));
            (count() == before).then_some(())
        });
        let waiting = rss_kib(pid);
        assert!(waiting <= before + MOST_KIB, "{waiting} KiB while nobody reads");
        drop(reader);
        wait::until("the backend to be let go", || (open.load(Ordering::Relaxed) == 0).then_some(()));
        neighbours_are_served("nobody");
    });
}

#[test]
fn an_endless_upload_waits_for_a_backend_that_reads_nothing() {
    const MOST_KIB: u64 = 8 * 1024;
    with_gateway_flags("upload", &["--access-log", "off"], |_, running| {
        let deaf = TcpListener::bind(ODD).unwrap();
        route_the_odd(running);
        neighbours_are_served("nobody");
        let pid = running.gateway.pid();
        let before = rss_kib(pid);
        let writer = TcpStream::connect(HTTP).unwrap();
        let written = Arc::new(AtomicU64::new(0));
        let (count, mut upload) = (Arc::clone(&written), writer.try_clone().unwrap());
        let sending = thread::spawn(move || {
            let _ = upload.write_all(b"POST /odd HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            let chunk = format!("{:x}\r\n{}\r\n", 32 << 10, "x".repeat(32 << 10));
            while upload.write_all(chunk.as_bytes()).is_ok() {
                count.fetch_add(32 << 10, Ordering::Relaxed);
            }
        });
        let (backend, _) = deaf.accept().unwrap();
        wait::until("the client to wait", || {
            let before = written.load(Ordering::Relaxed);
            thread::sleep(Duration::from_millis(300));
            (before > 0 && written.load(Ordering::Relaxed) == before).then_some(())
        });
        let waiting = rss_kib(pid);
        let sent = written.load(Ordering::Relaxed);
        eprintln!(
            "an upload that nobody reads stops after {sent} bytes: VmRSS {before} KiB, then {waiting} KiB"
        );
        assert!(waiting <= before + MOST_KIB);
        neighbours_are_served("a stalled upload");
        // The backend gives up: the client learns it and is let go, though it would send for ever.
        drop(backend);
        let mut told = Client::from(writer);
        let response = told.response().unwrap();
        assert_eq!((response.status, response.reason()), (502, Some("upstream_reset")));
        drop(told);
        sending.join().unwrap();
        wait::until("its end", || (active() == 0.0).then_some(()));
    });
}
