//! `CORS` filters (GEP-1767).

use gateway_api_types::HttpCorsFilter;
use gateway_ir::{ANY, Cors, Filter};

use crate::diagnostics::ConfigError;
use crate::reason;

/// Translates one filter; `field` is its `cors`. Parts without effect are added to `ignored`: field and why.
///
/// # Errors
/// The first value that is invalid.
pub(crate) fn translate(
    spec: &HttpCorsFilter,
    field: &str,
    ignored: &mut Vec<(String, String)>,
) -> Result<Filter, ConfigError> {
    for (index, origin) in spec.allow_origins.iter().enumerate() {
        Cors::check_origin(origin).map_err(|message| {
            ConfigError::new(reason::UNSUPPORTED_VALUE, format!("{field}.allowOrigins[{index}]"), message)
        })?;
    }
    if spec.allow_origins.is_empty() {
        let message = "no origin is allowed; list origins, or * for all".to_owned();
        ignored.push((format!("{field}.allowOrigins"), message));
    }
    let credentials = spec.allow_credentials.unwrap_or_default();
    if let Some(index) = spec.expose_headers.iter().position(|name| name == ANY).filter(|_| credentials) {
        let message =
            "* exposes no header beside allowCredentials: true; list the names of the headers".to_owned();
        ignored.push((format!("{field}.exposeHeaders[{index}]"), message));
    }
    let filter = Filter::Cors(Cors {
        origins: spec.allow_origins.clone(),
        credentials,
        methods: spec.allow_methods.clone(),
        headers: spec.allow_headers.clone(),
        exposed: spec.expose_headers.clone(),
        max_age: spec.max_age,
    });
    filter.check().map_err(|message| ConfigError::new(reason::UNSUPPORTED_VALUE, field, message))?;
    Ok(filter)
}
