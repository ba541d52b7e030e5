//! `rules[].matches`: what a request must look like.

use gateway_api_types::{
    HttpHeaderMatch, HttpPathMatch, HttpQueryParamMatch, HttpRouteMatch, MatchType, PathMatchType,
};
use gateway_ir::{HeaderMatch, PathMatch, QueryMatch, RouteMatch, StringMatch};
use gateway_regex::Library;

use crate::findings::Fault;
use crate::reason;

/// Translates the matches of a rule that can be understood, and says what is wrong with the others. No match at all
/// is the one that every request fits.
pub(crate) fn matches(spec: &[HttpRouteMatch], field: &str) -> (Vec<RouteMatch>, Vec<Fault>) {
    if spec.is_empty() {
        return (vec![RouteMatch::default()], Vec::new());
    }
    // Nearly all are good, and what is made of them is kept: no room for more.
    let (mut good, mut bad) = (Vec::with_capacity(spec.len()), Vec::new());
    for (index, one) in spec.iter().enumerate() {
        match one_match(one, &format!("{field}.matches[{index}]")) {
            Ok(translated) => good.push(translated),
            Err(fault) => bad.push(fault),
        }
    }
    (good, bad)
}

fn one_match(spec: &HttpRouteMatch, field: &str) -> Result<RouteMatch, Fault> {
    Ok(RouteMatch {
        path: path(&spec.path, field)?,
        method: spec.method.map(|method| method.as_str().to_owned()),
        headers: headers(&spec.headers, field)?,
        query: query(&spec.query_params, field)?,
    })
}

fn path(spec: &HttpPathMatch, field: &str) -> Result<PathMatch, Fault> {
    let field = format!("{field}.path.value");
    if spec.type_ != PathMatchType::RegularExpression {
        check_path(&spec.value).map_err(|why| Fault::new(reason::UNSUPPORTED_VALUE, &*field, why))?;
    }
    Ok(match spec.type_ {
        PathMatchType::Exact => PathMatch::Exact(spec.value.clone()),
        PathMatchType::PathPrefix => PathMatch::Prefix(spec.value.clone()),
        PathMatchType::RegularExpression => PathMatch::Regex(pattern(&spec.value, field)?),
    })
}

/// The CEL rules of `HTTPPathMatch`: the API server applies them, but only from the CRD version that has them on.
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

/// Of several headers of one name, whatever its case, only the first counts.
fn headers(spec: &[HttpHeaderMatch], field: &str) -> Result<Vec<HeaderMatch>, Fault> {
    let mut translated: Vec<HeaderMatch> = Vec::new();
    for (index, header) in spec.iter().enumerate() {
        let name = header.name.to_ascii_lowercase();
        if translated.iter().all(|other| other.name != name) {
            let field = format!("{field}.headers[{index}].value");
            translated.push(HeaderMatch { name, value: value(header.type_, &header.value, field)? });
        }
    }
    Ok(translated)
}

/// Of several parameters of one name only the first counts; names compare with case.
fn query(spec: &[HttpQueryParamMatch], field: &str) -> Result<Vec<QueryMatch>, Fault> {
    let mut translated: Vec<QueryMatch> = Vec::new();
    for (index, parameter) in spec.iter().enumerate() {
        if translated.iter().all(|other| other.name != parameter.name) {
            let field = format!("{field}.queryParams[{index}].value");
            let value = value(parameter.type_, &parameter.value, field)?;
            translated.push(QueryMatch { name: parameter.name.clone(), value });
        }
    }
    Ok(translated)
}

fn value(type_: MatchType, text: &str, field: String) -> Result<StringMatch, Fault> {
    Ok(match type_ {
        MatchType::Exact => StringMatch::Exact(text.to_owned()),
        MatchType::RegularExpression => StringMatch::Regex(pattern(text, field)?),
    })
}

/// Checks an expression as compile will build it.
fn pattern(text: &str, field: String) -> Result<String, Fault> {
    match Library::default().get(text).verdict() {
        Ok(_) => Ok(text.to_owned()),
        Err(refusal) => Err(Fault::new(reason::UNSUPPORTED_VALUE, field, refusal.to_string())),
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
        let translated = headers(&[header("X-A", "1"), header("x-a", "2"), header("x-b", "3")], "f").unwrap();
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
        let names: Vec<_> = query(&[parameter("a", "1"), parameter("A", "2"), parameter("a", "3")], "f")
            .unwrap()
            .into_iter()
            .map(|q| q.name)
            .collect();
        assert_eq!(names, ["a", "A"], "parameter names have case");
    }

    #[test]
    fn a_broken_pattern_says_why() {
        let fault = pattern("/a(", "here".into()).unwrap_err();
        assert_eq!(fault.field, "here");
        assert!(fault.message.ends_with("unclosed group"), "{}", fault.message);
        let huge = pattern("(a{1000}){1000}", "here".into()).unwrap_err();
        assert!(huge.message.contains("more than 1 MiB"), "{}", huge.message);
        assert!(pattern("a)|(b", "here".into()).is_err(), "it would break out of the anchored group");
    }
}
