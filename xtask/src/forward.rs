//! Commands whose programs are packages of their own: they are built when they are first called, so that this
//! one, which everybody builds, stays small.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::cargo::{QUICK, build_binary};

/// Words of the command line that the other program reads.
#[derive(clap::Args)]
pub(crate) struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<OsString>,
}

/// Builds the program of a package and becomes it, with this program's own arguments: signals and exit
/// codes are its own.
///
/// # Errors
/// It cannot be built or started.
pub(crate) fn become_program(package: &str) -> Result<ExitCode> {
    let program = build_binary(package, QUICK)?;
    Err(Command::new(&program).arg0("xtask").args(env::args_os().skip(1)).exec())
        .with_context(|| format!("starting {}", program.display()))
}
