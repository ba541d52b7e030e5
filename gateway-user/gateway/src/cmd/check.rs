//! `sluice check`.

pub(super) mod diagnostic;
mod format;
mod lint;

use std::path::Path;

use anyhow::bail;
use gateway_translate::Severity;

use self::format::Report;
use super::resources::{self, Input, Resources, STANDARD_INPUT};
use super::version::VERSIONS;
use super::{End, bad_settings, print, say, to_json};
use crate::cli::{CheckArgs, CheckFormat};

/// Prints every diagnostic, then a count, or a document of both.
pub(super) fn run(args: CheckArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    if let (Some(_), [path, ..]) = (args.cluster.asked_for(), args.paths.as_slice()) {
        bail!("--cluster and {} are two sources: leave one out", path.display());
    }
    if args.cluster.asked_for().is_none() && args.paths.is_empty() {
        say("sluice check: name directories or files of resources, - for standard input, or --cluster");
        return Ok(End::Usage);
    }
    let input = args.cluster.asked_for().map_or(Input::Files(&args.paths), Input::Cluster);
    let resources = Resources::read(&input, &settings)?;
    let mut diagnostics = resources.diagnostics();
    let notes = lint::diagnostics(&resources.view.resources, &resources.translation)?;
    diagnostics.extend(notes.iter().map(diagnostic::PlacedDiagnostic::from));
    let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
    let ir = &resources.translation.ir;
    let report = Report {
        paths: match input {
            Input::Files(paths) => paths.iter().map(|path| named(path)).collect(),
            Input::Cluster(_) => vec!["the cluster".to_owned()],
        },
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
