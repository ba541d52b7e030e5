//! The condition that tells of settings.

use gateway_api_types::{Condition, ConditionStatus};

use super::SettingFault;
use crate::reason::{self, condition, kind};

/// `sluice.dev/SettingsApplied` of a Gateway or a class whose GatewayConfigs have settings.
pub(crate) fn settings_applied(faults: &[SettingFault], generation: Option<i64>) -> Condition {
    let (status, reason, message) = match faults.first() {
        Some(first) => {
            let messages = faults.iter().map(|fault| &fault.message);
            (ConditionStatus::False, first.reason, reason::list(messages))
        }
        None => (ConditionStatus::True, reason::APPLIED, "every setting is in force as written".to_owned()),
    };
    condition(kind::SETTINGS_APPLIED, status, reason, message, generation)
}
