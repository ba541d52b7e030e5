//! Files that are written in place while requests come: a file that is being written is not a change yet.
#![allow(missing_docs)]

mod common;

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, Write as _};

use common::load::Wrk;
use common::{Running, get, with_gateway, with_gateway_flags};
use gateway_testkit::{http, wait};

const EXTRA: &str = "    - name: extra\n      protocol: HTTP\n      port: 8081\n      allowedRoutes:\n        namespaces: \
                     {from: All}\n";

/// Waits until the log has a line about a file that it did not have before.
#[track_caller]
fn wait_for_line(running: &Running, from: usize, file: &str, text: &str) {
    wait::until(&format!("{text:?} about {file} in {}", running.log()), || {
        running.log()[from..].lines().any(|line| line.contains(file) && line.contains(text)).then_some(())
    });
}

/// As `command > file` does it, where the command takes its time: emptied, left, written in two parts,
/// closed.
fn write_slowly(running: &Running, file: &str, text: &str) {
    let from = running.log().len();
    let mut open = File::create(running.config.join(file)).unwrap();
    wait_for_line(running, from, file, "open for writing and empty");
    let (front, back) = text.as_bytes().split_at(text.len() / 2);
    open.write_all(front).unwrap();
    open.sync_all().unwrap();
    // Something else becomes live meanwhile, so the directory was looked at.
    let marker = format!("marker-{}.yaml", from);
    running.config.write(&marker, "kind: [\n").unwrap();
    wait_for_line(running, from, &marker, "YAML");
    fs::remove_file(running.config.join(&marker)).unwrap();
    open.write_all(back).unwrap();
}

/// As `rsync --inplace` does it: over the old content, and cut at the end.
fn write_over(running: &Running, file: &str, text: &str) {
    let mut open = OpenOptions::new().write(true).open(running.config.join(file)).unwrap();
    for part in text.as_bytes().chunks(64) {
        open.write_all(part).unwrap();
    }
    let end = open.stream_position().unwrap();
    open.set_len(end).unwrap();
}

fn marked(route: &str, round: u32) -> String {
    let filter = format!(
        "      filters:\n        - type: ResponseHeaderModifier\n          responseHeaderModifier:\n            \
         set: [{{name: x-round, value: \"{round}\"}}]\n"
    );
    route.replace("      filters:\n", &filter)
}

fn wait_for_round(round: u32) {
    wait::until("the new round", || {
        let response = get("/httpbin/get").ok()?;
        (response.header("x-round") == Some(round.to_string().as_str())).then_some(())
    });
}

#[test]
fn files_that_are_written_slowly_or_in_place_lose_no_request() {
    with_gateway("in-place", |_, running| {
        let read = |file: &str| fs::read_to_string(running.config.join(file)).unwrap();
        let (gateway, route) = (read("gateway.yaml"), read("team1-route.yaml"));
        let extra = "127.0.0.1:8081".parse().unwrap();
        let serves = || http::get(extra, "localhost", "/httpbin/get").ok().filter(|a| a.status == 200);
        let mut wrk = Wrk::start("http://127.0.0.1/httpbin/get", 16, 20);
        for round in 1..=2 {
            write_slowly(running, "gateway.yaml", &format!("{gateway}{EXTRA}"));
            wait::until("the second listener", serves);
            write_slowly(running, "team1-route.yaml", &marked(&route, round));
            wait_for_round(round);
            // Shorter again: it has to wait, and is named.
            let from = running.log().len();
            write_over(running, "gateway.yaml", &gateway);
            wait_for_line(running, from, "gateway.yaml", "now shorter");
            wait::until("the second listener's end", || std::net::TcpStream::connect(extra).err());
        }
        assert!(wrk.is_running(), "all of it happened under load");
        wrk.stop().must_be_clean();
    });
}

#[test]
fn what_is_meant_to_go_goes() {
    with_gateway("meant", |_, running| {
        let route = fs::read_to_string(running.config.join("team1-route.yaml")).unwrap();
        running.wait_for_status("/httpbin/get", 200);
        fs::remove_file(running.config.join("team1-route.yaml")).unwrap();
        running.wait_for_status("/httpbin/get", 404);
        fs::write(running.config.join("team1-route.yaml"), &route).unwrap();
        running.wait_for_status("/httpbin/get", 200);
        let from = running.log().len();
        File::create(running.config.join("team1-route.yaml")).unwrap();
        running.wait_for_status("/httpbin/get", 404);
        wait_for_line(running, from, "team1-route.yaml", "now empty");
    });
}

#[test]
fn a_file_that_is_left_open_is_read_all_the_same() {
    with_gateway("left-open", |_, running| {
        running.wait_for_status("/httpbin/get", 200);
        let from = running.log().len();
        let open = File::create(running.config.join("team1-route.yaml")).unwrap();
        running.wait_for_status("/httpbin/get", 404);
        wait_for_line(running, from, "team1-route.yaml", "still open for writing, but unchanged for 5s");
        drop(open);
    });
}

#[test]
fn a_flag_has_files_read_as_they_are_after_the_quiet_time() {
    with_gateway_flags("read-at-once", &["--unfinished-writes", "read"], |_, running| {
        running.wait_for_status("/httpbin/get", 200);
        let open = File::create(running.config.join("team1-route.yaml")).unwrap();
        running.wait_for_status("/httpbin/get", 404);
        assert!(!running.log().contains("open for writing"), "{}", running.log());
        drop(open);
    });
}
