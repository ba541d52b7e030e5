//! Settings of a listener beyond the Gateway API: the values of GatewayConfigs (decision 300).

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A setting that a GatewayConfig may have. Each is a flag of the process as well, unless [`Self::flag`] says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Setting {
    /// From the first byte of a request until its head is complete.
    ClientHeaderTimeout,
    /// Between two requests of a connection.
    ClientIdleTimeout,
    /// Silence of a client in the middle of a request's body.
    ClientBodyTimeout,
    /// Time in which a client takes no byte of its response.
    ClientSendTimeout,
    /// From a request's head to the end of its response, where its route sets no `timeouts.request`.
    RequestTimeout,
    /// The same at most, whatever its route sets.
    MaxRequestTimeout,
    /// From the request sent to the end of the backend's response head.
    UpstreamResponseTimeout,
    /// Silence of a backend in the middle of a response's body.
    UpstreamBodyTimeout,
    /// Silence of either side of a gRPC call.
    GrpcIdleTimeout,
    /// Silence of both sides of an upgraded connection.
    TunnelIdleTimeout,
    /// Bytes of a request's head.
    MaxHeaderBytes,
    /// Fields of a request's head.
    MaxHeaders,
    /// Lines in the access log.
    AccessLog,
}

/// The unit of a [`Setting`]'s value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Milliseconds; written as a Gateway API duration (GEP-2257).
    Duration,
    /// A number of bytes or fields.
    Count,
    /// 1 is on, 0 is off.
    Switch,
}

impl Setting {
    /// Every setting, in the order in which they are listed.
    pub const ALL: [Self; 13] = [
        Self::ClientHeaderTimeout,
        Self::ClientIdleTimeout,
        Self::ClientBodyTimeout,
        Self::ClientSendTimeout,
        Self::RequestTimeout,
        Self::MaxRequestTimeout,
        Self::UpstreamResponseTimeout,
        Self::UpstreamBodyTimeout,
        Self::GrpcIdleTimeout,
        Self::TunnelIdleTimeout,
        Self::MaxHeaderBytes,
        Self::MaxHeaders,
        Self::AccessLog,
    ];

    /// Name of its field in a GatewayConfig.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientHeaderTimeout => "clientHeaderTimeout",
            Self::ClientIdleTimeout => "clientIdleTimeout",
            Self::ClientBodyTimeout => "clientBodyTimeout",
            Self::ClientSendTimeout => "clientSendTimeout",
            Self::RequestTimeout => "requestTimeout",
            Self::MaxRequestTimeout => "maxRequestTimeout",
            Self::UpstreamResponseTimeout => "upstreamResponseTimeout",
            Self::UpstreamBodyTimeout => "upstreamBodyTimeout",
            Self::GrpcIdleTimeout => "grpcIdleTimeout",
            Self::TunnelIdleTimeout => "tunnelIdleTimeout",
            Self::MaxHeaderBytes => "maxHeaderBytes",
            Self::MaxHeaders => "maxHeaders",
            Self::AccessLog => "accessLog",
        }
    }

    /// The flag of the process that is its value where no GatewayConfig has one; `None` if there is no such flag.
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Self::ClientHeaderTimeout => Some("--client-header-timeout"),
            Self::ClientIdleTimeout => Some("--client-idle-timeout"),
            Self::ClientBodyTimeout => Some("--client-body-timeout"),
            Self::ClientSendTimeout => Some("--client-send-timeout"),
            Self::RequestTimeout => Some("--request-timeout"),
            Self::MaxRequestTimeout => None,
            Self::UpstreamResponseTimeout => Some("--upstream-response-timeout"),
            Self::UpstreamBodyTimeout => Some("--upstream-body-timeout"),
            Self::GrpcIdleTimeout => Some("--grpc-idle-timeout"),
            Self::TunnelIdleTimeout => Some("--tunnel-idle-timeout"),
            Self::MaxHeaderBytes => Some("--max-header-bytes"),
            Self::MaxHeaders => Some("--max-headers"),
            Self::AccessLog => Some("--access-log"),
        }
    }

    /// True if the flag is a bound as well. `--request-timeout` is none: a route may set a longer time, so a Gateway may.
    pub fn is_bound_by_flag(self) -> bool {
        self != Self::RequestTimeout && self.flag().is_some()
    }

    /// The unit of its value.
    pub fn unit(self) -> Unit {
        match self {
            Self::MaxHeaderBytes | Self::MaxHeaders => Unit::Count,
            Self::AccessLog => Unit::Switch,
            _ => Unit::Duration,
        }
    }

    /// A value as a GatewayConfig has it: `1m30s`, `16384`, `false`.
    pub fn text(self, value: u64) -> String {
        match self.unit() {
            Unit::Duration => duration_text(value),
            Unit::Count => value.to_string(),
            Unit::Switch => (value != 0).to_string(),
        }
    }

    /// The setting of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Milliseconds as GEP-2257 writes them.
fn duration_text(millis: u64) -> String {
    let parts = [
        (millis / 3_600_000, "h"),
        (millis / 60_000 % 60, "m"),
        (millis / 1_000 % 60, "s"),
        (millis % 1_000, "ms"),
    ];
    let text: String =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// The values of some settings; those that are absent are the process's. None is more than the class's maximum.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ListenerSettings([Option<u64>; Setting::ALL.len()]);

impl ListenerSettings {
    /// The value of a setting, in its [`Unit`].
    pub fn get(&self, setting: Setting) -> Option<u64> {
        self.0.get(setting as usize).copied().flatten()
    }

    /// Gives a setting a value, or takes it away.
    pub fn set(&mut self, setting: Setting, value: Option<u64>) {
        if let Some(place) = self.0.get_mut(setting as usize) {
            *place = value;
        }
    }

    /// True if every setting is the process's.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Those that have a value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Setting, u64)> + '_ {
        Setting::ALL.into_iter().filter_map(|setting| Some((setting, self.get(setting)?)))
    }

    /// The largest value of each setting among several listeners, the process's counting as larger than any: the settings
    /// of a connection whose listener is not known yet, so that none of them cuts another one's clients.
    pub fn widest<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let wider = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a.max(b));
        let both = |a: Self, b: &Self| {
            let mut widest = Self::default();
            for setting in Setting::ALL {
                widest.set(setting, wider(a.get(setting), b.get(setting)));
            }
            widest
        };
        let mut all = all.into_iter();
        all.next().map_or_else(Self::default, |first| all.fold(*first, both))
    }
}

/// `{clientIdleTimeout: 5s, accessLog: false}`.
impl fmt::Debug for ListenerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(setting, value)| (setting.name(), setting.text(value))))
            .finish()
    }
}

/// A map by name: `{"clientIdleTimeout": 5000}`.
impl Serialize for ListenerSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|(setting, value)| (setting.name(), value)))
    }
}

/// Names that this version does not know are passed over: a setting narrows what the process allows, so a node of an older
/// version that serves without it opens nothing.
impl<'de> Deserialize<'de> for ListenerSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ByName;

        impl<'de> Visitor<'de> for ByName {
            type Value = ListenerSettings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("settings by their names")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ListenerSettings, M::Error> {
                let mut settings = ListenerSettings::default();
                while let Some(name) = map.next_key::<String>()? {
                    match Setting::named(&name) {
                        Some(setting) => settings.set(setting, Some(map.next_value()?)),
                        None => drop(map.next_value::<serde::de::IgnoredAny>()?),
                    }
                }
                Ok(settings)
            }
        }

        deserializer.deserialize_map(ByName)
    }
}

#[cfg(test)]
mod tests;
