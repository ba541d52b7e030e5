//! A thousand edits, good and bad, under load: nothing fails that no edit was about, and the end is what a
//! fresh start would make of the same files.

mod common;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use common::load::Wrk;
use common::{Running, admin, get, sluice, with_gateway_flags};
use gateway_testkit::wait;
use serde_json::Value;

const EDITS: u32 = 1_000;
const ROUTES: u32 = 20;

/// A small generator with a fixed seed: a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as u32) % n
    }
}

fn route(name: &str, version: u32) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: team2}}\n\
         spec:\n  parentRefs: [{{name: shared-gateway, namespace: ingress}}]\n  rules:\n    \
         - matches: [{{path: {{type: PathPrefix, value: /{name}}}}}]\n      filters:\n        \
         - type: URLRewrite\n          urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: /}}}}\n        \
         - type: ResponseHeaderModifier\n          \
         responseHeaderModifier: {{set: [{{name: x-version, value: \"{version}\"}}]}}\n      \
         backendRefs: [{{name: httpbin, port: 8000}}]\n"
    )
}

/// One edit of somebody's file; none touches `stable`.
fn edit(running: &Running, random: &mut Random, n: u32) {
    let i = random.below(ROUTES);
    let (name, file) = (format!("r{i}"), format!("r{i}.yaml"));
    let path: PathBuf = running.config.join(&file);
    let text = route(&name, n);
    match random.below(10) {
        0..=3 => running.config.write(&file, &text).unwrap(),
        4 => running.config.write(&file, &text.replace("rules:", "rulez:")).unwrap(),
        5 => running.config.write(&file, &text.replace("port: 8000", "port: [")).unwrap(),
        6 => running.config.write(&file, &text.replace("name: httpbin", "name: nobody")).unwrap(),
        7 => {
            let _ = fs::remove_file(&path);
        }
        8 => {
            let other = running.config.join(&format!("moved/r{}.yaml", random.below(ROUTES)));
            fs::create_dir_all(other.parent().unwrap()).unwrap();
            let _ = fs::rename(&path, other);
        }
        _ => {
            // Not as an editor would: half of it is there for a while.
            fs::write(&path, &text[..text.len() / 2]).unwrap();
            thread::sleep(Duration::from_millis(u64::from(random.below(30))));
            fs::write(&path, &text).unwrap();
        }
    }
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn served() -> Value {
    let dump = admin("/config_dump");
    serde_json::from_slice(&dump.body).unwrap()
}

/// Puts one valid file per route in place of whatever the edits left.
fn settle(running: &Running) {
    let _ = fs::remove_dir_all(running.config.join("moved"));
    for i in 0..ROUTES {
        running.config.write(&format!("r{i}.yaml"), &route(&format!("r{i}"), EDITS + i)).unwrap();
    }
    for i in 0..ROUTES {
        wait::until("the last version of every route", || {
            let response = get(&format!("/r{i}/get")).ok()?;
            (response.header("x-version") == Some((EDITS + i).to_string().as_str())).then_some(())
        });
    }
}

#[test]
fn a_thousand_edits_fail_nobody_else_and_end_where_a_fresh_start_would() {
    with_gateway_flags("fire", &["--debounce", "10ms", "--access-log", "off"], |_, running| {
        running.config.write("stable.yaml", &route("stable", 0)).unwrap();
        settle(running);
        wait::until("the stable route", || get("/stable/get").ok().filter(|response| response.status == 200));
        let before = resident_kib(running.gateway.pid());
        let wrk = Wrk::start("http://127.0.0.1/stable/get", 16, 12);
        let mut random = Random(0x5eed);
        for n in 0..EDITS {
            edit(running, &mut random, n);
            thread::sleep(Duration::from_millis(7));
        }
        settle(running);
        wrk.report().must_be_clean();

        let fresh = sluice(&["translate", running.config.path().to_str().unwrap(), "-o", "json"]);
        let fresh: Value = serde_json::from_slice(&fresh.stdout).unwrap();
        // A worker serves a generation before all have it and the dump shows it.
        let live = wait::until("the state that a fresh start would serve", || {
            Some(served()).filter(|live| live["ir"] == fresh["ir"])
        });
        assert_eq!(live["endpoints"], fresh["endpoints"]);
        let status = String::from_utf8(sluice(&["status", "-o", "json"]).stdout).unwrap();
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["findings"].as_array().map(Vec::len).unwrap_or(0), 0, "{}", status["findings"]);
        let after = resident_kib(running.gateway.pid());
        assert!(after < before + 32 * 1024, "memory grew from {before} to {after} KiB");
    });
}
