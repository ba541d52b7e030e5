//! `sluice probe`: what a kubelet runs in the container to learn about this pod's own process.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use gateway_admin::connect;
use rustix::process::geteuid;

use super::local_http::{self, Response};
use super::{End, print};
use crate::cli::{ProbeArgs, ProbeOf};

/// Where the manifests have the socket.
const DEFAULT: &str = "/run/sluice-probe/socket";
/// Limit for the response. A kubelet's own (`timeoutSeconds`) must be longer, or nobody hears the reason.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks once.
pub(super) fn run(args: &ProbeArgs) -> anyhow::Result<End> {
    let socket = args.socket.clone().or_else(|| std::env::var_os("SLUICE_PROBE_SOCKET").map(PathBuf::from));
    let socket = socket.unwrap_or_else(|| DEFAULT.into());
    let (path, otherwise) = match args.of {
        ProbeOf::Ready => ("/healthz/ready", "not ready"),
        ProbeOf::Live => ("/healthz/live", "not alive"),
    };
    let Response { status, body } = ask(&socket, path).with_context(|| socket.display().to_string())?;
    let line = body.lines().next().unwrap_or_default();
    match status {
        200 => print(&format!("{line}\n")).map(|()| End::Done),
        503 => bail!("{otherwise}: {line}"),
        status => bail!("{}: it responds {status}: {line}", socket.display()),
    }
}

fn ask(socket: &Path, path: &str) -> anyhow::Result<Response> {
    let stream = connect(socket).map_err(explain)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    local_http::get(stream, "localhost", path).map_err(|error| match error.downcast::<io::Error>() {
        Ok(error) => explain(error),
        Err(error) => error,
    })
}

/// In words for whoever reads the kubelet's events.
fn explain(error: io::Error) -> anyhow::Error {
    use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied, TimedOut, WouldBlock};
    match error.kind() {
        NotFound | ConnectionRefused => anyhow::anyhow!(
            "nobody listens there ({error}): the process is starting or has ended, or it has no such --probe-socket; name its \
             own with --socket or SLUICE_PROBE_SOCKET"
        ),
        PermissionDenied => anyhow::anyhow!(
            "uid {} may not ask ({error}): run the probe as the process's own user, or as root",
            geteuid().as_raw()
        ),
        WouldBlock | TimedOut => {
            anyhow::anyhow!("no answer within {} s: the process hangs", TIMEOUT.as_secs())
        }
        _ => error.into(),
    }
}
