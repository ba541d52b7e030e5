//! "Why did my request get 404?" is explained by a text that names what to look at.

mod support;

use gateway_ir::{Generation, Ir};
use gateway_snapshot::rewrite::Scheme;
use gateway_snapshot::{RouteMiss, Verdict, WorkerRegexes, compile, explain};
use support::{Request, With, exact, gateway, local, prefix, regex, route, rule};

fn ir() -> Ir {
    gateway(
        "*.example.com",
        vec![
            (
                &["a.example.com"],
                route(
                    "a",
                    None,
                    vec![
                        rule(vec![exact("/get").method("GET").with_header("x", "1")]),
                        rule(vec![prefix("/httpbin").with_query("q", "1")]),
                    ],
                ),
            ),
            (&["*.example.com"], route("wide", None, vec![rule(vec![regex("/w.*")])])),
        ],
    )
}

fn explained(request: &Request) -> (Verdict, String) {
    let explanation =
        request.view(|view| explain(&compile(&ir(), Generation(1)), local(), Scheme::Http, view));
    (explanation.verdict.clone(), explanation.to_string())
}

fn says(request: &Request, verdict: Verdict, parts: &[&str]) {
    let (found, text) = explained(request);
    assert_eq!(found, verdict, "{text}");
    let mut rest = text.as_str();
    for part in parts {
        let at =
            rest.find(part).unwrap_or_else(|| panic!("{part:?} is not, or not in this order, in:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn a_miss_says_how_close_it_came() {
    let get = |path| Request::get("a.example.com", path);
    says(
        &get("/get").header("X", "2"),
        Verdict::Miss(RouteMiss::HeaderMismatch),
        &[
            "127.0.0.1:80 belongs to port 80 on every address",
            "listener ingress/shared/http for host *.example.com takes host \"a.example.com\"",
            "HTTPRoute team1/a rules[0] matches[0] (Exact /get) does not take it: header \"x\" must be \"1\", but it is \"2\"",
            "no rule for host *.example.com matches path \"/get\"; there are RegularExpression /w.*",
            "404 header_mismatch",
        ],
    );
    says(
        &get("/get"),
        Verdict::Miss(RouteMiss::HeaderMismatch),
        &["header \"x\" must be \"1\", but it is missing"],
    );
    says(
        &Request { method: "POST".into(), ..get("/get") },
        Verdict::Miss(RouteMiss::MethodMismatch),
        &["the method is \"POST\", not \"GET\""],
    );
    says(
        &get("/httpbin").query("q=2"),
        Verdict::Miss(RouteMiss::QueryMismatch),
        &["query parameter \"q\" must be \"1\", but the query is \"q=2\""],
    );
    says(
        &get("/httpbinx"),
        Verdict::Miss(RouteMiss::NoRuleForPath),
        &[
            "no rule for host a.example.com matches path \"/httpbinx\"; there are Exact /get, PathPrefix /httpbin",
        ],
    );
}

#[test]
fn hosts_that_nobody_serves_are_told_from_those_without_routes() {
    says(
        &Request::get("b.net", "/"),
        Verdict::Miss(RouteMiss::NoListenerForHost),
        &["the listeners here are ingress/shared/http for host *.example.com", "404 no_listener_for_host"],
    );
    let mut ir = ir();
    let routes = &mut ir.binds[0].listeners[0].routes;
    *routes = routes.clone().into_iter().filter(|(route, _)| *route.object.name == *"a").collect();
    let snapshot = compile(&ir, Generation(1));
    let text = Request::get("b.example.com", "/")
        .view(|view| explain(&snapshot, local(), Scheme::Http, view))
        .to_string();
    assert!(text.contains("its routes serve host a.example.com\n"), "{text}");
    let text = Request::get("b", "/")
        .view(|view| explain(&snapshot, "127.0.0.1:81".parse().unwrap(), Scheme::Http, view));
    assert_eq!(text.verdict, Verdict::NotServed);
    assert_eq!(text.to_string(), "nothing is served on 127.0.0.1:81; served are port 80 on every address");
}

#[test]
fn a_hit_names_the_rule() {
    let rule = "HTTPRoute team1/wide rules[0] matches[0] (RegularExpression /w.*)";
    says(
        &Request::get("a.example.com", "/w"),
        Verdict::Hit(rule.into()),
        &["no rule for host a.example.com", rule],
    );
}

#[test]
fn the_explanation_agrees_with_the_lookup() {
    let snapshot = compile(&ir(), Generation(1));
    let mut regexes = WorkerRegexes::new(&snapshot);
    let bind = snapshot.bind(local()).unwrap();
    for host in ["a.example.com", "b.example.com", "c.net"] {
        for path in ["/get", "/httpbin", "/w", "/"] {
            Request::get(host, path).view(|view| {
                let miss = bind.route(view, &mut regexes).err();
                match explain(&snapshot, local(), Scheme::Http, view).verdict {
                    Verdict::Miss(found) => assert_eq!(Some(found), miss),
                    Verdict::Hit(_) => assert_eq!(None, miss),
                    other => panic!("the bind is there, in clear text: {other:?}"),
                }
            });
        }
    }
}
