//! Expressions over budget are refused, the youngest first, and nobody else is touched.

mod common;

use std::sync::Arc;

use common::world::{class, set, typed};
use gateway_api_types::{Object, ResourceSet};
use gateway_ir::{Action, RuleErrorKind, StringMatch};
use gateway_regex::Library;
use gateway_translate::{Admission, RegexLimits, TranslateOptions, Translation, Translator, translate};
use serde_json::{Value, json};

/// A Gateway for everybody, and these routes.
fn world(routes: Vec<Value>) -> ResourceSet {
    let listeners = json!([{
        "name": "web", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}
    }]);
    let spec = json!({"gatewayClassName": "sluice", "listeners": listeners});
    let gateway =
        json!({"kind": "Gateway", "metadata": {"name": "gw", "namespace": "gateways"}, "spec": spec});
    let mut objects: Vec<Object> = vec![class(), typed(gateway)];
    objects.extend(routes.into_iter().map(typed));
    set(&objects)
}

/// A route of these rules, each of one match.
fn route(namespace: &str, name: &str, created: &str, matches: Vec<Vec<Value>>) -> Value {
    let backends = json!([{"name": "echo", "port": 80}]);
    let rules: Vec<_> =
        matches.into_iter().map(|all| json!({"matches": all, "backendRefs": backends})).collect();
    let metadata = json!({
        "name": name, "namespace": namespace, "creationTimestamp": format!("2026-01-{created}T00:00:00Z")
    });
    let parents = json!([{"name": "gw", "namespace": "gateways"}]);
    let hostnames = json!([format!("{namespace}.example")]);
    let spec = json!({"parentRefs": parents, "hostnames": hostnames, "rules": rules});
    json!({"kind": "HTTPRoute", "metadata": metadata, "spec": spec})
}

fn path(expression: &str) -> Vec<Value> {
    vec![json!({"path": {"type": "RegularExpression", "value": expression}})]
}

fn prefix(path: &str) -> Vec<Value> {
    vec![json!({"path": {"value": path}})]
}

fn options(change: impl FnOnce(&mut RegexLimits)) -> TranslateOptions {
    let mut options = TranslateOptions::default();
    change(&mut options.regex);
    options
}

/// `Accepted` and `PartiallyInvalid` of a route: reasons and messages.
fn conditions(translation: &Translation, namespace: &str, name: &str) -> Vec<(String, String, String)> {
    let routes = translation.status.routes.iter();
    let (_, status) = routes
        .clone()
        .find(|(route, _)| (&*route.object.namespace, &*route.object.name) == (namespace, name))
        .unwrap_or_else(|| panic!("no status of {namespace}/{name}"));
    let conditions = status.parents.iter().flat_map(|parent| &parent.conditions);
    let of_interest = conditions.filter(|one| ["Accepted", "PartiallyInvalid"].contains(&&*one.type_));
    of_interest
        .map(|one| (format!("{} {:?}", one.type_, one.status), one.reason.clone(), one.message.clone()))
        .collect()
}

fn is_served(translation: &Translation, namespace: &str, name: &str) -> bool {
    let found = conditions(translation, namespace, name);
    matches!(&found[..], [(accepted, _, _)] if accepted == "Accepted True")
}

/// As large as the definition allows: 128 matches with a path, 16 headers and 16 parameters each.
fn largest(namespace: &str) -> Value {
    let mut repetitions = 9_900;
    let mut expression = || {
        repetitions -= 1;
        format!("[ab]*a[ab]{{{repetitions}}}c")
    };
    let mut rules = Vec::new();
    for _ in 0..16 {
        let one = |_| {
            let path = json!({"type": "RegularExpression", "value": expression()});
            let mut named = |kind: &str| {
                let names = (0..16).map(|name| format!("{kind}-{name}"));
                let all: Vec<_> = names
                    .map(|name| json!({"type": "RegularExpression", "name": name, "value": expression()}))
                    .collect();
                all
            };
            json!({"path": path, "headers": named("h"), "queryParams": named("q")})
        };
        rules.push((0..8).map(one).collect());
    }
    route(namespace, "largest", "01", rules)
}

/// Took 34 seconds and 2.5 GB, and every expression of it was built.
#[test]
fn a_route_of_4224_costly_expressions_is_refused_after_eight_and_nobody_else_is_touched() {
    let neighbour = route("other", "neighbour", "02", vec![path("/api/v[0-9]+/.*"), prefix("/")]);
    let own = route("tenant", "younger", "03", vec![path("/younger/[0-9]+")]);
    let resources = world(vec![largest("tenant"), neighbour, own]);
    let library = Arc::new(Library::default());
    let mut translator = Translator::with_library(TranslateOptions::default(), Arc::clone(&library));
    let translation = translator.update(&resources);
    assert!(is_served(&translation, "other", "neighbour") && is_served(&translation, "tenant", "younger"));
    let found = conditions(&translation, "tenant", "largest");
    let [(accepted, reason, message)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&**accepted, &**reason), ("Accepted False", "UnsupportedValue"));
    assert!(message.contains("rules[0].matches[0].path.value: \"[ab]*a[ab]{9899}c\" takes more than 1 MiB"));
    assert!(message.contains("cost 8 MiB of 8 MiB (--regex-route-bytes)"), "{message}");
    assert_eq!(translation.refused_expressions, 4_224);
    assert_eq!(library.len(), 4_226);
    let built = |repetitions: usize| library.get(&format!("[ab]*a[ab]{{{repetitions}}}c")).known().is_some();
    assert_eq!((0..9_900).filter(|repetitions| built(*repetitions)).count(), 8);
}

