//! `/logging`: reads and changes the log filter.

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::get;

use crate::logging::LogControl;

/// Longest filter in bytes.
const MAX_FILTER_BYTES: usize = 8 * 1024;

/// `GET /logging` says the filter, `PUT /logging` with a filter as body changes it.
pub(super) fn router(control: LogControl) -> Router {
    Router::new()
        .route("/logging", get(read).put(change))
        .layer(DefaultBodyLimit::max(MAX_FILTER_BYTES))
        .with_state(control)
}

async fn read(State(control): State<LogControl>) -> String {
    control.filter() + "\n"
}

async fn change(State(control): State<LogControl>, filter: String) -> (StatusCode, String) {
    match control.change(filter.trim()) {
        Ok(()) => (StatusCode::OK, control.filter() + "\n"),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    }
}
