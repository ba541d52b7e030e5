//! `sluice status`.

mod backend_tls;
mod endpoint;
mod render;

use anyhow::Context as _;

use self::endpoint::Endpoint;
use self::render::render;
use super::{End, bad_settings, print, to_json, to_yaml};
use crate::admin::document::StatusDocument;
use crate::cli::{Output, StatusArgs};

/// Asks the running process and shows its response.
pub(super) fn run(args: StatusArgs) -> anyhow::Result<End> {
    let settings = match args.settings.resolve() {
        Ok(resolved) => resolved.settings,
        Err(errors) => return Ok(bad_settings(&errors)),
    };
    let endpoint = Endpoint::of(&settings)?;
    let body = endpoint.get("/status").with_context(|| endpoint.advice())?;
    let document: StatusDocument = serde_json::from_str(&body)
        .with_context(|| format!("{endpoint} responds, but not as Sluice does"))?;
    let text = match args.output {
        Output::Json => to_json(&document)?,
        Output::Yaml => to_yaml(&document)?,
        Output::Table => render(&document, false),
        Output::Wide => render(&document, true),
    };
    print(&text).map(|()| End::Done)
}

#[cfg(test)]
mod tests;
