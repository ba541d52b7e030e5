//! Faults that tests inject into hot restarts: words that begin with `takeover:`, see [`crate::fault`].
//!
//! | word | what it does |
//! |---|---|
//! | `POINT` | stops for good at this point |
//! | `POINT@FILE` | stops there for as long as the file exists |
//! | `receive=MS`, `release=MS`, `ready=MS` | the limit for a message with sockets, for the old process to let go, or for the new one to be ready, in milliseconds |
//! | `protocol=N`, `oldest=N` | the newest and the oldest version of the messages that are spoken |
//! | `version=TEXT` | Sluice's version, as the other process is told |
//! | `no-datagrams` | speaks as versions do that bind sockets for datagrams beside the old process's |
//! | `layout=N` | the layout of maps and pins |
//!
//! Points of the new process are `asking` (nothing is asked for yet), `received` (the sockets are in hand), `attached` (its programs are) and `live` (its configuration is); of
//! the old one, where its control thread hangs, `letting-go` (it has heard that the new one is ready) and `flows` (it has sent flows of datagrams).

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Time between two looks for the file of a stop.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Duration of the stop.
enum Stop {
    ForGood,
    While(PathBuf),
}

impl Stop {
    fn holds(&self) -> bool {
        match self {
            Self::ForGood => true,
            Self::While(file) => file.exists(),
        }
    }
}

/// The rest of every injected fault that begins with `start`.
fn words(start: &str) -> Vec<String> {
    let ours = |word: String| Some(word.strip_prefix("takeover:")?.strip_prefix(start)?.to_owned());
    crate::fault::words().into_iter().filter_map(ours).collect()
}

fn stop(point: &str) -> Option<Stop> {
    let stop = words(point).into_iter().find_map(|rest| match rest.strip_prefix('@') {
        Some(file) => Some(Stop::While(PathBuf::from(file))),
        None => rest.is_empty().then_some(Stop::ForGood),
    });
    stop.inspect(|_| tracing::warn!("injected: stopped at {point}"))
}

/// Stops the calling thread at a named point if that fault is injected.
pub(crate) fn stop_at(point: &str) {
    if let Some(stop) = stop(point) {
        while stop.holds() {
            std::thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Stops the calling task there.
pub(super) async fn stop_task_at(point: &str) {
    if let Some(stop) = stop(point) {
        while stop.holds() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// The limit, or the injected one of that name.
pub(super) fn limit(name: &str, usual: Duration) -> Duration {
    number(name).map_or(usual, Duration::from_millis)
}

/// An injected number.
pub(crate) fn number<N: FromStr>(name: &str) -> Option<N> {
    words(&format!("{name}=")).first()?.parse().ok()
}

/// True if sockets for datagrams and flows are handed over, as versions before that do not.
pub(super) fn hands_datagrams_over() -> bool {
    words("no-datagrams").is_empty()
}

/// Sluice's version, or the injected one.
pub(crate) fn version() -> String {
    let usual = || crate::cmd::version::VERSIONS.version.to_owned();
    words("version=").into_iter().next().unwrap_or_else(usual)
}
