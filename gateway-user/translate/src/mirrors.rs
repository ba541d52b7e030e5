//! `RequestMirror` filters (GEP-3171).

use gateway_api_types::{BackendObjectReference, Fraction, HttpRequestMirrorFilter, HttpRouteFilter};
use gateway_ir::{ClusterKey, Filter, Mirror, Share};

use crate::diagnostics::ConfigError;
use crate::reason;

/// Finds the cluster of a mirror, given its field. `None` if it has none, of which the route's status then speaks.
pub(crate) type MirrorTarget<'a> = dyn FnMut(&BackendObjectReference, &str) -> Option<ClusterKey> + 'a;

/// Translates one filter; `field` is its `requestMirror`. `None` if its backend cannot be used: then requests are served without
/// copies (`HTTPRequestMirrorFilter.backendRef`).
///
/// # Errors
/// A value is invalid.
pub(crate) fn translate(
    filter: &HttpRouteFilter,
    field: &str,
    target: &mut MirrorTarget<'_>,
) -> Result<Option<Filter>, ConfigError> {
    let invalid = |message: String| ConfigError::new(reason::UNSUPPORTED_VALUE, field, message);
    let spec = filter.request_mirror.as_ref();
    let missing = || invalid("requestMirror is missing; type RequestMirror needs it".to_owned());
    let HttpRequestMirrorFilter { backend_ref, percent, fraction } = spec.ok_or_else(missing)?;
    let share = match (percent, fraction) {
        (None, None) => Share::default(),
        (Some(percent), None) => Share { numerator: u32::from(*percent), denominator: 100 },
        (None, Some(Fraction { numerator, denominator })) => {
            Share { numerator: *numerator, denominator: *denominator }
        }
        (Some(_), Some(_)) => return Err(invalid("percent and fraction are both set; keep one".to_owned())),
    };
    let Some(cluster) = target(backend_ref, &format!("{field}.backendRef")) else { return Ok(None) };
    let filter = Filter::Mirror(Mirror { cluster, share });
    filter.check().map_err(invalid)?;
    Ok(Some(filter))
}
