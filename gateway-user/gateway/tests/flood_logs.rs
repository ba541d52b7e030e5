//! Log lines under attack: strangers decide how many frames and streams there are, so a connection has a handful of lines at
//! most, whatever it sends.

mod common;

use std::net::SocketAddr;

use common::{HTTP, Running, get};
use gateway_testkit::http2::attacks::{Attack, FLOODS, HEADS, HONEST, PROVOKED_RESETS, UNREAD};
use gateway_testkit::netns;
use nix::sys::signal::Signal;

/// Lines of one connection, and of an end in order.
const LINES: usize = 4;
const END_LINES: usize = 40;
/// Frames of an attack that is not ended earlier.
const MAX_FRAMES: usize = 10_000;

/// Makes every attack and counts lines; `flags` are those of the log.
fn count_lines(label: &str, flags: &'static [&'static str], said: bool) {
    netns::run(label, move |inside| {
        // An access log has a line for each request, which is what it is for.
        let all = [&["--access-log", "off", "--drain-min", "0s"], flags].concat();
        let mut running = Running::start(inside, &all);
        assert_eq!(get("/httpbin/get").unwrap().status, 200);
        let before = running.log().lines().count();
        let to: SocketAddr = HTTP.parse().unwrap();
        let lists: [&[Attack]; 5] = [FLOODS, UNREAD, PROVOKED_RESETS, HEADS, HONEST];
        let mut connections = 0;
        for attack in lists.into_iter().flatten() {
            let ended = attack.run(to, MAX_FRAMES);
            assert_eq!(ended.closed, !attack.is_honest, "{}: {ended:?}", attack.name);
            connections += 1;
        }
        // Its end writes what still waits to be written.
        running.gateway.signal(Signal::SIGTERM).unwrap();
        assert!(running.gateway.wait().success());
        let log = running.log();
        let lines: Vec<&str> = log.lines().skip(before).collect();
        let most = connections * LINES + END_LINES;
        assert!(lines.len() <= most, "{} lines, above {most}; the last:\n{}", lines.len(), tail(&lines));
        assert!(!log.contains("h2::"), "lines of the codec:\n{}", tail(&lines));
        let floods = lines.iter().filter(|line| line.contains("sends too many frames")).count();
        assert!(if said { floods >= FLOODS.len() } else { floods == 0 }, "{floods} lines about floods");
    });
}

fn tail(lines: &[&str]) -> String {
    lines[lines.len().saturating_sub(50)..].join("\n")
}

#[test]
fn attacks_leave_no_line_by_default() {
    count_lines("flood-logs", &[], false);
}

#[test]
fn attacks_leave_a_handful_of_lines_for_each_connection_at_debug() {
    count_lines("flood-logs-debug", &["--log", "debug"], true);
}
