//! Settings of Gateways beyond the Gateway API: a Gateway's own values, else its class's defaults, within the class's maxima
//! and the process's flags (decision 300).
//!
//! A value that is too large is served as the largest that is allowed, and its Gateway is told. To refuse the Gateway would
//! stop what served before a maximum was lowered; to fall back to a default would do so to its slow requests.

mod applied;
mod read;

use std::fmt;

use gateway_api_types::{GatewayConfig, Kind, ObjectKey};
use gateway_ir::{ListenerSettings, Setting, Unit};
use serde::Serialize;

pub(crate) use self::applied::settings_applied;
use self::read::read;
use crate::reason;

/// A setting of a Gateway as it is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectiveSetting {
    /// Name of its field, such as `clientIdleTimeout`.
    pub name: &'static str,
    /// Its value as a GatewayConfig has it; `none` for no limit.
    pub value: String,
    /// Where that is written: a field of a GatewayConfig, or a flag.
    pub source: String,
}

impl EffectiveSetting {
    /// True if a GatewayConfig gives it, not the process.
    pub fn is_configured(&self) -> bool {
        self.source.starts_with(Kind::GatewayConfig.as_str())
    }
}

/// A value that is not in force as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingFault {
    /// Reason of the condition.
    pub(crate) reason: &'static str,
    /// Object, field, value, and what to do.
    pub(crate) message: String,
}

/// The settings that a class gives its Gateways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassSettings {
    config: Option<ObjectKey>,
    defaults: ListenerSettings,
    maxima: ListenerSettings,
    pub(crate) faults: Vec<SettingFault>,
}

/// The settings of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GatewaySettingsState {
    /// Settings of its listeners; the process's flags are left out.
    pub(crate) values: ListenerSettings,
    /// Every setting as it is in force.
    pub(crate) effective: Vec<EffectiveSetting>,
    pub(crate) faults: Vec<SettingFault>,
    /// True if the Gateway has values of its own.
    pub(crate) has_own: bool,
}

/// A value and the place where it is written.
struct Sourced {
    value: u64,
    source: String,
}

/// A value with its place in a GatewayConfig.
struct Written<'a> {
    config: &'a ObjectKey,
    list: &'static str,
    setting: Setting,
}

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, list, setting } = self;
        write!(f, "{} {config}: spec.{list}.{}", Kind::GatewayConfig, setting.name())
    }
}

impl ClassSettings {
    /// Those of the GatewayConfig that a class names. `process` has the flags.
    pub(crate) fn of(key: &ObjectKey, config: &GatewayConfig, process: &ListenerSettings) -> Self {
        let mut faults = Vec::new();
        let defaults = read(key, "defaults", config.spec.defaults.as_ref(), &mut faults);
        let maxima = read(key, "maxima", config.spec.maxima.as_ref(), &mut faults);
        if config.spec.settings.is_some() {
            let why = "a GatewayClass's values are spec.defaults and spec.maxima; move them there";
            faults.push(without_effect(key, "settings", why));
        }
        let class = Self { config: Some(key.clone()), defaults, maxima, faults: Vec::new() };
        for (setting, value) in class.defaults.iter() {
            let written = Written { config: key, list: "defaults", setting };
            faults.extend(above(&written, value, class.limit(setting, process).as_ref()));
        }
        Self { faults, ..class }
    }

    /// True if there are any.
    pub(crate) fn is_some(&self) -> bool {
        !self.defaults.is_empty() || !self.maxima.is_empty() || !self.faults.is_empty()
    }

    /// The largest value that a setting may have, if there is one.
    fn limit(&self, setting: Setting, process: &ListenerSettings) -> Option<Sourced> {
        let flag = setting.flag().filter(|_| setting.is_bound_by_flag());
        let flag =
            flag.zip(process.get(setting)).map(|(flag, value)| Sourced { value, source: flag.to_owned() });
        let maximum = self.config.as_ref().zip(self.maxima.get(setting)).map(|(config, value)| {
            let source = Written { config, list: "maxima", setting }.to_string();
            Sourced { value, source }
        });
        least(maximum, flag)
    }

