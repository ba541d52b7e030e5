//! `sluice check`.

use std::path::PathBuf;

use gateway_translate::Severity;

use super::resources::{self, Resources, STANDARD_INPUT};
use super::{End, bad_settings, print};
use crate::cli::CheckArgs;

/// Prints every finding, one a line, then a count.
pub(super) fn run(args: CheckArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let resources = Resources::read(&args.paths, &settings)?;
    let lines = resources.lines();
    let mut text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
    let count = |severity| lines.iter().filter(|line| line.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let ir = &resources.translation.ir;
    text.push_str(&format!(
        "{}: {}, {}, {}; {} and {} served\n",
        named(&args.paths),
        plural(resources.view.resources.len(), "object"),
        plural(errors, "error"),
        plural(warnings, "warning"),
        plural(ir.binds.len(), "port"),
        plural(ir.routes.len(), "route"),
    ));
    print(&text)?;
    let bad = errors > 0 || (args.strict && warnings > 0);
    Ok(if bad { End::Found } else { End::Done })
}

fn named(paths: &[PathBuf]) -> String {
    let name = |path: &PathBuf| match path.as_os_str() == STANDARD_INPUT {
        true => resources::STANDARD_INPUT_NAME.to_owned(),
        false => path.display().to_string(),
    };
    paths.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
