//! Running a program inside a cluster.

use std::process::Command;

use anyhow::Result;

use super::place::Place;

/// In the cluster's network alone: files are the machine's.
pub(crate) fn network(place: &Place, program: &str) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(place.first()?.to_string()).args(["--net", "--"]).arg(program);
    Ok(command)
}

/// Among the cluster's processes, with its mounts and network: it ends with the cluster at the latest.
pub(crate) fn whole(place: &Place, program: &str) -> Result<Command> {
    let mut command = Command::new("nsenter");
    command.arg("--target").arg(place.first()?.to_string());
    let here = std::env::current_dir()?;
    command
        .args(["--net", "--mount", "--pid"])
        .arg(format!("--wd={}", here.display()))
        .arg("--")
        .arg(program);
    Ok(command)
}
