//! `rules[].matches`: what a request must look like.

use gateway_api_types::{HttpHeaderMatch, HttpQueryParamMatch, MatchType, PathMatchType};
use gateway_ir::{HeaderMatch, PathMatch, QueryMatch, RouteMatch, StringMatch};

use crate::diagnostics::ConfigError;
use crate::reason;
use crate::route::MatchSpec;

/// The use of an expression, by its text.
pub(crate) type CheckExpression<'a> = &'a dyn Fn(&str) -> ExpressionUse;

/// The use of an expression.
pub(crate) enum ExpressionUse {
    Used,
    /// Not, for this reason.
    Refused(String),
    /// Not, and the rule has said why.
    RefusedWithRule,
}

/// Translates the matches of a rule, and says what is wrong with them. The rule responds 500 if anything is wrong; what it matches then are the requests that it
/// can have been meant for: a match whose path cannot be understood is left out, for any guess would take
/// requests from others, and an expression for a value that cannot be used stands for any value.
pub(crate) fn matches(
    spec: &[MatchSpec<'_>],
    field: &str,
    judge: CheckExpression<'_>,
) -> (Vec<RouteMatch>, Vec<ConfigError>) {
    // Nearly all are good, and what is made of them is kept: no room for more.
    let (mut good, mut bad) = (Vec::with_capacity(spec.len()), Vec::new());
    for (index, one) in spec.iter().enumerate() {
        let mut errors = MatchErrors { judge, first: None };
        good.extend(errors.one_match(one, &format!("{field}.matches[{index}]")));
        bad.extend(errors.first);
    }
    (good, bad)
}

/// Translates one match and keeps the first thing that is wrong with it.
struct MatchErrors<'a> {
    judge: CheckExpression<'a>,
    first: Option<ConfigError>,
}

impl MatchErrors<'_> {
    fn one_match(&mut self, spec: &MatchSpec<'_>, field: &str) -> Option<RouteMatch> {
        Some(RouteMatch {
            path: self.path(spec, field)?,
            method: spec.method.map(str::to_owned),
            headers: self.headers(&spec.headers, field),
            query: self.query(spec.query, field),
            grpc: spec.grpc.clone(),
        })
    }

    fn path(&mut self, spec: &MatchSpec<'_>, field: &str) -> Option<PathMatch> {
        let field = format!("{field}.{}", spec.path_field);
        let path = &*spec.path;
        if spec.path_type == PathMatchType::RegularExpression {
            return self.is_used(path, field).then(|| PathMatch::Regex(path.to_owned()));
        }
        if let Err(why) = check_path(path) {
            self.add(field, why);
            return None;
        }
        Some(match spec.path_type {
            PathMatchType::Exact => PathMatch::Exact(path.to_owned()),
            _ => PathMatch::Prefix(path.to_owned()),
        })
    }

    /// Of several headers of one name, whatever its case, only the first counts.
    fn headers(&mut self, spec: &[HttpHeaderMatch], field: &str) -> Vec<HeaderMatch> {
        let mut translated: Vec<HeaderMatch> = Vec::new();
        for (index, header) in spec.iter().enumerate() {
            let name = header.name.to_ascii_lowercase();
            if translated.iter().all(|other| other.name != name) {
                let field = format!("{field}.headers[{index}].value");
                translated.push(HeaderMatch { name, value: self.value(header.type_, &header.value, field) });
            }
        }
        translated
    }

    /// Of several parameters of one name only the first counts; names compare with case.
    fn query(&mut self, spec: &[HttpQueryParamMatch], field: &str) -> Vec<QueryMatch> {
        let mut translated: Vec<QueryMatch> = Vec::new();
        for (index, parameter) in spec.iter().enumerate() {
            if translated.iter().all(|other| other.name != parameter.name) {
                let field = format!("{field}.queryParams[{index}].value");
                let value = self.value(parameter.type_, &parameter.value, field);
                translated.push(QueryMatch { name: parameter.name.clone(), value });
            }
        }
        translated
    }

    fn value(&mut self, type_: MatchType, text: &str, field: String) -> StringMatch {
        match type_ {
            MatchType::Exact => StringMatch::Exact(text.to_owned()),
            MatchType::RegularExpression if self.is_used(text, field) => StringMatch::Regex(text.to_owned()),
            MatchType::RegularExpression => StringMatch::Present,
        }
    }

    fn is_used(&mut self, text: &str, field: String) -> bool {
        match (self.judge)(text) {
            ExpressionUse::Used => return true,
            ExpressionUse::Refused(why) => self.add(field, why),
            ExpressionUse::RefusedWithRule => {}
        }
        false
    }

    fn add(&mut self, field: String, why: String) {
        self.first.get_or_insert_with(|| ConfigError::new(reason::UNSUPPORTED_VALUE, field, why));
    }
}

/// The CEL rules of `HTTPPathMatch`: the API server applies them, but only from the CRD version that has them
/// on.
fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("{path:?} must begin with \"/\""));
    }
    let lower = path.to_ascii_lowercase();
    let inside = ["//", "/./", "/../", "%2f", "#"].into_iter().find(|part| lower.contains(part));
    let at_end = ["/.", "/.."].into_iter().find(|part| lower.ends_with(part));
    match inside.or(at_end) {
        Some(part) => Err(format!("{path:?} must not contain {part:?}: no request has such a path here")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_held_to_the_rules_of_the_crd() {
        for good in ["/", "/a", "/a/", "/a.b/..c/%20", "/.well-known"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        for bad in ["", "a", "//", "/a//b", "/a/./b", "/a/../b", "/%2f", "/%2Fa", "/a#b", "/a/..", "/a/."] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_equal_names_the_first_counts() {
        let header = |name: &str, value: &str| HttpHeaderMatch {
            type_: MatchType::Exact,
            name: name.into(),
            value: value.into(),
        };
        let mut errors = MatchErrors { judge: &|_| ExpressionUse::Used, first: None };
        let translated = errors.headers(&[header("X-A", "1"), header("x-a", "2"), header("x-b", "3")], "f");
        let seen: Vec<_> = translated.iter().map(|h| (h.name.as_str(), &h.value)).collect();
        assert_eq!(
            seen,
            [("x-a", &StringMatch::Exact("1".into())), ("x-b", &StringMatch::Exact("3".into()))]
        );
        let parameter = |name: &str, value: &str| HttpQueryParamMatch {
            type_: MatchType::Exact,
            name: name.into(),
            value: value.into(),
        };
        let names: Vec<_> = errors
            .query(&[parameter("a", "1"), parameter("A", "2"), parameter("a", "3")], "f")
            .into_iter()
            .map(|q| q.name)
            .collect();
        assert_eq!(names, ["a", "A"], "parameter names have case");
    }
}
