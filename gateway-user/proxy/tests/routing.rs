//! The effects of rules on requests and responses.

mod support;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};

use gateway_http::h1::path::{MergeSlashes, PathOptions};
use gateway_io::Driver;
use gateway_ir::{
    Action, Filter, HeaderMatch, HostRewrite, PathRewrite, QueryMatch, Redirect, RuleError, RuleErrorKind,
    StringMatch, WeightedBackend, WeightedTarget,
};
use gateway_proxy::ProxyConfig;
use gateway_testkit::http::Response;
use support::Gateway;
use support::backend::{Backend, echo, ok};
use support::ir::{Config, forward, headers, rule, share};

on_every_driver![
    misses_say_what_came_closest,
    others_have_their_turn_while_much_is_looked_at,
    broken_rules_answer_for_themselves,
    paths_and_hosts_are_rewritten,
    redirects_are_answered,
    fields_of_redirects_are_changed,
    replacements_bring_their_query,
    header_filters_change_both_heads,
    weights_share_requests,
    strangers_claims_are_replaced,
    trusted_claims_are_continued,
    paths_are_matched_and_sent_in_one_spelling,
    slashes_are_merged_for_rules_and_stay_for_backends,
    the_request_id_is_everywhere,
    low_ports_are_mapped_back,
    a_listener_on_the_very_port_comes_before_a_moved_one,
    steering_sockets_are_not_dialled,
];

fn seen(answer: &Response) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("not the backend's response: {answer:?}"))
}

/// Values of a field as the backend saw them.
fn field(answer: &Response, name: &str) -> Vec<String> {
    let seen = seen(answer);
    let all = seen["headers"].as_array().unwrap().iter();
    all.filter(|line| line[0].as_str().unwrap().eq_ignore_ascii_case(name))
        .map(|line| line[1].as_str().unwrap().to_owned())
        .collect()
}

fn misses_say_what_came_closest(driver: Driver) {
    let backend = Backend::named("here");
    let mut narrow = forward("/narrow", "app");
    narrow.matches[0].method = Some("PUT".into());
    let mut query = forward("/query", "app");
    query.matches[0].query = vec![QueryMatch { name: "v".into(), value: StringMatch::Exact("1".into()) }];
    let mut config = Config::default()
        .rule(narrow)
        .rule(query)
        .rule(forward("/app", "app"))
        .rule(forward("/none", "none"))
        .endpoints("app", &[backend.address()])
        .endpoints("none", &[]);
    config.hostname = Some("test.example");
    let gateway = Gateway::start(driver, &config);
    let mut client = gateway.connect();
    for (host, target, status, reason) in [
        ("test.example", "/app/x", 200, None),
        ("TEST.example:80", "/app", 200, None),
        ("other.example", "/app", 404, Some("no_route_for_host")),
        ("test.example", "/appx", 404, Some("no_rule_for_path")),
        ("test.example", "/narrow", 404, Some("method_mismatch")),
        ("test.example", "/query?v=2", 404, Some("query_mismatch")),
        ("test.example", "/query?v=1", 200, None),
        ("test.example", "/none", 503, Some("no_endpoints")),
    ] {
        let answer = client.get(host, target).unwrap();
        assert_eq!((answer.status, answer.reason()), (status, reason), "{host}{target}: {}", answer.text());
        if let Some(reason) = reason {
            assert!(answer.text().contains(reason), "the body names the code: {}", answer.text());
            assert!(answer.header("date").is_some());
        }
    }
    assert_eq!(gateway.get("/a%zz").reason(), Some("bad_percent_escape"));
    client.send("POST /nowhere HTTP/1.1\r\nHost: test.example\r\nContent-Length: 3\r\n\r\nabc").unwrap();
    assert_eq!(client.response().unwrap().status, 404, "a body that is there already is passed over");
    client.send("HEAD /nowhere HTTP/1.1\r\nHost: test.example\r\n\r\n").unwrap();
    assert_eq!(client.response_to("HEAD").unwrap().status, 404);
    assert_eq!(client.get("test.example", "/app").unwrap().status, 200);
    assert_eq!(gateway.metrics().counters.accepted, 2, "local replies keep the connection");
}

