//! Settings of one listener: its Gateway's own, within the process's.

use std::time::Duration;

use gateway_http::h1::RequestError;
use gateway_http::head::RequestParts;
use gateway_ir::{ListenerSettings, Setting};

use crate::Reason;
use crate::timeouts::Timeouts;

/// The settings that hold for the requests of a listener, and for connections that are known to be for it.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Time limits.
    pub(crate) timeouts: Timeouts,
    /// The longest time of a request, whatever its rule sets; zero is none.
    pub(crate) max_request: Duration,
    /// Limits of a request's head beyond those that it was read by; `None` if there are no others.
    head: Option<HeadBounds>,
    /// Requests are written to the access log.
    pub(crate) access_log: bool,
}

/// Bounds on a head.
#[derive(Debug)]
struct HeadBounds {
    bytes: usize,
    fields: usize,
}

impl Settings {
    /// Those of a listener with these settings of its own, in a process with these time-outs, and with an access log or none.
    pub(crate) fn of(mut timeouts: Timeouts, access_log: bool, own: &ListenerSettings) -> Self {
        let within = |limit: &mut Duration, setting: Setting| {
            if let Some(millis) = own.get(setting) {
                *limit = (*limit).min(Duration::from_millis(millis));
            }
        };
        within(&mut timeouts.client_header, Setting::ClientHeaderTimeout);
        within(&mut timeouts.client_idle, Setting::ClientIdleTimeout);
        within(&mut timeouts.client_body, Setting::ClientBodyTimeout);
        within(&mut timeouts.client_send, Setting::ClientSendTimeout);
        within(&mut timeouts.response_header, Setting::UpstreamResponseTimeout);
        within(&mut timeouts.upstream_idle_body, Setting::UpstreamBodyTimeout);
        within(&mut timeouts.grpc_idle, Setting::GrpcIdleTimeout);
        within(&mut timeouts.tunnel_idle, Setting::TunnelIdleTimeout);
        let millis = |setting| own.get(setting).map(Duration::from_millis);
        timeouts.request = millis(Setting::RequestTimeout).unwrap_or(timeouts.request);
        let count = |setting| own.get(setting).map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let (bytes, fields) = (count(Setting::MaxHeaderBytes), count(Setting::MaxHeaders));
        let head = (bytes.is_some() || fields.is_some())
            .then(|| HeadBounds { bytes: bytes.unwrap_or(usize::MAX), fields: fields.unwrap_or(usize::MAX) });
        Self {
            timeouts,
            max_request: millis(Setting::MaxRequestTimeout).unwrap_or_default(),
            head,
            access_log: access_log && own.get(Setting::AccessLog) != Some(0),
        }
    }

    /// The time from a request's head to the end of its response, for a rule with this limit; zero is none.
    pub(crate) fn request_limit(&self, of_rule: Option<Duration>) -> Duration {
        let limit = of_rule.unwrap_or(self.timeouts.request);
        match (limit.is_zero(), self.max_request.is_zero()) {
            (_, true) => limit,
            (true, false) => self.max_request,
            (false, false) => limit.min(self.max_request),
        }
    }

    /// Checks a head that the process's limits have let through: only now is it known for which listener it is.
    ///
    /// # Errors
    /// It is larger than the listener's settings allow.
    pub(crate) fn check_head(&self, request: &RequestParts<'_>) -> Result<(), Reason> {
        let Some(bounds) = &self.head else { return Ok(()) };
        let (fields, bytes) = size(request);
        match (bytes > bounds.bytes, fields > bounds.fields) {
            (true, _) => Err(Reason::Request(RequestError::HeadTooLarge)),
            (_, true) => Err(Reason::Request(RequestError::TooManyHeaders)),
            (false, false) => Ok(()),
        }
    }
}

/// Number of a head's fields, and its bytes as HTTP/1.1 writes it with one space after each colon.
fn size(request: &RequestParts<'_>) -> (usize, usize) {
    const REQUEST_LINE: usize = "  HTTP/1.1\r\n".len();
    let query = request.query.map_or(0, |query| query.len() + 1);
    let line = request.method_token.len() + request.path.len() + query + REQUEST_LINE;
    let field =
        |(count, bytes), (name, value): (usize, usize)| (count + 1, bytes + name + value + ": \r\n".len());
    let fields = request.fields.iter().map(|field| (field.name.len(), field.value.len()));
    fields.fold((0, line + "\r\n".len()), field)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(all: &[(Setting, u64)]) -> ListenerSettings {
        let mut own = ListenerSettings::default();
        all.iter().for_each(|(setting, value)| own.set(*setting, Some(*value)));
        own
    }

    #[test]
    fn a_listener_is_within_the_process() {
        let process = Timeouts::default();
        let both = [(Setting::ClientIdleTimeout, 5_000), (Setting::ClientHeaderTimeout, 3_600_000)];
        let settings = Settings::of(process, true, &own(&both));
        assert_eq!(settings.timeouts.client_idle, Duration::from_secs(5));
        assert_eq!(settings.timeouts.client_header, process.client_header, "the flag is the bound");
        assert_eq!(settings.timeouts.client_body, process.client_body);
        assert!(
            settings.access_log && !Settings::of(process, true, &own(&[(Setting::AccessLog, 0)])).access_log
        );
        assert!(!Settings::of(process, false, &own(&[(Setting::AccessLog, 1)])).access_log);
    }

    #[test]
    fn the_longest_time_bounds_what_rules_set() {
        let process = Timeouts::default();
        let second = Duration::from_secs(1);
        let plain = Settings::of(process, true, &own(&[(Setting::RequestTimeout, 5_000)]));
        assert_eq!(
            [None, Some(9 * second), Some(Duration::ZERO)].map(|rule| plain.request_limit(rule)),
            [5 * second, 9 * second, Duration::ZERO]
        );
        let bounded = Settings::of(process, true, &own(&[(Setting::MaxRequestTimeout, 4_000)]));
        let limits = [None, Some(9 * second), Some(Duration::ZERO), Some(second)]
            .map(|rule| bounded.request_limit(rule));
        assert_eq!(limits, [4 * second, 4 * second, 4 * second, second]);
    }
}
