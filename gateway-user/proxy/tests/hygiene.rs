//! Fields and trailers that a client must not be able to write for a backend, nor a backend for a client.

mod support;

use gateway_io::Driver;
use gateway_ir::{Filter, HeaderMatch, HttpRule, PathMatch, RouteMatch, StringMatch};
use gateway_proxy::{ProxyConfig, ReasonHeader, UnderscoreHeaders};
use gateway_testkit::http::Response;
use support::Gateway;
use support::backend::{Backend, echo, ok};
use support::ir::{Config, forward, headers};

on_every_driver![
    an_underscore_does_not_pass_for_what_a_rule_sets,
    an_underscore_does_not_pass_for_what_we_say,
    names_that_a_route_asks_for_stay,
    what_a_rule_sets_has_no_alias_even_where_names_stay,
    requests_with_underscores_can_be_refused,
    underscores_can_be_kept,
    trailers_of_requests_are_dropped,
    trailers_of_requests_can_be_kept_but_for_those_that_a_proxy_or_filter_writes,
    reasons_are_for_those_who_may_know,
    nobody_else_says_why_we_answered,
];

/// Names, in lower case, and values of what reached the backend, but for our own fields and the host.
fn seen(answer: &Response, part: &str) -> Vec<(String, String)> {
    assert_eq!((answer.status, answer.reason()), (200, None), "{}", answer.text());
    let seen: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let pairs = seen[part].as_array().unwrap().iter();
    let pairs =
        pairs.map(|pair| (pair[0].as_str().unwrap().to_lowercase(), pair[1].as_str().unwrap().to_owned()));
    let ours = |name: &str| {
        matches!(name, "host" | "x-request-id" | "content-length" | "transfer-encoding")
            || name.starts_with("x-forwarded-")
    };
    pairs.filter(|(name, _)| !ours(name)).collect()
}

