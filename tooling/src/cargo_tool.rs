//! Commands of cargo's that other projects keep, each of one version, built once into the cache.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::cache;
use crate::cargo::{cargo, must_succeed};

/// A cargo subcommand from the registry.
pub struct Tool {
    /// The crate, which is the program's name too: `cargo-deny`.
    pub name: &'static str,
    /// The version whose command line is called here.
    pub version: &'static str,
}

impl Tool {
    /// The program; built the first time, which takes some minutes. Unoptimised, since building it takes
    /// longer than all that it ever does here.
    ///
    /// # Errors
    /// The crate cannot be fetched or built.
    pub fn program(&self) -> Result<PathBuf> {
        let root = cache::dir()?.join("tools").join(format!("{}-{}", self.name, self.version));
        let program = root.join("bin").join(self.name);
        if root.exists() && !program.exists() {
            // Some caches are restored without what can be run.
            std::fs::remove_dir_all(&root)?;
        }
        cache::keep(&root, |partial| {
            println!("building {} {} (once)", self.name, self.version);
            let mut install = cargo(&["install", "--quiet", "--locked", "--debug", self.name]);
            install.args(["--version", self.version, "--root"]).arg(partial);
            // Intermediate artifacts go with it; nothing else on the machine has a use for it.
            install.env("CARGO_TARGET_DIR", partial.join("target"));
            must_succeed(&mut install)?;
            Ok(std::fs::remove_dir_all(partial.join("target"))?)
        })?;
        Ok(program)
    }

    /// A call of the program as cargo would make it.
    ///
    /// # Errors
    /// Those of [`Tool::program`].
    pub fn command(&self) -> Result<Command> {
        let mut command = Command::new(self.program()?);
        // A subcommand finds its own name in its first argument.
        command.current_dir(crate::cargo::workspace()).args(self.name.strip_prefix("cargo-"));
        Ok(command)
    }
}
