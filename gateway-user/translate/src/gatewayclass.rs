//! GatewayClasses: which are ours, and whether we can serve what they ask for.

use std::collections::BTreeMap;

use gateway_api_types::{ConditionStatus, GatewayClass, GatewayClassStatus};

use crate::Severity;
use crate::diagnostics::{ConfigError, Diagnostics};
use crate::features::{self, Support};
use crate::parameters::{self, ClassParameters};
use crate::reason::{self, condition, kind};
use crate::settings::settings_applied;
use crate::view::View;
use crate::{TranslateOptions, view};

/// The state of a GatewayClass.
pub(crate) enum ClassState {
    /// Another controller's.
    Foreign,
    /// Ours, and its parameters.
    Accepted(Box<ClassParameters>),
    /// Ours, but it asks for something we do not do.
    Refused(ConfigError),
}

/// Every class by name.
pub(crate) struct Classes {
    pub(crate) states: BTreeMap<String, ClassState>,
    pub(crate) status: BTreeMap<String, GatewayClassStatus>,
}

/// Classes are ours by `spec.controllerName`; the status of others is not ours to write.
pub(crate) fn evaluate(
    view: &View<'_>,
    options: &TranslateOptions,
    diagnostics: &mut Diagnostics,
) -> Classes {
    let mut classes = Classes { states: BTreeMap::new(), status: BTreeMap::new() };
    let support = features::of(view.resources.installed.as_deref());
    for class in view.gateway_classes() {
        let name = class.metadata.name.clone().unwrap_or_default();
        let state = decide(view, class, options);
        if let ClassState::Refused(error) = &state {
            diagnostics.error(&view::class_ref(&name), error);
        }
        if let ClassState::Accepted(parameters) = &state {
            for fault in &parameters.settings.faults {
                diagnostics.push(Severity::Error, &view::class_ref(&name), "parametersRef", &fault.message);
            }
        }
        if let Some(status) = status(class, &state, &support) {
            if let Err(why) = &support.version {
                diagnostics.push(Severity::Warning, &view::class_ref(&name), "", why);
            }
            classes.status.insert(name.clone(), status);
        }
        classes.states.insert(name, state);
    }
    classes
}

fn decide(view: &View<'_>, class: &GatewayClass, options: &TranslateOptions) -> ClassState {
    if class.spec.controller_name != options.controller_name {
        return ClassState::Foreign;
    }
    match parameters::of_class(view.resources, class, &options.settings) {
        Ok(parameters) => ClassState::Accepted(Box::new(parameters)),
        Err(error) => ClassState::Refused(error),
    }
}

fn status(class: &GatewayClass, state: &ClassState, support: &Support) -> Option<GatewayClassStatus> {
    let generation = class.metadata.generation;
    let accepted = match state {
        ClassState::Foreign => return None,
        ClassState::Accepted(_) => condition(
            kind::ACCEPTED,
            ConditionStatus::True,
            reason::ACCEPTED,
            "Gateways of this class are served",
            generation,
        ),
        ClassState::Refused(error) => {
            condition(kind::ACCEPTED, ConditionStatus::False, error.reason, error.to_string(), generation)
        }
    };
    let (holds, reason, message) = match &support.version {
        Ok(version) => (
            ConditionStatus::True,
            reason::SUPPORTED_VERSION,
            format!("the definitions of Gateway API {version} are supported"),
        ),
        Err(why) => (ConditionStatus::False, reason::UNSUPPORTED_VERSION, why.clone()),
    };
    let version = condition(kind::SUPPORTED_VERSION, holds, reason, message, generation);
    let settings = match state {
        ClassState::Accepted(parameters) if parameters.settings.is_some() => {
            Some(settings_applied(&parameters.settings.faults, generation))
        }
        _ => None,
    };
    Some(GatewayClassStatus {
        conditions: [accepted, version].into_iter().chain(settings).collect(),
        supported_features: support.features.clone(),
    })
}
