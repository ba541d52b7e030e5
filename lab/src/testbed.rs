//! Addresses and processes around a proxy, in a network namespace of its own.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use gateway_testkit::http;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::process::{Process, until};

/// Where clients connect.
pub(crate) const LISTEN_ADDRESS: &str = "127.0.0.1:8080";
/// Where the proxy forwards to.
pub(crate) const BACKEND_ADDRESS: &str = "127.0.0.1:9000";

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
