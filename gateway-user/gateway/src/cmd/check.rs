//! `sluice check`.

pub(super) mod diagnostic;
mod format;
mod lint;

use std::path::Path;

use gateway_translate::Severity;

use self::format::Report;
use super::resources::{self, Resources, STANDARD_INPUT};
use super::version::VERSIONS;
use super::{End, bad_settings, print, to_json};
use crate::cli::{CheckArgs, CheckFormat};

/// Prints every diagnostic, then a count, or a document of both.
pub(super) fn run(args: CheckArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let resources = Resources::read(&args.paths, &settings)?;
    let mut diagnostics = resources.diagnostics();
    let notes = lint::diagnostics(&resources.view.resources, &resources.translation)?;
    diagnostics.extend(notes.iter().map(diagnostic::PlacedDiagnostic::from));
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let ir = &resources.translation.ir;
    let report = Report {
        paths: args.paths.iter().map(|path| named(path)).collect(),
        objects: resources.view.resources.len(),
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        ports: ir.binds.len(),
        routes: ir.routes.len(),
        diagnostics,
    };
    print(&match args.format {
        CheckFormat::Text => report.text(),
        CheckFormat::Json => to_json(&report)?,
        CheckFormat::Sarif => to_json(&report.sarif(VERSIONS.version))?,
        CheckFormat::Github => report.github(),
    })?;
    let bad = report.errors > 0 || (args.strict && report.warnings > 0);
    Ok(if bad { End::Found } else { End::Done })
}

fn named(path: &Path) -> String {
    match path.as_os_str() == STANDARD_INPUT {
        true => resources::STANDARD_INPUT_NAME.to_owned(),
        false => path.display().to_string(),
    }
}
