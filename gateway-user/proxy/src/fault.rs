//! Faults that tests plant in a running worker, by a field of a request: `X-Sluice-Fault`. Only debug builds look for it, and
//! only with [`ProxyConfig::faults`].
//!
//! | value | what happens |
//! |---|---|
//! | `panic routing` | a panic in the connection, before a backend has any part in it |
//! | `panic leased` | a panic in the connection, which holds one to a backend |
//! | `worker FILE` | the worker's thread stands still until FILE exists, then a panic outside of any connection |

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use gateway_http::h1::Request;
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
pub(crate) fn strike(config: &ProxyConfig, request: &Request<'_>, stage: Stage) {
    if !cfg!(debug_assertions) || !config.faults {
        return;
    }
    let Some(fault) = request.fields().get(FIELD).and_then(|value| std::str::from_utf8(value).ok()) else {
        return;
    };
    match (fault.split_once(' ').unwrap_or((fault, "")), stage) {
        (("panic", "routing"), Stage::Routing) | (("panic", "leased"), Stage::Leased) => {
            // What was asked for; release builds have returned above.
            panic!("planted in a connection")
        }
        (("worker", file), Stage::Routing) => spawn(die(PathBuf::from(file))),
        _ => {}
    }
}

/// A task of the worker that no connection guards.
async fn die(file: PathBuf) {
    tracing::warn!("planted: this worker stands still");
    let latest = Instant::now() + LONGEST_STANDSTILL;
    while !file.exists() && Instant::now() < latest {
        sleep(Duration::from_millis(1));
    }
    // What was asked for; nothing in a release build spawns this.
    panic!("planted in the worker");
}
