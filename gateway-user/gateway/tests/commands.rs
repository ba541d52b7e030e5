//! Commands that end by themselves: what they say, and how they end.

mod common;

use common::{example, sluice, text};
use gateway_testkit::scratch::Scratch;

#[test]
fn the_example_passes_its_own_check() {
    let check = sluice(&["check", example().to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(0), "{}", text(&check));
}

#[test]
fn a_parent_that_does_not_exist_is_named_with_its_likely_meaning() {
    let config = Scratch::new("parent").unwrap();
    config.copy_from(&example()).unwrap();
    let route = std::fs::read_to_string(config.join("team1-route.yaml")).unwrap();
    config.write("team1-route.yaml", &route.replace("name: shared-gateway", "name: ingress")).unwrap();
    let check = sluice(&["check", config.path().to_str().unwrap()]);
    let said = text(&check);
    let want = "HTTPRoute team1/httpbin: parentRefs[0]: no Gateway \"ingress/ingress\"; \
                did you mean \"ingress/shared-gateway\"?";
    assert!(said.contains(want), "{said}");
    assert_eq!(check.status.code(), Some(1), "{said}");
}

#[test]
fn a_match_that_the_settings_make_dead_is_a_finding() {
    let config = Scratch::new("dead").unwrap();
    config.copy_from(&example()).unwrap();
    let route = std::fs::read_to_string(config.join("team1-route.yaml")).unwrap();
    assert!(route.contains("            value: /httpbin\n"), "{route}");
    let edited = route.replace(
        "value: /httpbin",
        "value: /httpbin\n          headers:\n            - name: X_Forwarded_Proto\n              value: https\n            - name: api_key\n              value: k",
    );
    config.write("team1-route.yaml", &edited).unwrap();
    let dir = config.path().to_str().unwrap();
    let said = text(&sluice(&["check", dir]));
    let want = "HTTPRoute team1/httpbin: rules[0].matches[0].headers[0].name: X_Forwarded_Proto could be taken for \
                X-Forwarded-Proto";
    assert!(said.contains(want) && said.contains("1 warning"), "{said}");
    let said = text(&sluice(&["check", "--underscore-headers", "keep", dir]));
    assert!(said.contains("0 warnings"), "{said}");
    let url = "http://127.0.0.1/httpbin/get";
    let headers = ["-H", "api_key: k", "-H", "X_Forwarded_Proto: https", "-H", "x_other: 1"];
    let explain =
        |more: &[&str]| text(&sluice(&[&["explain", dir, "GET", url], more, headers.as_slice()].concat()));
    let said = explain(&[]);
    assert!(said.contains("header x_other is dropped (--underscore-headers drop)"), "{said}");
    assert!(!said.contains("api_key is dropped") && said.contains("it is missing"), "{said}");
    assert!(explain(&["--underscore-headers", "reject"]).contains("400 underscore_header"));
    assert!(explain(&["--underscore-headers", "keep"]).contains("takes the request"));
}

#[test]
fn every_bad_flag_is_reported_together() {
    let done = sluice(&["run", "--workers", "many", "--io", "fast", "--max-connections", "-1", "/nowhere"]);
    let said = text(&done);
    assert!(!done.status.success());
    for flag in ["workers", "io", "max-connections"] {
        assert!(said.contains(flag), "{flag} is missing in:\n{said}");
    }
}
