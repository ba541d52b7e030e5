//! Clients that have nothing to do with an attack and want to be served while it goes on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use gateway_testkit::http::Client;

/// Between two requests once enough were served.
const ASK_INTERVAL: Duration = Duration::from_millis(5);

/// Requests, each on a connection of its own, one after another until it is dropped.
pub(super) struct Neighbour {
    /// Frames of the attack so far.
    pub(super) sent: Arc<AtomicUsize>,
    served: Arc<Mutex<Served>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Responses that came.
#[derive(Clone, Debug, Default)]
pub(super) struct Served {
    pub(super) all: usize,
    /// Of those, the ones during which the attack went on: it had sent more at their end than at their beginning.
    pub(super) during: usize,
    /// Requests that had none, or another status than 200.
    pub(super) failed: usize,
    /// The fault of the last of them.
    pub(super) fault: Option<String>,
    /// Longest of those that came.
    pub(super) longest: Duration,
}

impl Neighbour {
    /// Asks without a pause until `enough` were served while the attack went on, and then now and then: what they cost is not
    /// to be taken for what it costs.
    pub(super) fn of(gateway: SocketAddr, enough: usize) -> Self {
        let sent = Arc::new(AtomicUsize::new(0));
        let served = Arc::new(Mutex::new(Served::default()));
        let over = Arc::new(AtomicBool::new(false));
        let (frames, results, stop) = (Arc::clone(&sent), Arc::clone(&served), Arc::clone(&over));
        let thread = thread::spawn(move || {
            let mut pause = Duration::ZERO;
            while !stop.load(Ordering::SeqCst) {
                let before = frames.load(Ordering::SeqCst);
                let began = Instant::now();
                let asked = ask(gateway);
                let during = frames.load(Ordering::SeqCst) > before;
                let mut seen = results.lock().unwrap_or_else(PoisonError::into_inner);
                match asked {
                    Ok(()) => {
                        seen.all += 1;
                        seen.during += usize::from(during);
                        pause = if seen.during < enough { Duration::ZERO } else { ASK_INTERVAL };
                        seen.longest = seen.longest.max(began.elapsed());
                    }
                    Err(fault) => {
                        seen.failed += 1;
                        seen.fault = Some(fault);
                    }
                }
                drop(seen);
                thread::sleep(pause);
            }
        });
        Self { sent, served, over, thread: Some(thread) }
    }

    /// The responses so far.
    pub(super) fn served(&self) -> Served {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A thread that has panicked has told nothing more, and shows as too few responses.
            let _ = thread.join();
        }
    }
}

fn ask(gateway: SocketAddr) -> Result<(), String> {
    let response = Client::connect(gateway).and_then(|mut client| client.get("localhost", "/neighbour"));
    match response {
        Ok(response) if response.status == 200 => Ok(()),
        Ok(response) => Err(format!("{} {}", response.status, response.reason().unwrap_or_default())),
        Err(error) => Err(error.to_string()),
    }
}
