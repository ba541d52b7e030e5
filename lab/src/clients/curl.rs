//! curl, one call for each try.

use std::fs;

use anyhow::Result;

use super::call::{Input, call};
use super::case::{Action, Body, Content};
use super::content;
use super::job::Job;
use super::observation::Observation;
use super::program::Program;
use super::script::content_file;
use super::testbed::Testbed;

/// For each transfer: the status, the connections that were made for it, and the version.
const PRINTED: &str = "%{http_code} %{num_connects} %{http_version}\\n";

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
    let trailers = testbed.dir().join("head");
    if job.case.action == Action::Trailers {
        command.arg("--dump-header").arg(&trailers);
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
    let transfers: Vec<Vec<&str>> = result.output.lines().map(|line| line.split(' ').collect()).collect();
    let column = |at: usize| transfers.iter().filter_map(move |words| words.get(at).copied());
    seen.statuses = column(0).filter_map(|status| status.parse().ok()).collect();
    seen.connections = Some(column(1).filter_map(|count| count.parse::<u32>().ok()).sum());
    let mut versions: Vec<&str> = column(2).collect();
    versions.dedup();
    seen.version = Some(versions.join(","));
    if job.case.action == Action::Trailers {
        seen.trailer = content::trailer_in(&fs::read_to_string(&trailers)?);
    }
    Ok(seen)
}

/// The version of HTTP, which curl would choose by itself.
fn version(job: &Job) -> &'static str {
    match job.transport.choose("--http2", "--http2") {
        _ if !job.http2 => "--http1.1",
        Some(by_alpn) => by_alpn,
        None => "--http2-prior-knowledge",
    }
}

fn flags(job: &Job) -> Vec<&'static str> {
    let case = job.case;
    let mut flags = Vec::new();
    flags.extend(job.transport.choose(["--tlsv1.2", "--tls-max", "1.2"], ["--tlsv1.3", "--tls-max", "1.3"]));
    let mut flags: Vec<&str> = flags.concat();
    match case.action {
        Action::Http10 => flags.push("--http1.0"),
        Action::H2c => flags.push("--http2"),
        _ => flags.push(version(job)),
    }
    if case.action == Action::AtOnce {
        flags.extend(["--parallel", "--parallel-max", "100"]);
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
