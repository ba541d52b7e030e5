//! Clients that send without a pause, verify every response, and repeat nothing.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gateway_testkit::http::Client;
use gateway_testkit::wait;

/// Threads with kept connections and with a connection for each request.
pub struct SteadyClients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    served: AtomicU64,
    failed: Mutex<Vec<String>>,
}

impl SteadyClients {
    /// Two clients of each kind.
    pub fn start(to: &str) -> Self {
        let to: SocketAddr = to.parse().unwrap();
        let shared = Arc::new(Shared::default());
        let client = |number: u64| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.send(to, number, number.is_multiple_of(2)))
        };
        let threads = (0..4).map(client).collect();
        let steady = Self { shared, threads };
        steady.wait_for_more(100);
        steady
    }

    /// Waits until so many more requests were served.
    #[track_caller]
    pub fn wait_for_more(&self, count: u64) {
        let goal = self.shared.served.load(Ordering::SeqCst) + count;
        wait::until("more responses", || {
            let failed = self.failed();
            assert!(failed.is_empty(), "{failed:?}");
            (self.shared.served.load(Ordering::SeqCst) >= goal).then_some(())
        });
    }

    /// Requests served so far.
    pub fn served(&self) -> u64 {
        self.shared.served.load(Ordering::SeqCst)
    }

    fn failed(&self) -> Vec<String> {
        self.shared.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Ends sending. Not one request may have failed.
    #[track_caller]
    pub fn must_be_clean(mut self) -> u64 {
        self.stop();
        let failed = self.failed();
        assert!(failed.is_empty(), "{} failed: {failed:?}", failed.len());
        self.shared.served.load(Ordering::SeqCst)
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for SteadyClients {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn send(&self, to: SocketAddr, number: u64, keep: bool) {
        let mut kept = None;
        for count in 0_u64.. {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            match request(to, &mut kept, &format!("{number}-{count}"), keep) {
                Ok(()) => drop(self.served.fetch_add(1, Ordering::SeqCst)),
                Err(why) => {
                    self.failed.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                    return;
                }
            }
            // Leaves the processes under test a part of the machine.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One request, on the kept connection if there is one.
fn request(to: SocketAddr, kept: &mut Option<Client>, id: &str, keep: bool) -> Result<(), String> {
    let reused = kept.is_some();
    let explain = |what: &str, e: std::io::Error| format!("{id}, reused {reused}: {what}: {e}");
    let mut client = match kept.take() {
        Some(client) => client,
        None => Client::connect(to).map_err(|e| explain("connecting", e))?,
    };
    let close = if keep { "" } else { "Connection: close\r\n" };
    client
        .send(format!("GET /httpbin/anything/{id} HTTP/1.1\r\nHost: a\r\n{close}\r\n"))
        .map_err(|e| explain("sending", e))?;
    let response = client.response().map_err(|e| explain("response", e))?;
    if response.status != 200 || !response.text().contains(&format!("/anything/{id}\"")) {
        return Err(format!("{id}: {} {}", response.status, response.text()));
    }
    let closes = response.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    if keep && !closes {
        *kept = Some(client);
    }
    Ok(())
}
