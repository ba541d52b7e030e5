use super::*;
use crate::{
    Action, HeaderMatch, HttpRoute, HttpRule, ObjectName, PathMatch, RouteId, RouteKind, RouteMatch,
    RuleError, RuleErrorKind, StringMatch, Timeouts,
};

fn rule(matches: Vec<RouteMatch>) -> HttpRule {
    let action = Action::Fail(RuleError { kind: RuleErrorKind::NoBackend, message: String::new() });
    HttpRule { name: None, matches, filters: Vec::new(), action, timeouts: Timeouts::default(), retry: None }
}

fn route(name: &str, created: i64, matches: &[RouteMatch]) -> Route {
    let (namespace, name) = name.split_once('/').unwrap();
    let route = HttpRoute {
        id: RouteId { kind: RouteKind::HTTPRoute, object: ObjectName::new(namespace, name) },
        created: Some(created),
        rules: matches.iter().map(|one| rule(vec![one.clone()])).collect(),
    };
    route.into()
}

fn path(path: PathMatch) -> RouteMatch {
    RouteMatch { path, ..RouteMatch::default() }
}

fn prefix(text: &str) -> RouteMatch {
    path(PathMatch::Prefix(text.into()))
}

fn exact(text: &str) -> RouteMatch {
    path(PathMatch::Exact(text.into()))
}

fn regex(text: &str) -> RouteMatch {
    path(PathMatch::Regex(text.into()))
}

fn with(mut matching: RouteMatch, name: &str, value: &str) -> RouteMatch {
    matching.headers.push(HeaderMatch { name: name.into(), value: StringMatch::Exact(value.into()) });
    matching
}

/// Unreachable as `loser<winner`, taken as `winner>loser`, by route name and rule.
fn found(routes: &[(Route, Option<&str>)]) -> Vec<String> {
    let hosts: Vec<_> =
        routes.iter().map(|(_, host)| host.map(|host| Hostname::parse(host).unwrap())).collect();
    let asked: Vec<_> = routes
        .iter()
        .zip(&hosts)
        .map(|((route, _), host)| HostRoute { route, original: host.as_ref() })
        .collect();
    let text = |at: MatchIndex| format!("{}/{}", routes[at.route].0.id().object.name, at.rule);
    let all = overlaps(&asked);
    let dead = all.unreachable.iter().map(|one| format!("{}<{}", text(one.loser), text(one.winner)));
    let taken = all.taken.iter().map(|one| format!("{}>{}", text(one.winner), text(one.loser)));
    dead.chain(taken).collect()
}

fn on_one_host(routes: Vec<Route>) -> Vec<String> {
    found(&routes.into_iter().map(|route| (route, None)).collect::<Vec<_>>())
}

#[test]
fn a_younger_exact_path_inside_anothers_prefix_takes_requests() {
    let old = || route("team-a/old", 1, &[prefix("/")]);
    assert_eq!(on_one_host(vec![old(), route("team-b/new", 2, &[exact("/login")])]), ["new/0>old/0"]);
    assert_eq!(on_one_host(vec![old(), route("team-b/new", 2, &[prefix("/login")])]), ["new/0>old/0"]);
    assert_eq!(on_one_host(vec![old(), route("team-b/new", 2, &[regex("/log[i]n")])]), ["new/0>old/0"]);
    let header = with(prefix("/"), "x", "1");
    assert_eq!(on_one_host(vec![old(), route("team-b/new", 2, &[header])]), ["new/0>old/0"]);
    assert_eq!(
        on_one_host(vec![old(), route("team-a/new", 2, &[exact("/login")])]),
        [""; 0],
        "its own namespace"
    );
    assert_eq!(on_one_host(vec![old(), route("team-b/new", 0, &[exact("/login")])]), [""; 0], "it is older");
}

#[test]
fn equal_matches_go_to_the_first_and_the_others_are_never_reached() {
    let old = route("team-a/old", 1, &[prefix("/a"), with(exact("/b"), "x", "1")]);
    let new = route("team-b/new", 2, &[prefix("/a/"), with(exact("/b"), "X", "1"), exact("/c"), exact("/c")]);
    assert_eq!(on_one_host(vec![old, new]), ["new/1<old/1", "new/3<new/2", "new/0<old/0"]);
}

#[test]
fn routes_that_wrote_less_specific_hostnames_are_behind_every_path() {
    let narrow = route("team-b/narrow", 2, &[prefix("/"), with(prefix("/x"), "h", "1")]);
    let wide = route("team-a/wide", 1, &[exact("/login"), regex("/api/.*"), prefix("/z")]);
    let all = found(&[(narrow, Some("a.example.com")), (wide, Some("*.example.com"))]);
    assert_eq!(all, ["wide/0<narrow/0", "wide/1<narrow/0", "wide/2<narrow/0"]);
}

#[test]
fn what_an_own_rule_would_get_anyway_is_taken_from_nobody_else() {
    let old = route("team-a/old", 1, &[prefix("/")]);
    let new = route("team-b/new", 2, &[prefix("/api"), prefix("/api/v2"), with(prefix("/api"), "x", "1")]);
    assert_eq!(on_one_host(vec![old, new]), ["new/0>old/0"]);
}

#[test]
fn what_no_request_fits_twice_is_not_in_the_way() {
    let old = route("team-a/old", 1, &[with(prefix("/a"), "x", "1"), prefix("/b"), exact("/c")]);
    let new =
        route("team-b/new", 2, &[with(exact("/a/1"), "x", "2"), exact("/bb"), prefix("/c/d"), exact("/c/")]);
    assert_eq!(on_one_host(vec![old, new]), [""; 0]);
}

#[test]
fn a_route_cannot_hide_behind_many_of_its_own_rules() {
    let old = route("team-a/old", 1, &[prefix("/")]);
    let mut matches: Vec<_> = (0..40).map(|n| with(prefix("/"), &format!("x{n}"), "1")).collect();
    matches.push(exact("/login"));
    let all = on_one_host(vec![old, route("team-b/new", 2, &matches)]);
    assert!(all.contains(&"new/40>old/0".to_owned()), "{all:?}");
}