#[test]
fn of_a_namespace_over_its_budget_the_youngest_routes_lose() {
    let expensive = |number: usize| path(&format!("/.*a.{{7}}b{number}"));
    let cost = Library::default().get("/.*a.{7}b1").cost();
    let options = options(|limits| limits.namespace = cost * 5 / 2);
    let three = |age: [&str; 3]| {
        vec![
            route("tenant", "a", age[0], vec![expensive(1)]),
            route("tenant", "b", age[1], vec![expensive(2)]),
            route("tenant", "c", age[2], vec![expensive(3), prefix("/plain")]),
            route("other", "d", "09", vec![expensive(3)]),
        ]
    };
    for (age, loser) in [(["01", "02", "03"], "c"), (["03", "02", "01"], "a"), (["01", "01", "01"], "c")] {
        let translation = translate(&world(three(age)), &options);
        for name in ["a", "b", "c"] {
            assert_eq!(is_served(&translation, "tenant", name), name != loser, "{name} {age:?}");
        }
        assert!(is_served(&translation, "other", "d"));
        let found = conditions(&translation, "tenant", loser);
        let (kind, reason, message) = found.last().unwrap();
        let expected = if loser == "c" { "PartiallyInvalid True" } else { "Accepted False" };
        assert_eq!((&**kind, &**reason), (expected, "UnsupportedValue"));
        assert!(
            message.contains("rules[0].matches[0].path.value: ")
                && message.contains("--regex-namespace-bytes")
        );
    }
    let translation = translate(&world(three(["01", "02", "03"])), &TranslateOptions::default());
    assert!(is_served(&translation, "tenant", "c"), "the default is enough");
}

#[test]
fn an_expression_that_a_namespace_writes_often_counts_once() {
    let cost = Library::default().get("/.*a.{7}b").cost();
    let options = options(|limits| (limits.namespace, limits.route) = (cost, cost));
    let routes = (0..20).map(|number| {
        route("tenant", &format!("r{number}"), "01", vec![path("/.*a.{7}b"), path("/.*a.{7}b")])
    });
    let translation = translate(&world(routes.collect()), &options);
    assert_eq!(translation.refused_expressions, 0);
}

#[test]
fn requests_that_a_refused_expression_can_have_been_meant_for_are_answered_500() {
    let header = json!([{"type": "RegularExpression", "name": "X-User", "value": ".*a.{60}b"}]);
    let param = json!([{"type": "RegularExpression", "name": "q", "value": "("}]);
    let matches = vec![json!({"headers": header}), json!({"queryParams": param})];
    let resources = world(vec![route("tenant", "r", "01", vec![matches, prefix("/")])]);
    let translation = translate(&resources, &TranslateOptions::default());
    let rule = &translation.ir.routes.values().next().unwrap().http_rules()[0];
    assert!(matches!(&rule.action, Action::Fail(failure) if failure.kind == RuleErrorKind::InvalidRule));
    assert_eq!(rule.matches[0].headers[0].value, StringMatch::Present);
    assert_eq!(rule.matches[1].query[0].value, StringMatch::Present);
}

#[test]
fn a_host_on_which_a_request_could_have_too_much_scanned_loses_its_youngest_rules() {
    let many = |prefix: &str, count: usize| (0..count).map(|n| path(&format!("/{prefix}{n}.*"))).collect();
    // 4 MiB are 512 request lines of 8 KiB.
    let older = route("tenant", "older", "01", many("o", 500));
    let younger = route("tenant", "younger", "02", many("y", 20));
    let elsewhere = route("other", "elsewhere", "03", many("e", 20));
    let resources = world(vec![older, younger, elsewhere]);
    let translation = translate(&resources, &TranslateOptions::default());
    assert!(is_served(&translation, "tenant", "older") && is_served(&translation, "other", "elsewhere"));
    let found = conditions(&translation, "tenant", "younger");
    let (kind, reason, message) = found.last().unwrap();
    assert_eq!((&**kind, &**reason), ("PartiallyInvalid True", "UnsupportedValue"));
    assert!(message.contains("rules[12].matches: ") && !message.contains("rules[11]"), "{message}");
    assert!(
        message.contains("host tenant.example could have 4.01 MiB scanned, more than 4 MiB"),
        "{message}"
    );
    assert_eq!((translation.refused_rules, translation.refused_expressions), (8, 0));
    let more = translate(&resources, &options(|limits| limits.scan = 5 << 20));
    assert!(is_served(&more, "tenant", "younger") && more.refused_rules == 0);
}

