//! `sluice translate`.

use gateway_ir::{Endpoints, Ir};
use gateway_translate::{Diagnostic, StatusSet};
use serde::Serialize;

use super::resources::{Input, Resources};
use super::{End, bad_settings, print, to_json, to_yaml};
use crate::admin::document;
use crate::cli::{Document, TranslateArgs};

/// Output of the command.
#[derive(Serialize)]
struct Printed<'a> {
    ir: &'a Ir,
    #[serde(serialize_with = "document::endpoints")]
    endpoints: &'a Endpoints,
    status: &'a StatusSet,
    findings: &'a [Diagnostic],
    diagnostics: Vec<String>,
}

/// Prints what the resources mean. Errors in them do not fail the command: they are part of the output.
pub(super) fn run(args: TranslateArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let Resources { view, translation, .. } = Resources::read(&Input::Files(&[args.dir]), &settings)?;
    let printed = Printed {
        ir: &translation.ir,
        endpoints: &translation.endpoints,
        status: &translation.status,
        findings: &translation.diagnostics,
        diagnostics: view.diagnostics.iter().map(ToString::to_string).collect(),
    };
    print(&match args.output {
        Document::Yaml => to_yaml(&printed)?,
        Document::Json => to_json(&printed)?,
    })?;
    Ok(End::Done)
}
