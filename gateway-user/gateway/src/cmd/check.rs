//! `sluice check`.

use gateway_translate::Severity;

use super::resources::Resources;
use super::{End, bad_settings, print};
use crate::cli::CheckArgs;

/// Prints every finding, one a line, then a count.
pub(super) fn run(args: CheckArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let resources = Resources::read(&args.dir, &settings)?;
    let lines = resources.lines();
    let mut text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
    let count = |severity| lines.iter().filter(|line| line.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let ir = &resources.translation.ir;
    text.push_str(&format!(
        "{}: {}, {}, {}; {} and {} served\n",
        args.dir.display(),
        plural(resources.view.resources.len(), "object"),
        plural(errors, "error"),
        plural(warnings, "warning"),
        plural(ir.binds.len(), "port"),
        plural(ir.http_routes.len(), "route"),
    ));
    print(&text)?;
    let bad = errors > 0 || (args.strict && warnings > 0);
    Ok(if bad { End::Found } else { End::Done })
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
