//! `retry` of rules (GEP-1731).

use gateway_api_types::HttpRouteRetry;
use gateway_ir::Retry;

use crate::diagnostics::ConfigError;
use crate::{duration, reason};

/// Translates `retry` of the rule `field`; `None` if nothing is tried again. Values that are served otherwise than written are
/// added to `ignored`.
///
/// # Errors
/// A value is invalid.
pub(crate) fn translate(
    spec: Option<&HttpRouteRetry>,
    field: &str,
    ignored: &mut Vec<(String, String)>,
) -> Result<Option<Box<Retry>>, ConfigError> {
    let Some(HttpRouteRetry { codes, attempts, backoff }) = spec else { return Ok(None) };
    let field = format!("{field}.retry");
    let mut codes = codes.clone();
    codes.sort_unstable();
    codes.dedup();
    if let Some(code) = codes.iter().find(|code| !(400..=599).contains(*code)) {
        let message = format!("{code} is no status of an error; write 400 to 599");
        return Err(ConfigError::new(reason::UNSUPPORTED_VALUE, format!("{field}.codes"), message));
    }
    let backoff_ms = match backoff {
        Some(text) => duration::parse(text, &format!("{field}.backoff"))?,
        None => Retry::DEFAULT_BACKOFF_MS,
    };
    if *attempts > Retry::MAX_ATTEMPTS {
        let message = format!("{attempts} attempts are more than are made; {} are", Retry::MAX_ATTEMPTS);
        ignored.push((format!("{field}.attempts"), message));
    }
    if backoff_ms > Retry::MAX_BACKOFF_MS {
        let message = format!("longer than requests wait; {} s are waited", Retry::MAX_BACKOFF_MS / 1000);
        ignored.push((format!("{field}.backoff"), message));
    }
    let retry = Retry {
        codes,
        attempts: (*attempts).min(Retry::MAX_ATTEMPTS),
        backoff_ms: backoff_ms.min(Retry::MAX_BACKOFF_MS),
    };
    Ok((retry.attempts > 0).then(|| Box::new(retry)))
}
