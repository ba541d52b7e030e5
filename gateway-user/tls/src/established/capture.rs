//! The traffic secrets of a handshake, which the TLS library tells nobody but a log of keys.
//!
//! A session that goes on without the library needs them for key updates. The log is asked while the library works on bytes of one
//! session, on that session's thread, and what it was told is taken from it when that call returns.

use std::cell::Cell;

use rustls::KeyLog;

use super::keys::Secret;

thread_local! {
    static CLIENT: Cell<Option<Secret>> = const { Cell::new(None) };
    static SERVER: Cell<Option<Secret>> = const { Cell::new(None) };
}

/// First application traffic secrets of both sides (RFC 8446 section 7.1).
pub(crate) struct TrafficSecrets {
    pub(super) client: Secret,
    pub(super) server: Secret,
}

/// The log, which keeps what it is told until that is [taken](take).
#[derive(Debug)]
pub(crate) struct Capture;

impl KeyLog for Capture {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        let place = match label {
            "CLIENT_TRAFFIC_SECRET_0" => &CLIENT,
            "SERVER_TRAFFIC_SECRET_0" => &SERVER,
            _ => return,
        };
        // Err: the thread is ending.
        let _ = place.try_with(|place| place.set(Secret::new(secret)));
    }

    fn will_log(&self, label: &str) -> bool {
        matches!(label, "CLIENT_TRAFFIC_SECRET_0" | "SERVER_TRAFFIC_SECRET_0")
    }
}

/// The secrets that this thread's last call of the library has made.
pub(crate) fn take() -> Option<TrafficSecrets> {
    let client = CLIENT.try_with(Cell::take).ok().flatten();
    let server = SERVER.try_with(Cell::take).ok().flatten();
    Some(TrafficSecrets { client: client?, server: server? })
}
