//! Threads that send one request after the other.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::http::Client;

/// Between two requests: it leaves the processes under test a part of the machine.
const RETRY_DELAY: Duration = Duration::from_millis(1);

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When its connection was asked for, which may have been for an earlier request.
    pub opened: Instant,
    /// When its whole response was there and verified, or when it was given up.
    pub ended: Instant,
    /// How it failed.
    pub failed: Option<String>,
}

/// A kept connection, and since when.
pub(super) type Kept = Option<(Client, Instant)>;

pub(super) struct Clients {
    stop: Arc<AtomicBool>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Clients {
    pub(super) fn start(to: SocketAddr, count: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let client = |number: usize| {
            let (stop, attempts) = (Arc::clone(&stop), Arc::clone(&attempts));
            thread::spawn(move || send(to, number, &stop, &attempts))
        };
        let threads = (0..count).map(client).collect();
        Self { stop, attempts, threads }
    }

    /// Number of requests that were served on connections opened after a moment.
    pub(super) fn served_since(&self, moment: Instant) -> u64 {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = attempts.iter().rev().take_while(|attempt| attempt.ended > moment);
        recent.filter(|attempt| attempt.failed.is_none() && attempt.opened > moment).count() as u64
    }

    /// Ends sending.
    pub(super) fn stop(mut self) -> Vec<Attempt> {
        self.end();
        std::mem::take(&mut self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.end();
    }
}

fn send(to: SocketAddr, number: usize, stop: &AtomicBool, attempts: &Mutex<Vec<Attempt>>) {
    let mut kept = None;
    for count in 0_u64.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let (opened, served) = ask(to, &mut kept, &format!("{number}-{count}"), number.is_multiple_of(2));
        let failed = served.err().map(|error| error.to_string());
        let attempt = Attempt { opened, ended: Instant::now(), failed };
        attempts.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
        thread::sleep(RETRY_DELAY);
    }
}

/// One request; says when its connection was asked for.
pub(super) fn ask(to: SocketAddr, kept: &mut Kept, id: &str, keep: bool) -> (Instant, io::Result<()>) {
    // Closed while nothing was under way: no request is lost by that.
    let usable = kept.take().filter(|(client, _)| is_open(client));
    let (client, opened) = match usable {
        Some((client, since)) => (Ok(client), since),
        None => {
            let now = Instant::now();
            (Client::connect(to), now)
        }
    };
    let exchanged = client.and_then(|client| exchange(client, id, keep));
    (opened, exchanged.map(|client| *kept = client.map(|client| (client, opened))))
}

/// Gives the connection back if it may be used again.
fn exchange(mut client: Client, id: &str, keep: bool) -> io::Result<Option<Client>> {
    let close = if keep { "" } else { "Connection: close\r\n" };
    client.send(format!("GET /httpbin/anything/{id} HTTP/1.1\r\nHost: a\r\n{close}\r\n"))?;
    let response = client.response()?;
    if response.status != 200 || !response.text().contains(&format!("/anything/{id}\"")) {
        return Err(io::Error::other(format!("{id}: {} {}", response.status, response.text())));
    }
    let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok((keep && !closes).then_some(client))
}

fn is_open(client: &Client) -> bool {
    let stream = client.stream();
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let open = looked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).is_ok() && open
}
