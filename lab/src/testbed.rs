//! Addresses and processes around a proxy, in a network namespace of its own.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use gateway_testkit::http;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use crate::process::{Process, until};

/// Where clients connect.
pub(crate) const LISTEN_ADDRESS: &str = "127.0.0.1:8080";
/// Where the proxy forwards to.
pub(crate) const BACKEND_ADDRESS: &str = "127.0.0.1:9000";
/// The same for WebSockets, by the path `/websocket`, and for calls of the gRPC service `bench.Echo`.
pub(crate) const WEBSOCKET_ADDRESS: &str = "127.0.0.1:9001";
pub(crate) const GRPC_ADDRESS: &str = "127.0.0.1:9002";

/// Starts `sluice-bench backend` with these flags and waits until it listens.
pub(crate) fn start_backend(
    bench: &Path,
    dir: &Path,
    name: &str,
    listen: &str,
    flags: &[&str],
) -> Result<Process> {
    let mut command = Command::new(bench);
    command.args(["backend", "--listen", listen]).args(flags);
    let mut backend = Process::spawn(name, dir, &mut command)?;
    wait_until_listening(&mut backend, name, listen)?;
    Ok(backend)
}

/// Starts `sluice-bench echo` of WebSockets and of gRPC, and waits until they listen.
pub(crate) fn start_echo(bench: &Path, dir: &Path) -> Result<[Process; 2]> {
    let start = |protocol: &str, listen: &str| {
        let mut command = Command::new(bench);
        command.args(["echo", "--protocol", protocol, "--listen", listen]);
        let mut echo = Process::spawn(protocol, dir, &mut command)?;
        wait_until_listening(&mut echo, protocol, listen)?;
        anyhow::Ok(echo)
    };
    Ok([start("websocket", WEBSOCKET_ADDRESS)?, start("grpc", GRPC_ADDRESS)?])
}

/// Waits until something accepts at this address; an error if `process` ends first.
pub(crate) fn wait_until_listening(process: &mut Process, name: &str, listen: &str) -> Result<()> {
    until(&format!("{name} listens on {listen}"), || {
        process.ensure_running()?;
        Ok(TcpStream::connect(listen).is_ok().then_some(()))
    })
}

/// Waits until a GET is responded to with 200; an error if `process` ends first.
pub(crate) fn wait_for_response(process: &mut Process, to: SocketAddr, host: &str, path: &str) -> Result<()> {
    until(&format!("http://{to}{path} is served"), || {
        process.ensure_running()?;
        Ok(http::get(to, host, path).is_ok_and(|response| response.status == 200).then_some(()))
    })
}

/// Raises the soft limit of open files to the hard one, which child processes inherit.
///
/// # Errors
/// The hard limit is below `least`.
pub(crate) fn raise_open_files(least: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    ensure!(hard >= least, "the hard limit of open files is {hard}: raise it to {least}");
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(())
}

/// Lifts the limit of locked memory, as the systemd unit does, for what is started from now on, or raises it as far as it
/// may be. Rings count against it, those of all processes of a user together: several that drain, and those of other
/// tests. Gives the limit in bytes if there still is one.
///
/// # Errors
/// It cannot be read or raised to what it may be.
pub(crate) fn lift_locked_memory() -> Result<Option<u64>> {
    if setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok() {
        return Ok(None);
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
    setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard)?;
    Ok((hard != RLIM_INFINITY).then_some(hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_may_lock_as_much_memory_as_may_be() {
        let limit = |which: &str| {
            let output = Command::new("sh").args(["-c", &format!("ulimit {which} -l")]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        // No other test starts anything that locks memory.
        setrlimit(Resource::RLIMIT_MEMLOCK, 4096, getrlimit(Resource::RLIMIT_MEMLOCK).unwrap().1).unwrap();
        let left = lift_locked_memory().unwrap();
        let text = left.map_or("unlimited".to_owned(), |bytes| (bytes / 1024).to_string());
        assert_eq!([limit("-S"), limit("-H")], [text.clone(), text]);
    }
}
