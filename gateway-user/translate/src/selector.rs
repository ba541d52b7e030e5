//! Label selectors (`metav1.LabelSelector`), checked: every requirement has a known operator and as many values as that
//! takes.

use std::collections::BTreeMap;
use std::fmt;

use gateway_api_types::{LabelSelector, LabelSelectorRequirement};
use gateway_ir::{LabelRequirement, NodeSelector};

use crate::suggest::{self, SearchBudget};

/// The label that the API server puts on every namespace; files need not repeat it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// A selector of namespaces.
#[derive(Clone, Debug)]
pub(crate) struct Selector(NodeSelector);

/// Checks a selector. No requirement at all selects everything.
///
/// # Errors
/// The place below the selector and what is wrong there: the CRDs take any operator and any number of
/// values.
pub(crate) fn of_nodes(spec: &LabelSelector) -> Result<NodeSelector, (String, String)> {
    let labels =
        spec.match_labels.iter().map(|(key, value)| LabelRequirement::In(key.clone(), vec![value.clone()]));
    let mut requirements: Vec<_> = labels.collect();
    for (index, expression) in spec.match_expressions.iter().enumerate() {
        let checked =
            requirement(expression).map_err(|message| (format!("matchExpressions[{index}]"), message))?;
        requirements.push(checked);
    }
    Ok(NodeSelector { requirements })
}

/// True if a selector selects a namespace of this name and with these labels. One that is not valid selects none.
pub fn selects(selector: &LabelSelector, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
    Selector::new(selector).is_ok_and(|selector| selector.selects(namespace, labels))
}

impl Selector {
    /// As [`of_nodes`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn new(spec: &LabelSelector) -> Result<Self, (String, String)> {
        of_nodes(spec).map(Self)
    }

    /// True if a namespace of this name and with these labels is selected.
    pub(crate) fn selects(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.unmet(namespace, labels).next().is_none()
    }

    /// Each requirement that keeps such a namespace from being selected, in a clause: the label, its value, and the value asked for.
    pub(crate) fn unmet<'a>(
        &'a self,
        namespace: &'a str,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = String> + 'a {
        let label = move |key: &str| {
            labels.get(key).map(String::as_str).or_else(|| (key == NAME_LABEL).then_some(namespace))
        };
        self.0.requirements.iter().filter_map(move |one| {
            let value = label(one.key());
            (!one.holds(value)).then(|| clause(one, value))
        })
    }
}

/// A requirement that does not hold for this value of its label.
fn clause(requirement: &LabelRequirement, value: Option<&str>) -> String {
    let key = requirement.key();
    let is =
        value.map_or_else(|| format!("label {key} is missing"), |value| format!("label {key} is {value:?}"));
    let quoted = |values: &[String]| {
        let all: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
        all.join(" or ")
    };
    match requirement {
        LabelRequirement::In(_, values) => format!("{is}, and must be {}", quoted(values)),
        LabelRequirement::NotIn(_, values) => format!("{is}, and must not be {}", quoted(values)),
        LabelRequirement::Exists(_) => format!("{is}, and must be there"),
        LabelRequirement::DoesNotExist(_) => format!("{is}, and must not be there"),
    }
}

fn requirement(spec: &LabelSelectorRequirement) -> Result<LabelRequirement, String> {
    let (key, values) = (spec.key.clone(), spec.values.clone());
    match (spec.operator.as_str(), values.is_empty()) {
        ("In", false) => Ok(LabelRequirement::In(key, values)),
        ("NotIn", false) => Ok(LabelRequirement::NotIn(key, values)),
        ("Exists", true) => Ok(LabelRequirement::Exists(key)),
        ("DoesNotExist", true) => Ok(LabelRequirement::DoesNotExist(key)),
        ("In" | "NotIn", true) => Err(format!("operator {} needs at least one value", spec.operator)),
        ("Exists" | "DoesNotExist", false) => {
            Err(format!("operator {} takes no values; leave them out", spec.operator))
        }
        (other, _) => Err(format!(
            "operator {other:?} is not one of In, NotIn, Exists, DoesNotExist{}",
            suggest::did_you_mean(other, ["In", "NotIn", "Exists", "DoesNotExist"], &SearchBudget::default())
        )),
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_keep_a_namespace_out_are_named_with_their_values() {
        let mut selector = expression("stage", "NotIn", &["test", "old"]);
        selector.match_labels.insert("gateway".into(), "shared".into());
        let unmet = |labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Selector::new(&selector).unwrap().unmet("team1", &labels).collect::<Vec<_>>()
        };
        assert_eq!(unmet(&[]), ["label gateway is missing, and must be \"shared\""]);
        assert_eq!(
            unmet(&[("gateway", "own"), ("stage", "test")]),
            [
                "label gateway is \"own\", and must be \"shared\"",
                "label stage is \"test\", and must not be \"test\" or \"old\"",
            ]
        );
    }

    fn selects(selector: &LabelSelector, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Selector::new(selector).unwrap().selects("team1", &labels)
    }

    fn expression(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        let requirement = LabelSelectorRequirement { key: key.into(), operator: operator.into(), values };
        LabelSelector { match_expressions: vec![requirement], ..Default::default() }
    }

    #[test]
    fn operators_hold_as_in_kubernetes() {
        let cases = [
            (expression("a", "In", &["1", "2"]), vec![("a", "2")], true),
            (expression("a", "In", &["1", "2"]), vec![("a", "3")], false),
            (expression("a", "In", &["1"]), vec![], false),
            (expression("a", "NotIn", &["1"]), vec![("a", "1")], false),
            (expression("a", "NotIn", &["1"]), vec![("a", "2")], true),
            (expression("a", "NotIn", &["1"]), vec![], true),
            (expression("a", "Exists", &[]), vec![("a", "")], true),
            (expression("a", "Exists", &[]), vec![], false),
            (expression("a", "DoesNotExist", &[]), vec![], true),
            (expression("a", "DoesNotExist", &[]), vec![("a", "")], false),
            (LabelSelector::default(), vec![], true),
            (expression(NAME_LABEL, "In", &["team1"]), vec![], true),
            (expression(NAME_LABEL, "In", &["team2"]), vec![], false),
        ];
        for (selector, labels, want) in cases {
            assert_eq!(selects(&selector, &labels), want, "{selector:?} on {labels:?}");
        }
    }

    #[test]
    fn every_requirement_must_hold() {
        let mut selector = expression("tier", "In", &["edge"]);
        selector.match_labels.insert("purpose".into(), "workloads".into());
        assert!(selects(&selector, &[("tier", "edge"), ("purpose", "workloads")]));
        assert!(!selects(&selector, &[("tier", "edge")]));
        assert!(!selects(&selector, &[("purpose", "workloads")]));
    }

    #[test]
    fn malformed_requirements_name_their_place() {
        for (operator, values) in
            [("In", &[][..]), ("NotIn", &[]), ("Exists", &["x"]), ("DoesNotExist", &["x"]), ("in", &["x"])]
        {
            let (place, message) = Selector::new(&expression("a", operator, values)).unwrap_err();
            assert_eq!(place, "matchExpressions[0]");
            assert!(message.contains(operator), "{message}");
        }
    }
}
