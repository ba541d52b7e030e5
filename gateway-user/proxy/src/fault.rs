//! Faults that tests plant in a running worker, by a field of a request: `X-Sluice-Fault`. Only debug builds look for it, and
//! only with [`ProxyConfig::faults`].
//!
//! | value | what happens |
//! |---|---|
//! | `panic routing` | a panic in the connection, before a backend has any part in it |
//! | `panic leased` | a panic in the connection, which holds one to a backend |
//! | `open` | the worker opens a file, and says whether that was possible |
//! | `worker FILE` | the worker's thread stands still until FILE exists, then a panic outside of any connection |

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use gateway_http::head::RequestParts;
use gateway_io::spawn;

use crate::ProxyConfig;

const FIELD: &[u8] = b"x-sluice-fault";
/// A test that has died makes no file.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(60);

/// Where a connection is with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Routing,
    Leased,
}

/// Does what the request asks for, if such wishes are granted.
///
/// # Panics
/// If it asks for that.
pub(crate) fn inject<'a>(config: &ProxyConfig, request: impl FnOnce() -> RequestParts<'a>, stage: Stage) {
    if !cfg!(debug_assertions) || !config.faults {
        return;
    }
    let Some(fault) = request().fields.get(FIELD).and_then(|value| std::str::from_utf8(value).ok()) else {
        return;
    };
    match (fault.split_once(' ').unwrap_or((fault, "")), stage) {
        (("panic", "routing"), Stage::Routing) | (("panic", "leased"), Stage::Leased) => {
            // A panic here is the fault that the test asks for; release builds have returned above.
            panic!("injected in a connection")
        }
        (("worker", file), Stage::Routing) => spawn(crash_worker(PathBuf::from(file))),
        (("open", _), Stage::Routing) => {
            let opened = if std::fs::File::open("/").is_ok() { "opened" } else { "not opened" };
            tracing::warn!("injected: a file was {opened}");
        }
        _ => {}
    }
}

/// Looks for the file of a worker that stands still: a worker that is confined to its system calls cannot look itself.
struct Watch;

static ASKED: Mutex<Option<PathBuf>> = Mutex::new(None);
static RUNS: AtomicBool = AtomicBool::new(false);
static FOUND: AtomicBool = AtomicBool::new(false);

/// Starts a thread that looks for the files of faults on behalf of workers. Release builds start none.
pub fn watch_fault_files() {
    if cfg!(debug_assertions) && !RUNS.swap(true, SeqCst) {
        thread::spawn(Watch::run);
    }
}

impl Watch {
    fn run() {
        loop {
            let asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if asked.is_some_and(|file| file.exists()) {
                FOUND.store(true, SeqCst);
            }
            sleep(Duration::from_millis(1));
        }
    }

    fn ask(file: &Path) {
        FOUND.store(false, SeqCst);
        *ASKED.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.to_owned());
    }

    fn exists(file: &Path) -> bool {
        if RUNS.load(SeqCst) { FOUND.load(SeqCst) } else { file.exists() }
    }
}

/// A task of the worker that no connection guards.
async fn crash_worker(file: PathBuf) {
    tracing::warn!("injected: this worker stands still");
    let latest = Instant::now() + LONGEST_STANDSTILL;
    Watch::ask(&file);
    while !Watch::exists(&file) && Instant::now() < latest {
        sleep(Duration::from_millis(1));
    }
    // A panic here is the fault that the test asks for; a release build never spawns this thread.
    panic!("injected in the worker");
}
