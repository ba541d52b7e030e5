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

/// Runs a command with something on its standard input.
fn sluice_with_input(args: &[&str], input: &str) -> std::process::Output {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut command = Command::new(common::SLUICE);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn check_takes_files_several_paths_and_standard_input() {
    let config = Scratch::new("paths").unwrap();
    config.copy_from(&example()).unwrap();
    let dir = config.path().to_str().unwrap().to_owned();
    let whole = text(&sluice(&["check", &dir]));
    let counts = |said: &str| said.lines().last().unwrap().rsplit_once(": ").unwrap().1.to_owned();
    let mut files: Vec<String> = std::fs::read_dir(config.path())
        .unwrap()
        .map(|entry| entry.unwrap().path().display().to_string())
        .filter(|path| path.ends_with(".yaml"))
        .collect();
    files.sort();
    let paths: Vec<&str> = files.iter().map(String::as_str).collect();
    let check = sluice(&[&["check"], paths.as_slice()].concat());
    assert_eq!(check.status.code(), Some(0), "{}", text(&check));
    assert_eq!(counts(&text(&check)), counts(&whole), "each file by itself is the directory");
    assert_eq!(counts(&text(&sluice(&["check", &dir, paths[0]]))), counts(&whole), "a file counts once");

    let all: String =
        paths.iter().map(|path| format!("---\n{}\n", std::fs::read_to_string(path).unwrap())).collect();
    let check = sluice_with_input(&["check", "-"], &all);
    assert_eq!(counts(&text(&check)), counts(&whole));
    assert!(text(&check).contains("standard input: "), "{}", text(&check));
    let check = sluice_with_input(&["check", "-"], &all.replace("httpbin", "http_bin"));
    assert!(text(&check).contains("\nstandard input:") || text(&check).starts_with("standard input:"));
    assert_eq!(check.status.code(), Some(1), "{}", text(&check));

    // A name with another ending is meant as it is given.
    config.write("one.txt", "apiVersion: v1\nkind: Namespace\nmetadata: {name: A}\n").unwrap();
    let one = config.join("one.txt").display().to_string();
    let said = text(&sluice(&["check", &one]));
    assert!(said.contains("one.txt:3:18: Namespace A: metadata.name: "), "{said}");
    let gone = sluice(&["check", &config.join("gone.yaml").display().to_string()]);
    assert!(text(&gone).contains("gone.yaml: No such file"), "{}", text(&gone));
    assert_eq!(gone.status.code(), Some(1));
    let explain = sluice_with_input(&["explain", "-", "GET", "http://127.0.0.1/httpbin/get"], &all);
    assert!(text(&explain).contains("takes the request"), "{}", text(&explain));
    assert_eq!(sluice(&["check"]).status.code(), Some(2));
}

#[test]
fn what_cannot_be_read_costs_itself_in_a_check() {
    let config = Scratch::new("unreadable").unwrap();
    config.copy_from(&example()).unwrap();
    std::os::unix::fs::symlink("/nonexistent", config.join("x.yaml")).unwrap();
    let check = sluice(&["check", config.path().to_str().unwrap()]);
    let said = text(&check);
    assert!(said.contains("x.yaml:1:1: the link leads to /nonexistent, which is not there"), "{said}");
    assert!(said.contains("9 objects, 1 error, 0 warnings; 1 port and 1 route served"), "{said}");
}

#[test]
fn a_port_that_no_node_serves_is_told() {
    let config = Scratch::new("reserved").unwrap();
    config.copy_from(&example()).unwrap();
    let gateway = std::fs::read_to_string(config.join("gateway.yaml")).unwrap();
    config.write("gateway.yaml", &gateway.replace("port: 80\n", "port: 22\n")).unwrap();
    let dir = config.path().to_str().unwrap();
    let check = |flags: &[&str]| {
        let check = sluice(&[&["check", dir], flags].concat());
        (check.status.code(), text(&check))
    };
    let (code, said) = check(&[]);
    let want = "warning: Gateway ingress/shared-gateway: listeners[0].port: port 22 is reserved on this node for SSH";
    assert!(code == Some(0) && said.contains("gateway.yaml:") && said.contains(want), "{said}");
    assert_eq!(check(&["--strict"]).0, Some(1));
    let (code, said) = check(&["--strict", "--reserved-ports", "10250"]);
    assert!(code == Some(0), "{said}");
    let (_, said) = check(&["--reserved-ports", "10250", "--allowed-ports", "80,443"]);
    assert!(said.contains("port 22 is not one that this node serves (--allowed-ports)"), "{said}");
}

#[test]
fn a_route_that_an_older_one_shadows_entirely_is_told() {
    let config = Scratch::new("shadow").unwrap();
    config.copy_from(&example()).unwrap();
    let route = std::fs::read_to_string(config.join("team1-route.yaml")).unwrap();
    assert!(route.contains("  name: httpbin\n") && !route.contains("creationTimestamp"), "{route}");
    let at = |name: &str, time: &str| {
        route.replacen("  name: httpbin\n", &format!("  name: {name}\n  creationTimestamp: {time}\n"), 1)
    };
    config.write("team1-route.yaml", &at("older", "2020-01-01T00:00:00Z")).unwrap();
    config.write("young.yaml", &at("younger", "2021-01-01T00:00:00Z")).unwrap();
    let check = sluice(&["check", "--strict", config.path().to_str().unwrap()]);
    let said = text(&check);
    let want = "warning: HTTPRoute team1/younger: rules[0]: no request for any host reaches it: HTTPRoute team1/older rules[0]";
    assert!(check.status.code() == Some(1) && said.contains("young.yaml:") && said.contains(want), "{said}");
}
