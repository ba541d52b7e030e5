//! `sluice cleanup`.

use anyhow::Context as _;

use super::{End, bad_settings, print};
use crate::cli::CleanupArgs;
use crate::{instance, state_dir};

/// Removes what dead processes left, and says what that was.
pub(super) fn run(args: CleanupArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let (bpffs, state_dir) = (&settings.bpffs.0, state_dir::resolve(&settings.state_dir)?);
    let report = gateway_steer::cleanup(bpffs)
        .with_context(|| format!("--bpffs {}: not everything could be removed", bpffs.display()))?;
    let mut text = String::new();
    for dir in &report.removed {
        text.push_str(&format!("removed {}\n", dir.display()));
    }
    for (dir, pid) in &report.in_use {
        let pid = pid.map_or(String::new(), |pid| format!(" by pid {pid}"));
        text.push_str(&format!("left {}: in use{pid}\n", dir.display()));
    }
    for line in instance::remove_stale(&state_dir)? {
        text.push_str(&line);
        text.push('\n');
    }
    if text.is_empty() {
        text.push_str("nothing to remove\n");
    }
    print(&text).map(|()| End::Done)
}
