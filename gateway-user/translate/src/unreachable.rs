//! Matches that no request fits, because of what the process does with requests before it matches them.

use gateway_api_types::PathMatchType;
use gateway_grammar::names::is_proxy_field;
use gateway_grammar::path::{has_dot_segment, hides_dot_segment, normalize_route_path};

use crate::RequestPolicy;
use crate::route::MatchSpec;

/// Field and reason of every condition that never holds.
pub(crate) fn conditions(
    matches: &[MatchSpec<'_>],
    policy: RequestPolicy,
    field: &str,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (index, one) in matches.iter().enumerate() {
        let field = format!("{field}.matches[{index}]");
        if let Some(why) = path(one, policy) {
            found.push((format!("{field}.{}", one.path_field), why));
        }
        for (index, header) in one.headers.iter().enumerate() {
            if policy.takes_underscores && header.name.contains('_') && is_proxy_field(header.name.as_bytes())
            {
                let why = format!(
                    "{} could be taken for {}, which only proxies may write, so --underscore-headers takes it out of \
                     requests or refuses them, and the match never holds; match on {}, or run with \
                     --underscore-headers keep",
                    header.name,
                    header.name.replace('_', "-"),
                    header.name.replace('_', "-"),
                );
                found.push((format!("{field}.headers[{index}].name"), why));
            }
        }
    }
    found
}

fn path(spec: &MatchSpec<'_>, policy: RequestPolicy) -> Option<String> {
    if spec.path_type == PathMatchType::RegularExpression {
        return None;
    }
    let path = spec.path.to_ascii_lowercase();
    let holds = |part: &str| path.contains(part);
    let refused = policy.refuses_dangerous_paths && (holds("%00") || holds("\\") || hides_dots(&spec.path))
        || policy.refuses_encoded_separators && holds("%5c");
    refused.then(|| {
        format!(
            "requests with the path {:?} are refused by --encoded-separators, so the match never holds; write another \
             path, or run with --encoded-separators keep",
            spec.path
        )
    })
}

/// True if requests with this path are refused or normalised away: it hides a dot segment behind an encoded
/// separator or a path parameter, or has one with escaped dots.
fn hides_dots(path: &str) -> bool {
    hides_dot_segment(path.as_bytes()) || has_dot_segment(normalize_route_path(path).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use gateway_api_types::{HttpHeaderMatch, MatchType};

    use super::*;

    const ALL: RequestPolicy = RequestPolicy {
        takes_underscores: true,
        refuses_dangerous_paths: true,
        refuses_encoded_separators: true,
    };
    const KEEP: RequestPolicy = RequestPolicy {
        takes_underscores: false,
        refuses_dangerous_paths: false,
        refuses_encoded_separators: false,
    };

    fn on(path: &'static str, header: &str) -> [MatchSpec<'static>; 1] {
        let header = HttpHeaderMatch { type_: MatchType::Exact, name: header.into(), value: "1".into() };
        let (path, headers) = (Cow::Borrowed(path), Cow::Owned(vec![header]));
        [MatchSpec { path_type: PathMatchType::Exact, path, headers, ..MatchSpec::default() }]
    }

    #[test]
    fn a_match_on_an_alias_of_a_proxys_field_never_holds() {
        let found = conditions(&on("/", "X_Real_IP"), ALL, "rules[0]");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "rules[0].matches[0].headers[0].name");
        assert!(
            found[0].1.contains("X-Real-IP") && found[0].1.contains("--underscore-headers"),
            "{}",
            found[0].1
        );
        for known in ["api_key", "x-real-ip", "x_auth_user"] {
            assert_eq!(conditions(&on("/", known), ALL, "r"), [], "{known}: kept on the route's own hosts");
        }
        assert_eq!(conditions(&on("/", "X_Real_IP"), KEEP, "r"), []);
    }

    #[test]
    fn a_match_on_a_path_that_is_refused_never_holds() {
        for path in ["/a%00", "/a\\b", "/a/..;/b", "/a/..;x", "/..%5Cb", "/a%5c%2e%2E"] {
            assert_eq!(conditions(&on(path, "a"), ALL, "r").len(), 1, "{path}");
            let dangerous = RequestPolicy { refuses_encoded_separators: false, ..ALL };
            assert_eq!(conditions(&on(path, "a"), dangerous, "r").len(), 1, "{path}");
            assert_eq!(conditions(&on(path, "a"), KEEP, "r"), [], "{path}");
        }
        assert_eq!(conditions(&on("/a%5Cb", "a"), ALL, "r").len(), 1);
        for path in ["/a;v=1/b", "/a..b", "/...;x", "/a%20b"] {
            assert_eq!(conditions(&on(path, "a"), ALL, "r"), [], "{path}");
        }
    }
}
