//! Placement: the nodes on which Gateways are served, by the nodes' labels.

use std::collections::BTreeMap;
use std::fmt;

use crate::ObjectName;

/// Labels of one node.
pub type Labels = BTreeMap<String, String>;

/// A condition on one label, with the meaning that it has in a Kubernetes label selector.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LabelRequirement {
    /// The label is there and has one of these values.
    In(String, Vec<String>),
    /// It has none of these values; an absent label has none.
    NotIn(String, Vec<String>),
    /// It is there.
    Exists(String),
    /// It is not there.
    DoesNotExist(String),
}

/// Conditions on a node's labels, all of which must hold; with none every node is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSelector {
    /// The conditions.
    pub requirements: Vec<LabelRequirement>,
}

/// The Gateways that are not served on every node, and the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Selectors of Gateways; one that is not in here is served everywhere.
    pub gateways: BTreeMap<ObjectName, NodeSelector>,
    /// Labels of nodes by name, only those that a selector asks for.
    pub nodes: BTreeMap<String, Labels>,
}

impl LabelRequirement {
    /// The label's key.
    pub fn key(&self) -> &str {
        match self {
            Self::In(key, _) | Self::NotIn(key, _) | Self::Exists(key) | Self::DoesNotExist(key) => key,
        }
    }

    /// True if it holds for this value of the label, `None` being an absent one.
    pub fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Self::In(_, values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(_, values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Self::Exists(_) => value.is_some(),
            Self::DoesNotExist(_) => value.is_none(),
        }
    }
}

impl NodeSelector {
    /// True if a node with these labels is selected.
    pub fn selects(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|one| one.holds(labels.get(one.key()).map(String::as_str)))
    }

    /// True if it selects every node, whatever its labels.
    pub fn is_any(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The selector of what both select.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let both = self.requirements.iter().chain(&other.requirements);
        Self { requirements: both.cloned().collect() }
    }
}

impl Placement {
    /// Placement of Gateways with these selectors among nodes with these labels.
    pub fn new<'a>(
        gateways: BTreeMap<ObjectName, NodeSelector>,
        nodes: impl IntoIterator<Item = (&'a str, &'a Labels)>,
    ) -> Self {
        if gateways.is_empty() {
            return Self::default();
        }
        let is_asked =
            |key: &str| gateways.values().flat_map(|one| &one.requirements).any(|one| one.key() == key);
        let kept = |labels: &Labels| {
            let asked = labels.iter().filter(|(key, _)| is_asked(key));
            asked.map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let nodes = nodes.into_iter().map(|(name, labels)| (name.to_owned(), kept(labels))).collect();
        Self { gateways, nodes }
    }

    /// True if every Gateway is served on every node.
    pub fn is_empty(&self) -> bool {
        self.gateways.is_empty()
    }

    /// True if a Gateway is served on the node of this name. A node whose labels nobody knows serves none that has a
    /// selector: what must not be there cannot be told from what must.
    pub fn serves(&self, gateway: &ObjectName, node: &str) -> bool {
        let Some(selector) = self.gateways.get(gateway) else { return true };
        self.nodes.get(node).is_some_and(|labels| selector.selects(labels))
    }

    /// The Gateways that are not served on the node of this name, in order.
    pub fn hidden_from<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a ObjectName> {
        let labels = self.nodes.get(node);
        let hides = move |selector: &NodeSelector| !labels.is_some_and(|labels| selector.selects(labels));
        self.gateways.iter().filter(move |(_, selector)| hides(selector)).map(|(name, _)| name)
    }

    /// True if no node that is known serves the Gateway.
    pub fn is_nowhere(&self, gateway: &ObjectName) -> bool {
        self.gateways.get(gateway).is_some_and(|one| !self.nodes.values().any(|labels| one.selects(labels)))
    }
}

/// As `kubectl --selector` writes it: `purpose=workloads,tier notin (test)`.
impl fmt::Display for NodeSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.requirements.iter().map(ToString::to_string).collect();
        f.write_str(&parts.join(","))
    }
}

impl fmt::Display for LabelRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(key, values) => match values.as_slice() {
                [only] => write!(f, "{key}={only}"),
                several => write!(f, "{key} in ({})", several.join(", ")),
            },
            Self::NotIn(key, values) => write!(f, "{key} notin ({})", values.join(", ")),
            Self::Exists(key) => f.write_str(key),
            Self::DoesNotExist(key) => write!(f, "!{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(all: &[(&str, &str)]) -> Labels {
        all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn placed(requirements: Vec<LabelRequirement>) -> Placement {
        let (a, b) = (labels(&[("tier", "edge"), ("other", "x")]), labels(&[]));
        let gateways = [(ObjectName::new("edge", "gw"), NodeSelector { requirements })];
        Placement::new(gateways.into(), [("a", &a), ("b", &b)])
    }

    #[test]
    fn a_node_that_nobody_knows_serves_no_gateway_with_a_selector() {
        let gateway = ObjectName::new("edge", "gw");
        let not_in = LabelRequirement::NotIn("tier".to_owned(), vec!["core".to_owned()]);
        let placement = placed(vec![not_in]);
        assert!(placement.serves(&gateway, "a") && placement.serves(&gateway, "b"));
        assert!(!placement.serves(&gateway, "stranger"), "its labels may be the ones that are ruled out");
        assert!(placement.serves(&ObjectName::new("edge", "other"), "stranger"));
        assert_eq!(placement.hidden_from("stranger").collect::<Vec<_>>(), [&gateway]);
        assert_eq!(placement.hidden_from("a").count(), 0);
    }

    #[test]
    fn labels_that_no_selector_asks_for_are_not_kept() {
        let placement = placed(vec![LabelRequirement::Exists("tier".to_owned())]);
        assert_eq!(placement.nodes["a"], labels(&[("tier", "edge")]));
        assert!(!placement.is_nowhere(&ObjectName::new("edge", "gw")));
        let nowhere = placed(vec![LabelRequirement::In("tier".to_owned(), vec!["core".to_owned()])]);
        assert!(nowhere.is_nowhere(&ObjectName::new("edge", "gw")));
        assert_eq!(Placement::new(BTreeMap::new(), [("a", &labels(&[]))]), Placement::default());
    }

    #[test]
    fn a_gateway_narrows_its_class_and_never_escapes_it() {
        let class = NodeSelector { requirements: vec![LabelRequirement::Exists("tier".to_owned())] };
        let own = NodeSelector {
            requirements: vec![LabelRequirement::In("zone".to_owned(), vec!["1".to_owned(), "2".to_owned()])],
        };
        let both = class.and(&own);
        assert!(both.selects(&labels(&[("tier", ""), ("zone", "2")])));
        assert!(!both.selects(&labels(&[("zone", "2")])) && !both.selects(&labels(&[("tier", "")])));
        assert_eq!(both.to_string(), "tier,zone in (1, 2)");
        assert!(NodeSelector::default().is_any() && class.and(&NodeSelector::default()) == class);
    }
}
