//! The socket that a service manager listens at: one datagram of `NAME=value` lines for each message
//! (sd_notify(3), "Notes"). By hand, since the crate for it knows no abstract names, which managers of
//! containers use.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Limit for a manager that does not read: its queue has room unless it is stuck.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Where to say things.
#[derive(Debug, Default)]
pub(super) struct Socket(Option<SocketAddr>);

impl Socket {
    /// The one of `NOTIFY_SOCKET`: a path, or a name in the abstract namespace after an `@`.
    ///
    /// # Errors
    /// It is neither.
    pub(super) fn parse(name: Option<OsString>) -> io::Result<Self> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(Self(None)) };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(&name)?,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "neither a path nor @ with a name")),
        };
        Ok(Self(Some(address)))
    }

    /// Says it; a manager that was started anew has another socket of that name, so each message connects by
    /// itself.
    ///
    /// # Errors
    /// Nobody listens, or nobody reads.
    pub(super) fn send(&self, message: &str) -> io::Result<()> {
        let Some(address) = &self.0 else { return Ok(()) };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        socket.send_to_addr(message.as_bytes(), address).map(drop)
    }
}

/// The limit within which the manager wants to hear that this process is alive, out of `WATCHDOG_USEC` and
/// `WATCHDOG_PID` (sd_watchdog_enabled(3)).
pub(super) fn watchdog(limit: Option<String>, whom: Option<String>) -> Option<Duration> {
    let is_for_us = whom.is_none_or(|pid| pid.parse() == Ok(std::process::id()));
    let limit = Duration::from_micros(limit?.parse().ok()?);
    (is_for_us && !limit.is_zero()).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_for_the_process_that_it_names() {
        let us = std::process::id().to_string();
        let of = |limit: &str, whom: Option<&str>| watchdog(Some(limit.into()), whom.map(Into::into));
        assert_eq!(of("3000000", Some(&us)), Some(Duration::from_secs(3)));
        assert_eq!(of("3000000", None), Some(Duration::from_secs(3)));
        assert_eq!((of("3000000", Some("0")), of("0", None), of("x", None)), (None, None, None));
        assert_eq!(watchdog(None, Some(us)), None);
    }

    #[test]
    fn without_a_socket_nothing_fails_and_a_strange_name_is_told() {
        assert!(Socket::parse(None).unwrap().send("READY=1").is_ok());
        assert!(Socket::parse(Some("vsock:2:1".into())).is_err());
        assert!(Socket::parse(Some("/nowhere/at/all".into())).unwrap().send("READY=1").is_err());
    }
}
