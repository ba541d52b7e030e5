//! `cargo xtask run`: the shared-gateway scenario with one command.

mod check;
mod rights;
mod stack;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::mpsc;
use std::time::Duration;

use crate::cargo::{QUICK, build_sluice, must_succeed, workspace};
use crate::needs::{self, CURL, IP};
use anyhow::{Context, Result, bail};
use gateway_testkit::{netns, scratch::Scratch};
use stack::Stack;

/// Flags of `run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Makes the requests itself, in a network namespace of its own, and exits 0 if every response
    /// was right, else 1.
    #[arg(long)]
    check: bool,
    /// The cargo profile to build with.
    #[arg(long, default_value = QUICK)]
    profile: String,
    /// Serves with this binary instead of building one.
    #[arg(long, value_name = "FILE", conflicts_with = "profile")]
    binary: Option<PathBuf>,
    /// Says that the namespace is already there: set when this program calls itself.
    #[arg(long, hide = true)]
    inside: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    needs::ensure(if args.check { &[IP, CURL] } else { &[CURL] })?;
    let sluice = match &args.binary {
        Some(binary) => binary.clone(),
        None => build_sluice(&args.profile)?,
    };
    if !args.check {
        return serve(&sluice);
    }
    if args.inside {
        must_succeed(Command::new("ip").args(["link", "set", "lo", "up"]))?;
        return check::run(&sluice, None);
    }
    if rights::may_make_namespaces()? {
        return netns::run("check", move |inside| check::run(&sluice, Some(inside.bpffs())));
    }
    check_in_user_namespace(&sluice)
}

/// Without the right to it a network namespace is still to be had inside a user namespace. Kernel programs
/// are not: the check then proves the road without them.
fn check_in_user_namespace(sluice: &Path) -> Result<ExitCode> {
    println!("no right to make namespaces: checking in a user namespace, without kernel programs");
    let own = std::env::current_exe()?;
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount", "--"])
        .arg(own)
        .args(["run", "--check", "--inside", "--binary"])
        .arg(sluice)
        .status()
        .context("starting unshare (package util-linux)")?;
    match status.code() {
        Some(0) => Ok(ExitCode::SUCCESS),
        _ => bail!("the check failed, or this system allows no user namespaces: then run it as root"),
    }
}

/// Serves the example until Ctrl-C or until a part of it ends.
fn serve(sluice: &Path) -> Result<ExitCode> {
    let state = Scratch::new("run")?;
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || {
        // Nobody listens any more once the stack is being stopped: then there is nothing left to ask for.
        let _ = stop.send(());
    })?;
    let mut stack = Stack::start(sluice, &example(), state.path(), None, stack::Output::Terminal)?;
    println!("\nThe gateway serves {}. Try:\n", example().display());
    for target in ["/httpbin/get", "/httpbin/headers", "/httpbin/anything?q=1", "/httpbinx"] {
        println!("    curl -i {}{target}", stack.base_url()?);
    }
    println!("    {} status --state-dir {}", sluice.display(), state.path().display());
    println!("\nEdit the files while it runs. Ctrl-C stops everything.\n");
    while stopped.recv_timeout(Duration::from_millis(200)) == Err(mpsc::RecvTimeoutError::Timeout) {
        if let Some(ended) = stack.ended()? {
            bail!("{ended}");
        }
    }
    stack.stop()?;
    Ok(ExitCode::SUCCESS)
}

fn example() -> PathBuf {
    workspace().join("examples/shared-gateway")
}
