//! `/config_dump`: everything that is live, for people who look for a cause.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gateway_control::view::View;
use gateway_ir::{Endpoints, Ir};
use gateway_translate::{Diagnostic, StatusSet};
use serde::Serialize;

use super::document::BackendTlsLine;
use super::{Shared, document};
use crate::cmd::version::{VERSIONS, Versions};
use crate::flags::Effective;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dump<'a> {
    versions: Versions,
    settings: &'a [Effective],
    generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_since: Option<String>,
    #[serde(rename = "trouble", skip_serializing_if = "Option::is_none")]
    last_error: Option<&'a str>,
    ir: Option<&'a Ir>,
    endpoints: Option<Served<'a>>,
    #[serde(rename = "backendTLS", skip_serializing_if = "Vec::is_empty")]
    backend_tls: Vec<BackendTlsLine>,
    steered: Vec<String>,
    refused: Vec<String>,
    status: &'a StatusSet,
    findings: &'a [Diagnostic],
    diagnostics: Vec<String>,
}

#[derive(Serialize)]
struct Served<'a>(#[serde(serialize_with = "document::endpoints")] &'a Endpoints);

/// `/config_dump`.
pub(super) fn router(shared: Shared) -> Router {
    Router::new().route("/config_dump", get(dump)).with_state(shared)
}

async fn dump(State(shared): State<Shared>) -> Response {
    let view = std::sync::Arc::clone(&shared.view.borrow());
    json(&Dump::of(&view, &view.dated_status(), &shared.facts.settings, VERSIONS))
}

impl<'a> Dump<'a> {
    /// The document of one moment.
    fn of(view: &'a View, status: &'a StatusSet, settings: &'a [Effective], versions: Versions) -> Self {
        let live = view.live.as_ref();
        Self {
            versions,
            settings,
            generation: live.map_or(0, |live| live.generation.0),
            live_since: live.map(|live| live.since.to_string()),
            last_error: view.last_error.as_deref(),
            ir: live.map(|live| &*live.ir),
            endpoints: live.map(|live| Served(&live.endpoints)),
            backend_tls: live.map(|live| BackendTlsLine::all(&live.endpoints)).unwrap_or_default(),
            steered: live.iter().flat_map(|live| live.plan.binds.iter().map(ToString::to_string)).collect(),
            refused: live
                .iter()
                .flat_map(|live| {
                    live.refused.iter().map(|rejection| format!("{}: {}", rejection.bind, rejection.message))
                })
                .collect(),
            status,
            findings: &view.findings,
            diagnostics: view.diagnostics.iter().map(ToString::to_string).collect(),
        }
    }
}

/// A pretty JSON response.
pub(super) fn json(value: &impl Serialize) -> Response {
    match pretty(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use gateway_testkit::golden;

    use super::*;
    use crate::admin::fixtures;

    const VERSIONS: Versions = Versions { version: "0.1.0", commit: Some("0123abc"), gateway_api: "v1.7.0" };

    #[test]
    fn the_dump_is_byte_for_byte_as_it_was() {
        let settings = [Effective {
            name: "ring-entries".to_owned(),
            value: "1024".to_owned(),
            source: "sluice.yaml:3:15".to_owned(),
        }];
        let view = fixtures::view();
        let status = view.dated_status();
        let whole = pretty(&Dump::of(&view, &status, &settings, VERSIONS)).unwrap();
        golden::check("config-dump.json", whole.as_bytes());
        let (view, versions) = (View::default(), Versions { commit: None, ..VERSIONS });
        let before = pretty(&Dump::of(&view, &view.status, &[], versions)).unwrap();
        golden::check("config-dump-before.json", before.as_bytes());
    }
}
