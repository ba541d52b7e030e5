//! A match in a form in which equal conditions are equal.

use std::borrow::Cow;

use gateway_grammar::grpc;
use gateway_grammar::path::{normalize_route_path, normalize_route_prefix};

use crate::{GrpcMatch, PathMatch, RouteMatch, StringMatch};

/// Expressions that every path matches.
const MATCH_ALL: [&str; 2] = [".*", "/.*"];

/// A match, normalised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Form<'a> {
    pub(super) path: Path<'a>,
    pub(super) conditions: Conditions<'a>,
}

/// A path condition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Path<'a> {
    Exact(Cow<'a, str>),
    /// Without the trailing slash.
    Prefix(Cow<'a, str>),
    Regex(&'a str),
}

/// All else that a match asks for; of equal names the first, sorted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Conditions<'a> {
    /// `POST` for a gRPC request.
    method: Option<&'a str>,
    grpc: Option<&'a GrpcMatch>,
    headers: Vec<(Cow<'a, str>, &'a StringMatch)>,
    query: Vec<(Cow<'a, str>, &'a StringMatch)>,
}

impl<'a> Form<'a> {
    /// `None` if no request has such a path.
    pub(super) fn of(matching: &'a RouteMatch) -> Option<Self> {
        let path = match &matching.path {
            PathMatch::Exact(path) => Path::Exact(normalize_route_path(path)),
            PathMatch::Prefix(path) => Path::Prefix(normalize_route_prefix(path)),
            PathMatch::Regex(text) => Path::Regex(text),
        };
        let valid = match &path {
            Path::Exact(text) => text.starts_with('/'),
            Path::Prefix(text) => text.is_empty() || text.starts_with('/'),
            Path::Regex(_) => true,
        };
        let headers = matching.headers.iter().map(|one| (lower(&one.name), &one.value));
        let query = matching.query.iter().map(|one| (Cow::Borrowed(one.name.as_str()), &one.value));
        let conditions = Conditions {
            method: matching.grpc.as_ref().map(|_| grpc::METHOD).or(matching.method.as_deref()),
            grpc: matching.grpc.as_ref(),
            headers: first_of_each(headers),
            query: first_of_each(query),
        };
        valid.then_some(Self { path, conditions })
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    match name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

fn first_of_each<'a>(
    all: impl Iterator<Item = (Cow<'a, str>, &'a StringMatch)>,
) -> Vec<(Cow<'a, str>, &'a StringMatch)> {
    let mut all: Vec<_> = all.collect();
    // Stable, so the first of equal names stays the first.
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    all.dedup_by(|(later, _), (first, _)| later == first);
    all
}

impl<'a> Path<'a> {
    /// True if it is an expression that every path matches.
    pub(super) fn takes_all(&self) -> bool {
        matches!(self, Self::Regex(text) if MATCH_ALL.contains(text))
    }

    /// The path elements that every path of this condition begins with. All of them, if the condition is no
    /// expression.
    pub(super) fn elements(&self) -> impl Iterator<Item = &str> {
        let (text, whole) = match self {
            Self::Exact(text) | Self::Prefix(text) => (&**text, true),
            Self::Regex(text) => (literal(text), false),
        };
        let text = text.strip_prefix('/');
        // The last element of an expression's literal part may go on in the expression.
        let count = text.map_or(0, |text| text.split('/').count()) - usize::from(!whole && text.is_some());
        text.into_iter().flat_map(|text| text.split('/')).take(count)
    }
}

/// The characters that all that an expression matches begins with; not always all there are.
fn literal(expression: &str) -> &str {
    let text = expression.strip_prefix('^').unwrap_or(expression);
    if text.contains('|') {
        return "";
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_~%".contains(c);
    let end = text.find(|c| !is_plain(c)).unwrap_or(text.len());
    let (plain, rest) = text.split_at(end);
    match rest.chars().next() {
        // The character before may be missing.
        Some('?' | '*' | '{') => plain.get(..plain.len().saturating_sub(1)).unwrap_or_default(),
        _ => plain,
    }
}

impl Conditions<'_> {
    /// Number of conditions.
    pub(super) fn count(&self) -> usize {
        let grpc = self.grpc.map_or(0, |grpc| 1 + usize::from(grpc.method.is_some()));
        usize::from(self.method.is_some()) + grpc + self.headers.len() + self.query.len()
    }

    /// True if they hold wherever the others do.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let within = |own: &[(Cow<'_, str>, &StringMatch)], others: &[(Cow<'_, str>, &StringMatch)]| {
            own.iter().all(|one| others.contains(one))
        };
        let grpc = match (self.grpc, other.grpc) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own.method.is_none() || own.method == other.method,
        };
        grpc && self.method.is_none_or(|method| other.method == Some(method))
            && within(&self.headers, &other.headers)
            && within(&self.query, &other.query)
    }

    /// True if some request certainly fulfils both: of values that are asked for twice only equal ones count.
    pub(super) fn meet(&self, other: &Self) -> bool {
        let agree = |own: &[(Cow<'_, str>, &StringMatch)], others: &[(Cow<'_, str>, &StringMatch)]| {
            own.iter().all(|(name, value)| others.iter().all(|(other, want)| other != name || want == value))
        };
        let methods = match (self.method, other.method) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        };
        // A method of whatever service says nothing certain about another path, nor a content type that is asked
        // for about gRPC's.
        let asks_type = |one: &Self| one.headers.iter().any(|(name, _)| name == "content-type");
        let grpc = match (self.grpc, other.grpc) {
            (None, None) => true,
            (Some(one), Some(two)) => one.method == two.method,
            (Some(one), None) => one.method.is_none() && !asks_type(other),
            (None, Some(one)) => one.method.is_none() && !asks_type(self),
        };
        methods && grpc && agree(&self.headers, &other.headers) && agree(&self.query, &other.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_literal_part_of_an_expression_is_what_all_it_matches_begins_with() {
        for (expression, want) in [
            ("/api/v[0-9]+", "/api/v"),
            ("^/api/.*", "/api/"),
            ("/ab?c", "/a"),
            ("/ab*", "/a"),
            ("/ab{0}", "/a"),
            ("/ab+", "/ab"),
            ("/a|/b", ""),
            ("(?i)/a", ""),
            ("[/]a", ""),
            ("?", ""),
        ] {
            assert_eq!(literal(expression), want, "{expression}");
        }
        let elements = |path: Path<'_>| path.elements().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(elements(Path::Regex("/api/v[0-9]+")), ["api"]);
        assert_eq!(elements(Path::Regex("/api/.*")), ["api"]);
        assert_eq!(elements(Path::Regex("/api")), [""; 0]);
        assert_eq!(elements(Path::Regex(".*")), [""; 0]);
        assert_eq!(elements(Path::Exact("/a/".into())), ["a", ""]);
        assert_eq!(elements(Path::Exact("/".into())), [""]);
        assert_eq!(elements(Path::Prefix("".into())), [""; 0]);
    }
}