    /// The settings of a Gateway of the class, whose own GatewayConfig is `own`.
    pub(crate) fn of_gateway(
        &self,
        own: Option<(&ObjectKey, &GatewayConfig)>,
        process: &ListenerSettings,
    ) -> GatewaySettingsState {
        let mut state = GatewaySettingsState::default();
        let mut values = ListenerSettings::default();
        if let Some((key, config)) = own.filter(|(key, _)| self.config.as_ref() != Some(*key)) {
            state.has_own = config.spec.settings.is_some();
            values = read(key, "settings", config.spec.settings.as_ref(), &mut state.faults);
            for (list, there) in [("defaults", &config.spec.defaults), ("maxima", &config.spec.maxima)] {
                if there.is_some() {
                    let why =
                        "only a GatewayClass's GatewayConfig has some; a Gateway's values are spec.settings";
                    state.faults.push(without_effect(key, list, why));
                }
            }
        }
        let mut longest = None;
        // The longest time comes before the one that it bounds.
        let order = Setting::ALL.into_iter().filter(|one| *one != Setting::MaxRequestTimeout);
        for setting in std::iter::once(Setting::MaxRequestTimeout).chain(order) {
            let mut limit = self.limit(setting, process);
            if setting == Setting::RequestTimeout {
                limit = least(limit, longest.take());
            }
            let chosen = self.chosen(setting, own.map(|(key, _)| key), &values);
            if let Some((Sourced { value, .. }, Some(config))) = &chosen {
                let written = Written { config, list: "settings", setting };
                state.faults.extend(above(&written, *value, limit.as_ref()));
            }
            let chosen = chosen.map(|(chosen, _)| chosen);
            let in_force = state.enforce((setting, self.maxima.get(setting)), chosen, limit, process);
            if setting == Setting::MaxRequestTimeout {
                longest = in_force;
            }
        }
        state.effective.sort_by_key(|one| Setting::ALL.iter().position(|setting| setting.name() == one.name));
        state
    }

    /// The value that a GatewayConfig has for a setting: the Gateway's, with that config, or the class's default.
    fn chosen<'a>(
        &self,
        setting: Setting,
        own: Option<&'a ObjectKey>,
        values: &ListenerSettings,
    ) -> Option<(Sourced, Option<&'a ObjectKey>)> {
        if let Some((config, value)) = own.zip(values.get(setting)) {
            let source = Written { config, list: "settings", setting }.to_string();
            return Some((Sourced { value, source }, Some(config)));
        }
        let (config, value) = self.config.as_ref().zip(self.defaults.get(setting))?;
        Some((Sourced { value, source: Written { config, list: "defaults", setting }.to_string() }, None))
    }
}

impl GatewaySettingsState {
    /// Notes what is in force of a setting, and gives it unless it is the process's.
    fn enforce(
        &mut self,
        (setting, maximum): (Setting, Option<u64>),
        chosen: Option<Sourced>,
        limit: Option<Sourced>,
        process: &ListenerSettings,
    ) -> Option<Sourced> {
        let flag = || {
            let value = process.get(setting)?;
            Some(Sourced { value, source: setting.flag().unwrap_or_default().to_owned() })
        };
        let is_flag = |one: &Sourced| one.source.starts_with("--");
        let in_force = least(chosen.or_else(flag), limit);
        let value = in_force.as_ref().map_or_else(|| "none".to_owned(), |one| setting.text(one.value));
        let source = in_force.as_ref().map(|one| one.source.clone());
        let source = source.unwrap_or_else(|| setting.flag().unwrap_or("no maximum").to_owned());
        self.effective.push(EffectiveSetting { name: setting.name(), value, source });
        // A node whose flag is another one has the class's maximum all the same.
        let beside_flag =
            maximum.zip(in_force.as_ref()).map(|(maximum, one)| match setting.is_bound_by_flag() {
                true => maximum,
                false => one.value,
            });
        let own = in_force.filter(|one| !is_flag(one));
        self.values.set(setting, own.as_ref().map(|one| one.value).or(beside_flag));
        own
    }
}

/// The smaller one; the first if both are alike.
fn least(a: Option<Sourced>, b: Option<Sourced>) -> Option<Sourced> {
    a.into_iter().chain(b).min_by_key(|one| one.value)
}

/// Says that a value is above the largest that is allowed, if it is.
fn above(written: &Written<'_>, value: u64, limit: Option<&Sourced>) -> Option<SettingFault> {
    let limit = limit.filter(|limit| value > limit.value)?;
    let [value, most] = [value, limit.value].map(|value| written.setting.text(value));
    let source = &limit.source;
    let message = match written.setting.unit() {
        Unit::Switch => format!(
            "{written}: {value} is not allowed ({source}); {most} is in force; take the field away, or have it allowed there"
        ),
        Unit::Duration | Unit::Count => format!(
            "{written}: {value} is above {most}, the maximum ({source}); {most} is in force; write {most} or less, or have \
             the maximum raised"
        ),
    };
    Some(SettingFault { reason: reason::ABOVE_MAXIMUM, message })
}

fn without_effect(config: &ObjectKey, list: &str, why: &str) -> SettingFault {
    let message = format!("{} {config}: spec.{list} has no effect: {why}", Kind::GatewayConfig);
    SettingFault { reason: reason::WITHOUT_EFFECT, message }
}
