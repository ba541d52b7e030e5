//! Records of requests: access log, metrics, configuration dump.

mod common;

use common::{HTTP, admin, get, metric, metrics, with_gateway, with_gateway_flags};
use gateway_testkit::http::Client;
use gateway_testkit::wait;
use serde_json::Value;

#[test]
fn every_request_is_one_line_of_json() {
    with_gateway_flags("access-log", &["--access-log", "stdout"], |_, running| {
        let mut client = Client::connect(HTTP.parse().unwrap()).unwrap();
        client
            .send("GET /httpbin/get?a=\"x\" HTTP/1.1\r\nHost: a\r\nUser-Agent: \\\"\x01?\u{1f}\r\n\r\n")
            .unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(client.response().unwrap().status, 400, "control characters are refused");
        assert_eq!(get("/httpbin/get?a=1").unwrap().status, 200);
        assert_eq!(get("/missing").unwrap().status, 404);
        let lines = wait::until("three lines", || {
            let log = running.log();
            let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let requests: Vec<Value> =
                lines.into_iter().filter(|l| l.get("response_code").is_some()).collect();
            (requests.len() >= 3).then_some(requests)
        });
        let of = |status: u64| lines.iter().find(|l| l["response_code"] == status).unwrap();
        assert_eq!(of(200)["path"], "/httpbin/get?a=1");
        assert_eq!(of(200)["method"], "GET");
        assert_eq!(of(200)["upstream_host"], common::BACKEND);
        assert!(of(200)["route_name"].as_str().unwrap().contains("team1/httpbin"));
        assert!(of(404).to_string().contains("no_r"), "the reason is in the line: {}", of(404));
    });
}

#[test]
fn metrics_have_the_names_operators_know() {
    with_gateway("metrics", |_, _| {
        for _ in 0..5 {
            get("/httpbin/get").unwrap();
        }
        get("/missing").unwrap();
        let ok = ["http_response_status_code=\"200\"", "http_request_method=\"GET\""];
        // A response is counted after it is sent.
        wait::until("five requests to be counted", || {
            (metric("http_server_request_duration_seconds_count", &ok) >= 5.0).then_some(())
        });
        let missed = ["http_response_status_code=\"404\""];
        wait::until("the miss to be counted", || {
            (metric("http_server_request_duration_seconds_count", &missed) >= 1.0).then_some(())
        });
        assert!(metric("http_client_request_duration_seconds_count", &[]) >= 5.0);
        assert!(metric("sluice_config_generation", &[]) >= 1.0);
        assert!(metrics().contains("sluice_build_info"));
        for line in metrics().lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok(), "not a sample: {line}");
        }
    });
}

#[test]
fn the_configuration_can_be_dumped() {
    with_gateway("dump", |_, _| {
        let dump = admin("/config_dump");
        assert_eq!(dump.status, 200);
        let dump: Value = serde_json::from_slice(&dump.body).unwrap();
        let text = dump.to_string();
        assert!(text.contains("team1") && text.contains("127.0.0.1:8000"), "{text}");
    });
}
