//! The subcommands, one file each.

mod check;
mod cleanup;
mod config;
mod explain;
mod helper;
mod local_http;
pub(crate) mod plugin;
mod probe;
pub(crate) mod resources;
mod status;
mod table;
mod translate;
pub(crate) mod upgrade;
pub(crate) mod version;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use self::plugin::Plugin;
use crate::cli::{Command, ConfigCommand};
use crate::flags::SettingError;

/// Limit for a line on standard error.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// End of a command; see docs/cli.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All well.
    Done,
    /// It ran and found errors in the resources.
    Found,
    /// The settings are bad; said already.
    Usage,
}

impl From<End> for ExitCode {
    fn from(end: End) -> Self {
        match end {
            End::Done => Self::SUCCESS,
            End::Found => Self::from(1),
            End::Usage => Self::from(2),
        }
    }
}

/// Runs a command and turns its end into an exit code; what failed is one line on standard error.
pub(crate) fn main(command: Command) -> ExitCode {
    let ended = match command {
        Command::Run(args) => crate::run::run(args),
        Command::Controller(args) => crate::controller::run(args),
        Command::Node(args) => crate::run::node(args),
        Command::Upgrade(args) => upgrade::run(args),
        Command::Check(args) => check::run(args),
        Command::Translate(args) => translate::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Status(args) => status::run(args),
        Command::Probe(args) => probe::run(&args),
        Command::Cleanup(args) => cleanup::run(args),
        Command::Helper(args) => helper::run(args),
        Command::Echo(args) => crate::echo::run(&args).map(|()| End::Done),
        Command::Config(ConfigCommand::Check(args)) => config::check(args),
        Command::Version(args) => version::run(args.output).map(|()| End::Done),
    };
    finish("sluice", ended)
}

/// The same as a plugin of kubectl.
pub(crate) fn plugin(plugin: Plugin) -> ExitCode {
    finish("kubectl sluice", plugin::run(plugin))
}

fn finish(program: &str, ended: anyhow::Result<End>) -> ExitCode {
    match ended {
        Ok(end) => end.into(),
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{program}: {error:#}"));
            ExitCode::from(1)
        }
    }
}

/// A reader such as `head` that had enough is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Says each bad setting on a line of its own.
pub(crate) fn bad_settings(errors: &[SettingError]) -> End {
    for error in errors {
        say(&format!("sluice: {error}"));
    }
    End::Usage
}

/// One line to standard error; nobody is left to tell if that fails. A reader that has stopped does not keep
/// the process from ending.
pub(crate) fn say(line: &str) {
    let line = format!("{line}\n");
    let (written, wait) = mpsc::channel::<()>();
    thread::spawn(move || {
        let _ = std::io::stderr().write_all(line.as_bytes());
        drop(written);
    });
    let _ = wait.recv_timeout(FLUSH_TIMEOUT);
}

/// Text to standard output.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Pretty JSON with a line end.
pub(crate) fn to_json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// YAML with a line end.
pub(crate) fn to_yaml(value: &impl Serialize) -> anyhow::Result<String> {
    let mut text = serde_saphyr::to_string(value)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
