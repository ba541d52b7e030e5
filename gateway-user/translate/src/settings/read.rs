//! Values of GatewayConfigs in the units of settings.

use gateway_api_types::{GatewaySettings, ObjectKey};
use gateway_ir::{ListenerSettings, Setting, Unit};

use super::{SettingFault, Written};
use crate::duration::parse_millis;
use crate::reason;

/// The values of one list. One that cannot be read, which the definition's schema keeps out, is left out and told.
pub(super) fn read(
    config: &ObjectKey,
    list: &'static str,
    written: Option<&GatewaySettings>,
    faults: &mut Vec<SettingFault>,
) -> ListenerSettings {
    let mut values = ListenerSettings::default();
    let Some(written) = written else { return values };
    for setting in Setting::ALL {
        match field(written, setting) {
            Ok(value) => values.set(setting, value),
            Err(text) => {
                let place = Written { config, list, setting };
                let message = format!("{place}: {text:?} is not valid; write {}", expected(setting));
                faults.push(SettingFault { reason: reason::INVALID_VALUE, message });
            }
        }
    }
    values
}

fn expected(setting: Setting) -> &'static str {
    match setting.unit() {
        Unit::Duration => "a duration above zero, such as 30s",
        Unit::Count => "a whole number above zero",
        Unit::Switch => "true or false",
    }
}

/// One value in its unit, or its text if that is none.
fn field(all: &GatewaySettings, setting: Setting) -> Result<Option<u64>, String> {
    let duration = |text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => parse_millis(text).filter(|millis| *millis > 0).map(Some).ok_or_else(|| text.clone()),
    };
    let count = |number: Option<i64>| match number {
        None => Ok(None),
        Some(number) => u64::try_from(number).ok().filter(|one| *one > 0).map(Some).ok_or(number.to_string()),
    };
    match setting {
        Setting::ClientHeaderTimeout => duration(&all.client_header_timeout),
        Setting::ClientIdleTimeout => duration(&all.client_idle_timeout),
        Setting::ClientBodyTimeout => duration(&all.client_body_timeout),
        Setting::ClientSendTimeout => duration(&all.client_send_timeout),
        Setting::RequestTimeout => duration(&all.request_timeout),
        Setting::MaxRequestTimeout => duration(&all.max_request_timeout),
        Setting::UpstreamResponseTimeout => duration(&all.upstream_response_timeout),
        Setting::UpstreamBodyTimeout => duration(&all.upstream_body_timeout),
        Setting::GrpcIdleTimeout => duration(&all.grpc_idle_timeout),
        Setting::TunnelIdleTimeout => duration(&all.tunnel_idle_timeout),
        Setting::MaxHeaderBytes => count(all.max_header_bytes),
        Setting::MaxHeaders => count(all.max_headers),
        Setting::AccessLog => Ok(all.access_log.map(u64::from)),
    }
}
