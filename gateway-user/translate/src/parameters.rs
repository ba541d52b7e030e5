//! GatewayConfigs, which GatewayClasses and Gateways name as their parameters.
//!
//! A selector that nobody can read selects nothing: who served a Gateway everywhere instead would give its certificates to
//! nodes that were ruled out.

use std::collections::{BTreeMap, BTreeSet};

use gateway_api_types::{Gateway, GatewayClass, GatewayConfig, Kind, OWN_GROUP, ObjectKey, ResourceSet};
use gateway_ir::{Labels, ListenerSettings, NodeSelector};

use crate::diagnostics::ConfigError;
use crate::reason;
use crate::selector;
use crate::settings::{ClassSettings, GatewaySettingsState};
use crate::suggest::{self, CANDIDATES_MAX, SearchBudget};

static NO_LABELS: Labels = BTreeMap::new();

/// The parameters of a class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassParameters {
    /// The nodes that it selects.
    pub(crate) nodes: NodeSelector,
    /// Defaults and maxima of its Gateways' settings.
    pub(crate) settings: ClassSettings,
}

/// The parameters of a Gateway.
#[derive(Debug, Default)]
pub(crate) struct OwnParameters<'a> {
    /// The nodes that it selects.
    pub(crate) nodes: NodeSelector,
    /// Its GatewayConfig.
    pub(crate) config: Option<(ObjectKey, &'a GatewayConfig)>,
}

/// The parameters of a class; every node and no settings if it has none. `process` has the flags.
///
/// # Errors
/// Its parameters are missing, of a kind that is not supported, or not valid.
pub(crate) fn of_class(
    resources: &ResourceSet,
    class: &GatewayClass,
    process: &ListenerSettings,
) -> Result<ClassParameters, ConfigError> {
    let Some(parameters) = &class.spec.parameters_ref else { return Ok(ClassParameters::default()) };
    let field = "parametersRef";
    check_kind(field, &parameters.group, &parameters.kind)?;
    let Some(namespace) = &parameters.namespace else {
        let message = format!("a {} lives in a namespace; name it", Kind::GatewayConfig);
        return Err(invalid(&format!("{field}.namespace"), message));
    };
    let (key, config, nodes) = found(resources, field, ObjectKey::new(namespace, &parameters.name))?;
    Ok(ClassParameters { nodes, settings: ClassSettings::of(&key, config, process) })
}

/// The parameters of a Gateway of its own; every node and no settings if it has none.
///
/// # Errors
/// As [`of_class`].
pub(crate) fn of_gateway<'a>(
    resources: &'a ResourceSet,
    gateway: &Gateway,
) -> Result<OwnParameters<'a>, ConfigError> {
    let infrastructure = gateway.spec.infrastructure.as_ref();
    let Some(parameters) = infrastructure.and_then(|one| one.parameters_ref.as_ref()) else {
        return Ok(OwnParameters::default());
    };
    let field = "infrastructure.parametersRef";
    check_kind(field, &parameters.group, &parameters.kind)?;
    let namespace = gateway.metadata.namespace.as_deref().unwrap_or_default();
    let (key, config, nodes) = found(resources, field, ObjectKey::new(namespace, &parameters.name))?;
    Ok(OwnParameters { nodes, config: Some((key, config)) })
}

/// The parameters of a Gateway and its class, together.
#[derive(Default)]
pub(crate) struct Parameters {
    pub(crate) nodes: NodeSelector,
    pub(crate) settings: GatewaySettingsState,
}

/// The parameters of a Gateway and its class, together. `process` has the flags.
///
/// # Errors
/// As [`of_class`].
pub(crate) fn of_both(
    resources: &ResourceSet,
    gateway: &Gateway,
    class: &ClassParameters,
    process: &ListenerSettings,
) -> Result<Parameters, ConfigError> {
    let own = of_gateway(resources, gateway)?;
    let config = own.config.as_ref().map(|(key, config)| (key, *config));
    Ok(Parameters {
        nodes: class.nodes.and(&own.nodes),
        settings: class.settings.of_gateway(config, process),
    })
}

/// Names of the nodes that a Gateway may have addresses on; `None` if they are all, also if its parameters are not valid:
/// what is not served keeps its addresses.
pub(crate) fn allowed(resources: &ResourceSet, gateway: &Gateway) -> Option<BTreeSet<String>> {
    let class = resources
        .gateway_classes
        .values()
        .find(|one| one.metadata.name.as_deref() == Some(&*gateway.spec.gateway_class_name))?;
    let own = of_gateway(resources, gateway).ok()?;
    let class = of_class(resources, class, &ListenerSettings::default()).ok()?;
    let selector = class.nodes.and(&own.nodes);
    if selector.is_any() {
        return None;
    }
    let selected = nodes(resources).filter(|(_, labels)| selector.selects(labels));
    Some(selected.map(|(name, _)| name.to_owned()).collect())
}

/// Labels of every node, by name.
pub(crate) fn nodes(resources: &ResourceSet) -> impl Iterator<Item = (&str, &Labels)> {
    resources
        .nodes
        .iter()
        .map(|(key, node)| (key.name.as_str(), node.metadata.labels.as_ref().unwrap_or(&NO_LABELS)))
}

fn check_kind(field: &str, group: &str, kind: &str) -> Result<(), ConfigError> {
    let ours = Kind::GatewayConfig;
    match (kind == ours.as_str(), group == OWN_GROUP) {
        (true, true) => Ok(()),
        (true, false) => {
            let message = format!("kind {ours} is of group {OWN_GROUP}, not of {group:?}");
            Err(invalid(&format!("{field}.group"), message))
        }
        (false, _) => {
            let message = format!("kind {kind} is not supported as parameters; take parametersRef away");
            Err(invalid(field, message))
        }
    }
}

/// A GatewayConfig and the nodes that it selects.
fn found<'a>(
    resources: &'a ResourceSet,
    field: &str,
    key: ObjectKey,
) -> Result<(ObjectKey, &'a GatewayConfig, NodeSelector), ConfigError> {
    let kind = Kind::GatewayConfig;
    let Some(config) = resources.gateway_configs.get(&key) else {
        let hint =
            suggest::did_you_mean(&key.name, names(resources, &key.namespace), &SearchBudget::default());
        let message = format!("no {kind} {key}; create it, or take parametersRef away");
        return Err(invalid(&format!("{field}.name"), message).with_hint(hint));
    };
    let nodes = selector_of(config)
        .map_err(|(place, why)| invalid(field, format!("{kind} {key}: spec.nodes.{place}: {why}")))?;
    Ok((key, config, nodes))
}

fn selector_of(config: &GatewayConfig) -> Result<NodeSelector, (String, String)> {
    config.spec.nodes.as_ref().map_or_else(|| Ok(NodeSelector::default()), selector::of_nodes)
}

/// Names of one namespace for suggestions.
fn names<'a>(resources: &'a ResourceSet, namespace: &str) -> impl Iterator<Item = &'a str> {
    let here = resources.gateway_configs.range(ObjectKey::new(namespace, "")..);
    let here = here.take_while(move |(key, _)| key.namespace == namespace).take(CANDIDATES_MAX);
    here.map(|(key, _)| key.name.as_str())
}

fn invalid(field: &str, message: String) -> ConfigError {
    ConfigError::new(reason::INVALID_PARAMETERS, field, message)
}