fn others_have_their_turn_while_much_is_looked_at(driver: Driver) {
    let backend = Backend::named("here");
    let costly = (0..16).map(|n| {
        let mut rule = forward("/", "none");
        let value = StringMatch::Regex(format!("[ab]*{n}"));
        rule.matches[0].headers = vec![HeaderMatch { name: "x".into(), value }];
        rule
    });
    let config = costly.fold(Config::default(), Config::rule).rule(forward("/", "app"));
    let config = config.endpoints("app", &[backend.address()]).endpoints("none", &[]);
    let gateway = Gateway::start(driver, &config);
    let ask = |value: String| gateway.raw(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {value}\r\n\r\n"));
    assert_eq!(ask("a".repeat(4_000)).status, 200);
    assert_eq!(gateway.metrics().counters.lookup_pauses, 0, "as much as ordinary requests have looked at");
    // Sixteen times 20,000 bytes, of which four expressions make up a step.
    assert_eq!(ask("a".repeat(20_000)).status, 200);
    assert_eq!(ask("a".repeat(20_000) + "15").reason(), Some("no_endpoints"));
    assert_eq!(gateway.metrics().counters.lookup_pauses, 6);
}

fn broken_rules_answer_for_themselves(driver: Driver) {
    let backend = Backend::named("here");
    let failure = |kind| RuleError { kind, message: "HTTPRoute apps/route: backendRefs[0]: why".into() };
    let broken_share = WeightedBackend {
        weight: 1,
        target: WeightedTarget::Fail(failure(RuleErrorKind::RefNotPermitted)),
        filters: vec![],
    };
    let config = Config::default()
        .rule(rule("/rule", Action::Fail(failure(RuleErrorKind::InvalidRule))))
        .rule(rule("/share", Action::Forward(vec![broken_share])))
        .rule(rule("/zero", Action::Forward(vec![share(0, "app")])))
        .rule(forward("/", "app"))
        .endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let mut client = gateway.connect();
    for (target, reason) in
        [("/rule", "invalid_rule"), ("/share", "ref_not_permitted"), ("/zero", "no_backend")]
    {
        let answer = client.get("a", target).unwrap();
        assert_eq!((answer.status, answer.reason()), (500, Some(reason)), "{target}");
        assert!(!answer.text().contains("HTTPRoute"), "configuration is not shown to clients");
    }
    assert_eq!(client.get("a", "/").unwrap().text(), "here");
    let lines = gateway.log_lines(4);
    assert_eq!(lines[1]["detail"], "HTTPRoute apps/route: backendRefs[0]: why");
    assert_eq!(lines[1]["reason"], "ref_not_permitted");
}

fn paths_and_hosts_are_rewritten(driver: Driver) {
    let backend = Backend::answering(echo);
    let rewrite =
        |host: Option<&str>, path| Filter::UrlRewrite { host: host.map(|h| HostRewrite(h.into())), path };
    let config = Config::default()
        .filtered(forward("/httpbin", "app"), vec![rewrite(None, Some(PathRewrite::Prefix("/".into())))])
        .filtered(
            forward("/full", "app"),
            vec![rewrite(Some("inner.example"), Some(PathRewrite::Full("/whole".into())))],
        )
        .endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    for (target, want) in [
        ("/httpbin/get?a=1&b", "/get?a=1&b"),
        ("/httpbin", "/"),
        ("/httpbin/", "/"),
        ("/httpbin?x", "/?x"),
        ("/full/x?q=%20", "/whole?q=%20"),
    ] {
        assert_eq!(seen(&gateway.get(target))["target"], want, "{target}");
    }
    assert_eq!(gateway.get("/httpbinx").status, 404);
    let answer = gateway.get("/full");
    assert_eq!(field(&answer, "host"), ["inner.example"]);
    assert_eq!(field(&answer, "x-forwarded-host"), ["test.example"], "the original host is kept");
}

fn redirects_are_answered(driver: Driver) {
    let redirect = |redirect| rule("/old", Action::Redirect(redirect));
    let empty = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
    let gateway = Gateway::start(
        driver,
        &Config::default().rule(redirect(Redirect {
            scheme: Some("https".into()),
            hostname: Some("new.example".into()),
            path: Some(PathRewrite::Prefix("/new".into())),
            status: 301,
            ..empty
        })),
    );
    let answer = gateway.get("/old/page?x=1");
    assert_eq!((answer.status, answer.reason()), (301, Some("redirect")));
    assert_eq!(answer.header("location"), Some("https://new.example/new/page?x=1"));
}

fn fields_of_redirects_are_changed(driver: Driver) {
    let redirect = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
    let mut changed = rule("/", Action::Redirect(redirect.clone()));
    let set = [("X-By", "gw"), ("Content-Type", "text/html"), ("X-Request-Id", "fixed")];
    changed.filters =
        vec![Filter::ResponseHeaders(headers(&set, &[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")], &[]))];
    let mut long = rule("/long", Action::Redirect(redirect));
    long.filters = vec![Filter::ResponseHeaders(headers(&[("X-Long", &"a".repeat(300_000))], &[], &[]))];
    let gateway = Gateway::start(driver, &Config::default().rule(changed).rule(long));
    let mut client = gateway.connect();
    let answer = client.get("a", "/old?x=1").unwrap();
    assert_eq!((answer.status, answer.header("x-by")), (302, Some("gw")));
    assert!(answer.header("location").is_some_and(|location| location.ends_with("/old?x=1")));
    let lines = |name: &str| -> Vec<&str> {
        let of_name = answer.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!(lines("content-type"), ["text/html"]);
    assert_eq!(lines("x-request-id"), ["fixed"]);
    assert_eq!(lines("set-cookie"), ["a=1", "b=2"]);
    let answer = client.get("a", "/long").unwrap();
    assert_eq!(answer.reason(), Some("filtered_response_invalid"));
}

fn replacements_bring_their_query(driver: Driver) {
    let backend = Backend::answering(echo);
    let rewrite = |path| vec![Filter::UrlRewrite { host: None, path: Some(path) }];
    let config = Config::default()
        .filtered(forward("/a", "app"), rewrite(PathRewrite::Full("/index.php?p=1".into())))
        .filtered(forward("/b", "app"), rewrite(PathRewrite::Prefix("/c?".into())))
        .endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    assert_eq!(seen(&gateway.get("/a/x?q=2"))["target"], "/index.php?p=1");
    assert_eq!(seen(&gateway.get("/b/x?q=2"))["target"], "/c/x?");
}

fn header_filters_change_both_heads(driver: Driver) {
    let backend = Backend::answering(|request| {
        let mut out = echo(request);
        let at = out.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
        out.splice(at..at, b"X-Old: 1\r\nServer: secret\r\n".iter().copied());
        out
    });
    let mut target = forward("/", "app");
    target.filters = vec![
        Filter::RequestHeaders(headers(&[("X-Set", "rule")], &[("X-Add", "2")], &["x-gone"])),
        Filter::ResponseHeaders(headers(&[("X-Old", "new")], &[("X-Extra", "3")], &["server"])),
    ];
    if let Action::Forward(shares) = &mut target.action {
        shares[0].filters = vec![Filter::RequestHeaders(headers(&[("X-Set", "backend")], &[], &[]))];
    }
    let gateway =
        Gateway::start(driver, &Config::default().rule(target).endpoints("app", &[backend.address()]));
    let answer =
        gateway.raw("GET / HTTP/1.1\r\nHost: a\r\nX-Set: 1\r\nx-set: 2\r\nX-Add: 1\r\nX-Gone: 1\r\n\r\n");
    assert_eq!(field(&answer, "x-set"), ["backend"], "the backend's filters run after the rule's");
    assert_eq!(field(&answer, "x-add"), ["1", "2"]);
    assert!(field(&answer, "x-gone").is_empty());
    assert_eq!(
        (answer.header("x-old"), answer.header("x-extra"), answer.header("server")),
        (Some("new"), Some("3"), None)
    );
}

fn weights_share_requests(driver: Driver) {
    let (one, three) = (Backend::named("one"), Backend::named("three"));
    let config = Config::default()
        .rule(rule("/", Action::Forward(vec![share(1, "one"), share(3, "three"), share(0, "none")])))
        .endpoints("one", &[one.address()])
        .endpoints("three", &[three.address()])
        .endpoints("none", &[]);
    let gateway = Gateway::start(driver, &config);
    let mut client = gateway.connect();
    let mut seen = HashMap::<String, u32>::new();
    for _ in 0..2000 {
        *seen.entry(client.get("a", "/").unwrap().text()).or_default() += 1;
    }
    // 500 expected, deviation 19: ten deviations never happen.
    assert!((300..700).contains(&seen["one"]), "{seen:?}");
    assert_eq!(seen["one"] + seen["three"], 2000);
}

fn strangers_claims_are_replaced(driver: Driver) {
    let backend = Backend::answering(echo);
    let gateway = Gateway::start(driver, &Config::to(backend.address()));
    let answer = gateway.raw(
        "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Request-Id: chosen\r\n\r\n",
    );
    assert_eq!(field(&answer, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(field(&answer, "x-forwarded-proto"), ["http"]);
    assert_eq!(field(&answer, "x-forwarded-host"), ["a.example"]);
    assert_eq!(field(&answer, "x-forwarded-port"), [gateway.address.port().to_string()]);
    assert!(field(&answer, "forwarded").is_empty());
    assert_eq!(field(&answer, "x-request-id")[0].len(), 32);
    assert_eq!(gateway.log_lines(1)[0]["client_address"], "127.0.0.1");
}

fn trusted_claims_are_continued(driver: Driver) {
    let backend = Backend::answering(echo);
    let trusted = ProxyConfig {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()],
        ..ProxyConfig::default()
    };
    let gateway = Gateway::with(driver, &Config::to(backend.address()), trusted);
    let answer = gateway.raw(
        "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 6.6.6.6, 203.0.113.5\r\nX-Forwarded-For: 10.1.1.1\r\n\
         X-Forwarded-Proto: https\r\nX-Request-Id: chosen\r\n\r\n",
    );
    assert_eq!(field(&answer, "x-forwarded-for"), ["6.6.6.6, 203.0.113.5, 10.1.1.1, 127.0.0.1"]);
    assert_eq!(field(&answer, "x-forwarded-proto"), ["https"]);
    assert_eq!(field(&answer, "x-request-id"), ["chosen"]);
    let line = &gateway.log_lines(1)[0];
    assert_eq!(line["client_address"], "203.0.113.5");
    assert_eq!(line["x_forwarded_for"], "6.6.6.6, 203.0.113.5, 10.1.1.1");
}

fn paths_are_matched_and_sent_in_one_spelling(driver: Driver) {
    let backend = Backend::answering(echo);
    let config = Config::default().rule(forward("/public", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    assert_eq!(seen(&gateway.get("/x/..//%70ublic/./a%2fb?q=..%2f"))["target"], "/public/a%2Fb?q=..%2f");
    assert_eq!(gateway.get("/public/../secret").status, 404, "no way around the rule");
    assert_eq!(gateway.log_lines(2)[1]["path"], "/public/../secret", "the log has what was asked");
}

fn slashes_are_merged_for_rules_and_stay_for_backends(driver: Driver) {
    let backend = Backend::answering(echo);
    let under = |path: PathRewrite| vec![Filter::UrlRewrite { host: None, path: Some(path) }];
    let redirect = Redirect { scheme: None, hostname: None, path: None, port: None, status: 302 };
    let config = Config::default()
        .rule(forward("/x/admin", "app"))
        .filtered(forward("/a/b", "app"), under(PathRewrite::Prefix("/new".into())))
        .filtered(forward("/strip", "app"), under(PathRewrite::Prefix("/".into())))
        .rule(rule("/moved", Action::Redirect(redirect)))
        .endpoints("app", &[backend.address()]);
    let targets = |merge_slashes, asked: &[(&str, &str)]| {
        let path = PathOptions { merge_slashes, ..PathOptions::default() };
        let gateway = Gateway::with(driver, &config, ProxyConfig { path, ..ProxyConfig::default() });
        for (target, want) in asked {
            let answer = gateway.get(target);
            match answer.status {
                200 => assert_eq!(seen(&answer)["target"], *want, "{target}"),
                302 => assert!(
                    answer.header("location").is_some_and(|at| at.ends_with(want)),
                    "{target}: {answer:?}"
                ),
                404 => assert_eq!(*want, "404", "{target}"),
                _ => panic!("{target}: {answer:?}"),
            }
        }
        assert_eq!(gateway.log_lines(1)[0]["path"], asked[0].0, "as it was received");
    };
    targets(
        MergeSlashes::Match,
        &[
            ("//x///admin//http://b//c?d=//", "/x///admin//http://b//c?d=//"),
            ("/y/..//x/admin", "/x/admin"),
            ("/a//b//c", "/new//c"),
            ("/a/b", "/new"),
            ("//a//b/", "/new/"),
            ("/strip//c//d", "/c//d"),
            ("//moved//here", "/moved//here"),
        ],
    );
    targets(MergeSlashes::Always, &[("//x///admin//a", "/x/admin/a"), ("/a//b//c", "/new/c")]);
    targets(MergeSlashes::Never, &[("//x//admin", "404"), ("/x/admin//a", "/x/admin//a")]);
}

fn the_request_id_is_everywhere(driver: Driver) {
    let backend = Backend::answering(echo);
    let config = Config::default().rule(forward("/app", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let forwarded = field(&gateway.get("/app"), "x-request-id").remove(0);
    let own = gateway.get("/none").header("x-request-id").unwrap().to_owned();
    assert_ne!(forwarded, own);
    let lines = gateway.log_lines(2);
    assert_eq!((&lines[0]["request_id"], &lines[1]["request_id"]), (&forwarded.into(), &own.into()));
}

fn low_ports_are_mapped_back(driver: Driver) {
    let backend = Backend::answering(|request| ok(request.header("x-forwarded-port").unwrap_or_default()));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = socket.local_addr().unwrap();
    let moved = ProxyConfig { unprivileged_offset: Some(local.port() - 80), ..ProxyConfig::default() };
    let bind = SocketAddr::new(local.ip(), 80);
    let gateway = Gateway::on(driver, &Config::to(backend.address()), moved, socket, bind);
    assert_eq!(gateway.get("/").text(), "80");
}

fn a_listener_on_the_very_port_comes_before_a_moved_one(driver: Driver) {
    let backend = Backend::answering(|request| ok(request.header("x-forwarded-port").unwrap_or_default()));
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = socket.local_addr().unwrap();
    let moved = ProxyConfig { unprivileged_offset: Some(local.port() - 80), ..ProxyConfig::default() };
    let gateway = Gateway::on(driver, &Config::to(backend.address()), moved, socket, local);
    assert_eq!(gateway.get("/").text(), local.port().to_string());
}

fn steering_sockets_are_not_dialled(driver: Driver) {
    let backend = Backend::named("here");
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let local = socket.local_addr().unwrap();
    let config = ProxyConfig { internal_port: Some(local.port()), ..ProxyConfig::default() };
    let gateway = Gateway::on(driver, &Config::to(backend.address()), config, socket, local);
    let mut client = gateway.connect();
    // The close may overtake the request and come back as a reset.
    let _ = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.response().is_err());
    let counters = gateway.until("the close", |counters| counters.internal_port_closed == 1);
    assert_eq!((counters.requests, counters.connections), (0, 0));
}
