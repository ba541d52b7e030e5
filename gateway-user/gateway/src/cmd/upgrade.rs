//! `sluice upgrade`: starts a process that takes over, and comes back once it has.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{End, bad_settings, print};
use crate::cli::RunArgs;
use crate::flags::TakeOver;
use crate::instance;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs `sluice run` with the same arguments beside the process that serves. Apart from that process, so that a service
/// manager gives the new one all its rights anew, and a process of its own, so that whoever waits for the command sees it end.
pub(super) fn run(args: RunArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let dir: &Path = &settings.state_dir.0;
    if settings.take_over == TakeOver::Never {
        bail!("--take-over never: an upgrade is a take-over; leave it out");
    }
    let Some(before) = instance::serving(dir) else {
        bail!("--state-dir {}: nothing serves there; start it by `sluice run`", dir.display());
    };
    let program = std::env::current_exe().context("the path of this program")?;
    let mut command = Command::new(program);
    command.arg("run").args(std::env::args_os().skip(2)).stdin(Stdio::null());
    // This process's id: the new one is to feed the watchdog that is meant for whoever is the main process.
    command.env_remove("WATCHDOG_PID");
    let mut new = command.spawn().context("starting the new process")?;
    loop {
        // It writes its id when the other one has let go.
        if instance::serving(dir) == Some(new.id()) {
            print(&format!("sluice (pid {}) took over from sluice (pid {before})\n", new.id()))?;
            return Ok(End::Done);
        }
        if let Some(ended) = new.try_wait()? {
            bail!(
                "the new process ended with {ended}, and its log says why; sluice (pid {before}) serves on"
            );
        }
        thread::sleep(PAUSE);
    }
}