#[test]
fn headers_share_the_head_so_only_expressions_for_one_header_add_up() {
    let header = |name: String, value: String| {
        vec![json!({"headers": [{"type": "RegularExpression", "name": name, "value": value}]})]
    };
    let one = |count| (0..count).map(|n| header("x".into(), format!("a{n}.*"))).collect();
    let many = |count| (0..count).map(|n| header(format!("x-{n}"), "a.*".into())).collect();
    // 4 MiB are 128 heads of 32 KiB.
    for (rules, served) in [(one(128), true), (one(129), false), (many(400), true)] {
        let resources = world(vec![route("tenant", "r", "01", rules)]);
        let translation = translate(&resources, &TranslateOptions::default());
        assert_eq!(is_served(&translation, "tenant", "r"), served);
    }
}

#[test]
fn rules_of_less_specific_hosts_count_for_the_hosts_below() {
    let with_host = |mut route: Value, host: Option<&str>| {
        route["spec"]["hostnames"] = host.into_iter().collect();
        route
    };
    let many = |prefix: &str, count: usize| (0..count).map(|n| path(&format!("/{prefix}{n}.*"))).collect();
    let every = with_host(route("a", "every", "01", many("e", 300)), None);
    let below = with_host(route("b", "below", "02", many("b", 300)), Some("x.b.example"));
    let wild = with_host(route("c", "wild", "03", many("w", 213)), Some("*.c.example"));
    let translation = translate(&world(vec![every, below, wild]), &TranslateOptions::default());
    assert!(is_served(&translation, "a", "every") && !is_served(&translation, "b", "below"));
    let found = conditions(&translation, "c", "wild");
    assert!(found.last().unwrap().2.contains("rules[212].matches: "), "{found:?}");
}

fn admission(library: &Arc<Library>) -> Admission {
    Admission::new(TranslateOptions::default(), Arc::clone(library))
}

#[test]
fn an_edit_waits_for_its_expressions_and_no_other_edit_does() {
    let library = Arc::new(Library::default());
    let mut door = admission(&library);
    let mut translator = Translator::with_library(TranslateOptions::default(), Arc::clone(&library));
    let quiet = |path| route("other", "neighbour", "02", vec![prefix(path)]);
    let start = world(vec![route("tenant", "r", "01", vec![prefix("/old")]), quiet("/a")]);
    assert!(door.admit(&start).waiting.is_empty());

    // The tenant's edit waits; the neighbour's goes through, translated without building anything.
    let edited = world(vec![route("tenant", "r", "01", vec![path("/new/[0-9]+")]), quiet("/b")]);
    let mut admitted = door.admit(&edited);
    assert_eq!(admitted.waiting.keys().collect::<Vec<_>>(), ["tenant"]);
    let translation = translator.update(&admitted.resources);
    let shown = serde_json::to_string(&translation.ir).unwrap();
    assert!(shown.contains("/old") && shown.contains("/b") && !shown.contains("/new"), "{shown}");
    assert!(library.get("/new/[0-9]+").known().is_none(), "nothing was built on the way");

    let walk = admitted.waiting.get_mut("tenant").unwrap();
    while let Some(expression) = walk.missing() {
        expression.verdict();
    }
    let admitted = door.admit(&edited);
    assert!(admitted.waiting.is_empty());
    assert_eq!(translator.update(&admitted.resources), translate(&edited, &TranslateOptions::default()));
}

#[test]
fn a_new_namespace_waits_and_taking_the_route_away_ends_it() {
    let library = Arc::new(Library::default());
    let mut door = admission(&library);
    let quiet = route("other", "neighbour", "02", vec![prefix("/a")]);
    let with = world(vec![largest("tenant"), quiet.clone()]);
    let admitted = door.admit(&with);
    assert_eq!((admitted.waiting.len(), admitted.resources.http_routes.len()), (1, 1));
    let without = world(vec![quiet]);
    let admitted = door.admit(&without);
    assert!(admitted.waiting.is_empty() && *admitted.resources == without);
}

#[test]
fn routes_that_become_ours_wait_too() {
    let library = Arc::new(Library::default());
    let mut door = admission(&library);
    let mut all = world(vec![route("tenant", "r", "01", vec![path("/new/[0-9]+")])]);
    let classes = std::mem::take(&mut all.gateway_classes);
    let admitted = door.admit(&all);
    assert!(admitted.waiting.is_empty(), "another controller's");
    all.gateway_classes = classes;
    let admitted = door.admit(&all);
    assert_eq!((admitted.waiting.len(), admitted.resources.http_routes.len()), (1, 0));
}
