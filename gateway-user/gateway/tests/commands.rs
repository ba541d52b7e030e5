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
fn every_bad_flag_is_reported_together() {
    let done = sluice(&["run", "--workers", "many", "--io", "fast", "--max-connections", "-1", "/nowhere"]);
    let said = text(&done);
    assert!(!done.status.success());
    for flag in ["workers", "io", "max-connections"] {
        assert!(said.contains(flag), "{flag} is missing in:\n{said}");
    }
}
