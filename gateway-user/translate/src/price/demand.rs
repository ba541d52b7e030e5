//! The expressions that a route writes.

use gateway_api_types::{MatchType, PathMatchType};

use crate::route::{MatchSpec, RuleSpec};

/// The part of a request that an expression is matched with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Subject {
    Path,
    /// By name in lower case.
    Header(String),
    Query(String),
}

/// One rule's expressions that are matched, each once for each part of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    /// The rule's index in its route.
    pub(crate) rule: usize,
    pub(crate) expressions: Vec<(Subject, String)>,
}

/// Every expression that a route writes, in order, with its rule and what it is matched with. Of several
/// headers or parameters of one name only the first counts.
pub(super) fn expressions<'a>(rules: &'a [RuleSpec<'_>]) -> impl Iterator<Item = (usize, Subject, &'a str)> {
    rules.iter().enumerate().flat_map(|(index, rule)| {
        rule.matches.iter().flat_map(of_match).map(move |(subject, text)| (index, subject, text))
    })
}

fn of_match<'a>(spec: &'a MatchSpec<'_>) -> Vec<(Subject, &'a str)> {
    let mut all = Vec::new();
    if spec.path_type == PathMatchType::RegularExpression {
        all.push((Subject::Path, &*spec.path));
    }
    let mut names: Vec<String> = Vec::new();
    for header in spec.headers.iter() {
        let name = header.name.to_ascii_lowercase();
        if !names.contains(&name) {
            names.push(name.clone());
            if header.type_ == MatchType::RegularExpression {
                all.push((Subject::Header(name), &header.value));
            }
        }
    }
    let mut names: Vec<&str> = Vec::new();
    for param in spec.query {
        if !names.contains(&param.name.as_str()) {
            names.push(&param.name);
            if param.type_ == MatchType::RegularExpression {
                all.push((Subject::Query(param.name.clone()), &param.value));
            }
        }
    }
    all
}

impl Demand {
    /// The demands of a route on requests, but for expressions that are refused.
    pub(crate) fn of(rules: &[RuleSpec<'_>], is_refused: impl Fn(&str) -> bool) -> Box<[Self]> {
        let mut demands: Vec<Self> = Vec::new();
        for (rule, subject, text) in expressions(rules).filter(|(_, _, text)| !is_refused(text)) {
            let pair = (subject, text.to_owned());
            match demands.last_mut().filter(|demand| demand.rule == rule) {
                Some(demand) if demand.expressions.contains(&pair) => {}
                Some(demand) => demand.expressions.push(pair),
                None => demands.push(Self { rule, expressions: vec![pair] }),
            }
        }
        demands.into()
    }
}
