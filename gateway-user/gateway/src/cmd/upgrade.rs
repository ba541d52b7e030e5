//! `sluice upgrade`: starts a process that takes over, and comes back once it has.
//!
//! Three processes: this one, for which a service manager waits; one that starts the new process and ends at
//! once; and the new one, which thereby is a child of process 1 before it takes over. systemd asks for that:
//! a main process that is not its child is killed at a stop without the time to drain (service.c,
//! `main_pid_alien`).

use std::io::{BufRead as _, BufReader, PipeReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{End, bad_settings, print};
use crate::cli::UpgradeArgs;
use crate::flags::TakeOver;
use crate::{instance, state_dir};

/// Time between two looks at the process that ends.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Runs `sluice run` with the same arguments beside the process that serves. Not as a child of that one, so
/// that a service manager gives the new one all its rights anew.
pub(super) fn run(args: UpgradeArgs) -> anyhow::Result<End> {
    let settings = match args.run.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    if args.apart {
        return start_and_end();
    }
    let dir: &Path = &state_dir::resolve(&settings.state_dir)?;
    if settings.take_over != TakeOver::Auto {
        bail!("--take-over {}: an upgrade is a take-over; leave it out", settings.take_over);
    }
    let Some(before) = instance::serving(dir) else {
        bail!("--state-dir {}: nothing serves there; start it by `sluice run`", dir.display());
    };
    // The new process keeps the other end for its life, so its end is seen here.
    let (reader, writer) = std::io::pipe().context("a pipe to the new process")?;
    let mut command = itself()?;
    command.args(["upgrade", "--apart"]).args(std::env::args_os().skip(2)).stdin(Stdio::from(writer));
    let mut starter = command.spawn().context("starting the new process")?;
    drop(command);
    let mut reader = BufReader::new(reader);
    let mut said = String::new();
    reader.read_line(&mut said)?;
    let started = starter.wait()?;
    let Ok(new) = said.trim().parse::<u32>() else { bail!("the new process was not started: {started}") };
    loop {
        let ended = has_ended(reader.get_ref())?;
        // It writes its id when the other one has let go.
        if instance::serving(dir) == Some(new) {
            print(&format!("sluice (pid {new}) took over from sluice (pid {before})\n"))?;
            return Ok(End::Done);
        }
        if ended {
            bail!("the new process (pid {new}) ended, and its log says why; sluice (pid {before}) serves on");
        }
    }
}

/// Starts the new process and tells whoever waits at the other end of standard input, which is a pipe, its
/// id.
fn start_and_end() -> anyhow::Result<End> {
    use std::os::unix::process::CommandExt as _;

    let mut command = itself()?;
    command.arg("run").arg(format!("--started-by={}", std::process::id()));
    // Without `upgrade --apart`.
    command.args(std::env::args_os().skip(3)).process_group(0);
    // That of the command a manager called: the new one feeds the watchdog meant for whoever is the main
    // process.
    command.env_remove("WATCHDOG_PID");
    let new = command.spawn().context("starting the new process")?;
    rustix::io::write(std::io::stdin(), format!("{}\n", new.id()).as_bytes())?;
    Ok(End::Done)
}

fn itself() -> anyhow::Result<Command> {
    Ok(Command::new(std::env::current_exe().context("the path of this program")?))
}

/// True if the other end of the pipe is closed; waits a moment for that.
fn has_ended(pipe: &PipeReader) -> anyhow::Result<bool> {
    let pause = Timespec { tv_sec: 0, tv_nsec: POLL_INTERVAL.subsec_nanos().into() };
    let mut wait = [PollFd::new(pipe, PollFlags::empty())];
    match poll(&mut wait, Some(&pause)) {
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error).context("waiting for the new process"),
        Ok(_) => Ok(wait.iter().any(|end| end.revents().contains(PollFlags::HUP))),
    }
}

/// Waits until we are nobody's child but that of process 1, if `starter` started us only to end.
pub(crate) fn wait_for_the_end_of(starter: u32) {
    while std::os::unix::process::parent_id() == starter {
        std::thread::sleep(Duration::from_millis(1));
    }
}