fn fields(answer: &Response) -> Vec<(String, String)> {
    seen(answer, "headers")
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Everything that reached the backend under names which a server may take for `name`.
fn under(answer: &Response, name: &str) -> Vec<String> {
    let seen: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let pairs = seen["headers"].as_array().unwrap().iter();
    let same = |pair: &&serde_json::Value| pair[0].as_str().unwrap().to_lowercase().replace('_', "-") == name;
    pairs.filter(same).map(|pair| pair[1].as_str().unwrap().to_owned()).collect()
}

fn setting(prefix: &str, set: &[(&str, &str)], remove: &[&str]) -> HttpRule {
    let mut rule = forward(prefix, "app");
    rule.filters = vec![Filter::RequestHeaders(headers(set, &[], remove))];
    rule
}

fn matching(prefix: &str, name: &str, value: &str) -> HttpRule {
    let mut rule = forward(prefix, "app");
    rule.matches = vec![RouteMatch {
        path: PathMatch::Prefix(prefix.into()),
        headers: vec![HeaderMatch { name: name.into(), value: StringMatch::Exact(value.into()) }],
        ..RouteMatch::default()
    }];
    rule
}

fn request(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n")
}

fn an_underscore_does_not_pass_for_what_a_rule_sets(driver: Driver) {
    let backend = Backend::answering(echo);
    let config = Config::default()
        .rule(setting("/", &[("X-Auth-User", "guest")], &["X-Debug"]))
        .endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let answer = gateway.raw(request(
        "/",
        "X_Auth_User: root\r\nX-Auth-User: me\r\nx_AUTH-user: root\r\nX_Debug: 1\r\nPlain: 1\r\nUn_related: 1\r\n",
    ));
    assert_eq!(fields(&answer), [pair("plain", "1"), pair("x-auth-user", "guest")]);
    let line = &gateway.log_lines(1)[0];
    assert_eq!(line["dropped_headers"], "X_Auth_User, x_AUTH-user, X_Debug, Un_related");
    assert_eq!(gateway.metrics().counters.underscore_headers_dropped, 4);
    gateway.raw(request("/", "Plain: 1\r\n"));
    assert_eq!(gateway.log_lines(2)[1].get("dropped_headers"), None, "nothing was dropped of this one");
}

fn an_underscore_does_not_pass_for_what_we_say(driver: Driver) {
    let backend = Backend::answering(echo);
    for trusted in [vec![], vec!["127.0.0.0/8".parse().unwrap()]] {
        let proxy = ProxyConfig { trusted_proxies: trusted, ..ProxyConfig::default() };
        let gateway = Gateway::with(driver, &Config::to(backend.address()), proxy);
        let answer = gateway.raw(request(
            "/",
            "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\nX_Request_Id: mine\r\nX_Real_IP: 6.6.6.6\r\n",
        ));
        assert_eq!(under(&answer, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(under(&answer, "x-forwarded-proto"), ["http"]);
        assert_eq!(under(&answer, "x-request-id").len(), 1);
        assert_eq!(fields(&answer), []);
    }
}

fn names_that_a_route_asks_for_stay(driver: Driver) {
    let backend = Backend::answering(echo);
    let config = Config::default()
        .rule(matching("/keyed", "api_key", "k"))
        .rule(matching("/spoofed", "x_real_ip", "6.6.6.6"))
        .rule(setting("/set", &[("trace_id", "ours")], &[]))
        .rule(forward("/other", "app"))
        .endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &Config { hostname: Some("a.example"), ..config });
    let answer = gateway.raw(request("/keyed", "API_Key: k\r\napi-key: k\r\nother_key: 1\r\n"));
    assert_eq!(fields(&answer), [pair("api_key", "k"), pair("api-key", "k")]);
    let answer = gateway.raw(request("/other", "API_Key: k\r\ntrace_id: theirs\r\nother_key: 1\r\n"));
    assert_eq!(fields(&answer), [pair("api_key", "k"), pair("trace_id", "theirs")], "on the same host");
    let answer = gateway.raw(request("/set", "trace_id: theirs\r\nTrace-Id: theirs\r\n"));
    assert_eq!(fields(&answer), [pair("trace_id", "ours")], "nor does a - pass for the _ that a rule sets");
    let answer = gateway.raw(request("/spoofed", "x_real_ip: 6.6.6.6\r\n"));
    assert_eq!(
        (answer.status, answer.reason()),
        (404, Some("header_mismatch")),
        "aliases of ours match nothing"
    );
}

fn what_a_rule_sets_has_no_alias_even_where_names_stay(driver: Driver) {
    let backend = Backend::answering(echo);
    let mut both = matching("/", "x_auth_user", "root");
    both.filters = vec![Filter::RequestHeaders(headers(&[("X-Auth-User", "guest")], &[], &["X-Debug"]))];
    let config = Config::default().rule(both).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let answer = gateway.raw(request("/", "X_Auth_User: root\r\n"));
    assert_eq!(fields(&answer), [pair("x-auth-user", "guest")], "it was matched and goes no further");
    assert_eq!(gateway.log_lines(1)[0]["dropped_headers"], "X_Auth_User");
    let answer = gateway.raw(request(
        "/",
        "Content-Type: application/grpc+proto\r\nX_Auth_User: root\r\nuser_id: 7\r\nx_debug: 1\r\n\
         X_Forwarded_For: 6.6.6.6\r\ncontent_length: 9\r\nTransfer_Encoding: chunked\r\n",
    ));
    assert_eq!(
        fields(&answer),
        [pair("content-type", "application/grpc+proto"), pair("user_id", "7"), pair("x-auth-user", "guest"),],
        "gRPC's metadata stays, aliases go"
    );
    assert_eq!(under(&answer, "x-forwarded-for"), ["127.0.0.1"]);
}

fn requests_with_underscores_can_be_refused(driver: Driver) {
    let backend = Backend::answering(echo);
    let config = Config::default().rule(forward("/", "app")).rule(matching("/keyed", "api_key", "k"));
    let config = config.endpoints("app", &[backend.address()]);
    let proxy = ProxyConfig { underscore_headers: UnderscoreHeaders::Reject, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &config, proxy);
    let answer = gateway.raw(request("/", "X_Auth_User: root\r\n"));
    assert_eq!((answer.status, answer.reason()), (400, Some("underscore_header")));
    let answer = gateway.raw(request("/keyed", "api_key: k\r\nX_Forwarded_For: 6.6.6.6\r\n"));
    assert_eq!((answer.status, answer.reason()), (400, Some("underscore_header")));
    let answer = gateway.raw(request("/keyed", "api_key: k\r\n"));
    assert_eq!(fields(&answer), [pair("api_key", "k")]);
    assert_eq!(gateway.log_lines(1)[0]["dropped_headers"], "X_Auth_User", "the log says which name it was");
    assert_eq!(backend.accepted(), 1);
}

fn underscores_can_be_kept(driver: Driver) {
    let backend = Backend::answering(echo);
    let config = Config::default()
        .rule(setting("/", &[("X-Auth-User", "guest")], &[]))
        .endpoints("app", &[backend.address()]);
    let proxy = ProxyConfig { underscore_headers: UnderscoreHeaders::Keep, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &config, proxy);
    let answer = gateway.raw(request("/", "X_Auth_User: root\r\nX_Forwarded_For: 6.6.6.6\r\n"));
    assert_eq!(
        fields(&answer),
        [pair("x_auth_user", "root"), pair("x_forwarded_for", "6.6.6.6"), pair("x-auth-user", "guest")]
    );
    assert_eq!(gateway.metrics().counters.underscore_headers_dropped, 0);
}

const WITH_TRAILERS: &str = "POST / HTTP/1.1\r\nHost: a.example\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n\
     1\r\nx\r\n0\r\nX-Sum: 1\r\nX-Auth-User: root\r\nX_Auth-User: root\r\nX-Debug: 1\r\nX-Added: 1\r\n\
     X-Forwarded-For: 6.6.6.6\r\nX-Request-Id: mine\r\nX-Real-IP: 6.6.6.6\r\napi_key: k\r\nHost: evil\r\n\
     x-sluice-reason: redirect\r\n\r\n";

fn with_filters(backend: &Backend) -> Config {
    let mut rule = forward("/", "app");
    let changes = headers(&[("X-Auth-User", "guest")], &[("X-Added", "2")], &["X-Debug"]);
    rule.filters = vec![Filter::RequestHeaders(changes)];
    Config::default().rule(rule).endpoints("app", &[backend.address()])
}

fn trailers_of_requests_are_dropped(driver: Driver) {
    let backend = Backend::answering(echo);
    let gateway = Gateway::start(driver, &with_filters(&backend));
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(WITH_TRAILERS).unwrap();
        let answer = client.response().unwrap();
        assert_eq!(seen(&answer, "trailers"), []);
        assert_eq!(
            fields(&answer),
            [pair("x-auth-user", "guest"), pair("x-added", "2")],
            "nor are they announced"
        );
    }
    let malformed = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX Sum: 1\r\n\r\n";
    let answer = gateway.raw(malformed);
    assert_eq!((answer.status, answer.reason()), (400, Some("bad_trailer")), "they are read all the same");
}

fn trailers_of_requests_can_be_kept_but_for_those_that_a_proxy_or_filter_writes(driver: Driver) {
    let backend = Backend::answering(echo);
    let keep = ProxyConfig { request_trailers: true, ..ProxyConfig::default() };
    let gateway = Gateway::with(driver, &with_filters(&backend), keep.clone());
    let answer = gateway.raw(WITH_TRAILERS);
    assert_eq!(seen(&answer, "trailers"), [pair("x-sum", "1")]);
    assert_eq!(fields(&answer)[0], pair("trailer", "X-Sum"));
    let keep = ProxyConfig { underscore_headers: UnderscoreHeaders::Keep, ..keep };
    let gateway = Gateway::with(driver, &with_filters(&backend), keep);
    assert_eq!(seen(&gateway.raw(WITH_TRAILERS), "trailers"), [pair("x-sum", "1"), pair("api_key", "k")]);
}

fn reasons_are_for_those_who_may_know(driver: Driver) {
    let backend = Backend::named("here");
    let config = Config::default().rule(forward("/app", "app")).endpoints("app", &[backend.address()]);
    // A load balancer on loopback that says who its clients are.
    let by_load_balancer = |client: &str| {
        format!("PROXY TCP4 {client} 192.0.2.1 1000 80\r\nGET /none HTTP/1.1\r\nHost: a\r\n\r\n")
    };
    let gateway = |reason_header| {
        let proxy = ProxyConfig {
            reason_header,
            proxy_protocol: vec!["127.0.0.0/8".parse().unwrap()],
            trusted_proxies: vec!["198.51.100.0/24".parse().unwrap()],
            ..ProxyConfig::default()
        };
        Gateway::with(driver, &config, proxy)
    };
    let told = |answer: Response| {
        assert_eq!(answer.status, 404);
        let told = answer.reason().is_some();
        assert_eq!(answer.text().contains("no_rule_for_path"), told, "the body says no more than the field");
        assert!(answer.header("x-request-id").is_some(), "the log's line can be found");
        told
    };
    for (policy, stranger, trusted, local) in [
        (ReasonHeader::Always, true, true, true),
        (ReasonHeader::Trusted, false, true, true),
        (ReasonHeader::Never, false, false, false),
    ] {
        let gateway = gateway(policy);
        let got = ["203.0.113.9", "198.51.100.7", "127.0.0.1"]
            .map(|client| told(gateway.raw(by_load_balancer(client))));
        assert_eq!(got, [stranger, trusted, local], "{policy:?}");
        assert!(gateway.log_lines(3).iter().all(|line| line["reason"] == "no_rule_for_path"));
    }
}

fn nobody_else_says_why_we_answered(driver: Driver) {
    let backend = Backend::answering(|request| {
        match request.target.as_str() {
        "/trailer" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sluice-Reason: no_route\r\n\
                        X-Sum: 1\r\n\r\n"
            .to_vec(),
        "/early" => [
            b"HTTP/1.1 103 Early Hints\r\nX-SLUICE-reason: no_route\r\nLink: </a>\r\n\r\n".to_vec(),
            ok("late"),
        ]
        .concat(),
        _ => b"HTTP/1.1 503 No\r\nx-sluice-reason: overload_pending\r\nX: 1\r\nContent-Length: 0\r\n\r\n".to_vec(),
    }
    });
    let mut filtered = forward("/filtered", "app");
    filtered.filters =
        vec![Filter::ResponseHeaders(headers(&[("X-Sluice-Reason", "redirect"), ("y", "2")], &[], &[]))];
    let config =
        Config::default().rule(filtered).rule(forward("/", "app")).endpoints("app", &[backend.address()]);
    let gateway = Gateway::start(driver, &config);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.reason(), answer.header("x")), (503, None, Some("1")));
    let answer = gateway.get("/filtered");
    assert_eq!((answer.status, answer.reason(), answer.header("y")), (503, None, Some("2")));
    let answer = gateway.get("/trailer");
    assert_eq!((answer.text().as_str(), answer.trailers.len()), ("x", 0), "nobody asked for trailers");
    let mut asks = gateway.connect();
    asks.send("GET /trailer HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n").unwrap();
    let answer = asks.response().unwrap();
    assert_eq!(answer.trailers, [pair("X-Sum", "1")]);
    let mut client = gateway.connect();
    let early = client.get("a", "/early").unwrap();
    assert_eq!((early.status, early.reason(), early.header("link")), (103, None, Some("</a>")));
    assert_eq!(client.response().unwrap().text(), "late");
}
