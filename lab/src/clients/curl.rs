//! curl, one call for each try.

use std::fs;

use anyhow::Result;

use super::call::{Input, call};
use super::case::{Action, Body, Content};
use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::script::content_file;
use super::testbed::Testbed;

/// For each transfer: the status, and the connections that were made for it.
const PRINTED: &str = "%{http_code} %{num_connects}\\n";

pub(super) fn attempt(testbed: &Testbed, program: &Program, job: &Job) -> Result<Observation> {
    let response = testbed.dir().join("response");
    fs::write(&response, "")?;
    let mut command = program.call();
    command.args(["--silent", "--show-error", "--insecure", "--max-time", "20", "--noproxy", "*"]);
    command.args(["--write-out", PRINTED]);
    command.args(flags(job));
    match job.case.body {
        Body::None => {}
        Body::Plain | Body::Chunked => {
            let file = content_file(testbed, job.size)?;
            command.arg("--data-binary").arg(format!("@{}", file.display()));
        }
    }
    for _ in 0..job.case.times() {
        command.arg("--output").arg(&response).arg(job.url());
    }
    let result = call(testbed.dir(), &mut command, &Input::None)?;
    if !result.status.is_some_and(|status| status.success()) {
        return Ok(Observation::failed(result.error()));
    }
    let mut seen = Observation::of(0, &fs::read(&response)?);
    if job.case.content == Content::Nothing {
        // It writes the head there.
        seen = Observation::of(0, b"");
    }
    let transfers = result.output.lines().filter_map(|line| line.split_once(' '));
    let (statuses, connections): (Vec<_>, Vec<_>) = transfers.unzip();
    seen.statuses = statuses.iter().filter_map(|status| status.parse().ok()).collect();
    seen.connections = Some(connections.iter().filter_map(|count| count.parse::<u32>().ok()).sum());
    Ok(seen)
}

fn flags(job: &Job) -> Vec<&'static str> {
    let case = job.case;
    let mut flags = Vec::new();
    flags.extend(job.transport.choose(["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]));
    let mut flags: Vec<&str> = flags.concat();
    match case.action {
        Action::Http10 => flags.push("--http1.0"),
        Action::H2c => flags.push("--http2"),
        _ => {}
    }
    if case.method == "HEAD" {
        flags.push("--head");
    }
    if case.gzip {
        flags.push("--compressed");
    }
    match (case.body, case.expect) {
        (Body::None, _) => {}
        (_, true) => flags.extend(["--header", "Expect: 100-continue", "--expect100-timeout", "20"]),
        // It would wait for 100 (Continue) by itself.
        (_, false) => flags.extend(["--header", "Expect:"]),
    }
    if case.body == Body::Chunked {
        flags.extend(["--header", "Transfer-Encoding: chunked"]);
    }
    if case.field == "Expect:" {
        // A field without a value is written like this.
        flags.extend(["--header", "Expect;"]);
    }
    flags
}
