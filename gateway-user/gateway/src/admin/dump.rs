//! `/config_dump`: everything that is live, for people who look for a cause.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use gateway_ir::{Endpoints, Ir};
use gateway_translate::{Diagnostic, StatusSet};
use serde::Serialize;

use super::{Facts, Shared, document};
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
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<&'a str>,
    ir: Option<&'a Ir>,
    endpoints: Option<Served<'a>>,
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
    let Facts { settings, .. } = &*shared.facts;
    let live = view.live.as_ref();
    let dump = Dump {
        versions: VERSIONS,
        settings,
        generation: live.map_or(0, |live| live.generation.0),
        live_since: live.map(|live| live.since.to_string()),
        trouble: view.trouble.as_deref(),
        ir: live.map(|live| &*live.ir),
        endpoints: live.map(|live| Served(&live.endpoints)),
        steered: live.iter().flat_map(|live| live.plan.binds.iter().map(ToString::to_string)).collect(),
        refused: live
            .iter()
            .flat_map(|live| {
                live.refused.iter().map(|refusal| format!("{}: {}", refusal.bind, refusal.message))
            })
            .collect(),
        status: &view.dated_status(),
        findings: &view.findings,
        diagnostics: view.diagnostics.iter().map(ToString::to_string).collect(),
    };
    json(&dump)
}

/// A pretty JSON answer.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
